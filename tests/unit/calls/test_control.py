"""Commands on live calls: what they do, in which order, and when they are refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from doubles.legs import ANSWER, FakeMediaLeg, FakeSignallingLeg
from doubles.numbers import StoredNumbers
from doubles.world import Page, World, until
from outdial.calls import codes
from outdial.calls.called_numbers import CalledNumbers
from outdial.calls.commands import Command, Mute, Record, Redirect, SendDigits
from outdial.calls.reception import Reception
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.config import Limits, Number, Settings
from outdial.errors import Refused, StoreUnavailable
from outdial.legs import Answered, DigitInfo, Rejected, Released
from outdial.store.records import CallRecord
from outdial.store.store import Store
from outdial.testing.legs import FakeIncomingLeg

APP, OTHER, THIRD = "http://app.test/start", "http://app.test/other", "http://app.test/third"
STAYS = b"<Response><Say loop='0'>Please hold.</Say></Response>"
PARTY = "12025550199"


def document(verbs: str) -> Page:
    return Page(f"<Response>{verbs}</Response>".encode())


class LiveWorld(World):
    """A registry whose calls are answered and stay."""

    def __init__(self, verbs: str = "", **limits: float) -> None:
        super().__init__(settings=Settings(limits=Limits.model_validate(limits)))
        self.web.pages[APP] = document(verbs) if verbs else Page(STAYS)
        self.web.pages[OTHER] = document("<Say>Something else.</Say><Pause length='60'/>")
        self.web.pages[THIRD] = document("<Say>The third.</Say><Pause length='60'/>")
        self.registry = Registry(self.services, cast(Store, self.store))
        self.sid = ""

    async def place(self, url: str = APP, **more: Any) -> CallRecord:
        values: dict[str, Any] = {"to": "12025550123", "from_": "12025550100", "url": url, **more}
        values.setdefault("status_callback", "http://app.test/events")
        call = await self.registry.place(CallRequest(**values), "dev")
        self.sid = call.sid
        return call

    async def answered(self, url: str = APP, **more: Any) -> CallRecord:
        """A call whose document runs."""
        await self.registry.start()
        number = len(self.signalling.legs) + 1
        call = await self.place(url, **more)
        far = await self.signalling.next_leg(number)
        self.media.legs[-1].plays_at_once = False
        far.answers(Answered(ANSWER))
        if url:
            await until(lambda: self.store.kinds(call.sid).count("verb.started"))
        await self.settle()
        return call

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def far(self) -> FakeSignallingLeg:
        return self.signalling.legs[0]

    @property
    def media_leg(self) -> FakeMediaLeg:
        return self.media.legs[0]

    async def do(self, command: Command, sid: str = "") -> None:
        assert await self.registry.command(sid or self.sid, command, "ops")
        await self.settle()

    async def refused(self, command: Command, sid: str = "") -> Refused:
        with pytest.raises(Refused) as caught:
            await self.registry.command(sid or self.sid, command, "ops")
        return caught.value

    def noted(self, kind: str = "command", sid: str = "") -> list[dict[str, Any]]:
        return [
            dict(event.data)
            for event in self.store.timeline
            if event.kind == kind and event.call_sid == (sid or self.sid)
        ]

    def fetched(self) -> list[str]:
        return [url for _, url, _ in self.web.requests]

    async def over(self) -> None:
        """The far end hangs up; nothing is left."""
        self.far.say(Released(by_far_end=True))
        await until(lambda: not self.registry.health()["live"])
        await until(lambda: not len(self.services.tasks))
        for far in self.signalling.legs:
            assert far.hung_up or far is self.far


# ------------------------------------------------------------------ another document


async def test_another_document_takes_over_at_once() -> None:
    world = LiveWorld()
    await world.answered()
    assert world.media_leg.done[-1].startswith("play")
    await world.do(Redirect(OTHER, "GET"))
    assert world.fetched() == [APP, OTHER]
    assert world.web.requests[-1][0] == "GET"
    assert world.web.requests[-1][2]["CallStatus"] == "answered"
    said = world.media_leg.done
    assert said[-2:] == ["stop", "play woman en: Something else."]
    told = {"command": "redirect", "by": "ops", "url": OTHER, "method": "GET"}
    assert world.noted() == [told]
    await world.over()


async def test_a_document_is_run_as_it_is_given() -> None:
    world = LiveWorld()
    await world.answered()
    given = "<Response><Say>Given.</Say><Redirect>third</Redirect></Response>"
    await world.do(Redirect(document=given))
    assert "play woman en: Given." in world.media_leg.done
    world.media_leg.finish()
    await until(lambda: THIRD in world.fetched())  # relative to where the call began
    assert world.noted() == [{"command": "redirect", "by": "ops", "bytes": len(given)}]
    assert world.noted("document.given") == [{"bytes": len(given)}]
    await world.over()


async def test_the_new_document_ends_the_call_as_any_does() -> None:
    world = LiveWorld()
    call = await world.answered()
    await world.do(Redirect(document="<Response><Hangup/></Response>"))
    await until(lambda: call.outcome)
    assert (call.outcome, call.hangup_source) == ("completed", "application")
    assert world.far.hung_up == 1


async def test_a_document_that_cannot_be_fetched_falls_back_as_any_does() -> None:
    world = LiveWorld()
    await world.answered(fallback_url=THIRD)
    await world.do(Redirect("http://app.test/nowhere"))
    assert world.fetched() == [APP, "http://app.test/nowhere", THIRD]
    await world.do(Redirect("http://app.test/nowhere", fallback_url=OTHER))
    assert world.fetched()[-2:] == ["http://app.test/nowhere", OTHER]
    await world.over()


async def test_of_two_redirects_at_once_the_last_one_counts() -> None:
    world = LiveWorld()
    await world.answered()
    await asyncio.gather(
        world.registry.command(world.sid, Redirect(OTHER), "one"),
        world.registry.command(world.sid, Redirect(THIRD), "two"),
    )
    await until(lambda: "play woman en: The third." in world.media_leg.done)
    assert [told["by"] for told in world.noted()] == ["one", "two"]
    assert "play woman en: Something else." not in world.media_leg.done
    await world.over()


async def test_a_ringing_party_is_cancelled() -> None:
    world = LiveWorld(f"<Dial>{PARTY}</Dial><Say>Not heard.</Say>")
    await world.answered()
    party = await world.signalling.next_leg(2)
    await world.do(Redirect(OTHER))
    assert party.hung_up == 1
    second = world.store.calls[1]
    await until(lambda: second.outcome)
    assert (second.outcome, second.detail) == (
        "canceled",
        "the other party left before the answer",
    )
    assert world.media_leg.done[-1] == "play woman en: Something else."
    assert "play woman en: Not heard." not in world.media_leg.done
    await world.over()


async def test_a_bridged_party_is_released() -> None:
    world = LiveWorld(f"<Dial>{PARTY}</Dial>")
    await world.answered()
    party = await world.signalling.next_leg(2)
    party.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.media_leg.done)
    await world.do(Redirect(OTHER))
    assert party.hung_up == 1
    assert "unbridge" in world.media_leg.done
    assert world.media_leg.done[-1] == "play woman en: Something else."
    await until(lambda: world.store.calls[1].outcome)
    assert world.store.calls[1].detail == "the other party left the conversation"
    await world.over()


async def test_a_second_leg_has_no_document_to_be_replaced() -> None:
    world = LiveWorld(f"<Dial>{PARTY}</Dial>")
    call = await world.answered()
    party = await world.signalling.next_leg(2)
    party.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.media_leg.done)
    second = world.store.calls[1].sid
    refused = await world.refused(Redirect(OTHER), second)
    assert (refused.status, refused.code) == (409, codes.SECOND_LEG)
    assert call.sid in refused.message
    await world.do(Mute(muted=True), second)
    assert world.media.legs[1].done[-1] == "hush"
    await world.over()


async def test_a_click_to_call_can_be_redirected_too() -> None:
    world = LiveWorld()
    await world.answered(url="")
    party = await world.signalling.next_leg(2)
    party.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.media_leg.done)
    await world.do(Redirect(OTHER))
    assert party.hung_up == 1
    assert world.media_leg.done[-1] == "play woman en: Something else."
    await world.over()


async def test_who_waits_in_a_queue_leaves_it() -> None:
    world = LiveWorld("<Enqueue>support</Enqueue>")
    await world.answered()
    (queue,) = world.registry.queues
    await until(lambda: queue.callers)
    await world.do(Redirect(OTHER))
    assert queue.callers == []
    assert world.media_leg.done[-1] == "play woman en: Something else."
    await world.over()


async def test_who_is_in_a_conference_leaves_it() -> None:
    world = LiveWorld("<Dial><Conference>room</Conference></Dial>")
    first = await world.answered()
    await world.answered()
    (conference,) = world.registry.conferences
    assert all(one.is_seated for one in conference.attendees.values())
    await world.do(Redirect(OTHER), first.sid)
    assert list(conference.attendees) == [world.sid]
    after = world.media.legs[0].done[world.media.legs[0].done.index("leave") :]
    assert after[-1] == "play woman en: Something else."
    (left,) = world.noted("conference.left", first.sid)
    assert left["reason"] == "redirected"
    for far in world.signalling.legs:
        far.say(Released(by_far_end=True))
    await until(lambda: not len(world.services.tasks))


async def test_a_message_that_is_being_recorded_is_kept_and_told_of() -> None:
    world = LiveWorld("<Record beep='false' action='saved'/>")
    world.web.pages["http://app.test/saved"] = document("<Say>Saved.</Say>")
    await world.answered()
    await until(lambda: "record" in world.media_leg.done)
    await world.do(Redirect(OTHER))
    await until(lambda: "http://app.test/saved" in world.fetched())
    assert "stop recording" in world.media_leg.done
    assert "play woman en: Saved." not in world.media_leg.done
    await world.over()


async def test_digits_before_the_document_are_cut_short_by_another() -> None:
    world = LiveWorld()
    await world.registry.start()
    await world.place(send_digits="WWWW1")
    far = await world.signalling.next_leg()
    world.media_leg.plays_at_once = False
    far.answers(Answered(ANSWER))
    world.media_leg.digits_end = False
    await until(lambda: "digits WWWW1" in world.media_leg.done)
    await world.do(Redirect(OTHER))
    assert world.fetched() == [OTHER]
    assert world.media_leg.done[-2:] == ["stop", "play woman en: Something else."]
    await world.over()


# ------------------------------------------------------------------ digits


async def test_digits_go_out_at_once_and_are_written_nowhere() -> None:
    world = LiveWorld()
    await world.answered()
    await world.do(SendDigits("4711w#"))
    assert world.media_leg.done[-1] == "digits 4711w# at once"
    assert world.noted() == [{"command": "digits", "by": "ops", "count": 5}]
    assert "4711" not in repr(world.store.timeline)
    await world.over()


async def test_digits_do_not_pile_up() -> None:
    world = LiveWorld("<Pause length='60'/>")
    await world.answered()
    world.media_leg.digits_end = False
    for _ in range(8):
        await world.do(SendDigits("1"))
    refused = await world.refused(SendDigits("1"))
    assert (refused.status, refused.code) == (409, codes.STILL_SENDING)
    world.media_leg.finish()
    await world.settle()
    await world.do(SendDigits("1"))
    await world.over()


# ------------------------------------------------------------------ muting


async def test_muting_and_unmuting() -> None:
    world = LiveWorld()
    await world.answered()
    await world.do(Mute(muted=True))
    await world.do(Mute(muted=True))  # it is so already: nothing happens, nothing is noted
    await world.do(Mute(muted=False))
    assert [one for one in world.media_leg.done if "hush" in one] == ["hush", "unhush"]
    assert [told["muted"] for told in world.noted()] == [True, False]
    await world.over()


async def test_keys_by_sip_info_of_a_muted_party_are_not_passed_on() -> None:
    world = LiveWorld(f"<Dial>{PARTY}</Dial>")
    await world.answered()
    party = await world.signalling.next_leg(2)
    party.answers(Answered(ANSWER))
    await until(lambda: "bridge" in world.media_leg.done)
    await world.do(Mute(muted=True))
    world.far.say(DigitInfo("5", 100))
    party.say(DigitInfo("6", 100))
    assert not any("digits" in done for done in world.media.legs[1].done)
    assert "digits 6" in world.media_leg.done
    await world.do(Mute(muted=False))
    world.far.say(DigitInfo("5", 100))
    assert "digits 5" in world.media.legs[1].done
    await world.over()


# ------------------------------------------------------------------ recording


async def test_a_recording_is_started_paused_resumed_and_stopped() -> None:
    world = LiveWorld()
    call = await world.answered()
    await world.do(Record("start"))
    (sid,) = [told["recording"] for told in world.noted()]
    assert call.recording_sid == sid
    assert world.store.changes[-1].fields == {"recording_sid": sid}
    await world.do(Record("pause"))
    await world.do(Record("pause"))
    await world.do(Record("resume"))
    await world.do(Record("stop"))
    await until(lambda: world.store.recordings)
    assert [one for one in world.media_leg.done if "record" in one] == [
        "record",
        "pause recording",
        "resume recording",
        "stop recording",
    ]
    (kept,) = world.store.recordings  # before the call is over
    assert (kept.sid, kept.call_sid, kept.channels) == (sid, world.sid, 2)
    assert [told["action"] for told in world.noted()] == ["start", "pause", "resume", "stop"]
    for kind in ("started", "paused", "resumed", "done"):
        assert world.noted(f"recording.{kind}")[0]["recording"] == sid
    await world.over()
    assert world.last_params()["RecordingURL"].endswith(f"/v1/recordings/{sid}.wav")
    assert [one.sid for one in world.store.recordings] == [sid]


async def test_a_second_recording_is_the_one_that_is_told() -> None:
    world = LiveWorld()
    await world.answered()
    for action in ("start", "stop", "start"):
        await world.do(Record(action))
    first, second = [told["recording"] for told in world.noted() if "recording" in told]
    await world.over()
    assert world.last_params()["RecordingURL"].endswith(f"/{second}.wav")
    assert {one.sid for one in world.store.recordings} == {first, second}


async def test_the_recording_of_a_call_that_asked_for_one_can_be_paused() -> None:
    world = LiveWorld()
    await world.answered(record=True)
    refused = await world.refused(Record("start"))
    assert (refused.status, refused.code) == (409, codes.RECORDED)
    assert world.media_leg.recording is not None
    assert world.media_leg.recording.recording_id in refused.message
    await world.do(Record("pause"))
    assert world.media_leg.done[-1] == "pause recording"
    await world.over()


async def test_what_is_not_recorded_cannot_be_stopped() -> None:
    world = LiveWorld()
    await world.answered()
    for action in ("pause", "resume", "stop"):
        refused = await world.refused(Record(action))
        assert (refused.status, refused.code) == (409, codes.NOT_RECORDED)
    assert world.noted() == []
    await world.over()


# ------------------------------------------------------------------ when nothing can be done


ANY: list[Command] = [Redirect(OTHER), SendDigits("1"), Mute(muted=True), Record("start")]


@pytest.mark.parametrize("command", ANY, ids=lambda command: command.kind)
async def test_a_call_that_waits_or_rings_can_only_be_hung_up(command: Command) -> None:
    world = LiveWorld(concurrent_calls=1)
    await world.registry.start()
    first = await world.place()
    far = await world.signalling.next_leg()
    waiting = await world.place()
    for call, state in ((first, "dialling"), (waiting, "queued")):
        refused = await world.refused(command, call.sid)
        assert (refused.status, refused.code) == (409, codes.NOT_ANSWERED)
        assert state in refused.message
        assert world.noted(sid=call.sid) == []
    assert await world.registry.hang_up(waiting.sid, "ops")
    assert world.noted(sid=waiting.sid) == [{"command": "hang-up", "by": "ops"}]
    far.say(Rejected(486, "Busy Here"))
    await until(lambda: not world.registry.health()["live"])


@pytest.mark.parametrize("command", ANY, ids=lambda command: command.kind)
async def test_a_call_that_has_ended_says_how(command: Command) -> None:
    world = LiveWorld()
    call = await world.answered()
    assert await world.registry.hang_up(call.sid, "ops")
    refused = await world.refused(command)  # its BYE is on the way
    assert (refused.status, refused.code) == (409, codes.CALL_ENDED)
    assert "completed, normal-clearing (hung up through the API)" in refused.message
    await until(lambda: not world.registry.health()["live"])
    refused = await world.refused(command)  # only the record knows it
    assert (refused.status, refused.code) == (409, codes.CALL_ENDED)
    assert "normal-clearing" in refused.message
    assert world.noted() == [{"command": "hang-up", "by": "ops"}]


async def test_nobody_knows_that_call() -> None:
    world = LiveWorld()
    assert (await world.refused(Mute(muted=True), "CA" + "f" * 32)).status == 404


async def test_without_the_record_nothing_changes_but_a_call_can_be_hung_up() -> None:
    world = LiveWorld()
    call = await world.answered()
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        await world.registry.command(world.sid, Redirect(OTHER), "ops")
    await world.settle()
    assert world.fetched() == [APP]
    hanging_up = asyncio.ensure_future(world.registry.hang_up(call.sid, "ops"))
    await until(lambda: world.far.hung_up)
    world.store.away = False
    assert await hanging_up
    await until(lambda: world.noted() == [{"command": "hang-up", "by": "ops"}])
    await until(lambda: not world.registry.health()["live"])


async def test_a_call_that_ends_meanwhile_is_not_changed() -> None:
    world = LiveWorld()
    await world.answered()
    committing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    real = world.store.commit

    async def slow(change: Any) -> None:
        await real(change)
        await committing

    world.store.commit = slow  # type: ignore[method-assign]
    asked = [
        asyncio.ensure_future(world.registry.command(world.sid, command, "ops"))
        for command in (Redirect(OTHER), Mute(muted=True))
    ]
    await world.settle()
    assert len(world.noted()) == 1  # the second waits for the first
    world.far.say(Released(by_far_end=True))
    committing.set_result(None)
    for result in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(result, Refused)
        assert (result.status, result.code) == (409, codes.CALL_ENDED)
        assert "the callee hung up" in result.message
    assert world.fetched() == [APP]
    assert "hush" not in world.media_leg.done
    await until(lambda: not len(world.services.tasks))


async def test_a_hang_up_is_asked_for_twice() -> None:
    world = LiveWorld()
    await world.registry.start()
    ringing = await world.place()
    far = await world.signalling.next_leg()
    far.confirms_cancel = False
    assert await world.registry.hang_up(ringing.sid, "one")
    assert await world.registry.hang_up(ringing.sid, "two")
    assert world.noted() == [{"command": "hang-up", "by": "one"}]
    assert far.hung_up == 1
    far.say(Rejected(487, "Request Terminated"))
    await until(lambda: not world.registry.health()["live"])
    assert not await world.registry.hang_up(ringing.sid, "three")


async def test_a_call_towards_us_that_still_rings_can_be_redirected() -> None:
    """Its document runs already; answering is a matter of the first verb that needs it."""
    world = LiveWorld("<Pause length='60'/>")
    numbers = [Number(number="18005550100", url=APP)]
    settings = world.services.settings.model_copy(update={"numbers": numbers})
    world.services = replace(world.services, settings=settings)
    world.registry = Registry(world.services, cast(Store, world.store))
    await world.registry.start()
    incoming = FakeIncomingLeg("18005550100")
    called = CalledNumbers(numbers, StoredNumbers(), world.services.clock)
    Reception(world.services, world.registry, lambda address, number: "a", called).take(incoming)
    await until(lambda: APP in world.fetched())
    (call,) = world.store.calls
    await world.settle()
    refused = await world.refused(Mute(muted=True), call.sid)
    assert refused.code == codes.NOT_ANSWERED
    await world.do(Redirect(document="<Response><Reject reason='busy'/></Response>"), call.sid)
    await until(lambda: call.outcome)
    assert incoming.statuses == [180, 486]
