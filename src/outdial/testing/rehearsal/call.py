"""A call as a test sees it: what was said and played, which verbs ran, who was told of what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outdial.frozen import frozen
from outdial.store.records import CallRecord, DeliveryRecord, EventRecord
from outdial.testing.audio import Sound as Audio
from outdial.testing.audio import read_wav
from outdial.testing.rehearsal.sounds import MESSAGE, PLAY, SAY, TONE
from outdial.webhooks.payloads import duration_s

if TYPE_CHECKING:
    from outdial.testing.rehearsal.archive import Archive
    from outdial.testing.rehearsal.rehearsal import Rehearsal
    from outdial.testing.rehearsal.stage import Request


@frozen
class Callback:
    """A status callback."""

    event: str
    """initiated, ringing, answered or completed."""
    url: str
    method: str
    params: dict[str, str]
    state: str
    """done: delivered; pending: it will be tried again; dead: given up."""
    status: int | None
    """Of the receiver's last answer."""
    attempts: int

    @classmethod
    def of(cls, record: DeliveryRecord) -> Callback:
        """The callback of a row."""
        return cls(
            *(record.event, record.url, record.method, dict(record.params)),
            *(record.state, record.last_status, record.attempts),
        )


@frozen
class Recording:
    """A recording of a call."""

    sid: str
    path: Path
    seconds: float
    error: str
    """Why it could not be written; "" when it was."""

    @property
    def audio(self) -> list[Audio]:
        """Its channels: what the far end said, and for a whole call what it heard."""
        return read_wav(self.path)


class Call:
    """One leg. Everything is as it stands when it is asked for, also while the call goes on."""

    def __init__(self, rehearsal: Rehearsal, archive: Archive, sid: str) -> None:
        self._rehearsal = rehearsal
        self._archive = archive
        self.sid = sid

    def __repr__(self) -> str:
        record = self.record
        return (
            f"<Call from {record.from_number} to {record.to_number}: {self.outcome or self.state}>"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and other.sid == self.sid

    def __hash__(self) -> int:
        return hash(self.sid)

    # ------------------------------------------------------------------ letting it go on

    def wait_until_over(self, within_s: float = 600.0) -> Call:
        """Lets time pass until the call, its legs and its phones are done and all were told.

        Raises ScriptFailed when a phone could not do what it was to do, StillGoingOn.
        """
        __tracebackhide__ = True
        self._rehearsal.wait_for(self, within_s)
        return self

    def hang_up(self) -> None:
        """Ends it, as the API does."""
        self._rehearsal.post(f"/v1/calls/{self.sid}", {"hangup": True})

    # ------------------------------------------------------------------ how it went

    @property
    def record(self) -> CallRecord:
        """The server's row."""
        return self._archive.record(self.sid)

    @property
    def state(self) -> str:
        """queued, dialling, ringing, answered or completed."""
        return self.record.state

    @property
    def outcome(self) -> str:
        """completed, busy, no-answer, failed or canceled; "" while it goes on."""
        return self.record.outcome or ""

    @property
    def cause(self) -> str:
        """Why it ended: docs/reference/causes.md; "" while it goes on."""
        return self.record.cause or ""

    @property
    def hung_up_by(self) -> str:
        """callee, caller, application, carrier or outdial; "" while it goes on."""
        return self.record.hangup_source or ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.record.ended_at is not None

    @property
    def duration_s(self) -> int:
        """From the answer to the end, in whole seconds, as callbacks tell it."""
        return duration_s(self.record)

    @property
    def to(self) -> str:
        """Who was called."""
        return self.record.to_number

    @property
    def from_(self) -> str:
        """Who called."""
        return self.record.from_number

    @property
    def legs(self) -> list[Call]:
        """The legs that it dialled: Number and Sip of Dial, the second party of click-to-call."""
        return [
            self._rehearsal.call_of(leg.sid)
            for leg in self._archive.all(self.sid)
            if leg.sid != self.sid
        ]

    # ------------------------------------------------------------------ what the person heard

    @property
    def said(self) -> list[str]:
        """The texts that were spoken, as they were given to Say, also those that were cut short."""
        return self._played(SAY)

    @property
    def played(self) -> list[str]:
        """The URLs of the sound files that were played."""
        return self._played(PLAY)

    @property
    def tones(self) -> list[str]:
        """The tones: ringback, beep, hold."""
        return self._played(TONE)

    @property
    def messages_played(self) -> int:
        """How often a recorded message was played back to its speaker."""
        return len(self._played(MESSAGE))

    def _played(self, kind: str) -> list[str]:
        utterances = self._archive.utterances(self.sid)
        return [one.text for one in utterances if one.kind == kind]

    # ------------------------------------------------------------------ what the application did

    @property
    def timeline(self) -> list[EventRecord]:
        """Everything that happened: docs/reference/timeline.md."""
        return self._archive.timeline(self.sid)

    @property
    def verbs(self) -> list[str]:
        """The verbs that ran, in order, those inside of a Gather too."""
        return [str(data["verb"]) for data in self._noted("verb.started")]

    @property
    def warnings(self) -> list[str]:
        """What was guessed, changed or skipped in documents and by verbs."""
        kinds = ("document.warning", "verb.warning", "warning", "document.failed")
        return [
            str(event.data.get("message") or event.data.get("text") or event.data.get("problem"))
            for event in self.timeline
            if event.kind in kinds
        ]

    @property
    def requests(self) -> list[Request]:
        """What was asked for on its behalf, callbacks too: documents, actions, notifications."""
        return self._archive.requests(self.sid)

    @property
    def callbacks(self) -> list[Callback]:
        """Who was told of what, in the order it happened."""
        return [Callback.of(one) for one in self._archive.deliveries(self.sid)]

    @property
    def recordings(self) -> list[Recording]:
        """Its recordings that were kept, oldest first."""
        return [
            Recording(one.sid, self._archive.path_of(one), (one.duration_ms or 0) / 1000, one.error)
            for one in self._archive.recordings(self.sid)
        ]

    @property
    def story(self) -> str:
        """The timeline of the call and its legs, with what the phones heard, for people."""
        return self._archive.story([self.sid])

    def _noted(self, kind: str) -> list[Any]:
        return [event.data for event in self.timeline if event.kind == kind]
