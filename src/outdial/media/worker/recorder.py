"""Recording to WAV: the loop collects packets, a thread of its own writes them.

So a slow disk never delays a packet. The loop hands over what has passed every half second; the
thread decodes it, lays it on the time line, fills gaps with silence and writes 16-bit PCM.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from queue import SimpleQueue
from struct import Struct
from typing import Final, NamedTuple

from outdial.media.core import g711, pcm
from outdial.media.core.timeline import Timeline
from outdial.media.wire import Recorded, RecordOrder
from outdial.stored_file import PlainFile, Seal, create

HAND_OVER_S: Final = 0.5
WAIT_SAMPLES: Final = 2400
"""A packet may come 0.3 s late and still find its place."""
MOST_WAITING_BYTES: Final = 2_000_000
"""About two minutes of both directions; a disk that is further behind ends the recording."""
HAND_OVER_LISTENING_S: Final = 0.2
"""The same for a recording that silence ends: so much later is that noticed."""
SOUND_RMS: Final = 200
"""Of 16-bit samples, about -41 dBm0: speech is louder, the noise of a line is not."""
LISTEN_SAMPLES: Final = 800
"""A tenth of a second is sound or silence as a whole."""
HEADER_EVERY_BYTES: Final = 160_000
"""How often the header is brought up to date, so that a killed worker leaves a file that plays."""

_WAV: Final = Struct("<4sI4s4sIHHIIHH4sI")
_Piece = tuple[int, int, bytes]
"""Position, payload type, payload."""


class Batch(NamedTuple):
    """What the thread is to do: write everything before `until`, and perhaps finish."""

    recording: Recording
    far: list[_Piece]
    near: list[_Piece]
    until: int
    last: bool


class Recording:
    """One recording, as the loop sees it."""

    __slots__ = (
        "_began",
        "_every_s",
        "_far",
        "_far_line",
        "_near",
        "_near_line",
        "_recorder",
        "enough",
        "handed_bytes",
        "next_at",
        "order",
        "paused",
        "stream",
        "writer",
        "written_bytes",
    )

    def __init__(self, recorder: Recorder, stream: int, order: RecordOrder, now: float) -> None:
        self.order = order
        self.stream = stream
        self._every_s = HAND_OVER_LISTENING_S if order.silence_s else HAND_OVER_S
        self.next_at = now + self._every_s
        self.handed_bytes = 0
        """Given to the thread, in all; counted by the loop."""
        self.written_bytes = 0
        """Done with; counted by the thread."""
        self.enough = False
        """Set by the thread: it cannot be written, or silence ended it."""
        self.paused = False
        """What is said is left out: where there are no packets, silence is written."""
        self.writer = _Writer(order)
        """The thread's own."""
        self._recorder = recorder
        self._began = now
        self._far_line, self._near_line = Timeline(), Timeline()
        self._far: list[_Piece] = []
        self._near: list[_Piece] = []

    def heard(self, timestamp: int, payload_type: int, payload: bytes, now: float) -> None:
        """A packet from the far end."""
        if self.paused:
            return
        place = self._far_line.place(timestamp, int((now - self._began) * g711.RATE_HZ))
        self._far.append((place, payload_type, payload))

    def said(self, timestamp: int, payload_type: int, payload: bytes, now: float) -> None:
        """A packet of ours."""
        if self.paused:
            return
        place = self._near_line.place(timestamp, int((now - self._began) * g711.RATE_HZ))
        self._near.append((place, payload_type, payload))

    def restart_far(self) -> None:
        """The far end's stream began anew."""
        self._far_line.reset()

    def hand_over(self, now: float, *, last: bool = False) -> bool:
        """Passes on what has been collected; True when the recording is over by itself."""
        here = int((now - self._began) * g711.RATE_HZ)
        longest = int(self.order.max_duration_s * g711.RATE_HZ)
        over = last or here >= longest or self.enough
        until = min(here, longest) if over else here - WAIT_SAMPLES
        size = _size(self._far) + _size(self._near)
        if self.handed_bytes - self.written_bytes + size > MOST_WAITING_BYTES:
            self._far, self._near, over = [], [], True
            self.writer.error = self.writer.error or "the disk is too slow"
            size = 0
        self.handed_bytes += size
        self._recorder.batches.put(Batch(self, self._far, self._near, until, over))
        self._far, self._near = [], []
        self.next_at = now + self._every_s
        return over


class _Writer:
    """The file of one recording. Used by the thread alone."""

    __slots__ = (
        "_far",
        "_file",
        "_header_at",
        "_near",
        "_order",
        "_quiet_from",
        "_size",
        "_sound",
        "_written",
        "error",
        "fell_silent",
    )

    def __init__(self, order: RecordOrder) -> None:
        self._order = order
        self._file: PlainFile | None = None
        self._written = 0
        """Samples a channel."""
        self._size = 0
        """Bytes of sound on disk."""
        self._header_at = 0
        self._far: list[_Piece] = []
        self._near: list[_Piece] = []
        self._sound = 0
        """Samples of the far end that were louder than silence."""
        self._quiet_from = 0
        """Where the last of them was."""
        self.fell_silent = False
        """The far end was silent for as long as it may be: what follows is not written."""
        self.error = ""

    def write(self, batch: Batch) -> None:
        """Writes all up to `until`; errors are kept for the end."""
        self._far += batch.far
        self._near += batch.near
        if batch.until <= self._written or self.error or self.fell_silent:
            return
        try:
            if self._file is None:
                self._file = self._open()
            count = batch.until - self._written
            far, self._far = self._mix(self._far, count)
            far = self._listen(far)
            if self._order.channels == 2:
                near, self._near = self._mix(self._near, len(far) // 2)
                far = pcm.stereo(far, near)
            else:
                self._near = []
            self._put(self._file, far)
            self._written = batch.until
        except OSError as error:
            self.error = f"the recording cannot be written: {error.strerror}"

    def _open(self) -> PlainFile:
        order = self._order
        seal = Seal(order.seal_head, order.seal_key) if order.seal_head else None
        file = create(order.path, seal)
        file.append(self._header())
        return file

    def _mix(self, pieces: list[_Piece], count: int) -> tuple[bytes, list[_Piece]]:
        """`count` samples of a channel, and the pieces that belong to later."""
        start, end = self._written, self._written + count
        sound = bytearray(2 * count)
        later = []
        for piece in pieces:
            place, payload_type, payload = piece
            if place + len(payload) > end:
                later.append(piece)
            if place >= end or place + len(payload) <= start:
                continue
            samples = g711.decode(payload, payload_type)
            if place < start:
                samples, place = samples[2 * (start - place) :], start
            at = 2 * (place - start)
            samples = samples[: len(sound) - at]
            sound[at : at + len(samples)] = samples
        return bytes(sound), later

    def _listen(self, far: bytes) -> bytes:
        """Counts the sound in it; what there is up to the silence that ends the recording."""
        for at in range(0, len(far), 2 * LISTEN_SAMPLES):
            piece = far[at : at + 2 * LISTEN_SAMPLES]
            if pcm.audioop.rms(piece, 2) >= SOUND_RMS:
                self._sound += len(piece) // 2
                self._quiet_from = self._written + (at + len(piece)) // 2
        most = self._quiet_from + int(self._order.silence_s * g711.RATE_HZ)
        self.fell_silent = bool(self._order.silence_s) and self._written + len(far) // 2 >= most
        return far[: 2 * (most - self._written)] if self.fell_silent else far

    def _put(self, file: PlainFile, data: bytes) -> None:
        try:
            file.append(data)
        finally:
            self._size = max(0, file.size - _WAV.size)
        # who reads a sealed one asks us, and does not need the header to be right before the end
        if file.seal is None and self._size - self._header_at >= HEADER_EVERY_BYTES:
            file.put(self._header())
            self._header_at = self._size

    def _header(self) -> bytes:
        """Canonical 44 bytes: RIFF, fmt for PCM, data."""
        channels = self._order.channels
        frame = 2 * channels
        size = self._size - self._size % frame
        return _WAV.pack(
            b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, channels,
            g711.RATE_HZ, g711.RATE_HZ * frame, frame, 16, b"data", size,
        )  # fmt: skip

    def finish(self) -> Recorded:
        """Closes the file, with a right header whatever happened."""
        frame = 2 * self._order.channels
        self._size -= self._size % frame
        try:
            if self._file is None and not self.error:
                self._file = self._open()
            if self._file is not None:
                # A write that the full disk cut short may have left half a frame.
                self._file.cut(_WAV.size + self._size)
                self._file.put(self._header())
        except OSError as error:
            self.error = self.error or f"the recording cannot be written: {error.strerror}"
        finally:
            if self._file is not None:
                self._file.close()
                self._file = None
        size_bytes = self._size + _WAV.size if not self.error or self._size else 0
        duration_ms = self._size // frame // 8
        return Recorded(
            self._order.recording_id,
            self._order.path,
            duration_ms,
            size_bytes,
            self.error,
            self._sound * 1000 // g711.RATE_HZ,
        )


def _size(pieces: list[_Piece]) -> int:
    return sum(len(payload) for _, _, payload in pieces)


class Recorder:
    """The writing thread, started with the first recording."""

    def __init__(self) -> None:
        self.batches: SimpleQueue[Batch | None] = SimpleQueue()
        self.finished: deque[tuple[int, Recorded]] = deque()
        """Stream and outcome, in the order they ended; taken by the loop after `wake` fired."""
        self.wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable when something has finished."""
        self._thread: threading.Thread | None = None

    def begin(self, stream: int, order: RecordOrder, now: float) -> Recording:
        """A new recording."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
            self._thread.start()
        return Recording(self, stream, order, now)

    def take_finished(self) -> list[tuple[int, Recorded]]:
        """What has ended since the last time."""
        try:
            os.eventfd_read(self.wake)
        except BlockingIOError:
            pass
        done = []
        while self.finished:
            done.append(self.finished.popleft())
        return done

    def _run(self) -> None:
        while (batch := self.batches.get()) is not None:
            recording = batch.recording
            recording.writer.write(batch)
            recording.written_bytes += _size(batch.far) + _size(batch.near)
            recording.enough = bool(recording.writer.error) or recording.writer.fell_silent
            if batch.last:
                self.finished.append((recording.stream, recording.writer.finish()))
                os.eventfd_write(self.wake, 1)

    def stop(self, patience_s: float = 2.0) -> None:
        """Lets the thread write what it has."""
        if self._thread is not None:
            self.batches.put(None)
            self._thread.join(patience_s)
