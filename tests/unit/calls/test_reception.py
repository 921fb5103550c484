"""Calls towards us, on stand-ins: rung, answered when audio is needed, refused, given up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from doubles.numbers import StoredNumbers
from doubles.world import Page, World, until
from outdial.calls.answering_leg import AnsweringLeg
from outdial.calls.called_numbers import CalledNumbers
from outdial.calls.leg import CallLeg
from outdial.calls.reception import Reception
from outdial.calls.request import CallRequest
from outdial.calls.session import Session
from outdial.config import Number, Settings, Trunk
from outdial.legs import (
    Answered,
    CryptoSuite,
    Ending,
    Outcome,
    Rejected,
    SignallingEvent,
    SignallingListener,
    Source,
)
from outdial.store.records import CallRecord, NumberRecord
from outdial.testing.legs import OFFER, FakeIncomingLeg

APP = "http://app.test/start"
OTHER = "http://app.test/other"
G729 = b"v=0\r\no=x 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n" + (
    b"m=audio 4000 RTP/AVP 18\r\n"
)


class InboundWorld(World):
    """A number of ours, and whoever calls it."""

    def __init__(
        self, document: str = "<Say>Hello</Say>", trunks: Sequence[Trunk] = (), **number: Any
    ) -> None:
        ours = Number(number="+18005550100", url=APP, **number)
        super().__init__(*trunks, settings=Settings(numbers=[ours], trunks=list(trunks)))
        self.web.pages[APP] = Page(f"<Response>{document}</Response>".encode())
        self.has_room = True
        self.session: Session | None = None
        self.running: asyncio.Task[None] | None = None
        self.numbers = StoredNumbers()
        numbers = CalledNumbers([ours], self.numbers, self.services.clock)
        names = {("127.0.0.1", ""): "carrier", ("127.0.0.1", "ann"): "ann's"}
        self.reception = Reception(
            self.services, self, lambda host, account: names.get((host, account)), numbers
        )

    def expect(self, arrival: asyncio.Future[None]) -> None:
        self.expected = arrival

    def host(self, call: CallRecord, request: CallRequest, leg: CallLeg) -> None:
        self.session = Session(self.services, call, request, lambda _: None, leg=leg)
        self.running = asyncio.ensure_future(self.session.run())

    async def called(self, incoming: FakeIncomingLeg) -> CallRecord:
        """The call's record once it has been taken."""
        self.reception.take(incoming)
        await until(lambda: self.session is not None)
        assert self.session is not None
        return self.session.leg.call

    async def over(self) -> CallRecord:
        """The call's record once everything is done."""
        assert self.running is not None and self.session is not None
        await asyncio.wait_for(self.running, 5)
        await self.session.leg.retired
        await until(lambda: not len(self.services.tasks))
        return self.session.leg.call

    def kinds(self) -> list[str]:
        """The states on the timeline."""
        return [event.kind for event in self.store.timeline if event.kind.startswith("state.")]


def a_call(called: str = "18005550100", **fields: Any) -> FakeIncomingLeg:
    return FakeIncomingLeg(called, caller_id="+1 202-555-0123", **fields)


class KeepingLeg(FakeIncomingLeg):
    """Keeps what happens for whoever listens later, as a real one does."""

    def __init__(self, called: str) -> None:
        super().__init__(called)
        self.early: list[SignallingEvent] = []
        super().listen(self.early.append)

    def listen(self, listener: SignallingListener) -> None:
        super().listen(listener)
        events, self.early = self.early, []
        for event in events:
            listener(event)


async def test_it_rings_is_answered_speaks_and_hangs_up() -> None:
    world = InboundWorld(status_callback="http://app.test/events")
    incoming = a_call(caller_name="Ann")
    call = await world.called(incoming)
    assert (call.direction, call.state, call.trunk) == ("inbound", "ringing", "carrier")
    await until(lambda: incoming.answered)
    assert incoming.statuses == [180, 200]
    assert not world.media.legs[0].started, "no audio before the ACK"
    incoming.emit(Answered(None))
    ended = await world.over()
    assert world.media.legs[0].done[:2] == ["start", "watch 60"]
    assert "play woman en: Hello" in world.media.legs[0].done
    assert incoming.statuses == [180, 200, "BYE"]
    assert (ended.outcome, ended.cause, ended.hangup_source) == (
        "completed",
        "normal-clearing",
        "application",
    )
    assert world.kinds() == ["state.ringing", "state.answered", "state.completed"]
    await until(lambda: world.told() == ["completed"])
    (request,) = world.web.requests
    assert request[2] == {
        "To": "18005550100",
        "From": "12025550123",
        "CallerName": "Ann",
        "callSid": ended.sid,
        "Direction": "inbound",
        "CallStatus": "ringing",
    }


async def test_what_ends_the_call_is_stored_before_the_answer_leaves() -> None:
    world = InboundWorld()
    incoming = a_call()
    await world.called(incoming)
    await until(lambda: incoming.answered)
    stored = [change.fields for change in world.store.changes if "answered_at" in change.fields]
    assert stored[0]["dialog"] == {"call_id": "call-to-18005550100"}
    incoming.emit(Answered(None))
    await world.over()


async def test_an_invite_without_an_offer_gets_ours_and_its_answer_comes_with_the_ack() -> None:
    world = InboundWorld()
    incoming = a_call(offer=None)
    await world.called(incoming)
    await until(lambda: incoming.answered)
    incoming.emit(Answered(OFFER))
    await world.over()
    assert world.media.legs[0].started[0].remote_port == 40000


async def test_nothing_is_answered_that_needs_no_audio() -> None:
    world = InboundWorld(f"<Pause>1</Pause><Redirect>{OTHER}</Redirect>")
    world.web.pages[OTHER] = Page(b"<Response><Hangup/></Response>")
    incoming = a_call()
    await world.called(incoming)
    ended = await world.over()
    assert incoming.statuses == [180, 603]
    assert (ended.outcome, ended.cause, ended.sip_code, ended.answered_at) == (
        "failed",
        "call-rejected",
        603,
        None,
    )
    assert ended.hangup_source == "application"
    assert not world.media.legs


@pytest.mark.parametrize(
    ("reason", "status", "outcome", "cause"),
    [
        ("", 603, "failed", "call-rejected"),
        ("busy", 486, "busy", "user-busy"),
        ("notfound", 404, "failed", "unallocated-number"),
        ("notavailable", 480, "no-answer", "no-answer"),
    ],
)
async def test_reject_says_why_in_sip(reason: str, status: int, outcome: str, cause: str) -> None:
    world = InboundWorld(f'<Reject reason="{reason}"/><Say>Not reached</Say>')
    incoming = a_call()
    await world.called(incoming)
    ended = await world.over()
    assert incoming.statuses == [180, status]
    assert (ended.outcome, ended.cause, ended.hangup_source) == (outcome, cause, "application")


async def test_a_broken_application_is_apologised_for() -> None:
    world = InboundWorld()
    del world.web.pages[APP]
    incoming = a_call()
    await world.called(incoming)
    await until(lambda: incoming.answered)
    incoming.emit(Answered(None))
    ended = await world.over()
    assert any("application error" in done for done in world.media.legs[0].done)
    assert (ended.outcome, ended.cause) == ("completed", "application-error")


async def test_a_fallback_is_asked_when_the_application_fails() -> None:
    world = InboundWorld(fallback_url=OTHER)
    del world.web.pages[APP]
    world.web.pages[OTHER] = Page(b"<Response><Hangup/></Response>")
    incoming = a_call()
    await world.called(incoming)
    await world.over()
    assert [url for _, url, _ in world.web.requests] == [APP, OTHER]
    assert incoming.statuses == [180, 603]


async def test_a_ringing_call_of_a_server_that_stops_may_go_elsewhere() -> None:
    world = InboundWorld("<Pause>60000</Pause>")
    incoming = a_call()
    await world.called(incoming)
    await until(lambda: incoming.statuses == [180])
    assert world.session is not None
    world.session.leg.hang_up(Ending(Outcome.CANCELED, "server-shutdown", Source.OUTDIAL))
    ended = await world.over()
    assert incoming.statuses == [180, 503]
    assert (ended.outcome, ended.cause) == ("canceled", "server-shutdown")


@pytest.mark.parametrize("caller_was_faster", [False, True])
async def test_a_call_that_is_hung_up_before_it_rings_is_let_go(caller_was_faster: bool) -> None:
    world = InboundWorld("<Pause>60000</Pause>")
    incoming = KeepingLeg("18005550100")
    await world.called(incoming)
    assert world.session is not None
    leg = world.session.leg
    if caller_was_faster:
        incoming.cancel()
    leg.hang_up(Ending(Outcome.CANCELED, "server-shutdown", Source.OUTDIAL))
    ended = await world.over()
    assert incoming.statuses == ([] if caller_was_faster else [503])
    assert leg.retired.done()
    assert ended.cause == ("originator-cancel" if caller_was_faster else "server-shutdown")


async def test_a_caller_who_gives_up_before_the_answer() -> None:
    world = InboundWorld("<Pause>60000</Pause>")
    incoming = a_call()
    await world.called(incoming)
    await until(lambda: incoming.statuses == [180])
    incoming.cancel()
    ended = await world.over()
    assert (ended.outcome, ended.cause, ended.hangup_source, ended.sip_code) == (
        "canceled",
        "originator-cancel",
        "caller",
        487,
    )


async def test_a_caller_who_gives_up_while_the_answer_is_stored() -> None:
    world = InboundWorld()
    incoming = a_call()
    world.reception.take(incoming)
    await until(lambda: bool(world.media.legs))
    incoming.cancel()
    ended = await world.over()
    assert 200 not in incoming.statuses or incoming.over
    assert ended.outcome == "canceled"
    assert world.media.legs[0].closed


@pytest.mark.parametrize(
    ("document", "status", "reason", "ended"),
    [
        ("<Say>Hello</Say>", 504, "No PRACK", ("failed", "protocol-error", "caller", 504)),
        ("<Pause>60000</Pause>", 480, "Gone", ("no-answer", "no-answer", "outdial", 480)),
    ],
)
async def test_a_call_that_signalling_gives_up_before_the_answer_is_over(
    document: str, status: int, reason: str, ended: tuple[str, str, str, int]
) -> None:
    world = InboundWorld(document)
    incoming = a_call()
    await world.called(incoming)
    await until(lambda: incoming.answered or (incoming.statuses == [180] and "Pause" in document))
    incoming.over = True
    incoming.emit(Rejected(status, reason, local=True))
    call = await world.over()
    assert (call.outcome, call.cause, call.hangup_source, call.sip_code) == ended
    assert all(leg.closed for leg in world.media.legs)
    assert world.kinds()[-1] == "state.completed"


async def test_a_caller_who_hangs_up_after_the_answer() -> None:
    world = InboundWorld(
        "<Pause>60000</Pause><Say>Hello</Say><Pause>60000</Pause>".replace(
            "<Pause>60000</Pause><Say>", "<Say>", 1
        )
    )
    incoming = a_call()
    await world.called(incoming)
    await until(lambda: incoming.answered)
    incoming.emit(Answered(None))
    await until(lambda: world.media.legs[0].started)
    incoming.bye()
    ended = await world.over()
    assert (ended.outcome, ended.hangup_source) == ("completed", "caller")


async def test_without_common_audio_it_is_refused_with_488() -> None:
    world = InboundWorld()
    incoming = a_call(offer=G729)
    await world.called(incoming)
    ended = await world.over()
    assert incoming.statuses == [180, 488]
    assert (ended.outcome, ended.cause) == ("failed", "incompatible-destination")


async def test_without_a_media_port_it_is_refused_with_503() -> None:
    world = InboundWorld()
    world.media.is_full = True
    incoming = a_call()
    await world.called(incoming)
    ended = await world.over()
    assert incoming.statuses == [180, 503]
    assert ended.cause == "media-failure"


@pytest.mark.parametrize("called", ["18005550199", "", "alice", "x" * 5000])
async def test_an_unknown_number_is_refused_and_leaves_no_call(called: str) -> None:
    world = InboundWorld()
    incoming = FakeIncomingLeg(called if called else "0")
    world.reception.take(incoming)
    await until(lambda: incoming.statuses)
    assert incoming.statuses == [404]
    assert not world.store.calls


async def test_numbers_are_found_however_the_trunk_writes_them() -> None:
    for written in ("+18005550100", "18005550100", "8005550100"):
        world = InboundWorld("<Hangup/>")
        await world.called(a_call(written))
        assert (await world.over()).to_number == "18005550100"


async def test_the_trunk_is_the_one_whose_user_name_was_shown() -> None:
    world = InboundWorld("<Hangup/>")
    incoming = a_call()
    incoming.account = "ann"
    call = await world.called(incoming)
    await world.over()
    assert call.trunk == "ann's"


async def test_from_elsewhere_than_a_trunk_it_is_refused() -> None:
    world = InboundWorld()
    incoming = a_call()
    incoming.source = ("192.0.2.66", 5060)
    world.reception.take(incoming)
    assert incoming.statuses == [403]


async def test_a_number_of_the_api_is_taken_as_soon_as_it_is_there() -> None:
    world = InboundWorld()
    world.web.pages[OTHER] = Page(b"<Response><Hangup/></Response>")
    early = a_call("+18005550177")
    world.reception.take(early)
    await until(lambda: early.statuses)
    assert early.statuses == [404]
    await world.numbers.add(
        NumberRecord("18005550177", OTHER, "GET", "", "http://app.test/events", ("completed",))
    )
    call = await world.called(a_call("8005550177"))
    await world.over()
    assert call.to_number == "18005550177"
    assert [request[:2] for request in world.web.requests] == [("GET", OTHER)]
    await until(lambda: world.told() == ["completed"])
    await world.numbers.remove("18005550177")
    late = a_call("18005550177")
    world.reception.take(late)
    await until(lambda: late.statuses)
    assert late.statuses == [404]


async def test_a_number_of_the_settings_needs_no_store_and_goes_before_the_apis() -> None:
    world = InboundWorld("<Hangup/>")
    await world.numbers.add(NumberRecord("18005550100", OTHER))
    world.numbers.away = True
    await world.called(a_call())
    await world.over()
    assert [request[1] for request in world.web.requests] == [APP]


async def test_when_the_store_cannot_say_whose_number_it_is_the_carrier_comes_back() -> None:
    world = InboundWorld()
    world.numbers.away = True
    incoming = a_call("18005550177")
    world.reception.take(incoming)
    await until(lambda: incoming.sent)
    assert incoming.sent == [(503, ("Retry-After", "5"))]


async def test_when_there_is_no_room_or_no_store_the_carrier_is_told_to_come_back() -> None:
    world = InboundWorld()
    world.has_room = False
    full = a_call()
    world.reception.take(full)
    assert full.sent == [(503, ("Retry-After", "5"))]
    world.has_room, world.store.away = True, True
    unstored = a_call()
    world.reception.take(unstored)
    await until(lambda: unstored.sent)
    assert unstored.sent == [(503, ("Retry-After", "5"))]
    assert world.services.journal.open_timelines == 0


async def test_callers_are_shown_as_they_are_but_harmless() -> None:
    for caller, shown in (("anonymous", "anonymous"), ("bob\x07<b>", "bobb"), ("", "anonymous")):
        world = InboundWorld("<Hangup/>")
        incoming = FakeIncomingLeg("18005550100", caller_id=caller, caller_name="A<[31m")
        call = await world.called(incoming)
        assert (call.from_number, call.caller_name) == (shown, "A31m")
        await world.over()


async def test_the_store_being_away_keeps_nobody_from_being_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("outdial.calls.answering_leg.COMMIT_WAIT_S", 0.01)
    world = InboundWorld()
    incoming = a_call()
    await world.called(incoming)
    world.store.away = True
    await until(lambda: incoming.answered)
    incoming.emit(Answered(None))
    assert isinstance(world.session and world.session.leg, AnsweringLeg)
    await until(lambda: "BYE" in incoming.statuses)
    world.store.away = False
    await world.over()


@pytest.mark.parametrize(
    ("trusted", "headers", "from_", "name"),
    [
        (False, {}, "12025550123", "Ann"),
        (False, {"P-Asserted-Identity": '"Bob" <sip:+13035550111@x>'}, "12025550123", "Ann"),
        (True, {"P-Asserted-Identity": '"Bob" <sip:+13035550111@x>'}, "13035550111", "Bob"),
        (True, {"Remote-Party-ID": '"Bob" <sip:3035550111@x>;party=calling'}, "13035550111", "Bob"),
        (True, {}, "12025550123", "Ann"),
        (False, {"Privacy": "id"}, "anonymous", ""),
        (
            True,
            {"Privacy": "id", "P-Asserted-Identity": '"Bob" <sip:+13035550111@x>'},
            "anonymous",
            "",
        ),
    ],
)
async def test_who_calls_is_who_the_trunk_may_say(
    trusted: bool, headers: dict[str, str], from_: str, name: str
) -> None:
    trunk = Trunk(name="carrier", address="127.0.0.1", trusted=trusted)
    world = InboundWorld("<Hangup/>", [trunk])
    incoming = a_call(caller_name="Ann", headers=headers)
    call = await world.called(incoming)
    assert (call.from_number, call.caller_name) == (from_, name)
    await world.over()
    assert "13035550111" not in str(call.request) or from_ == "13035550111"


async def test_the_application_gets_the_headers_that_are_for_it() -> None:
    world = InboundWorld("<Hangup/>")
    incoming = a_call(
        headers={
            "X-Account": "42",
            "X-Long": "a" * 257,
            "P-Charging-Vector": "icid-value=1",
            **{f"X-A{n}": "1" for n in range(20)},
        }
    )
    call = await world.called(incoming)
    await world.over()
    told = {k: v for k, v in world.web.requests[0][2].items() if k.startswith("SipHeader_")}
    assert told == {"SipHeader_X-Account": "42"} | {f"SipHeader_X-A{n}": "1" for n in range(15)}
    assert dict(call.request["sip_headers"])["X-Account"] == "42"


INSISTS = Trunk(
    name="carrier", address="127.0.0.1", srtp="mandatory", transport="udp", srtp_keys_in_clear=True
)
KEY = b"NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"
ENCRYPTED = OFFER.replace(b"RTP/AVP", b"RTP/SAVP") + (
    b"a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:" + KEY + b"\r\n"
)


async def test_an_encrypted_call_is_answered_encrypted_and_the_timeline_says_so() -> None:
    world = InboundWorld("<Say>Hello</Say>", [INSISTS])
    incoming = a_call(offer=ENCRYPTED)
    await world.called(incoming)
    await until(lambda: incoming.answered)
    answer = next(body for status, *body in incoming.sent if status == 200)[0]
    assert b"m=audio 20000 RTP/SAVP " in answer and b"a=crypto:3 AES_CM" in answer
    incoming.emit(Answered(None))
    await world.over()
    (params,) = world.media.legs[0].started
    assert params.keys is not None
    assert params.keys.suite is CryptoSuite.AES_CM_128_HMAC_SHA1_80
    (answered,) = [event for event in world.store.timeline if event.kind == "state.answered"]
    assert answered.data == {
        "trunk": "carrier",
        "codec": "PCMU",
        "srtp": "AES_CM_128_HMAC_SHA1_80",
    }
    kept = f"{world.store.timeline} {world.store.calls}"
    assert KEY.decode() not in kept and answer.split(b"inline:")[1].decode().strip() not in kept


@pytest.mark.parametrize("is_secure", [False, True])
async def test_a_call_over_tls_is_encrypted_though_the_settings_name_no_transport(
    is_secure: bool,
) -> None:
    """`auto`: the trunk was found by its records, and its calls may come over TLS."""
    world = InboundWorld("<Say>Hello</Say>", [Trunk(name="carrier", address="127.0.0.1")])
    incoming = a_call(offer=ENCRYPTED)
    incoming.is_secure = is_secure
    await world.called(incoming)
    if is_secure:
        await until(lambda: incoming.answered)
        incoming.emit(Answered(None))
    ended = await world.over()
    assert incoming.statuses[-1] == ("BYE" if is_secure else 488)
    assert ("srtp is off for the trunk" in (ended.detail or "")) is not is_secure


async def test_a_plain_call_is_refused_where_encryption_is_mandatory() -> None:
    world = InboundWorld("<Say>Hello</Say>", [INSISTS])
    incoming = a_call()
    await world.called(incoming)
    ended = await world.over()
    assert incoming.statuses[-1] == 488
    assert (ended.outcome, ended.cause) == ("failed", "incompatible-destination")
    assert "srtp is mandatory for the trunk" in (ended.detail or "")


@pytest.mark.parametrize("is_secure", [False, True])
async def test_keys_that_come_in_the_clear_are_none_where_that_is_not_allowed(
    is_secure: bool,
) -> None:
    world = InboundWorld("<Say>Hello</Say>", [INSISTS])
    over_tls = INSISTS.model_copy(update={"srtp_keys_in_clear": False})
    world.services.settings.trunks[0] = over_tls
    incoming = a_call("18005550100", offer=ENCRYPTED)
    incoming.is_secure = is_secure
    await world.called(incoming)
    if is_secure:
        await until(lambda: incoming.answered)
        incoming.emit(Answered(None))
    ended = await world.over()
    assert incoming.statuses[-1] == ("BYE" if is_secure else 488)
    assert ("which shows the keys" in (ended.detail or "")) is not is_secure


@pytest.mark.parametrize(
    ("caller", "callerid", "shown", "diverted_by"),
    [
        ("+12025550123", "", "12025550123", "18005550100"),
        ("+12025550123", "18005550177", "18005550177", ""),
        ("anonymous", "", "anonymous", "18005550100"),
    ],
)
async def test_a_call_that_is_passed_on_says_which_number_was_called(
    caller: str, callerid: str, shown: str, diverted_by: str
) -> None:
    """Whether a trunk is told the trunk's settings say."""
    world = InboundWorld(f"<Dial callerid='{callerid}'>13035550111</Dial>")
    incoming = FakeIncomingLeg("18005550100", caller_id=caller)
    await world.called(incoming)
    await until(lambda: incoming.answered)
    incoming.emit(Answered(None))
    far = await world.signalling.next_leg()
    assert (far.target.caller_id, far.target.diverted_by) == (shown, diverted_by)
    far.say(Rejected(486, "Busy Here"))
    await world.over()
