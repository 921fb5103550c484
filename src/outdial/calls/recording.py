"""The recordings of one leg: of all that is said on it, and of messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from outdial import ids
from outdial.calls.journal import Timeline
from outdial.calls.services import Services
from outdial.didml.run.host import TakeEnd
from outdial.errors import SoundError, StoreUnavailable
from outdial.legs import Clip, MediaLeg, RecordingDone, RecordingPlan
from outdial.store.records import Change, RecordingRecord
from outdial.stored_file import NO_SEAL, KeyLost, read_whole

MIN_SOUND_MS = 200
"""A message with less sound is empty: a click is none."""
LONGEST_S = 86400.0
"""As long as the longest call: 2.8 GB, which a WAV file can be."""
MOST = 1000
"""Recordings that one leg may have; more are not started through the API."""
WHOLE_CHANNELS, MESSAGE_CHANNELS = 2, 1


class Recording:
    """One recording, named by our id alone. It is also what a verb holds (`didml` Take)."""

    __slots__ = (
        "_decoding",
        "_done",
        "_media",
        "_services",
        "_timeline",
        "is_discarded",
        "is_kept",
        "is_paused",
        "is_stopped",
        "record",
    )

    def __init__(self, recordings: Recordings, media: MediaLeg, plan: RecordingPlan) -> None:
        """Starts it."""
        self._services = recordings.services
        self._timeline = recordings.timeline
        self._media = media
        self._done: asyncio.Future[TakeEnd] = asyncio.get_running_loop().create_future()
        self._decoding: asyncio.Future[Clip] | None = None
        self.is_discarded = self.is_kept = self.is_paused = self.is_stopped = False
        sid = plan.recording_id
        self.record = RecordingRecord(
            sid=sid,
            call_sid=recordings.timeline.sid,
            path=f"{sid}.wav",
            created_at=recordings.services.clock.now(),
            channels=plan.channels,
            kind="call" if plan.channels == WHOLE_CHANNELS else "message",
        )
        media.record(plan)
        recordings.timeline.note("recording.started", {"recording": sid})

    @property
    def sid(self) -> str:
        """Its id."""
        return self.record.sid

    @property
    def url(self) -> str:
        """Where it can be fetched, with an API key."""
        return f"{self._services.public_url}/v1/recordings/{self.sid}.wav"

    @property
    def goes_on(self) -> bool:
        """Whether what is said now is on it, or would be if it were not paused."""
        return not self.is_stopped and not self.is_complete

    @property
    def is_complete(self) -> bool:
        """Whether it is on disk, or has failed."""
        return self._done.done()

    def stop(self) -> None:
        """Nothing that is said from now on is on it."""
        self.is_stopped = True
        if not self.is_complete:
            self._media.stop_recording(self.sid)

    def pause(self, paused: bool) -> None:
        """Silence in place of what is said, or (False) that again."""
        if self.goes_on and paused != self.is_paused:
            self.is_paused = paused
            self._media.pause_recording(self.sid, paused)
            timeline = self._timeline
            if paused:
                timeline.note("recording.paused", {"recording": self.sid})
            else:
                timeline.note("recording.resumed", {"recording": self.sid})

    async def keep_in_the_end(self) -> None:
        """It can be fetched as soon as it is complete, before the call is over."""
        await self.end()
        if not self.is_discarded:
            await self.keep()

    async def end(self) -> TakeEnd:
        """Waits until it is complete on disk, or has failed."""
        return await asyncio.shield(self._done)

    async def keep(self) -> None:
        """It can be fetched on return, unless the store is away: then a little later."""
        await self._forget_clip()
        change = Change(self.record.call_sid, recordings=(self.record,))
        journal = self._services.journal
        try:
            await journal.durable(change)
        except StoreUnavailable:
            journal.write(change)
        self.is_kept = True

    async def discard(self) -> None:
        """Nobody shall hear it: its file is removed."""
        self.is_discarded = True
        self._timeline.note("recording.discarded", {"recording": self.sid})
        await asyncio.to_thread(self.path.unlink, missing_ok=True)
        await self._forget_clip()

    async def clip(self) -> Clip:
        """It as a prompt, until it is kept or discarded. Raises SoundError."""
        if self._decoding is None:
            self._decoding = asyncio.ensure_future(self._decode())
        return await asyncio.shield(self._decoding)

    async def _decode(self) -> Clip:
        services = self._services
        try:
            wav = await asyncio.to_thread(read_whole, self.path, services.sealing)
        except OSError as error:
            raise SoundError(f"the recording cannot be read: {error.strerror}") from None
        except KeyLost as error:
            raise SoundError(f"the recording cannot be read: {error}") from None
        return await services.sounds.decoded(wav, str(self._prompt))

    @property
    def _prompt(self) -> Path:
        """Where it is as a prompt, without the law."""
        folder = self._services.copies or self.path.parent
        return folder / self.path.stem

    async def _forget_clip(self) -> None:
        """What somebody said is in no other file than its own; a worker that plays it has it."""
        decoding, self._decoding = self._decoding, None
        if decoding is None:
            return
        await asyncio.gather(decoding, return_exceptions=True)
        for suffix in (".ulaw", ".alaw"):
            await asyncio.to_thread(self._prompt.with_suffix(suffix).unlink, missing_ok=True)

    @property
    def path(self) -> Path:
        """The file."""
        return self._services.recordings / self.record.path

    def complete(self, event: RecordingDone) -> None:
        """What the media worker says at its end."""
        record = self.record
        record.duration_ms = event.duration_ms
        record.size_bytes = event.size_bytes
        record.error = event.error
        timeline = self._timeline
        if event.error:
            timeline.note("recording.failed", {"recording": self.sid, "error": event.error})
        else:
            timeline.note("recording.done", {"recording": self.sid, "ms": event.duration_ms})
        # One that failed has a row all the same: there may be a part of it on the disk.
        is_message = record.channels == MESSAGE_CHANNELS and not event.error
        if is_message and event.sound_ms < MIN_SOUND_MS:
            self.is_discarded = True
        self._done.set_result(TakeEnd(event.duration_ms, self.is_discarded, event.error))


class Told(NamedTuple):
    """A recording as callbacks name it."""

    sid: str
    url: str


class Recordings:
    """All of a leg's."""

    __slots__ = ("_all", "_conference", "_recovered", "_whole", "services", "timeline")

    def __init__(self, services: Services, timeline: Timeline) -> None:
        self.services = services
        self.timeline = timeline
        self._all: dict[str, Recording] = {}
        self._whole: Recording | None = None
        self._conference: Told | None = None
        """Of a conference, which this leg asked for."""
        self._recovered: tuple[RecordingRecord, ...] = ()

    def recover(self, recordings: Sequence[RecordingRecord]) -> None:
        """Those that an earlier process left behind are this leg's."""
        self._recovered = tuple(recordings)
        for record in recordings:
            told = {"recording": record.sid, "ms": record.duration_ms}
            self.timeline.note("recording.recovered", told)

    def whole(self, media: MediaLeg, sid: str = "") -> Recording:
        """Everything from now on, left what the far end says and right what it hears.

        One that goes on already, goes on; `sid` is for a new one.
        """
        if self._whole is None or not self._whole.goes_on:
            self._whole = self._start(media, WHOLE_CHANNELS, LONGEST_S, 0.0, sid)
        return self._whole

    def conversation(self, media: MediaLeg) -> Recording:
        """The same, but until it is stopped: one of the conversations that the leg has."""
        return self._start(media, WHOLE_CHANNELS, LONGEST_S, 0.0)

    @property
    def of_everything(self) -> Recording | None:
        """What `whole` started, the last time."""
        return self._whole

    @property
    def is_full(self) -> bool:
        """Whether there are as many as one leg may have."""
        return len(self._all) >= MOST

    def message(self, media: MediaLeg, longest_s: float, silence_s: float) -> Recording:
        """What the far end says, until it stops, is silent or has said enough."""
        return self._start(media, MESSAGE_CHANNELS, longest_s, silence_s)

    def _start(
        self, media: MediaLeg, channels: int, longest_s: float, silence_s: float, sid: str = ""
    ) -> Recording:
        sid = sid or ids.new(ids.RECORDING)
        path = str(self.services.recordings / f"{sid}.wav")
        seal = self.services.sealing.new() or NO_SEAL
        plan = RecordingPlan(sid, path, channels, longest_s, silence_s, seal.head, seal.key)
        recording = self._all[sid] = Recording(self, media, plan)
        return recording

    def name_conference(self, sid: str, url: str) -> None:
        """That of a conference is made on behalf of this leg."""
        self._conference = Told(sid, url)

    def forget_conference(self) -> None:
        """It could not be written."""
        self._conference = None

    def done(self, event: RecordingDone) -> None:
        """One of them is complete on disk, or could not be written."""
        recording = self._all.get(event.recording_id)
        if recording is not None and not recording.is_complete:
            recording.complete(event)

    def close(self) -> None:
        """The stream is gone: what has not been said to be complete never will be."""
        for recording in self._all.values():
            if not recording.is_complete:
                path, error = str(recording.path), "the audio stream was lost"
                recording.complete(RecordingDone(recording.sid, path, 0, 0, error))

    @property
    def told(self) -> Told | None:
        """The one that the leg's last callback names: of everything, else the last message or
        conversation, else that of a conference, which may go on."""
        usable = [r for r in self._all.values() if _is_usable(r)]
        if not usable:
            return self._conference or self._told_of_recovered()
        named = self._whole if self._whole in usable else usable[-1]
        return Told(named.sid, named.url)

    def _told_of_recovered(self) -> Told | None:
        whole = [one for one in self._recovered if one.kind == "call"]
        for record in (whole or self._recovered)[-1:]:
            return Told(record.sid, f"{self.services.public_url}/v1/recordings/{record.sid}.wav")
        return None

    @property
    def error(self) -> str:
        """Why one of them could not be written; "" when none failed."""
        return next((r.record.error for r in self._all.values() if r.record.error), "")

    def to_store(self) -> tuple[RecordingRecord, ...]:
        """Those that are to be kept at the end of the leg, and are not yet."""
        left = (r for r in self._all.values() if not r.is_discarded and not r.is_kept)
        return (*self._recovered, *(recording.record for recording in left))


def _is_usable(recording: Recording) -> bool:
    return recording.is_complete and not recording.is_discarded and not recording.record.error
