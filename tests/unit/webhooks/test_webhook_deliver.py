"""Callbacks over real HTTP, on a clock of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from prometheus_client.core import HistogramMetricFamily

from outdial import config, ids
from outdial.clock import SystemClock
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient
from outdial.store.records import Change, DeliveryRecord
from outdial.store.store import Store
from outdial.webhooks import deliver, turns
from outdial.webhooks.deliver import Deliverer
from outdial.webhooks.replay import Replays

Answerer = Callable[[web.Request, int], Awaitable[web.StreamResponse]]


class HandClock:
    """Wall time moves when the test says so."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@dataclass
class Receiver:
    """An HTTP server that notes what arrives."""

    url: str = ""
    got: list[tuple[str, str]] = field(default_factory=list)
    """lane's letter and position, in order of arrival, refused ones too"""
    answer: Answerer | None = None

    async def take(self, request: web.Request) -> web.StreamResponse:
        form = await request.post() if request.method == "POST" else request.query
        self.got.append((str(form["lane"]), str(form["position"])))
        if self.answer is None:
            return web.Response(text="ok")
        return await self.answer(request, len(self.got))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.take)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    made.url = f"http://{host}:{port}/cb"
    yield made
    await runner.cleanup()


class Bench:
    """A deliverer with everything round it."""

    def __init__(self, store: Store, client: HttpClient, timeout_s: float = 5.0) -> None:
        self.store = store
        self.client = client
        self.clock = HandClock()
        self.settled: list[tuple[str, str, int]] = []
        self._changed = asyncio.Event()
        self.settings = config.Webhooks(timeout_s=timeout_s)
        self.deliverer = self.make()

    def make(self) -> Deliverer:
        return Deliverer(self.store, self.client, self.clock, self.settings, self._note)

    def _note(self, delivery: DeliveryRecord, elapsed_ms: float) -> None:
        self.settled.append((delivery.lane, delivery.state, delivery.attempts))
        self._changed.set()

    async def submit(self, deliveries: Sequence[DeliveryRecord]) -> None:
        await self.store.commit(Change("CA1", deliveries=tuple(deliveries)))
        self.deliverer.submit(deliveries)

    async def until_settled(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.settled) < count:
                self._changed.clear()
                await self._changed.wait()

    def advance(self, seconds: float) -> None:
        self.clock.time += seconds
        self.deliverer.wake()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    store = await Store.open("sqlite:///:memory:", SystemClock())
    client = HttpClient(AddressPolicy(["127.0.0.0/8"], []))
    made = Bench(store, client)
    await made.deliverer.start()
    yield made
    await made.deliverer.stop(0.0)
    await client.close()
    await store.close()


def some(url: str, lane: str, count: int, first: int = 0, **fields: object) -> list[DeliveryRecord]:
    return [
        DeliveryRecord(
            ids.new(ids.DELIVERY),
            "CA1",
            lane,
            position,
            "ringing",
            url,
            str(fields.get("method", "POST")),
            (("lane", lane), ("position", str(position))),
            1_700_000_000.0,
        )
        for position in range(first, first + count)
    ]


def lane_of(receiver: Receiver, lane: str) -> list[int]:
    return [int(position) for name, position in receiver.got if name == lane]


async def status(code: int, **headers: str) -> web.Response:
    return web.Response(status=code, headers={k.replace("_", "-"): v for k, v in headers.items()})


async def test_callbacks_of_a_lane_arrive_in_order_and_are_recorded(
    bench: Bench, receiver: Receiver
) -> None:
    await bench.submit(some(receiver.url, "a", 3) + some(receiver.url, "b", 2, method="GET"))
    await bench.until_settled(5)
    assert lane_of(receiver, "a") == [0, 1, 2]
    assert lane_of(receiver, "b") == [0, 1]
    await bench.store.flush()
    stored = await bench.store.deliveries("CA1")
    assert {(d.state, d.attempts, d.last_status) for d in stored} == {("done", 1, 200)}
    assert all(d.done_at == bench.clock.time for d in stored)
    assert (bench.deliverer.held, bench.deliverer.under_way) == (0, 0)
    assert not bench.deliverer._lanes


async def test_a_failing_head_blocks_its_lane_and_no_other(
    bench: Bench, receiver: Receiver
) -> None:
    async def answer(request: web.Request, count: int) -> web.Response:
        failing = lane_of(receiver, "a")[-1:] == [0] and receiver.got[-1][0] == "a"
        return await status(500 if failing and len(lane_of(receiver, "a")) < 3 else 204)

    receiver.answer = answer
    await bench.submit(some(receiver.url, "a", 2) + some(receiver.url, "b", 2))
    await bench.until_settled(3)
    assert lane_of(receiver, "a") == [0]
    assert lane_of(receiver, "b") == [0, 1]
    bench.advance(4.0)  # the first wait is 5 s, give or take a tenth
    assert bench.deliverer.under_way == 0
    bench.advance(2.0)
    await bench.until_settled(4)
    assert lane_of(receiver, "a") == [0, 0]
    bench.advance(40.0)
    await bench.until_settled(6)
    assert lane_of(receiver, "a") == [0, 0, 0, 1]
    assert [s for s in bench.settled if s[0] == "a"] == [
        ("a", "pending", 1),
        ("a", "pending", 2),
        ("a", "done", 3),
        ("a", "done", 1),
    ]


async def test_retry_after_is_kept_as_seconds_and_as_a_date(
    bench: Bench, receiver: Receiver
) -> None:
    headers = ["120", "Tue, 14 Nov 2023 22:20:00 GMT", "soon"]  # the clock starts at 22:13:20

    async def answer(request: web.Request, count: int) -> web.Response:
        return await status(429, Retry_After=headers[count - 1])

    receiver.answer = answer
    (delivery,) = some(receiver.url, "a", 1)
    await bench.submit([delivery])
    await bench.until_settled(1)
    assert delivery.next_at == bench.clock.time + 120.0
    bench.advance(121.0)
    await bench.until_settled(2)
    assert delivery.next_at == 1_700_000_400.0
    bench.clock.time = 1_700_000_400.0
    bench.advance(0.0)
    await bench.until_settled(3)
    assert 108.0 <= delivery.next_at - bench.clock.time <= 132.0


@pytest.mark.parametrize(("code", "error"), [(301, "301"), (404, "404"), (503, "503")])
async def test_other_answers_are_failures(
    bench: Bench, receiver: Receiver, code: int, error: str
) -> None:
    async def answer(request: web.Request, count: int) -> web.Response:
        return await status(code, Location="/elsewhere")

    receiver.answer = answer
    (delivery,) = some(receiver.url, "a", 1)
    await bench.submit([delivery])
    await bench.until_settled(1)
    assert (delivery.state, delivery.last_status, delivery.attempts) == ("pending", code, 1)
    assert error in delivery.last_error
    assert len(receiver.got) == 1


async def test_gone_and_the_last_attempt_are_dead_and_free_the_lane(
    bench: Bench, receiver: Receiver
) -> None:
    async def answer(request: web.Request, count: int) -> web.Response:
        return await status({1: 410, 11: 200}.get(count, 500))

    receiver.answer = answer
    deliveries = some(receiver.url, "a", 3)
    await bench.submit(deliveries)
    await bench.until_settled(2)
    for attempt in range(3, 11):
        bench.advance(100_000.0)
        await bench.until_settled(attempt)
    await bench.until_settled(11)
    assert [d.state for d in deliveries] == ["dead", "dead", "done"]
    assert deliveries[1].attempts == 9
    assert lane_of(receiver, "a") == [0] + [1] * 9 + [2]
    await bench.store.flush()
    assert [d.state for d in await bench.store.deliveries("CA1")] == ["dead", "dead", "done"]


async def test_a_receiver_that_hangs_delays_nobody_else(bench: Bench, receiver: Receiver) -> None:
    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0)
    dead = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    lanes = [d for n in range(200) for d in some(dead, f"dead{n}", 1)]
    await bench.submit(lanes + some(receiver.url, "a", 3))
    await bench.until_settled(3)
    assert lane_of(receiver, "a") == [0, 1, 2]
    assert bench.deliverer.under_way == turns.FIRST
    await bench.deliverer.stop(0.0)
    server.close()
    await bench.store.flush()
    pending, _ = await bench.store.pending_deliveries(1000)
    assert len(pending) == 200
    assert {d.attempts for d in pending} == {0}  # cut off is not tried


async def test_time_out_reset_and_refusal_are_failures_with_their_reason(
    bench: Bench, receiver: Receiver
) -> None:
    async def answer(request: web.Request, count: int) -> web.StreamResponse:
        if receiver.got[-1][0] == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        await released.wait()
        return web.Response()

    released = asyncio.Event()
    receiver.answer = answer
    bench.deliverer = Deliverer(
        bench.store, bench.client, bench.clock, config.Webhooks(timeout_s=0.2), bench._note
    )
    unused = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = unused.sockets[0].getsockname()[1]
    unused.close()
    await unused.wait_closed()
    deliveries = [
        *some(receiver.url, "hang", 1),
        *some(receiver.url, "reset", 1),
        *some(f"http://127.0.0.1:{port}/", "closed", 1),
        *some("http://10.0.0.1/", "private", 1),
        *some("no url at all", "bad", 1),
    ]
    await bench.submit(deliveries)
    await bench.until_settled(5)
    kinds = [delivery.last_error.partition(":")[0] for delivery in deliveries]
    assert kinds == ["timeout", "protocol", "connect", "refused-address", "bad-url"]
    assert {(d.state, d.attempts, d.last_status) for d in deliveries} == {("pending", 1, None)}
    released.set()
    await bench.deliverer.stop(0.0)


async def test_the_bound_on_all_hosts_together_holds_and_everything_arrives(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "MOST", 3)
    most = 0

    async def answer(request: web.Request, count: int) -> web.Response:
        nonlocal most
        most = max(most, bench.deliverer.under_way)
        return web.Response()

    receiver.answer = answer
    other = receiver.url.replace("127.0.0.1", "127.0.0.1.")  # the same place, another host
    await bench.submit(
        [d for n in range(10) for d in some(receiver.url, f"a{n}", 2) + some(other, f"b{n}", 1)]
    )
    await bench.until_settled(30)
    assert most <= 3
    assert len(receiver.got) == 30


async def test_what_an_earlier_run_left_is_taken_up_in_order(
    bench: Bench, receiver: Receiver
) -> None:
    deliveries = some(receiver.url, "a", 3) + some(receiver.url, "b", 1)
    deliveries[3].next_at = bench.clock.time + 60.0
    await bench.store.commit(Change("CA1", deliveries=tuple(deliveries)))
    bench.deliverer = bench.make()
    await bench.deliverer.start()
    bench.deliverer.submit(some(receiver.url, "a", 1, first=3))
    await bench.until_settled(4)
    assert receiver.got == [("a", "0"), ("a", "1"), ("a", "2"), ("a", "3")]
    bench.advance(61.0)
    await bench.until_settled(5)
    assert receiver.got[-1] == ("b", "0")


async def test_what_is_too_much_for_memory_waits_in_the_store(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_MOST_HELD", 10)
    monkeypatch.setattr(deliver, "_PAGE", 7)
    for first in range(0, 60, 5):
        await bench.submit(
            [d for lane in ("a", "b", "c") for d in some(receiver.url, lane, 5, first)]
        )
        assert bench.deliverer.held <= 10 + 7
    await bench.until_settled(180)
    for lane in ("a", "b", "c"):
        assert lane_of(receiver, lane) == list(range(60))
    await bench.store.flush()
    assert (await bench.store.pending_deliveries(10))[0] == []


async def test_stopping_lets_what_is_under_way_end(bench: Bench, receiver: Receiver) -> None:
    arrived = asyncio.Event()
    go_on = asyncio.Event()

    async def answer(request: web.Request, count: int) -> web.Response:
        arrived.set()
        await go_on.wait()
        return web.Response()

    receiver.answer = answer
    await bench.submit(some(receiver.url, "a", 2))
    await arrived.wait()
    stopping = asyncio.create_task(bench.deliverer.stop(5.0))
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    assert bench.settled == [("a", "done", 1)]
    await bench.store.flush()
    pending, _ = await bench.store.pending_deliveries(10)
    assert [d.position for d in pending] == [1]


async def test_settling_waits_for_all_that_is_due_and_not_for_what_is_tried_later(
    bench: Bench, receiver: Receiver
) -> None:
    async def answer(request: web.Request, count: int) -> web.Response:
        await asyncio.sleep(0)
        form = await request.post()
        return web.Response(status=500 if form["lane"] == "b" else 200)

    receiver.answer = answer
    await bench.submit([*some(receiver.url, "a", 3), *some(receiver.url, "b", 1)])
    await bench.deliverer.settle(10.0)
    assert sorted(bench.settled) == [
        ("a", "done", 1),
        ("a", "done", 1),
        ("a", "done", 1),
        ("b", "pending", 1),
    ]


async def test_settling_has_no_more_than_its_patience(bench: Bench, receiver: Receiver) -> None:
    never = asyncio.Event()

    async def answer(request: web.Request, count: int) -> web.Response:
        await never.wait()
        return web.Response()

    receiver.answer = answer
    await bench.submit(some(receiver.url, "a", 1))
    await bench.deliverer.settle(0.05)
    assert bench.deliverer.under_way == 1
    never.set()
    await bench.deliverer.settle(10.0)
    assert bench.settled == [("a", "done", 1)]


async def test_every_attempt_is_kept_with_what_was_answered(
    bench: Bench, receiver: Receiver
) -> None:
    async def answer(request: web.Request, count: int) -> web.Response:
        return await status({1: 500, 2: 429}.get(count, 200), X_Count=str(count))

    receiver.answer = answer
    (delivery,) = some(receiver.url, "a", 1)
    await bench.submit([delivery])
    for attempt, wait_s in ((1, 6.0), (2, 40.0)):
        await bench.until_settled(attempt)
        bench.advance(wait_s)
    await bench.until_settled(3)
    await bench.store.flush()
    (stored,) = await bench.store.deliveries("CA1")
    assert [(one["status"], one["error"]) for one in stored.tries] == [
        (500, "answered 500"),
        (429, "answered 429"),
        (200, ""),
    ]
    started = 1_700_000_000.0
    assert [one["at"] - started for one in stored.tries] == [0.0, 6.0, 46.0]
    for count, one in enumerate(stored.tries, 1):
        assert f"\nx-count: {count}\n" in one["head"]
        assert one["peer"] in receiver.url and "signature" not in one  # nobody signs here
    assert bench.deliverer.tally == {"delivered": 1, "failed": 2, "dead": 0}
    family = HistogramMetricFamily("lag", "")
    bench.deliverer.lag.add_to(family)
    assert family.samples[-2].value == 1  # what was refused is not counted, what came late is
    assert family.samples[-1].value > 0


async def test_the_fragment_is_kept_and_not_sent(bench: Bench, receiver: Receiver) -> None:
    paths = []

    async def answer(request: web.Request, count: int) -> web.Response:
        paths.append(request.raw_path)
        return web.Response()

    receiver.answer = answer
    deliveries = [
        *some(receiver.url + "?x=1#rc=1&ct=500", "a", 1),
        *some(receiver.url + "#top", "b", 1),
        *some(receiver.url + "#rc=99", "c", 1),  # from a document: nobody refused it
        *some(receiver.url + "#rt=500", "d", 1, method="GET"),
    ]
    await bench.submit(deliveries)
    await bench.until_settled(4)
    assert {delivery.state for delivery in deliveries} == {"done"}
    assert sorted(paths) == ["/cb", "/cb", "/cb?lane=d&position=0", "/cb?x=1"]


@pytest.mark.parametrize(
    ("fragment", "codes", "attempts"),
    [
        ("rc=0", [500], 1),
        ("rc=2", [500, 404, 500], 3),
        ("rp=5xx", [500, 503, 404], 3),
        ("rp=4xx", [500], 1),
        ("rp=4xx,5xx&rc=1", [500, 404], 2),
        ("rp=ct", [404], 1),
        ("rp=all&rc=1", [302, 302], 2),
        ("rc=5", [500, 410], 2),
    ],
)
async def test_overrides_say_how_often_and_after_what_it_is_tried_again(
    bench: Bench, receiver: Receiver, fragment: str, codes: list[int], attempts: int
) -> None:
    async def answer(request: web.Request, count: int) -> web.Response:
        return await status(codes[count - 1])

    receiver.answer = answer
    (delivery,) = some(f"{receiver.url}#{fragment}", "a", 1)
    await bench.submit([delivery])
    for attempt in range(1, attempts + 1):
        await bench.until_settled(attempt)
        assert delivery.state == ("dead" if attempt == attempts else "pending")
        bench.advance(100_000.0)
    assert len(receiver.got) == attempts
    assert bench.deliverer.tally == {"delivered": 0, "failed": attempts - 1, "dead": 1}


async def test_overrides_shorten_the_patience(bench: Bench, receiver: Receiver) -> None:
    never = asyncio.Event()

    async def answer(request: web.Request, count: int) -> web.Response:
        await never.wait()
        return web.Response()

    receiver.answer = answer
    silent, slow = some(f"{receiver.url}#rt=100", "a", 1)[0], some(f"{receiver.url}#tt=150", "b", 1)
    await bench.submit([silent, *slow])
    await bench.until_settled(2)
    assert silent.last_error == "timeout: nothing came for 0.1 s"
    assert slow[0].last_error == "timeout: no complete answer within 0.15 s"
    never.set()


async def test_what_was_given_up_is_replayed_in_order(bench: Bench, receiver: Receiver) -> None:
    broken = True

    async def answer(request: web.Request, count: int) -> web.Response:
        return await status(410 if broken else 200)

    receiver.answer = answer
    deliveries = some(receiver.url, "a", 300) + some(receiver.url, "b", 5)
    await bench.submit(deliveries)
    await bench.until_settled(305)
    receiver.got.clear()
    broken = False
    replays = Replays(bench.store, bench.deliverer, bench.clock)
    await bench.store.flush()
    assert await replays.replay_dead(call_sid="CA2") == 0
    assert await replays.replay_dead(since=bench.clock.time + 1.0) == 0
    assert await replays.replay_dead() == 305
    await bench.until_settled(610)
    assert lane_of(receiver, "a") == list(range(300))
    assert lane_of(receiver, "b") == list(range(5))
    await bench.store.flush()
    stored = await bench.store.deliveries("CA1")
    assert {(d.state, d.attempts, len(d.tries)) for d in stored} == {("done", 1, 2)}
    assert await replays.replay_dead() == 0


async def test_one_is_replayed_with_its_id_and_all_of_its_attempts(
    bench: Bench, receiver: Receiver
) -> None:
    (delivery,) = some(receiver.url, "a", 1)
    await bench.submit([delivery])
    await bench.until_settled(1)
    await bench.store.flush()
    stored = await bench.store.delivery(delivery.id) or delivery

    async def answer(request: web.Request, count: int) -> web.Response:
        return await status(200 if count == 4 else 500)

    receiver.answer = answer
    await Replays(bench.store, bench.deliverer, bench.clock).replay(stored)
    for settled in (2, 3):
        await bench.until_settled(settled)
        bench.advance(40.0)
    await bench.until_settled(4)
    assert stored.state == "done" and stored.attempts == 3
    assert [one["status"] for one in stored.tries] == [200, 500, 500, 200]


async def test_attempts_without_end_are_not_kept_without_end(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_MOST_TRIES", 3)
    (delivery,) = some(receiver.url, "a", 1)
    await bench.submit([delivery])
    for count in range(1, 6):
        await bench.until_settled(count)
        await Replays(bench.store, bench.deliverer, bench.clock).replay(delivery)
    await bench.until_settled(6)
    assert len(delivery.tries) == 3


async def test_what_is_replayed_while_the_store_is_read_is_read_too(
    bench: Bench, receiver: Receiver
) -> None:
    deliveries = some(receiver.url, "a", 3)
    await bench.submit(deliveries)
    await bench.until_settled(3)
    reading, go_on = asyncio.Event(), asyncio.Event()
    read = bench.store.pending_deliveries

    async def slowly(limit: int, after: int = 0) -> tuple[list[DeliveryRecord], int]:
        found = await read(limit, after)
        reading.set()
        await go_on.wait()
        return found

    bench.store.pending_deliveries = slowly  # type: ignore[method-assign]
    bench.deliverer.take_up()
    await reading.wait()  # it has seen that nothing is pending
    for delivery in deliveries:
        delivery.state, delivery.next_at = "pending", bench.clock.time
    await bench.store.replay(deliveries)
    bench.deliverer.take_up()
    go_on.set()
    await bench.until_settled(6)
    assert lane_of(receiver, "a") == [0, 1, 2, 0, 1, 2]


async def test_what_is_held_is_not_taken_twice(bench: Bench, receiver: Receiver) -> None:
    deliveries = some(receiver.url, "a", 2)
    await bench.submit(deliveries)
    bench.deliverer.submit(deliveries)
    await bench.until_settled(2)
    await bench.deliverer.settle(5.0)
    assert lane_of(receiver, "a") == [0, 1]
