"""Every event arrives, at least once, in order, whatever its receiver does; and no receiver that
fails keeps another one waiting.

Real HTTP servers and a real store. The hours between attempts pass on a clock of the test's.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from outdial import config, ids
from outdial.calls.callbacks import Subscription
from outdial.calls.request import STATUS_EVENTS, CallRequest
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient
from outdial.store.records import CallRecord, Change, DeliveryFilter, DeliveryRecord
from outdial.store.store import Store
from outdial.testing.clock import FakeClock
from outdial.testing.server import free_port
from outdial.testing.signatures import signed_payload, verify
from outdial.testing.web import Answer, Received, WebServer
from outdial.webhooks import turns
from outdial.webhooks.deliver import Deliverer
from outdial.webhooks.replay import Replays
from outdial.webhooks.secret_file import Signing
from outdial.webhooks.sign import new_secret

SECRET = new_secret(bytes(range(32)))
PATIENT_S = 30.0
"""Nobody is given up for answering late because the machine is busy."""
IMPATIENT_S = 1.0
"""For receivers that answer too late, or not at all."""
HOUR_S = 3600.0
P95_MS = 250.0


@dataclass
class Bench:
    """A deliverer with everything round it; `start` gives it a successor."""

    store: Store
    clock: FakeClock
    client: HttpClient
    timeout_s: float
    deliverer: Deliverer = field(init=False)
    dead: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """A new process's deliverer takes up what the store has."""
        self.deliverer = Deliverer(
            self.store,
            self.client,
            self.clock,
            config.Webhooks(timeout_s=self.timeout_s),
            on_settled=self._note,
        )
        await self.deliverer.start()

    def _note(self, delivery: DeliveryRecord, elapsed_ms: float) -> None:
        if delivery.state == "dead":
            self.dead.append(delivery.id)

    async def report(self, deliveries: list[DeliveryRecord]) -> None:
        """As a session does: written, then told."""
        await self.store.commit(Change(deliveries[0].call_sid, deliveries=tuple(deliveries)))
        self.deliverer.submit(deliveries)

    async def pass_time(self, seconds: float, step_s: float) -> None:
        """Moves the clock; at each step everything that is due is tried, to its end."""
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            self.clock.tick(step_s)
            self.deliverer.wake()
            await self.deliverer.settle(30.0)


@asynccontextmanager
async def bench(
    timeout_s: float = PATIENT_S, store_url: str = "sqlite:///:memory:"
) -> AsyncIterator[Bench]:
    clock = FakeClock()
    store = await Store.open(store_url, clock)
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]), signer=Signing(clock, [SECRET]))
    made = Bench(store, clock, client, timeout_s)
    await made.start()
    try:
        yield made
    finally:
        await made.deliverer.stop(0.0)
        await client.close()
        await store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return "sqlite:///:memory:"
    made: str = request.getfixturevalue("new_database")()
    return made


class Call:
    """A call that reports all of its events to one URL."""

    def __init__(self, url: str, method: str = "POST") -> None:
        self.sid = ids.new(ids.CALL)
        request = CallRequest(
            to="19499300360",
            from_="18005797676",
            status_callback=url,
            status_callback_events=STATUS_EVENTS,
            status_callback_method=method,
        )
        subscription = Subscription.of_request(request, self.sid)
        assert subscription is not None
        record = CallRecord(
            self.sid, self.sid, "outbound", "18005797676", "19499300360", "", "answered", 0.0
        )
        self.deliveries: list[DeliveryRecord] = []
        for number, event in enumerate(STATUS_EVENTS):
            # on the timeline events stand apart: between them are notes
            made = subscription.delivery(record, event, number, 1_700_000_000.0, number * 3)
            assert made is not None
            self.deliveries.append(made)


def events_of(received: list[Received], call: Call) -> list[str]:
    """What arrived of a call, in the order it did, repeated ones too."""
    return [one.params["CallStatus"] for one in received if one.params["callSid"] == call.sid]


def judge(received: list[Received], calls: list[Call]) -> None:
    """Everything is there, in order, under one id, and signed."""
    for call in calls:
        arrived = events_of(received, call)
        in_order = [event for event in STATUS_EVENTS for _ in range(arrived.count(event))]
        assert arrived == in_order, call.sid
        assert set(arrived) == set(STATUS_EVENTS), call.sid
        for number, event in enumerate(STATUS_EVENTS):
            names = {
                one.headers["webhook-id"]
                for one in received
                if (one.params["callSid"], one.params["CallStatus"]) == (call.sid, event)
            }
            assert names == {ids.of_event(call.sid, number * 3)}
    for one in received:
        at = float(one.headers["webhook-timestamp"])
        assert verify(SECRET, one.headers, signed_payload(one), now=at)


FAILURES = {
    "500": [Answer(status=500), Answer(status=500), Answer(status=503)],
    "hang": [Answer(failure="hang")] * 2,
    "reset": [Answer(failure="reset")] * 3,
    "drip": [Answer(failure="drip")] * 2,
    "cut": [Answer(body=b"x" * 1000, failure="cut")],
    "redirect": [Answer(status=302, headers={"Location": "/elsewhere"})] * 2,
    "429": [Answer(status=429, headers={"Retry-After": "900"})] * 2,
    "slow": [Answer(delay_s=IMPATIENT_S * 2)],  # it has taken it, and its answer is lost
}
LATE = ("hang", "drip", "slow")


@pytest.mark.parametrize("failure", FAILURES)
async def test_every_event_arrives_in_order_through(failure: str) -> None:
    with WebServer() as web:
        web.script("/events", *FAILURES[failure], Answer())
        web.collect("/elsewhere")
        async with bench(IMPATIENT_S if failure in LATE else PATIENT_S) as made:
            calls = [Call(web.url("/events"), "GET" if n == 2 else "POST") for n in range(3)]
            for call in calls:
                await made.report(call.deliveries[:2])
            for call in calls:
                await made.report(call.deliveries[2:])
            await made.deliverer.settle(30.0)
            await made.pass_time(2 * HOUR_S, step_s=20.0 if failure == "429" else 60.0)
            judge(web.received("/events"), calls)
            assert made.deliverer.held == 0 and made.dead == []
            assert web.received("/elsewhere") == []
            tally = made.deliverer.tally
            assert tally["delivered"] == 12 and tally["failed"] == len(FAILURES[failure])
            if failure == "429":
                waited = [one.at for one in web.received("/events")]
                assert len(waited) == 14
                failed = [d for call in calls for d in call.deliveries if len(d.tries) > 1]
                for delivery in failed:
                    for before, after in zip(delivery.tries, delivery.tries[1:], strict=False):
                        assert after["at"] - before["at"] >= 900.0


async def test_a_receiver_that_is_away_for_an_hour_gets_everything_afterwards(
    store_url: str,
) -> None:
    port = free_port(socket.SOCK_STREAM)
    url = f"http://127.0.0.1:{port}/events"
    async with bench(store_url=store_url) as made:
        calls = [Call(url) for _ in range(20)]
        for call in calls:
            await made.report(call.deliveries)
        await made.pass_time(HOUR_S, step_s=60.0)
        assert made.deliverer.tally["delivered"] == 0
        attempts = {call.deliveries[0].attempts for call in calls}
        assert attempts == {5}  # at 0 s, 5 s, 30 s, 2 min and 10 min after the one before
        with WebServer(port) as web:
            web.collect("/events")
            await made.pass_time(HOUR_S * 1.5, step_s=60.0)
            judge(web.received("/events"), calls)
            assert len(web.received("/events")) == 20 * len(STATUS_EVENTS)
        assert made.deliverer.held == 0


async def test_a_receiver_that_never_comes_back_is_given_up_and_the_events_kept(
    store_url: str,
) -> None:
    url = f"http://127.0.0.1:{free_port(socket.SOCK_STREAM)}/events"
    async with bench(store_url=store_url) as made:
        call = Call(url)
        await made.report(call.deliveries)
        await made.pass_time(12 * 86_400.0, step_s=HOUR_S)
        assert made.dead == [delivery.id for delivery in call.deliveries]
        await made.store.flush()
        stored = await made.store.deliveries(call.sid)
        assert [(d.state, d.attempts, len(d.tries)) for d in stored] == [("dead", 9, 9)] * 4
        assert all("connect" in one["error"] for d in stored for one in d.tries)


async def test_what_was_pending_at_a_crash_is_taken_up_in_order_under_the_same_ids(
    store_url: str,
) -> None:
    port = free_port(socket.SOCK_STREAM)
    url = f"http://127.0.0.1:{port}/events"
    async with bench(store_url=store_url) as made:
        calls = [Call(url) for _ in range(10)]
        for call in calls:
            await made.report(call.deliveries)
        await made.deliverer.settle(30.0)
        await made.store.flush()
        await made.deliverer.stop(0.0)  # what it held in memory is gone
        with WebServer(port) as web:
            web.collect("/events")
            await made.start()
            assert made.deliverer.held == 40
            await made.pass_time(60.0, step_s=10.0)
            judge(web.received("/events"), calls)
            assert len(web.received("/events")) == 40


@asynccontextmanager
async def hanging(count: int) -> AsyncIterator[list[str]]:
    """So many receivers that take every connection and never answer."""
    writers: set[asyncio.StreamWriter] = set()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        await reader.read()

    servers = [await asyncio.start_server(never, "127.0.0.1", 0) for _ in range(count)]
    try:
        yield [f"http://127.0.0.1:{s.sockets[0].getsockname()[1]}/events" for s in servers]
    finally:
        for server in servers:
            server.close()
        for writer in writers:
            writer.transport.abort()


@asynccontextmanager
async def answering() -> AsyncIterator[tuple[str, dict[str, float]]]:
    """A receiver on this loop, and when each event arrived there."""
    arrived: dict[str, float] = {}

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                await reader.readexactly(size)
                name = head.partition("webhook-id: ")[2].partition("\r\n")[0].upper()
                arrived[name] = time.monotonic()
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events", arrived
    server.close()


@pytest.mark.alone
@pytest.mark.parametrize("receivers", [3, 30, 100])
async def test_receivers_that_hang_delay_nobody_else(
    receivers: int, record_property: Callable[[str, object], None]
) -> None:
    """More lanes to each than it may have places, more receivers than there are places in all."""
    async with (
        bench(timeout_s=60.0) as made,
        hanging(receivers) as urls,
        answering() as (url, arrived),
    ):
        known = Call(url)  # has answered before
        await made.report(known.deliveries)
        await made.deliverer.settle(10.0)
        for hung in urls:
            await made.report([Call(hung).deliveries[0] for _ in range(turns.FIRST * 2)])
        await asyncio.sleep(0.2)
        stuck = min(receivers * turns.FIRST, turns.MOST_IN_DOUBT)
        assert made.deliverer.under_way == stuck
        begun: dict[str, float] = {}
        for _ in range(50):
            call = Call(url)
            for delivery in call.deliveries:
                begun[delivery.event_id.upper()] = time.monotonic()
            await made.report(call.deliveries)
            await asyncio.sleep(0.005)
        async with asyncio.timeout(10.0):
            while len(arrived) < len(begun) + len(STATUS_EVENTS):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert made.deliverer.under_way == stuck  # not one of the others has ended
        delays = sorted((arrived[name] - at) * 1000.0 for name, at in begun.items())
        p50, p95, p99 = (delays[int(len(delays) * part)] for part in (0.5, 0.95, 0.99))
        record_property("p95_ms", round(p95, 1))
        print(f"| {receivers} | {p50:.1f} ms | {p95:.1f} ms | {p99:.1f} ms | 250 ms |")
        assert p95 < P95_MS


async def test_a_receiver_that_has_never_answered_finds_a_place_beside_those_that_hang() -> None:
    async with (
        bench(timeout_s=60.0) as made,
        hanging(20) as urls,
        answering() as (url, arrived),
    ):
        for hung in urls:
            await made.report([Call(hung).deliveries[0] for _ in range(100)])
        call = Call(url)
        await made.report(call.deliveries)
        async with asyncio.timeout(10.0):
            while len(arrived) < len(STATUS_EVENTS):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert made.deliverer.under_way == 20 * turns.FIRST


async def test_what_was_given_up_is_replayed_in_order_from_the_store(store_url: str) -> None:
    """More than a page of them, beside a call that goes on meanwhile."""
    with WebServer() as web:
        web.script("/events", Answer(status=410))
        async with bench(store_url=store_url) as made:
            calls = [Call(web.url("/events")) for _ in range(60)]
            for call in calls:
                await made.report(call.deliveries)
            await made.deliverer.settle(30.0)
            assert len(made.dead) == 240
            refused = web.received("/events")
            web.collect("/events")
            await made.store.flush()
            page = await made.store.delivery_page(DeliveryFilter(state="dead"), limit=10)
            newest = [d.id for call in reversed(calls) for d in reversed(call.deliveries)]
            assert [d.id for d in page.deliveries] == newest[:10]
            last = Call(web.url("/events"))
            replays = Replays(made.store, made.deliverer, made.clock)
            count, _ = await asyncio.gather(replays.replay_dead(), made.report(last.deliveries))
            assert count == 240
            async with asyncio.timeout(30.0):
                while made.deliverer.tally["delivered"] < 244:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            judge(web.received("/events")[len(refused) :], [*calls, last])
            assert len(web.received("/events")) == len(refused) + 244
            await made.store.flush()
            assert not (await made.store.delivery_page(DeliveryFilter(state="dead"))).deliveries
