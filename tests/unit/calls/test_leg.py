"""One leg: what it does on each event, what it writes, that it ends exactly once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from doubles.legs import ANSWER
from doubles.world import World, until
from outdial.calls import dialled_leg
from outdial.calls.callbacks import Lane, Subscription
from outdial.calls.dialled_leg import DialledLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.request import STATUS_EVENTS
from outdial.calls.routes import Routes
from outdial.calls.states import State
from outdial.config import Route, Trunk
from outdial.legs import (
    Answered,
    Codec,
    DigitInfo,
    Ending,
    MediaLost,
    NoRtp,
    Outcome,
    Reanswered,
    Rejected,
    Released,
    Reoffer,
    Ringing,
    Source,
)
from outdial.store.records import CallRecord

SID = "CA" + "0" * 32
HANG_UP = Ending(Outcome.COMPLETED, "normal-clearing", Source.APPLICATION)


class LegWorld(World):
    """A leg and everything round it."""

    def __init__(self, *trunks: Trunk, record: bool = False, timeout_s: float = 60.0) -> None:
        super().__init__(*trunks)
        call = CallRecord(SID, SID, "outbound", "12025550100", "12025550123", "", "queued", 0.0)
        subscription = Subscription(
            "http://app.test/events", STATUS_EVENTS, "POST", "S3", "order=77", Lane(SID, "x")
        )
        plan = LegPlan("12025550123", "12025550100", record=record, timeout_s=timeout_s)
        self.leg = DialledLeg(self.services, call, plan, subscription)

    async def answered(self) -> None:
        placing = asyncio.ensure_future(self.leg.place())
        far = await self.signalling.next_leg()
        far.say(Ringing(180, "Ringing"))
        far.answers(Answered(ANSWER))
        assert await placing

    async def over(self) -> CallRecord:
        await asyncio.wait_for(self.leg.retired, 5)
        await asyncio.sleep(0)
        return self.leg.call


async def test_an_answered_call_goes_through_every_state() -> None:
    world = LegWorld()
    await world.answered()
    assert world.leg.state is State.ANSWERED
    media = world.media.legs[0]
    assert media.done[0] == "start"
    assert media.started[0].codec is Codec.PCMU
    assert media.started[0].remote_port == 4000
    world.leg.hang_up(HANG_UP)
    call = await world.over()
    assert world.store.states() == ["dialling", "ringing", "answered", "completed"]
    assert world.told() == ["initiated", "ringing", "answered", "completed"]
    assert [delivery.position for delivery in world.callbacks.submitted] == [0, 1, 2, 3]
    assert (call.outcome, call.cause, call.hangup_source) == (
        "completed",
        "normal-clearing",
        "application",
    )
    assert call.media is not None
    assert call.media["packets_sent"] == 7
    assert call.media["mos"] is None
    assert world.signalling.legs[0].hung_up
    assert world.store.ladders == {SID: 1}


async def test_the_timeline_has_no_gaps() -> None:
    world = LegWorld()
    await world.answered()
    world.leg.hang_up(HANG_UP)
    await world.over()
    assert [event.seq for event in world.store.timeline] == list(range(len(world.store.timeline)))


async def test_the_invite_waits_for_the_store() -> None:
    world = LegWorld()
    world.store.away = True
    placing = asyncio.ensure_future(world.leg.place())
    for _ in range(20):
        await asyncio.sleep(0)
    assert world.signalling.legs == []
    world.leg.hang_up(HANG_UP)
    world.store.away = False
    assert not await placing
    assert world.signalling.legs == []
    await world.over()


@pytest.mark.parametrize(
    ("status", "outcome", "cause"),
    [
        (486, "busy", "user-busy"),
        (603, "failed", "call-rejected"),
        (404, "failed", "unallocated-number"),
        (480, "no-answer", "no-answer"),
        (503, "failed", "carrier-failure"),
    ],
)
async def test_a_rejection_ends_the_call_once(status: int, outcome: str, cause: str) -> None:
    world = LegWorld()
    placing = asyncio.ensure_future(world.leg.place())
    (await world.signalling.next_leg()).say(Rejected(status, "Because"))
    assert not await placing
    call = await world.over()
    assert world.told() == ["initiated", "completed"]
    assert (call.outcome, call.cause, call.sip_code) == (outcome, cause, status)
    params = world.last_params()
    assert params["CallStatus"] == "completed"
    assert params["CallOutcome"] == outcome
    assert params["SipResponseCode"] == str(status)
    assert params["HangupCause"] == cause
    assert params["CallDuration"] == params["CallDurartion"] == "0"
    assert params["apikey"] == "S3"
    assert params["order"] == "77"


async def test_the_next_trunk_is_tried_on_503_and_not_on_busy() -> None:
    trunks = [Trunk(name=name, address="192.0.2.1") for name in ("a", "b", "c")]
    world = LegWorld(*trunks)
    placing = asyncio.ensure_future(world.leg.place())
    (await world.signalling.next_leg(1)).say(Rejected(503, "Service Unavailable"))
    (await world.signalling.next_leg(2)).say(Rejected(486, "Busy Here"))
    assert not await placing
    call = await world.over()
    assert [leg.target.trunk for leg in world.signalling.legs] == ["a", "b"]
    assert call.outcome == "busy"
    assert call.trunk == "b"
    assert world.told() == ["initiated", "completed"]
    assert "trunk.failed" in world.store.kinds()


async def test_the_timeline_says_why_trunks_are_tried_in_that_order() -> None:
    world = LegWorld(*(Trunk(name=name, address="192.0.2.1") for name in ("a", "b")))
    costs = [{"name": "a", "cost": 0.02}, {"name": "b", "cost": 0.01}]
    route = Route.model_validate({"prefixes": ["1"], "trunks": costs})
    trunks = [Trunk(name=name, address="192.0.2.1") for name in ("a", "b")]
    world.leg._services = replace(world.services, routes=Routes(trunks, routes=[route]))
    placing = asyncio.ensure_future(world.leg.place())
    (await world.signalling.next_leg(1)).say(Rejected(486, "Busy Here"))
    assert not await placing
    call = await world.over()
    assert call.trunk == "b"
    event = next(one for one in world.store.timeline if one.kind == "state.dialling")
    assert event.data == {
        "trunks": ["b", "a"],
        "why": "the route of prefix 1, the cheapest first",
        "costs": {"b": 0.01, "a": 0.02},
    }


async def test_of_a_single_trunk_nothing_is_said() -> None:
    world = LegWorld()
    placing = asyncio.ensure_future(world.leg.place())
    (await world.signalling.next_leg(1)).say(Rejected(486, "Busy Here"))
    assert not await placing
    event = next(one for one in world.store.timeline if one.kind == "state.dialling")
    assert event.data == {}


async def test_all_trunks_failing_gives_the_last_reason() -> None:
    trunks = [Trunk(name=name, address="192.0.2.1") for name in ("a", "b")]
    world = LegWorld(*trunks)
    placing = asyncio.ensure_future(world.leg.place())
    (await world.signalling.next_leg(1)).say(Rejected(503, "Service Unavailable"))
    (await world.signalling.next_leg(2)).say(Rejected(408, "Timer B", local=True))
    assert not await placing
    assert (await world.over()).cause == "trunk-unreachable"


async def test_no_answer_is_cancelled() -> None:
    world = LegWorld(timeout_s=0.01)
    assert not await world.leg.place()
    call = await world.over()
    assert world.signalling.legs[0].hung_up
    assert (call.outcome, call.cause, call.sip_code) == ("no-answer", "no-answer", 487)


async def test_a_cancel_that_nobody_confirms_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialled_leg, "CANCEL_WAIT_S", 0.01)
    world = LegWorld(timeout_s=0.01)
    placing = asyncio.ensure_future(world.leg.place())
    far = await world.signalling.next_leg()
    far.confirms_cancel = False
    assert not await placing
    assert world.leg.call.outcome == "no-answer"
    far.say(Rejected(487, "Request Terminated"))
    await world.over()
    assert world.told().count("completed") == 1


async def test_an_answer_that_crosses_our_cancel_is_hung_up() -> None:
    world = LegWorld(timeout_s=0.01)
    placing = asyncio.ensure_future(world.leg.place())
    far = await world.signalling.next_leg()
    far.confirms_cancel = False
    await until(lambda: far.hung_up)
    far.say(Answered(ANSWER))
    far.say(Released(by_far_end=False, status=200))
    assert not await placing
    call = await world.over()
    assert call.outcome == "no-answer"
    assert "answered" not in world.told()


async def test_the_callee_hangs_up() -> None:
    world = LegWorld()
    await world.answered()
    world.signalling.legs[0].say(Released(by_far_end=True))
    call = await world.over()
    assert (call.outcome, call.hangup_source) == ("completed", "callee")
    assert world.told()[-1] == "completed"


async def test_an_answer_without_common_audio_is_hung_up() -> None:
    world = LegWorld()
    placing = asyncio.ensure_future(world.leg.place())
    far = await world.signalling.next_leg()
    far.answers(Answered(ANSWER.replace(b"RTP/AVP 0 101", b"RTP/AVP 18").replace(b"PCMU", b"G729")))
    assert not await placing
    call = await world.over()
    assert far.hung_up
    assert (call.outcome, call.cause) == ("failed", "incompatible-destination")


async def test_a_200_without_sdp_uses_the_answer_of_the_183() -> None:
    world = LegWorld()
    placing = asyncio.ensure_future(world.leg.place())
    far = await world.signalling.next_leg()
    far.say(Ringing(183, "Session Progress", ANSWER))
    assert world.media.legs[0].started == []
    far.answers(Answered(None))
    assert await placing
    assert world.media.legs[0].started[0].remote_port == 4000
    world.leg.hang_up(HANG_UP)
    await world.over()


async def test_a_200_without_any_sdp_is_hung_up() -> None:
    world = LegWorld()
    placing = asyncio.ensure_future(world.leg.place())
    (await world.signalling.next_leg()).answers(Answered(None))
    assert not await placing
    assert (await world.over()).cause == "incompatible-destination"


async def test_no_port_ends_the_call_with_its_reason() -> None:
    world = LegWorld()
    world.media.is_full = True
    assert not await world.leg.place()
    call = await world.over()
    assert (call.outcome, call.cause, call.detail) == ("failed", "media-failure", "no free port")
    assert world.signalling.legs == []


async def test_silence_and_a_dead_worker_end_the_call() -> None:
    for event, cause in ((NoRtp(60), "media-timeout"), (MediaLost("died"), "media-failure")):
        world = LegWorld()
        await world.answered()
        world.media.legs[0].say(event)
        assert (await world.over()).cause == cause
        assert world.told().count("completed") == 1


async def test_the_time_limit_ends_the_call() -> None:
    world = LegWorld()
    await world.answered()
    world.leg.limit(0.01)
    call = await world.over()
    assert (call.outcome, call.cause, call.hangup_source) == ("completed", "time-limit", "outdial")


async def test_a_reoffer_is_answered_and_followed() -> None:
    world = LegWorld()
    await world.answered()
    far = world.signalling.legs[0]
    far.say(Reoffer(ANSWER.replace(b"4000", b"4100")))
    assert b"m=audio 20000" in far.answered_with[0]
    assert world.media.legs[0].started[-1].remote_port == 4100
    far.say(Reoffer(ANSWER.replace(b"RTP/AVP 0 101", b"RTP/AVP 18")))
    assert far.refused_with == [488]
    assert world.media.legs[0].started[-1].remote_port == 4100
    far.say(Reoffer(None))
    far.say(Reanswered(ANSWER.replace(b"4000", b"4200")))
    assert world.media.legs[0].started[-1].remote_port == 4200
    world.leg.hang_up(HANG_UP)
    await world.over()


async def test_a_trunk_has_codecs_of_its_own() -> None:
    """Each of two is offered its own; what the second answers is what holds, and is told."""
    one = Trunk.model_validate({"name": "one", "address": "192.0.2.1:5060", "codecs": ["G722"]})
    two = Trunk.model_validate(
        {"name": "two", "address": "192.0.2.2:5060", "codecs": ["opus", "PCMA"]}
    )
    world = LegWorld(one, two)
    placing = asyncio.ensure_future(world.leg.place())
    first = await world.signalling.next_leg()
    assert b"RTP/AVP 9 101\r\n" in first.offer
    first.say(Rejected(503, "Service Unavailable"))
    second = await world.signalling.next_leg(2)
    assert b"RTP/AVP 111 8 101 110\r\n" in second.offer
    opus = ANSWER.replace(b"RTP/AVP 0 101", b"RTP/AVP 96 101") + b"a=rtpmap:96 opus/48000/2\r\n"
    second.answers(Answered(opus))
    assert await placing
    params = world.media.legs[0].started[0]
    assert (params.codec, params.payload_type) == (Codec.OPUS, 96)
    second.say(Reoffer(ANSWER.replace(b"RTP/AVP 0 101", b"RTP/AVP 8 101")))
    second.say(Reoffer(ANSWER.replace(b"RTP/AVP 0 101", b"RTP/AVP 8 101")))
    second.say(Reoffer(ANSWER.replace(b"RTP/AVP 0 101", b"RTP/AVP 9 101")))
    assert second.refused_with == [488], "not one of this trunk's"
    world.leg.hang_up(HANG_UP)
    call = await world.over()
    told = [(e.kind, e.data["codec"]) for e in world.store.timeline if "codec" in e.data]
    assert told == [("state.answered", "opus"), ("codec.changed", "PCMA")]
    assert call.media is not None
    assert call.media["codec"] == "PCMA"


async def test_what_a_trunk_was_not_offered_cannot_be_its_answer() -> None:
    trunk = Trunk.model_validate({"name": "one", "address": "192.0.2.1", "codecs": ["opus"]})
    world = LegWorld(trunk)
    placing = asyncio.ensure_future(world.leg.place())
    far = await world.signalling.next_leg()
    far.answers(Answered(ANSWER))
    assert not await placing
    call = await world.over()
    assert call.cause == "incompatible-destination"


async def test_a_recorded_call_tells_where_the_recording_is() -> None:
    world = LegWorld(record=True)
    await world.answered()
    plan = world.media.legs[0].recording
    assert plan is not None
    world.leg.hang_up(HANG_UP)
    await world.over()
    url = f"http://outdial.test/v1/recordings/{plan.recording_id}.wav"
    assert world.last_params()["RecordingURL"] == url
    assert [recording.sid for recording in world.store.recordings] == [plan.recording_id]


async def test_digits_by_info_reach_the_listener() -> None:
    world = LegWorld()
    await world.answered()
    heard: list[tuple[str, str]] = []
    world.leg.on_digit = lambda digit, source: heard.append((digit, source))
    world.signalling.legs[0].say(DigitInfo("5", 160))
    assert heard == [("5", "info")]
    world.leg.hang_up(HANG_UP)
    await world.over()


async def test_changes_held_back_by_the_store_arrive_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("outdial.calls.journal.RETRY_S", 0.01)
    world = LegWorld()
    await world.answered()
    world.store.away = True
    world.leg.hang_up(HANG_UP)
    await world.over()
    assert world.store.states() == ["dialling", "ringing", "answered"]
    world.store.away = False
    await until(lambda: world.told()[-1] == "completed")
    assert world.store.states() == ["dialling", "ringing", "answered", "completed"]


SECRET = Trunk(
    name="a", address="192.0.2.1", srtp="mandatory", transport="udp", srtp_keys_in_clear=True
).model_copy(update={"srtp_keys_in_clear": False})


@pytest.mark.parametrize("uri", ["sip:bob@192.0.2.1", "sips:bob@192.0.2.1"])
async def test_an_address_of_a_secret_trunk_is_dialled_over_tls_only(uri: str) -> None:
    world = LegWorld(SECRET)
    world.leg._plan = replace(world.leg._plan, number="", uri=uri)
    placing = asyncio.ensure_future(world.leg.place())
    if uri.startswith("sips"):
        far = await world.signalling.next_leg()
        assert b" RTP/SAVP " in far.offer
        far.say(Rejected(486, "Busy Here"))
    assert not await placing
    call = await world.over()
    assert call.cause == ("user-busy" if uri.startswith("sips") else "incompatible-destination")
    assert bool(world.signalling.legs) is uri.startswith("sips")


# ------------------------------------------------------------ where DNS says how SIP goes

BY_RECORDS = Trunk(name="a", address="carrier.example")


async def test_a_trunk_that_its_records_move_to_tls_is_offered_encryption() -> None:
    """As one whose settings say `tls`: keys in RTP/AVP, and after 488 the strict form."""
    world = LegWorld(BY_RECORDS)
    world.signalling.secure = {"a"}
    placing = asyncio.ensure_future(world.leg.place())
    first = await world.signalling.next_leg()
    assert b" RTP/AVP " in first.offer and b"a=crypto:" in first.offer
    first.say(Rejected(488, "Not Acceptable Here"))
    second = await world.signalling.next_leg(2)
    assert b" RTP/SAVP " in second.offer and b"a=crypto:" in second.offer
    second.say(Rejected(486, "Busy Here"))
    assert not await placing
    await world.over()


@pytest.mark.parametrize(
    ("more", "has_keys"),
    [
        ({}, False),
        ({"srtp": "off"}, False),
        ({"srtp": "optional"}, True),
        ({"transport": "udp"}, False),
        ({"address": "carrier.example:5060"}, False),
        ({"address": "192.0.2.1"}, False),
        ({"transport": "tls"}, True),
    ],
)
async def test_elsewhere_the_records_are_not_waited_for(
    more: dict[str, Any], has_keys: bool
) -> None:
    trunk = Trunk.model_validate({"name": "a", "address": "carrier.example", **more})
    world = LegWorld(trunk)
    asked: list[str] = []

    async def note() -> None:
        asked.append(trunk.name)

    world.signalling.before_records = note
    placing = asyncio.ensure_future(world.leg.place())
    far = await world.signalling.next_leg()
    assert (b"a=crypto:" in far.offer) is has_keys
    assert asked == ([] if more else ["a"])
    far.say(Rejected(486, "Busy Here"))
    assert not await placing
    await world.over()


async def test_hanging_up_while_the_records_are_looked_up() -> None:
    world = LegWorld(BY_RECORDS)
    looking, found = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        looking.set()
        await found.wait()

    world.signalling.before_records = slowly
    world.signalling.secure = {"a"}
    placing = asyncio.ensure_future(world.leg.place())
    await looking.wait()
    world.leg.hang_up(HANG_UP)
    found.set()
    assert not await placing
    assert world.signalling.legs == []
    await world.over()


@pytest.mark.parametrize(
    ("uri", "has_keys"), [("sips:bob@192.0.2.1", True), ("sip:bob@192.0.2.1", False)]
)
async def test_an_address_at_a_trunk_is_encrypted_by_the_way_it_names(
    uri: str, has_keys: bool
) -> None:
    world = LegWorld(Trunk(name="a", address="192.0.2.1"))
    world.leg._plan = replace(world.leg._plan, number="", uri=uri)
    placing = asyncio.ensure_future(world.leg.place())
    far = await world.signalling.next_leg()
    assert (b"a=crypto:" in far.offer) is has_keys
    far.say(Rejected(486, "Busy Here"))
    assert not await placing
    await world.over()
