"""Conferences: who is in them, when they begin and end, what is recorded.

They live in this process alone: a conference is over with the last leg in it, and so there is
nothing of it to be found again after a crash but the calls themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from outdial import ids, log
from outdial.didml.run.host import ConferencePlan, DialEnd, Params
from outdial.errors import MediaUnavailable
from outdial.legs import MediaEvent, MediaLost, MediaStats, RecordingDone, RecordingPlan
from outdial.store.records import Change, RecordingRecord
from outdial.stored_file import NO_SEAL

if TYPE_CHECKING:
    from outdial.calls.leg import CallLeg
    from outdial.calls.services import Services

LEAST_TO_BEGIN = 2

Hold = Callable[[Callable[[], Params]], Coroutine[Any, Any, None]]
"""What one who waits hears, until it is cancelled; it is given what its requests are to say."""

_log = log.get("conferences")


class Attendee:
    """One leg in a conference."""

    def __init__(self, leg: CallLeg, plan: ConferencePlan, joined_at: float) -> None:
        self.leg = leg
        self.plan = plan
        self.joined_at = joined_at
        """Wall time."""
        self.is_muted = plan.muted
        self.is_seated = False
        """Whether it hears the others; until then it is on hold."""
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why it is to leave."""
        self._holding: asyncio.Task[None] | None = None

    def wait(self, holding: asyncio.Task[None]) -> None:
        """On hold from now on."""
        self._holding = holding

    def dismiss(self, reason: str) -> None:
        """It leaves. Idempotent."""
        if not self.over.done():
            self.over.set_result(reason)

    def stop_waiting(self) -> asyncio.Task[None] | None:
        """No longer on hold; the task that is to be waited for."""
        holding, self._holding = self._holding, None
        if holding is not None:
            holding.cancel()
            if not self.leg.is_over:
                self.leg.media.stop_playing()
        return holding


class Conference:
    """One room."""

    def __init__(self, services: Services, name: str) -> None:
        self.sid = ids.new(ids.CONFERENCE)
        self.name = name
        self.created_at = services.clock.now()
        self.began_at: float | None = None
        self.is_ending = False
        """Who comes now makes another one."""
        self.attendees: dict[str, Attendee] = {}
        """By the sids of their calls, in the order they came."""
        self._services = services
        self._room = services.media.room(self.sid, self._on_media)
        self._recording: RecordingRecord | None = None
        self._recorder: CallLeg | None = None
        """Who asked for the recording."""

    # ------------------------------------------------------------------ in and out

    def enter(self, attendee: Attendee, hold: Hold) -> None:
        """Joins the others, or waits for them."""
        self.attendees[attendee.leg.sid] = attendee
        attendee.leg.note(
            "conference.joined",
            conference=self.sid,
            name=self.name,
            muted=attendee.is_muted,
            members=len(self.attendees),
        )
        if self.began_at is not None:
            self._seat(attendee)
        elif len(self.attendees) >= LEAST_TO_BEGIN and any(
            one.plan.starts for one in self.attendees.values()
        ):
            self.began_at = self._services.clock.now()
            for one in list(self.attendees.values()):
                self._seat(one)
        else:
            tasks = self._services.tasks
            told = (("ConferenceSid", self.sid),)
            attendee.wait(tasks.start(hold(lambda: told), f"hold {attendee.leg.sid}"))
            return
        if attendee.plan.beep:
            self._room.cue("beep", unheard_by=attendee.leg.media)

    def _seat(self, attendee: Attendee) -> None:
        attendee.stop_waiting()
        try:
            attendee.leg.media.join(self._room, muted=attendee.is_muted)
        except MediaUnavailable as error:
            attendee.leg.note("warning", text=f"not in the conference: {error}")
            attendee.dismiss("no-media")
            return
        attendee.is_seated = True
        if attendee.plan.record and self._recording is None:
            self._record(attendee)

    def leave(self, attendee: Attendee, reason: str) -> None:
        """It is gone, or goes on elsewhere."""
        del self.attendees[attendee.leg.sid]
        if attendee.is_seated:
            if not attendee.leg.is_over:
                attendee.leg.media.leave()
            if attendee.plan.beep and self.attendees:
                self._room.cue("beep")
        seconds = round(self._services.clock.now() - attendee.joined_at, 1)
        attendee.leg.note(
            "conference.left", conference=self.sid, reason=reason, seconds=max(0.0, seconds)
        )
        if attendee.plan.ends:
            self.is_ending = True
            for other in self.attendees.values():
                other.dismiss("ended")
        if self.is_ending or not self.attendees:
            self._room.close()

    def end_of_dial(self, attendee: Attendee, reason: str = "") -> DialEnd:
        """What the Dial of an attendee came to that leaves now for that reason."""
        return DialEnd(
            "failed" if reason == "no-media" else "completed",
            duration_s=round(self._services.clock.now() - attendee.joined_at),
            recording_url=self.recording_url if attendee.plan.record else "",
            conference_sid=self.sid,
        )

    def mute(self, attendee: Attendee, muted: bool) -> None:
        """Whether the others do not hear it."""
        if attendee.is_muted == muted:
            return
        attendee.is_muted = muted
        if attendee.is_seated:
            attendee.leg.media.mute(muted)
        attendee.leg.note("conference.muted", conference=self.sid, muted=muted)

    # ------------------------------------------------------------------ recording

    @property
    def recording_url(self) -> str:
        """Where the recording can be fetched, once the conference is over; "" without one."""
        sid = self.recording_sid
        return f"{self._services.public_url}/v1/recordings/{sid}.wav" if sid else ""

    @property
    def recording_sid(self) -> str | None:
        """The recording's id."""
        return self._recording.sid if self._recording is not None else None

    def _record(self, attendee: Attendee) -> None:
        sid = ids.new(ids.RECORDING)
        record = RecordingRecord(
            sid=sid,
            call_sid=attendee.leg.sid,
            path=f"{sid}.wav",
            created_at=self._services.clock.now(),
            channels=1,
            kind="conference",
        )
        path = str(self._services.recordings / record.path)
        try:
            seal = self._services.sealing.new() or NO_SEAL
            plan = RecordingPlan(sid, path, channels=1, seal_head=seal.head, seal_key=seal.key)
            self._room.record(plan)
        except MediaUnavailable as error:
            attendee.leg.note("warning", text=f"the conference is not recorded: {error}")
            return
        self._recording, self._recorder = record, attendee.leg
        attendee.leg.recordings.name_conference(sid, self.recording_url)
        attendee.leg.note("recording.started", recording=sid, of="conference")

    def _on_media(self, event: MediaEvent) -> None:
        match event:
            case RecordingDone():
                self._recorded(event.duration_ms, event.size_bytes, event.error)
            case MediaLost() | MediaStats():
                self._recorded(0, 0, "the media worker that recorded died")
            case _:
                pass

    def _recorded(self, duration_ms: int, size_bytes: int, error: str) -> None:
        """It is complete, or will never be; what is said first counts."""
        record = self._recording
        if record is None or record.duration_ms is not None:
            return
        record.duration_ms, record.size_bytes, record.error = duration_ms, size_bytes, error
        if error:
            _log.warning("recording.failed", conference=self.sid, recording=record.sid, error=error)
        leg = self._recorder
        if leg is not None and not leg.is_over:
            if error:
                leg.recordings.forget_conference()
                leg.note("recording.failed", recording=record.sid, error=error)
            else:
                leg.note("recording.done", recording=record.sid, ms=duration_ms)
        self._services.journal.write(Change(record.call_sid, recordings=(record,)))


class Conferences:
    """All conferences of this process."""

    def __init__(self) -> None:
        self._by_name: dict[str, Conference] = {}

    def __iter__(self) -> Iterator[Conference]:
        """Those that go on, oldest first."""
        return iter(list(self._by_name.values()))

    def find(self, name_or_sid: str) -> Conference | None:
        """The one of that name or id."""
        conference = self._by_name.get(name_or_sid)
        if conference is None and ids.is_sid(name_or_sid, ids.CONFERENCE):
            conference = next((one for one in self if one.sid == name_or_sid), None)
        return conference

    async def attend(
        self, services: Services, leg: CallLeg, plan: ConferencePlan, hold: Hold
    ) -> DialEnd:
        """Joins the conference of that name and returns when it is over for this leg.

        Cancelled (the leg is over): it has left before the cancellation goes on.
        """
        conference = self._by_name.get(plan.name)
        if conference is None or conference.is_ending:
            conference = self._by_name[plan.name] = Conference(services, plan.name)
        elif len(conference.attendees) >= plan.max_participants:
            leg.note("conference.full", conference=conference.sid, members=plan.max_participants)
            return DialEnd("failed", conference_sid=conference.sid)
        attendee = Attendee(leg, plan, services.clock.now())
        reason = ""
        try:
            conference.enter(attendee, hold)
            async with asyncio.timeout(plan.time_limit_s):
                reason = await attendee.over
        except TimeoutError:
            reason = "time-limit"
        except asyncio.CancelledError:
            if plan.gone is not None and leg.is_over:
                plan.gone(conference.end_of_dial(attendee))
            raise
        finally:
            holding = attendee.stop_waiting()
            conference.leave(attendee, reason or ("hung-up" if leg.is_over else "redirected"))
            if not conference.attendees and self._by_name.get(plan.name) is conference:
                del self._by_name[plan.name]
            if holding is not None:
                await asyncio.gather(holding, return_exceptions=True)
        return conference.end_of_dial(attendee, reason)
