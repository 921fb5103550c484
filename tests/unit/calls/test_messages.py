"""Short messages: kept before they leave, sent once, told of afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from doubles.legs import FakeCallbacks, FakeStore
from doubles.world import until
from outdial import ids
from outdial.calls import messages as module
from outdial.calls.gateway import Gateway
from outdial.calls.journal import Journal, Timeline
from outdial.calls.messages import Messages
from outdial.calls.numbers import check_destination
from outdial.calls.routes import Routes
from outdial.clock import SystemClock
from outdial.config import Limits, Sms, Trunk
from outdial.didml.run.host import SmsEnd, SmsPlan
from outdial.errors import FetchError, StoreUnavailable
from outdial.legs import TraceListener
from outdial.messages import MessageResult, MessageTarget
from outdial.store.records import CallRecord, MessageRecord

TAKEN = MessageResult(202, "Accepted")
CALLBACK = "https://app.example.test/texts"


@dataclass
class FakePlane:
    """Trunks that answer as `results` say, and with 202 afterwards."""

    store: FakeStore
    results: list[MessageResult | asyncio.Future[MessageResult]] = field(default_factory=list)
    targets: list[MessageTarget] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """In which state each message was on the disk when it left."""
    under_way: int = 0
    most_under_way: int = 0

    async def send(
        self, target: MessageTarget, trace: TraceListener | None = None
    ) -> MessageResult:
        self.targets.append(target)
        self.kept.append(self.store.messages[target.message_id].state)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            result = self.results.pop(0) if self.results else TAKEN
            return result if isinstance(result, MessageResult) else await result
        finally:
            self.under_way -= 1


@dataclass(frozen=True)
class Told:
    status: int = 200
    body: bytes = b"OK"


@dataclass
class FakeGateway:
    """An outgoing HTTP client that keeps what it is asked."""

    answers: list[Told | FetchError] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)

    async def request(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]] = (), **more: Any
    ) -> Told:
        self.requests.append({"method": method, "url": url, "headers": list(headers), **more})
        answer = self.answers.pop(0) if self.answers else Told()
        if isinstance(answer, FetchError):
            raise answer
        return answer


class Post:
    """The service, what it stands on, and one call that sends."""

    def __init__(
        self,
        *trunks: Trunk,
        gateway: bool = False,
        store: FakeStore | None = None,
        lease: Any = None,
        **settings: Any,
    ) -> None:
        self.clock = SystemClock()
        self.store = store or FakeStore()
        self.callbacks = FakeCallbacks()
        self.journal = Journal(self.store, self.callbacks, self.clock)
        self.plane = FakePlane(self.store)
        self.web = FakeGateway()
        if gateway:
            settings.setdefault("gateway_url", "https://g.test/send?key=k")
        sms = Sms(**settings)
        self.messages = Messages(
            sms,
            store=self.store,
            journal=self.journal,
            routes=Routes(trunks or (Trunk(name="a", address="192.0.2.1"),)),
            plane=self.plane,
            gateway=Gateway(self.web, sms) if gateway else None,
            clock=self.clock,
            check_destination=lambda number, name: check_destination(
                number, Limits(destinations=["1"]), name
            ),
            lease=lease,
        )
        self.call = CallRecord(
            sid=ids.new(ids.CALL),
            parent_sid="",
            direction="outbound",
            from_number="12025550100",
            to_number="12025550177",
            caller_name="",
            state="answered",
            created_at=0.0,
        )
        self.timeline: Timeline = self.journal.open_timeline(self.call.sid)
        self.count = 0

    async def send(self, text: str = "hello", wait_s: float = 5.0, **plan: Any) -> SmsEnd:
        self.count += 1
        wanted = SmsPlan(text, **{"status_callback": CALLBACK, **plan})
        return await self.messages.send(self.call, self.timeline, wanted, self.count - 1, wait_s)

    def kept(self, sid: str) -> MessageRecord:
        return self.store.messages[sid]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.store.timeline]

    async def settled(self) -> None:
        await until(lambda: not self.messages.waiting)


async def test_a_message_is_sent_and_told_of() -> None:
    post = Post()
    end = await post.send()
    assert (end.status, end.error) == ("sent", "")
    assert ids.is_sid(end.sid, ids.MESSAGE)
    (target,) = post.plane.targets
    assert (target.trunk, target.number, target.sender, target.text) == (
        "a", "12025550177", "12025550100", "hello"
    )  # fmt: skip
    await post.settled()
    (told,) = post.callbacks.submitted
    assert (told.url, told.method, told.event) == (CALLBACK, "POST", "sms")
    params = dict(told.params)
    assert params.pop("Timestamp")
    assert params == {
        "SmsSid": end.sid, "SmsStatus": "sent", "From": "12025550100", "To": "12025550177",
        "callSid": post.call.sid,
    }  # fmt: skip
    assert post.kinds() == ["message.queued", "message.sent"]
    assert post.store.timeline[1].data == {
        "message": end.sid, "via": "a", "status": 202, "parts": 1
    }  # fmt: skip


async def test_that_it_is_being_sent_is_on_the_disk_before_it_leaves() -> None:
    post = Post()
    await post.send()
    assert post.plane.kept == ["sending"]


async def test_its_end_and_its_callback_are_one_transaction() -> None:
    post = Post()
    end = await post.send()
    await post.settled()
    (last,) = [c for c in post.store.changes if c.messages and c.messages[0].state == "sent"]
    assert [d.event for d in last.deliveries] == ["sms"]
    assert [e.kind for e in last.events] == ["message.sent"]
    assert last.messages[0].sid == end.sid


async def test_on_a_call_towards_us_it_goes_from_the_called_number_to_the_caller() -> None:
    post = Post()
    post.call.direction = "inbound"
    await post.send()
    (target,) = post.plane.targets
    assert (target.number, target.sender) == ("12025550100", "12025550177")


async def test_numbers_are_written_as_the_trunk_wants_them() -> None:
    post = Post(Trunk(name="a", address="192.0.2.1", number_format="+e164"))
    await post.send(to="(202) 555-0199", from_="+12025550111")
    (target,) = post.plane.targets
    assert (target.number, target.sender) == ("+12025550199", "+12025550111")


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ({"to": "44 20 7946 0000"}, "is not among the destinations"),
        ({"to": "1 900 555 0100"}, "premium-rate number"),
        ({"to": "911"}, "to is too short"),
        ({"to": "Ann"}, "to must be a telephone number"),
        ({"from_": "ACME"}, "from must be a telephone number"),
        ({"text": "x" * 1601}, "sms.max_characters allows 1600"),
    ],
)
async def test_what_may_not_be_sent_fails_and_is_told(plan: dict[str, Any], told: str) -> None:
    post = Post()
    end = await post.send(plan.pop("text", "hello"), 5.0, **plan)
    assert end.status == "failed" and told in end.error
    await post.settled()
    assert post.plane.targets == []
    assert post.kinds() == ["message.queued", "message.failed"]
    (delivery,) = post.callbacks.submitted
    params = dict(delivery.params)
    assert (params["SmsStatus"], params["SmsError"]) == ("failed", end.error)
    assert "SmsErrorCode" not in params


async def test_a_call_sends_no_more_than_the_setting_allows() -> None:
    post = Post(messages_per_call=2)
    ends = [await post.send() for _ in range(3)]
    assert [end.status for end in ends] == ["sent", "sent", "failed"]
    assert "sms.messages_per_call allows 2" in ends[2].error
    assert len(post.plane.targets) == 2


async def test_a_failure_carries_the_status() -> None:
    post = Post()
    post.plane.results = [MessageResult(404, "Not Found")]
    end = await post.send()
    assert (end.status, end.error) == ("failed", "Not Found")
    await post.settled()
    assert dict(post.callbacks.submitted[0].params)["SmsErrorCode"] == "404"


async def test_the_next_trunk_is_tried_only_when_the_first_has_certainly_nothing() -> None:
    trunks = [Trunk(name=name, address="192.0.2.1") for name in "ab"]
    post = Post(*trunks)
    post.plane.results = [MessageResult(503, "Busy", not_taken=True)]
    assert (await post.send()).status == "sent"
    post.plane.results = [MessageResult(408, "Request Timeout", local=True)]
    assert (await post.send()).status == "failed"
    assert [target.trunk for target in post.plane.targets] == ["a", "b", "a"]


async def test_without_a_trunk_for_the_number_it_fails() -> None:
    post = Post(Trunk(name="a", address="192.0.2.1", prefixes=["44"]))
    assert (await post.send()).error == "no trunk takes 12025550177"


async def test_the_verb_is_not_kept_waiting() -> None:
    post = Post()
    answer: asyncio.Future[MessageResult] = asyncio.get_running_loop().create_future()
    post.plane.results = [answer]
    end = await post.send(wait_s=0)
    assert end.status in ("queued", "sending")
    assert post.kept(end.sid).state in ("queued", "sending")
    answer.set_result(TAKEN)
    await post.settled()
    assert post.kept(end.sid).state == "sent"


async def test_one_at_a_time_to_a_number_and_in_order() -> None:
    post = Post()
    for text in ("one", "two", "three"):
        await post.send(text, wait_s=0)
    await post.settled()
    assert [target.text for target in post.plane.targets] == ["one", "two", "three"]
    assert post.plane.most_under_way == 1
    assert post.messages._lanes._locks == {}


async def test_to_different_numbers_they_go_side_by_side() -> None:
    post = Post()
    answer: asyncio.Future[MessageResult] = asyncio.get_running_loop().create_future()
    post.plane.results = [answer]
    await post.send(wait_s=0)
    assert (await post.send(to="12025550188")).status == "sent"
    answer.set_result(TAKEN)
    await post.settled()


async def test_no_more_a_second_than_the_setting_allows() -> None:
    post = Post(messages_per_second=20, messages_per_call=100)
    began = asyncio.get_running_loop().time()
    for number in range(25):
        await post.send(wait_s=0, to=f"120255501{number:02}")
    await post.settled()
    assert asyncio.get_running_loop().time() - began >= 5 / 20 - 0.02


# ------------------------------------------------------------------ trouble


async def test_a_crash_while_it_waits_sends_it_afterwards_and_once() -> None:
    first = Post()
    first.plane.results = [asyncio.get_running_loop().create_future()]
    await first.send("one", wait_s=0)
    waits = await first.send("two", wait_s=0)
    assert first.kept(waits.sid).state == "queued"
    second = Post(store=first.store)
    await second.messages.take_up()
    await second.messages.take_up()  # as another node's end may bring it
    await second.settled()
    assert [target.text for target in second.plane.targets] == ["two"]
    assert second.kept(waits.sid).state == "sent"


async def test_a_crash_while_it_is_sent_does_not_send_it_again() -> None:
    first = Post()
    first.plane.results = [asyncio.get_running_loop().create_future()]
    end = await first.send(wait_s=0)
    await until(lambda: first.plane.targets)
    second = Post(store=first.store)
    await second.messages.take_up()
    await second.settled()
    assert second.plane.targets == []
    kept = second.kept(end.sid)
    assert kept.state == "failed" and "may have arrived" in kept.error
    (delivery,) = second.callbacks.submitted
    assert dict(delivery.params)["SmsStatus"] == "failed"


async def test_one_that_has_waited_too_long_is_not_sent() -> None:
    first = Post()
    first.plane.results = [asyncio.get_running_loop().create_future()]
    await first.send("one", wait_s=0)
    waits = await first.send("two", wait_s=0)
    second = Post(store=first.store, expire_s=1e-9)
    await second.messages.take_up()
    await second.settled()
    assert second.plane.targets == []
    assert "sms.expire_s" in second.kept(waits.sid).error


async def test_while_the_store_is_away_nothing_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORE_WAIT_S", 0.01)
    monkeypatch.setattr("outdial.calls.journal.RETRY_S", 0.01)
    post = Post()
    post.store.away = True
    end = await post.send(wait_s=0.05)
    assert end.status == "queued"
    assert post.plane.targets == []
    post.store.away = False
    await post.settled()
    assert post.kept(end.sid).state == "sent"
    assert len(post.plane.targets) == 1


async def test_a_node_that_may_have_lost_its_lease_asks_before_it_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STORE_RETRY_S", 0)
    asked: list[bool] = []

    class Lease:
        holds_lease = False

        async def confirm(self) -> None:
            asked.append(bool(post.plane.targets))
            if len(asked) == 1:
                raise StoreUnavailable("away")

    post = Post(lease=Lease())
    assert (await post.send()).status == "sent"
    assert asked == [False, False]


async def test_stopping_waits_for_what_is_being_sent_and_leaves_the_rest() -> None:
    post = Post()
    answer: asyncio.Future[MessageResult] = asyncio.get_running_loop().create_future()
    post.plane.results = [answer]
    going = await post.send("one", wait_s=0)
    waits = await post.send("two", wait_s=0)
    await until(lambda: post.plane.targets)
    stopping = asyncio.ensure_future(post.messages.stop())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    answer.set_result(TAKEN)
    await stopping
    assert post.kept(going.sid).state == "sent"
    assert post.kept(waits.sid).state == "queued"
    assert (await post.send("three")).error == "Outdial is stopping"


async def test_what_becomes_of_it_after_the_call_is_on_the_timeline_too() -> None:
    post = Post()
    post.call.state = "completed"
    post.store.calls.append(post.call)
    answer: asyncio.Future[MessageResult] = asyncio.get_running_loop().create_future()
    post.plane.results = [answer]
    await post.send(wait_s=0)
    await until(lambda: post.plane.targets)
    post.journal.close_timeline(post.call.sid)
    answer.set_result(TAKEN)
    await until(lambda: "message.sent" in post.kinds())
    assert [event.seq for event in post.store.timeline] == [0, 1]


# ------------------------------------------------------------------ the gateway


async def test_the_gateway_takes_them_in_place_of_the_trunks() -> None:
    post = Post(
        gateway=True,
        gateway_content_type="application/json",
        gateway_body='{"to": "+{to}", "from": "{from}", "text": "{text}", "id": "{sid}"}',
        gateway_headers=["Authorization: Bearer s3cret", "X-Key:k"],
    )
    end = await post.send('say "hi"\n{to}')
    assert end.status == "sent" and post.plane.targets == []
    (request,) = post.web.requests
    assert (request["method"], request["url"]) == ("POST", "https://g.test/send?key=k")
    assert request["headers"] == [("Authorization", "Bearer s3cret"), ("X-Key", "k")]
    assert request["once"] is True and request["content_type"] == "application/json"
    assert json.loads(request["body"]) == {
        "to": "+12025550177",
        "from": "12025550100",
        "text": 'say "hi"\n{to}',
        "id": end.sid,
    }
    assert post.kept(end.sid).via == "gateway"


async def test_a_gateway_may_be_asked_by_get() -> None:
    post = Post(gateway=True, gateway_method="GET", gateway_url="https://g.test/?to={to}&t={text}")
    await post.send("a&b=c")
    (request,) = post.web.requests
    assert (request["url"], request["body"]) == ("https://g.test/?to=12025550177&t=a%26b%3Dc", None)


@pytest.mark.parametrize(
    ("answer", "settings", "told", "code"),
    [
        (Told(400), {}, "the gateway answered 400", 400),
        (Told(302), {}, "the gateway answered 302", 302),
        (Told(200, b"no"), {"gateway_expects": "yes"}, "does not contain 'yes'", None),
        (FetchError("timeout", "no complete answer within 10 s"), {}, "no complete answer", None),
        (FetchError("refused-address", "10.0.0.1 is private"), {}, "is private", None),
    ],
)  # fmt: skip
async def test_a_gateway_that_does_not_take_it(
    answer: Told | FetchError, settings: dict[str, Any], told: str, code: int | None
) -> None:
    post = Post(gateway=True, **settings)
    post.web.answers = [answer]
    end = await post.send()
    assert end.status == "failed" and told in end.error
    assert post.kept(end.sid).status == code
    assert len(post.web.requests) == 1
