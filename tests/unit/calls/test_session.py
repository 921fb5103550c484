"""What happens on a placed call after the answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from doubles.legs import ANSWER, FakeSignallingLeg
from doubles.world import Page, World, until
from outdial.calls.dialled_leg import DialledLeg
from outdial.calls.leg import CallLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.request import STATUS_EVENTS, CallRequest
from outdial.calls.session import Session
from outdial.config import Calls, Settings
from outdial.errors import Refused
from outdial.legs import (
    Answered,
    DigitInfo,
    Ending,
    Outcome,
    Rejected,
    Released,
    Ringing,
    Source,
)
from outdial.store.records import CallRecord

SID = "CA" + "0" * 32
APP = "http://app.test/start"
HELLO = b"<Response><Say>Your pin is 8 9 70</Say></Response>"


class SessionWorld(World):
    """A session of one request."""

    def __init__(
        self,
        url: str = APP,
        document: bytes = HELLO,
        settings: Settings | None = None,
        send_digits: str = "",
        time_limit_s: int = 14400,
    ) -> None:
        super().__init__(settings=settings)
        self.web.pages[APP] = Page(document)
        self.request = CallRequest(
            to="12025550123",
            from_="12025550100",
            url=url,
            status_callback="http://app.test/events",
            status_callback_events=STATUS_EVENTS,
            send_digits=send_digits,
            time_limit_s=time_limit_s,
        )
        call = CallRecord(SID, SID, "outbound", "12025550100", "12025550123", "", "queued", 0.0)
        self.others: list[CallLeg] = []
        self.session = Session(self.services, call, self.request, self.others.append)
        self.running: asyncio.Task[None] | None = None

    async def answered(self) -> FakeSignallingLeg:
        """Starts the session; the callee answers."""
        self.running = asyncio.ensure_future(self.session.run())
        far = await self.signalling.next_leg()
        far.answers(Answered(ANSWER))
        return far

    async def over(self) -> CallRecord:
        """The call's record once everything is done."""
        assert self.running is not None
        await asyncio.wait_for(self.running, 5)
        await self.session.leg.retired
        for leg in self.others:
            await leg.retired
        await asyncio.sleep(0)
        assert len(self.services.tasks) == 0
        return self.session.leg.call

    def heard(self, place: int = 0) -> list[str]:
        """What the person on that leg heard."""
        return [
            done
            for done in self.media.legs[place].done
            if done.split()[0] in ("play", "tone", "digits", "bridge")
        ]


async def test_the_document_is_fetched_once_after_the_answer_and_runs() -> None:
    world = SessionWorld()
    await world.answered()
    call = await world.over()
    assert world.web.requests == [
        (
            "POST",
            APP,
            {
                "To": "12025550123",
                "From": "12025550100",
                "CallerName": "",
                "callSid": SID,
                "Direction": "outbound",
                "CallStatus": "answered",
            },
        )
    ]
    assert world.heard() == ["play woman en: Your pin is 8 9 70"]
    assert (call.outcome, call.hangup_source) == ("completed", "application")
    assert world.told() == ["initiated", "answered", "completed"]


@pytest.mark.parametrize("rejected", [Rejected(486, "Busy Here"), Rejected(603, "Decline")])
async def test_an_unanswered_call_fetches_nothing(rejected: Rejected) -> None:
    world = SessionWorld()
    world.running = asyncio.ensure_future(world.session.run())
    (await world.signalling.next_leg()).say(rejected)
    await world.over()
    assert world.web.requests == []


async def test_digits_are_sent_before_the_document_is_fetched() -> None:
    world = SessionWorld(send_digits="WW101")
    await world.answered()
    await world.over()
    assert world.heard() == ["digits WW101", "play woman en: Your pin is 8 9 70"]
    sent = [event for event in world.store.timeline if event.kind == "digits.sent"]
    assert [event.data for event in sent] == [{"count": 3}]


@pytest.mark.parametrize(
    "page", [None, Page(b"gone", status=500), Page(b"<html>rubbish"), Page(b"")]
)
async def test_a_failing_application_is_apologised_for(page: Page | None) -> None:
    world = SessionWorld()
    del world.web.pages[APP]
    if page is not None:
        world.web.pages[APP] = page
    await world.answered()
    call = await world.over()
    assert len(world.web.requests) == 1
    assert world.heard() == [f"play woman en: {Settings().didml.apology}"]
    assert (call.cause, call.hangup_source) == ("application-error", "application")
    assert call.detail


async def test_an_application_that_moved_is_told_as_one() -> None:
    world = SessionWorld()
    world.web.pages[APP] = Page(b"", status=301)
    await world.answered()
    call = await world.over()
    assert call.detail is not None
    assert "answered 301; redirections are not followed" in call.detail


async def test_an_apology_that_cannot_be_spoken_does_not_keep_the_call_up() -> None:
    world = SessionWorld()
    del world.web.pages[APP]
    world.speech.is_broken = True
    await world.answered()
    assert (await world.over()).cause == "application-error"


async def test_hanging_up_during_the_prompt_ends_everything() -> None:
    world = SessionWorld()
    running = asyncio.ensure_future(world.session.run())
    world.running = running
    far = await world.signalling.next_leg()
    far.answers(Answered(ANSWER))
    world.media.legs[0].plays_at_once = False
    await until(lambda: world.heard())
    far.say(Released(by_far_end=True))
    call = await world.over()
    assert (call.cause, call.hangup_source) == ("normal-clearing", "callee")
    assert world.told() == ["initiated", "answered", "completed"]


async def test_the_time_limit_ends_a_long_prompt() -> None:
    world = SessionWorld(time_limit_s=0)
    running = asyncio.ensure_future(world.session.run())
    world.running = running
    far = await world.signalling.next_leg()
    far.answers(Answered(ANSWER))
    world.media.legs[0].plays_at_once = False
    assert (await world.over()).cause == "time-limit"


async def test_without_a_url_the_two_are_bridged() -> None:
    world = SessionWorld(url="")
    a = await world.answered()
    b = await world.signalling.next_leg(2)
    assert world.heard() == ["tone ringback:us"]
    assert (b.target.number, b.target.caller_id) == ("12025550100", "12025550123")
    b.say(Ringing(180, "Ringing"))
    b.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.heard())
    assert world.web.requests == []
    assert world.media.legs[1].near is world.media.legs[0]
    b.say(Released(by_far_end=True))
    call = await world.over()
    assert a.hung_up
    assert (call.outcome, call.hangup_source) == ("completed", "caller")
    other = world.others[0].call
    assert other.parent_sid == SID
    assert world.told(SID) == ["initiated", "answered", "completed"]
    assert world.told(other.sid) == ["initiated", "ringing", "answered", "completed"]
    positions = [delivery.position for delivery in world.callbacks.submitted]
    assert positions == sorted(positions)
    assert len({delivery.lane for delivery in world.callbacks.submitted}) == 1
    params = {d.call_sid: dict(d.params) for d in world.callbacks.submitted}[other.sid]
    assert (params["ParentCallSid"], params["callSid"]) == (SID, other.sid)
    assert params["Called"] == "12025550100"


async def test_the_first_party_hanging_up_releases_the_second() -> None:
    world = SessionWorld(url="")
    a = await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.heard())
    a.say(Released(by_far_end=True))
    await world.over()
    assert b.hung_up
    assert world.others[0].call.outcome == "completed"
    assert world.others[0].call.hangup_source == "caller"


async def test_the_first_party_hanging_up_cancels_the_ringing_second() -> None:
    world = SessionWorld(url="")
    a = await world.answered()
    b = await world.signalling.next_leg(2)
    b.say(Ringing(180, "Ringing"))
    a.say(Released(by_far_end=True))
    await world.over()
    assert b.hung_up
    assert world.others[0].call.outcome == "canceled"


@pytest.mark.parametrize(
    ("rejected", "words"),
    [
        (Rejected(486, "Busy Here"), "is busy"),
        (Rejected(480, "Unavailable"), "does not answer"),
        (Rejected(404, "Not Found"), "cannot be reached"),
    ],
)
async def test_the_callee_hears_why_the_second_leg_failed(rejected: Rejected, words: str) -> None:
    world = SessionWorld(url="")
    await world.answered()
    (await world.signalling.next_leg(2)).say(rejected)
    call = await world.over()
    assert words in world.heard()[-1]
    assert world.told(world.others[0].sid)[-1] == "completed"
    assert world.told()[-1] == "completed"
    assert call.outcome == "completed"


async def test_the_reason_is_not_spoken_when_switched_off() -> None:
    settings = Settings(calls=Calls(apology_on_bridge_failure=False, bridge_caller_id="from"))
    world = SessionWorld(url="", settings=settings)
    await world.answered()
    b = await world.signalling.next_leg(2)
    assert b.target.caller_id == "12025550100"
    b.say(Rejected(486, "Busy Here"))
    await world.over()
    assert world.heard() == ["tone ringback:us"]


async def test_early_media_of_the_second_leg_is_heard() -> None:
    world = SessionWorld(url="")
    await world.answered()
    b = await world.signalling.next_leg(2)
    b.say(Ringing(183, "Session Progress", ANSWER))
    assert world.heard() == ["tone ringback:us", "bridge"]
    assert "stop" not in world.media.legs[0].done, "ringback, until there is something to hear"
    assert world.store.kinds()[-1] == "dial.early"
    b.answers(Answered(ANSWER))
    await until(lambda: "stop" in world.media.legs[0].done)
    assert world.store.kinds().count("bridged") == 1
    assert world.heard().count("bridge") == 1
    b.say(Released(by_far_end=True))
    await world.over()


async def test_a_second_leg_that_is_being_stored_when_the_first_hangs_up_has_an_end_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = SessionWorld(url="")
    begun, on_disk = asyncio.Event(), asyncio.Event()

    create = world.store.create_call

    async def slowly(call: CallRecord, *rest: Any) -> None:
        await create(call, *rest)
        begun.set()
        await on_disk.wait()

    monkeypatch.setattr(world.store, "create_call", slowly)
    a = await world.answered()
    await begun.wait()
    a.say(Released(by_far_end=True))
    await until(lambda: world.session.leg.call.ended_at is not None)
    assert world.others == []
    on_disk.set()
    await until(lambda: world.others)
    await world.over()
    (b,) = world.store.calls
    assert (b.state, b.outcome, b.cause) == ("completed", "canceled", "originator-cancel")
    assert world.told(b.sid) == ["initiated", "completed"]
    assert len(world.signalling.legs) == 1, "it was never dialled"


async def test_digits_by_info_are_passed_across_the_bridge() -> None:
    world = SessionWorld(url="")
    a = await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.heard())
    a.say(DigitInfo("7", 160))
    assert world.heard(1)[-1] == "digits 7"
    b.say(Released(by_far_end=True))
    await world.over()


async def test_dial_rings_several_and_takes_the_first() -> None:
    world = SessionWorld(
        document=b"<Response><Dial><Number>12025550111</Number><Number>12025550112</Number>"
        b"</Dial><Say>after</Say></Response>"
    )
    await world.answered()
    first = await world.signalling.next_leg(2)
    second = await world.signalling.next_leg(3)
    assert {first.target.number, second.target.number} == {"12025550111", "12025550112"}
    second.answers(Answered(ANSWER))
    await until(lambda: first.hung_up)
    second.say(Released(by_far_end=True))
    await world.over()
    assert sorted(leg.call.outcome or "" for leg in world.others) == ["canceled", "completed"]
    assert world.heard()[-1] == "play woman en: after"


@pytest.mark.parametrize("number", range(6))
async def test_of_two_who_answer_at_once_the_first_is_connected_and_the_other_hung_up_on(
    number: int,
) -> None:
    world = SessionWorld(
        document=b"<Response><Dial><Number>12025550111</Number><Number>12025550112</Number>"
        b"</Dial></Response>"
    )
    await world.answered()
    both = [await world.signalling.next_leg(place) for place in (2, 3)]
    winner = both[number % 2]
    for far in (winner, both[1 - number % 2]):
        far.answers(Answered(ANSWER))
    await until(lambda: any(far.hung_up for far in both))
    assert not winner.hung_up
    assert world.heard().count("bridge") == 1
    winner.say(Released(by_far_end=True))
    await world.over()
    ends = {leg.call.to_number: (leg.call.outcome, leg.call.detail) for leg in world.others}
    assert ends.pop(winner.target.number) == ("completed", "the callee hung up")
    assert list(ends.values()) == [("completed", "somebody else took the call")]


@pytest.mark.parametrize(
    ("statuses", "told", "whose"),
    [
        ((486, 404), "busy", 0),
        ((404, 486), "busy", 1),
        ((480, 486), "no-answer", 0),
        ((503, 404), "failed", 1),
        ((486, 486), "busy", 1),
    ],
)
async def test_of_several_that_fail_the_most_telling_reason_is_told(
    statuses: tuple[int, int], told: str, whose: int
) -> None:
    world = SessionWorld(
        document=b'<Response><Dial action="/after"><Number>12025550111</Number>'
        b"<Number>12025550112</Number></Dial></Response>"
    )
    world.web.pages["http://app.test/after"] = Page(b"<Response/>")
    await world.answered()
    for number, status in enumerate(statuses, 2):
        (await world.signalling.next_leg(number)).say(Rejected(status, "No"))
    await world.over()
    params = world.web.requests[-1][2]
    assert (params["DialCallStatus"], params["DialCallSid"]) == (told, world.others[whose].sid)


@pytest.mark.parametrize(
    ("answers", "status"), [(False, "canceled"), (True, "completed")], ids=["ringing", "talking"]
)
async def test_a_caller_who_hangs_up_has_the_action_told(answers: bool, status: str) -> None:
    world = SessionWorld(
        document=b'<Response><Dial action="/after" record="on">12025550111</Dial></Response>'
    )
    world.web.pages["http://app.test/after"] = Page(b"<Response><Say>never</Say></Response>")
    a = await world.answered()
    b = await world.signalling.next_leg(2)
    if answers:
        b.answers(Answered(ANSWER))
        await until(lambda: "bridge" in world.heard())
    a.say(Released(by_far_end=True))
    await until(lambda: len(world.web.requests) == 2)
    await until(lambda: not len(world.services.tasks))
    await world.over()
    params = world.web.requests[-1][2]
    assert (params["DialCallStatus"], params["CallStatus"]) == (status, "completed")
    assert params["DialCallSid"] == world.others[0].sid
    assert params["DialCallDuration"] == "0"
    assert ("RecordingUrl" in params) == answers
    assert "play woman en: never" not in world.heard()
    (ended,) = [e.data for e in world.store.timeline if e.kind == "verb.ended"]
    assert ended["result"] == status


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [("1 (202) 555-0177", "12025550177"), ("5", "12025550100"), ("", "12025550100")],
)
async def test_a_caller_id_that_is_no_number_is_not_shown(wanted: str, shown: str) -> None:
    world = SessionWorld(
        document=f'<Response><Dial callerid="{wanted}">12025550111</Dial></Response>'.encode()
    )
    await world.answered()
    b = await world.signalling.next_leg(2)
    assert b.target.caller_id == shown
    assert ("warning" in world.store.kinds()) == (wanted == "5")
    b.say(Rejected(486, "Busy Here"))
    await world.over()


async def test_the_time_limit_is_that_of_the_conversation() -> None:
    world = WhisperWorld(SCREEN, attributes='maxlength="1"')
    await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: world.heard(1))
    await asyncio.sleep(0.6)
    b.say(DigitInfo("1", 160))
    await until(lambda: "bridge" in world.heard())
    began = asyncio.get_running_loop().time()
    await world.over()
    assert asyncio.get_running_loop().time() - began >= 1.0
    assert (world.others[0].call.cause, world.after()["DialCallStatus"]) == (
        "time-limit",
        "completed",
    )


async def test_dial_to_a_refused_destination_rings_nobody() -> None:
    world = SessionWorld(document=b"<Response><Dial>19005550111</Dial></Response>")

    def refuse(number: str, field: str) -> None:
        if number == world.request.to:
            return
        raise Refused(403, 40302, f"{field} is a premium-rate number", field=field)

    object.__setattr__(world.services, "check_destination", refuse)
    await world.answered()
    await world.over()
    assert len(world.signalling.legs) == 1
    assert "dial.refused" in world.store.kinds()


@pytest.mark.parametrize(
    "uri",
    [
        "sip:19005550111@192.0.2.7",
        "sip:+1-900-555-0111@192.0.2.7",
        "sip:%31%39005550111@192.0.2.7",
        "sip:19005550111;phone-context=x@192.0.2.7",
        "sip:19005550111:secret@192.0.2.7",
    ],
)
async def test_a_refused_number_is_refused_as_a_uri_too(uri: str) -> None:
    world = SessionWorld(document=f"<Response><Sip>{uri}</Sip></Response>".encode())
    checked: list[str] = []

    def refuse(number: str, field: str) -> None:
        if number == world.request.to:
            return
        checked.append(number)
        raise Refused(403, 40302, f"{field} is a premium-rate number", field=field)

    object.__setattr__(world.services, "check_destination", refuse)
    await world.answered()
    await world.over()
    assert checked == ["19005550111"]
    assert len(world.signalling.legs) == 1
    assert "dial.refused" in world.store.kinds()


async def test_dial_with_an_action_tells_the_application() -> None:
    world = SessionWorld(
        document=b'<Response><Dial action="after">12025550111</Dial><Say>never</Say></Response>'
    )
    world.web.pages["http://app.test/after"] = Page(b"<Response><Say>later</Say></Response>")
    await world.answered()
    (await world.signalling.next_leg(2)).say(Rejected(486, "Busy Here"))
    await world.over()
    method, url, params = world.web.requests[-1]
    assert (method, url) == ("POST", "http://app.test/after")
    assert params["DialCallStatus"] == "busy"
    assert params["DialCallSid"] == world.others[0].sid
    assert params["DialCallDuration"] == "0"
    assert world.heard()[-1] == "play woman en: later"


async def test_a_sip_uri_is_dialled_as_it_is() -> None:
    world = SessionWorld(document=b"<Response><Dial><Sip>sip:bob@192.0.2.7</Sip></Dial></Response>")
    await world.answered()
    b = await world.signalling.next_leg(2)
    assert (b.target.uri, b.target.trunk) == ("sip:bob@192.0.2.7", "")
    b.say(Rejected(404, "Not Found"))
    await world.over()


# ------------------------------------------------------------------ keys and recordings


async def test_keys_reach_a_gather_and_those_of_a_dial_do_not() -> None:
    world = SessionWorld(
        document=b"<Response><Dial>12025550111</Dial>"
        b'<Gather numDigits="2" action="/keyed"/></Response>'
    )
    world.web.pages["http://app.test/keyed"] = Page(b"<Response/>")
    a = await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.heard())
    a.say(DigitInfo("9", 160))
    b.say(Released(by_far_end=True))
    await until(lambda: world.store.kinds(SID).count("verb.started") == 2)
    a.say(DigitInfo("4", 160))
    a.say(DigitInfo("2", 160))
    await world.over()
    assert world.web.requests[-1][2]["Digits"] == "42"
    assert world.heard(1)[-1] == "digits 9", "the other party got that one"


async def test_a_message_is_stored_before_the_application_is_told() -> None:
    world = SessionWorld(document=b'<Response><Record action="/saved"/></Response>')
    stored: list[int] = []
    world.web.pages["http://app.test/saved"] = Page(b"<Response/>")
    ask = world.web.request

    async def asked(method: str, url: str, **rest: Any) -> Page:
        stored.append(len(world.store.recordings))
        return await ask(method, url, **rest)

    world.web.request = asked  # type: ignore[method-assign]
    a = await world.answered()
    await until(lambda: "record" in world.media.legs[0].done)
    a.say(DigitInfo("#", 160))
    call = await world.over()
    params = world.web.requests[-1][2]
    url = f"http://outdial.test/v1/recordings/{call.recording_sid}.wav"
    assert stored == [0, 1]
    assert (params["RecordingUrl"], params["callid"], params["RecordingDuration"]) == (
        url,
        SID,
        "3",  # 2.5 s: up, as anybody would
    )
    assert (params["dialednumber"], params["callerid"]) == ("12025550123", "12025550100")
    assert world.last_params()["RecordingURL"] == url


async def test_who_hangs_up_leaves_a_message_that_the_application_is_told_of() -> None:
    world = SessionWorld(document=b'<Response><Record action="/saved"/></Response>')
    world.web.pages["http://app.test/saved"] = Page(b"<Response/>")
    a = await world.answered()
    await until(lambda: "record" in world.media.legs[0].done)
    a.say(Released(by_far_end=True))
    assert world.running is not None
    await world.running
    await until(lambda: len(world.web.requests) == 2)
    await until(lambda: len(world.services.tasks) == 0)
    call = await world.over()
    assert world.web.requests[-1][2]["RecordingUrl"].endswith(f"/{call.recording_sid}.wav")
    assert world.store.recordings[0].sid == call.recording_sid


async def test_recording_records_the_whole_call_from_there_on() -> None:
    world = SessionWorld(document=b"<Response><Say>a</Say><Recording/><Say>b</Say></Response>")
    await world.answered()
    call = await world.over()
    done = world.media.legs[0].done
    assert done.index("record") == done.index("play woman en: a") + 1
    assert call.recording_sid and call.recording_sid in world.last_params()["RecordingURL"]
    assert world.store.recordings[0].channels == 2


async def test_a_dial_that_is_recorded_tells_where() -> None:
    world = SessionWorld(
        document=b'<Response><Dial record="on" action="/after"><Number statusCallback="/b">'
        b"12025550111</Number></Dial></Response>"
    )
    world.web.pages["http://app.test/after"] = Page(b"<Response/>")
    await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.heard())
    b.say(Released(by_far_end=True))
    call = await world.over()
    other = world.others[0].call
    assert other.recording_sid and call.recording_sid is None
    url = f"http://outdial.test/v1/recordings/{other.recording_sid}.wav"
    assert world.web.requests[-1][2]["RecordingUrl"] == url
    told = {d.call_sid: dict(d.params) for d in world.callbacks.submitted}
    assert told[other.sid]["RecordingURL"] == url
    assert "RecordingURL" not in told[SID]
    assert other.request["status_callback"] == "http://app.test/b", "for another process"


# ------------------------------------------------------------------ whispers

WHISPER = "http://app.test/whisper"
SCREEN = b"""<Response><Gather numDigits="1" tries="1" action="/key"><Say>Press 1</Say></Gather>
<Hangup/></Response>"""


class WhisperWorld(SessionWorld):
    """A Dial of numbers that are whispered to."""

    def __init__(self, whisper: bytes, numbers: int = 1, attributes: str = "") -> None:
        inside = "".join(
            f'<Number url="/whisper" {attributes}>1202555011{n}</Number>' for n in range(numbers)
        )
        text = f'<Response><Dial action="/after">{inside}</Dial></Response>'
        super().__init__(document=text.encode())
        self.web.pages[WHISPER] = Page(whisper)
        self.web.pages["http://app.test/key"] = Page(b"<Response><Say>Connecting</Say></Response>")
        self.web.pages["http://app.test/after"] = Page(b"<Response/>")

    def after(self) -> dict[str, str]:
        """What the Dial's action got."""
        (params,) = [p for _, url, p in self.web.requests if url == "http://app.test/after"]
        return params


async def test_who_answers_is_whispered_to_while_the_caller_hears_ringback() -> None:
    world = WhisperWorld(b"<Response><Say>A call from the shop</Say></Response>")
    await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    world.media.legs[1].plays_at_once = False
    await until(lambda: world.heard(1))
    assert world.heard(1) == ["play woman en: A call from the shop"]
    assert world.heard() == ["tone ringback:us"]
    world.media.legs[1].finish()
    await until(lambda: "bridge" in world.heard())
    params = world.web.requests[1][2]
    sid = world.others[0].sid
    assert (params["To"], params["From"], params["callSid"]) == ("12025550110", "12025550100", sid)
    b.say(Released(by_far_end=True))
    await world.over()
    assert (world.after()["DialCallStatus"], world.after()["DialCallSid"]) == ("completed", sid)


async def test_a_whisper_is_declined_by_not_pressing() -> None:
    world = WhisperWorld(SCREEN)
    await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: "verb.started" in world.store.kinds(world.others[0].sid))
    b.say(DigitInfo("#", 160))
    await world.over()
    assert "bridge" not in world.heard()
    assert world.after()["DialCallStatus"] == "no-answer"
    other = world.others[0].call
    assert (other.outcome, other.cause, other.hangup_source) == (
        "completed",
        "normal-clearing",
        "application",
    )


async def test_a_whisper_is_accepted_by_a_key() -> None:
    world = WhisperWorld(SCREEN)
    await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: world.heard(1))
    b.say(DigitInfo("1", 160))
    await until(lambda: "bridge" in world.heard())
    assert world.heard(1)[-1] == "play woman en: Connecting"
    b.say(Released(by_far_end=True))
    await world.over()


@pytest.mark.parametrize(
    ("whisper", "cause"),
    [
        (b"<Response><Dial>12025550199</Dial><Hangup/></Response>", "normal-clearing"),
        (b"\x00 rubbish", "application-error"),
    ],
)
async def test_a_whisper_that_dials_or_cannot_be_run_connects_nobody(
    whisper: bytes, cause: str
) -> None:
    world = WhisperWorld(whisper)
    await world.answered()
    (await world.signalling.next_leg(2)).answers(Answered(ANSWER))
    await world.over()
    assert len(world.signalling.legs) == 2
    assert "bridge" not in world.heard()
    assert world.others[0].call.cause == cause
    refused = [e for e in world.store.timeline if e.kind == "dial.refused"]
    assert len(refused) == (cause == "normal-clearing")


async def test_others_go_on_ringing_during_a_whisper_and_may_take_the_call() -> None:
    world = WhisperWorld(SCREEN, numbers=2)
    await world.answered()
    first, second = await world.signalling.next_leg(2), await world.signalling.next_leg(3)
    first.answers(Answered(ANSWER))
    await until(lambda: world.heard(1))
    assert not second.hung_up
    second.answers(Answered(ANSWER))
    await until(lambda: world.heard(2))
    second.say(DigitInfo("1", 160))
    await until(lambda: "bridge" in world.heard())
    assert first.hung_up
    second.say(Released(by_far_end=True))
    await world.over()
    assert {leg.call.to_number: leg.call.hangup_source for leg in world.others} == {
        first.target.number: "outdial",
        second.target.number: "callee",
    }


async def test_who_hangs_up_during_a_whisper_is_not_connected() -> None:
    world = WhisperWorld(SCREEN)
    await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: world.heard(1))
    b.say(Released(by_far_end=True))
    await world.over()
    assert world.after()["DialCallStatus"] == "no-answer"


async def test_the_caller_who_hangs_up_during_a_whisper_ends_it() -> None:
    world = WhisperWorld(SCREEN)
    a = await world.answered()
    b = await world.signalling.next_leg(2)
    b.answers(Answered(ANSWER))
    await until(lambda: world.heard(1))
    a.say(Released(by_far_end=True))
    await until(lambda: len(world.services.tasks) == 0)
    await world.over()
    assert b.hung_up


async def test_a_recording_begins_with_the_conversation_and_not_with_the_whisper() -> None:
    world = WhisperWorld(SCREEN, numbers=2, attributes='record="on"')
    await world.answered()
    first, second = await world.signalling.next_leg(2), await world.signalling.next_leg(3)
    for far in (first, second):
        far.answers(Answered(ANSWER))
    await until(lambda: world.heard(1) and world.heard(2))
    second.say(DigitInfo("1", 160))
    await until(lambda: "bridge" in world.heard())
    done = world.media.legs[2].done
    assert done.index("record") > done.index("play woman en: Connecting")
    assert "record" not in world.media.legs[1].done
    second.say(Released(by_far_end=True))
    await world.over()
    assert [leg.call.recording_sid is None for leg in world.others] == [True, False]


async def test_early_media_is_not_heard_during_a_whisper() -> None:
    world = WhisperWorld(SCREEN, attributes='sendDigits="w5"')
    await world.answered()
    b = await world.signalling.next_leg(2)
    b.say(Ringing(183, "Session Progress", ANSWER))
    assert world.heard() == ["tone ringback:us", "bridge"]
    b.answers(Answered(ANSWER))
    await until(lambda: len(world.heard(1)) == 2)
    assert world.heard(1) == ["digits w5", "play woman en: Press 1"]
    assert world.media.legs[0].done[-2:] == ["unbridge", "tone ringback:us"]
    b.say(DigitInfo("1", 160))
    await until(lambda: world.media.legs[0].done[-1] == "bridge")
    b.say(Released(by_far_end=True))
    await world.over()


# ------------------------------------------------------------------ Postcall


async def test_postcall_gets_the_whole_record_after_the_end() -> None:
    world = SessionWorld(
        document=b"<Response><Postcall>/no</Postcall><Postcall>/all</Postcall><Recording/>"
        b"</Response>"
    )
    await world.answered()
    call = await world.over()
    told, whole = world.callbacks.submitted[-2:]
    assert (told.url, whole.url) == ("http://app.test/events", "http://app.test/all")
    assert whole.lane != told.lane and whole.id != told.id and whole.event_id != told.event_id
    params = dict(whole.params)
    assert (params["callSid"], params["CallStatus"], params["CallOutcome"]) == (
        SID,
        "completed",
        "completed",
    )
    assert params["RecordingURL"].endswith(f"/{call.recording_sid}.wav")
    assert params["AnswerTime"] <= params["EndTime"]


async def test_postcall_is_stored_and_told_after_a_crash() -> None:
    world = SessionWorld(document=b"<Response><Postcall>/all</Postcall></Response>")
    await world.answered()
    call = await world.over()
    (kept,) = [c.fields for c in world.store.changes if "request" in c.fields]
    stored = {**world.request.to_json(), **kept["request"]}
    assert CallRequest.from_json(stored) == world.request
    later = DialledLeg(
        world.services, replace(call, request=stored, state="answered"), LegPlan("1", "2"), None
    )
    later.abandon(Ending(Outcome.FAILED, "server-restart", Source.OUTDIAL), 5.0)
    assert world.callbacks.submitted[-1].url == "http://app.test/all"


async def test_a_whisper_names_no_postcall() -> None:
    world = WhisperWorld(b"<Response><Postcall>/all</Postcall><Hangup/></Response>")
    await world.answered()
    (await world.signalling.next_leg(2)).answers(Answered(ANSWER))
    await world.over()
    assert "http://app.test/all" not in {d.url for d in world.callbacks.submitted}
    assert "warning" in world.store.kinds(world.others[0].sid)
