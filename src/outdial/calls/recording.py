"""The recording of one leg."""

from __future__ import annotations

from outdial import ids
from outdial.calls.journal import Timeline
from outdial.calls.services import Services
from outdial.legs import MediaLeg, RecordingDone, RecordingPlan
from outdial.store.records import RecordingRecord


class Recording:
    """Both directions of a leg, left what the far end said and right what it heard."""

    __slots__ = ("_timeline", "record")

    def __init__(self, services: Services, timeline: Timeline, media: MediaLeg) -> None:
        """Starts it."""
        self._timeline = timeline
        sid = ids.new(ids.RECORDING)
        self.record = RecordingRecord(
            sid, timeline.sid, f"{sid}.wav", services.clock.now(), channels=2
        )
        media.record(RecordingPlan(sid, str(services.recordings / self.record.path)))
        timeline.note("recording.started", {"recording": sid})

    def done(self, event: RecordingDone) -> str:
        """It is complete on disk: its sid, or "" when it could not be written."""
        record = self.record
        if event.recording_id != record.sid:
            return ""
        record.duration_ms = event.duration_ms
        record.size_bytes = event.size_bytes
        record.error = event.error
        if event.error:
            self._timeline.note("recording.failed", {"recording": record.sid, "error": event.error})
            return ""
        self._timeline.note("recording.done", {"recording": record.sid, "ms": event.duration_ms})
        return record.sid
