"""What a rehearsal's server has written of its calls, and what was heard on them."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

from outdial.errors import StoreUnavailable
from outdial.store.records import (
    CallFilter,
    CallRecord,
    DeliveryRecord,
    EventRecord,
    RecordingRecord,
)
from outdial.testing.rehearsal import story
from outdial.testing.rehearsal.backstage import Backstage
from outdial.testing.rehearsal.heard import PhoneCall
from outdial.testing.rehearsal.sounds import Utterance
from outdial.testing.rehearsal.stage import Request

_MOST = 10_000
_SID = 34
"""CA and 32 digits: what the SIP Call-ID of a call that Outdial makes begins with."""

T = TypeVar("T")


class Archive:
    """Reads it from the test's thread."""

    def __init__(self, backstage: Backstage) -> None:
        self._backstage = backstage
        clock = backstage.clock
        self._epoch = clock.now() - clock.monotonic()
        self.inbound: dict[str, PhoneCall] = {}
        """The calls that phones made, by sid."""

    def record(self, sid: str) -> CallRecord:
        """The row of a call. Raises ValueError when there is none."""
        record = self._read(self._record(sid))
        if record is None:
            raise ValueError(f"there is no call {sid}")
        return record

    def all(self, parent_sid: str = "") -> list[CallRecord]:
        """All calls, or a call's legs, oldest first."""
        return self._read(self._find(CallFilter(parent_sid=parent_sid)))

    def timeline(self, sid: str) -> list[EventRecord]:
        """A call's events, in order."""
        return self._read(self._timeline(sid))

    def deliveries(self, sid: str) -> list[DeliveryRecord]:
        """A call's callbacks, in order."""
        return self._read(self._deliveries(sid))

    def recordings(self, sid: str) -> list[RecordingRecord]:
        """A call's recordings, oldest first."""
        return self._read(self._recordings(sid))

    def path_of(self, recording: RecordingRecord) -> Path:
        """Where it is."""
        return Path(self._backstage.stage.settings.storage.recordings) / recording.path

    def utterances(self, sid: str) -> list[Utterance]:
        """What was played to a call."""
        transcript = self._backstage.stage.spoken.get(sid)
        return [] if transcript is None else transcript.utterances

    def requests(self, sid: str) -> list[Request]:
        """What was asked for on behalf of a call."""
        names = ("callSid", "callid")
        asked = self._backstage.stage.requests
        return [one for one in asked if sid in map(one.params.get, names)]

    def phone_calls(self, sid: str) -> list[PhoneCall]:
        """What phones went through on it."""
        calls = self._backstage.stage.phones.calls
        found = [call for call in calls if call.sip_call_id[:_SID] == sid]
        return [*found, self.inbound[sid]] if sid in self.inbound else found

    def story(self, sids: Iterable[str] = ()) -> str:
        """What happened on those calls, or on all, and their legs, in seconds since the first."""
        chosen = list(sids) or [call.sid for call in self.all() if call.parent_sid == call.sid]
        calls = [self.record(sid) for sid in chosen]
        began = min((call.created_at for call in calls), default=0.0)
        told = [self._story_of(call, began) for call in calls]
        strangers = self._backstage.stage.phones.strangers
        if strangers:
            numbers = ", ".join(dict.fromkeys(strangers))
            told.append(f"No phone of this test has a number that was dialled: {numbers}")
        return "\n\n".join(told)

    def _story_of(self, call: CallRecord, began: float) -> str:
        legs = [call, *(leg for leg in self.all(call.sid) if leg.sid != call.sid)]
        lines: list[story.Line] = []
        for leg in legs:
            lines += story.of_timeline(leg, self.timeline(leg.sid))
            for phone_call in self.phone_calls(leg.sid):
                lines += story.of_phone(phone_call, self._epoch)
        headings = "\n".join(story.heading(leg) for leg in legs)
        return f"{headings}\n{story.told(lines, began)}"

    def _read(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work gives, once everything is on the disk.

        For that a little time passes where there was much to write: the store spares its disk.
        """
        self._backstage.run(self._flush(), passing=True)
        return self._backstage.run(work)

    # ------------------------------------------------------------------ on the loop

    async def find(self, wanted: CallFilter) -> list[CallRecord]:
        """The calls that are wanted, oldest first."""
        await self._flush()
        return await self._find(wanted)

    async def _find(self, wanted: CallFilter) -> list[CallRecord]:
        page = await self._backstage.stage.store.calls(wanted, limit=_MOST)
        return list(reversed(page.calls))

    async def _record(self, sid: str) -> CallRecord | None:
        return await self._backstage.stage.store.call(sid)

    async def _timeline(self, sid: str) -> list[EventRecord]:
        return await self._backstage.stage.store.events(sid)

    async def _deliveries(self, sid: str) -> list[DeliveryRecord]:
        return await self._backstage.stage.store.deliveries(sid)

    async def _recordings(self, sid: str) -> list[RecordingRecord]:
        return await self._backstage.stage.store.recordings(sid)

    async def _flush(self) -> None:
        """What is on its way to the disk counts as written."""
        try:
            await self._backstage.stage.store.flush()
        except StoreUnavailable:
            return  # then what is there is all there is
