"""A media worker process as the control process sees it: commands, events, its death.

Commands of one loop iteration go to it in one write, its events come back as calls of the
listeners. Commands that nobody hears wait a little for others, because waking a worker costs as
much as twenty packets.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence

from outdial import log
from outdial.clock import Clock
from outdial.config import Media
from outdial.errors import MediaUnavailable
from outdial.legs import (
    Digit,
    MediaLeg,
    MediaListener,
    MediaLost,
    NoRtp,
    PlayEnd,
    RecordingDone,
    SpeechBegan,
    SpeechHeard,
)
from outdial.media import wire
from outdial.media.leg import Leg
from outdial.media.rooms import Part

READY_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 3.0
REPORT_TIMEOUT_S = 2.0
WATCH_S = 4.0
"""How often a worker is asked whether it is still there."""
MISSES = 3
"""Questions without an answer after which it hangs; its calls have had no audio for that long."""
RESTART_DELAYS_S = (0.1, 0.5, 1.0, 2.0)
"""Before each try to start a dead worker again; the last one repeats."""
STEADY_S = 60.0
"""A worker that lived so long starts the delays over."""
PATIENCE_S = 0.005
"""So long a patient command waits for one that is not."""
PATIENT = frozenset({wire.OPEN, wire.START, wire.WATCH, wire.CLOSE})
"""The port is bound before OPEN, and START is mostly followed by a QUEUE, whose clip is then in the
first packet. Each command that wakes the worker took 55 µs there."""
FEW_PORTS = 128
"""With fewer left OPEN is urgent: it makes the worker bind more."""
MAX_BACKLOG_BYTES = 4 * 1024 * 1024
"""A worker that reads nothing for so many bytes of commands is taken for dead."""

COUNTERS = wire.Report._fields[wire.Report._fields.index("wakeups") :]
"""The fields of a report that only grow; those before say what there is now."""

_ENDS = {wire.FINISHED: PlayEnd.FINISHED, wire.STOPPED: PlayEnd.STOPPED}
_SOURCES = {wire.RFC4733: "rfc4733", wire.IN_BAND: "in-band"}

_log = log.get("media")


class Worker:
    """One worker process as the control process sees it, restarted when it dies."""

    def __init__(
        self,
        index: int,
        settings: Media,
        ports: tuple[int, int],
        clock: Clock,
        more: Sequence[str] = (),
    ) -> None:
        """`more`: further arguments of the process."""
        self.index = index
        self.address = settings.address
        self.shown_address = settings.public_address or settings.address
        """Where far ends are told to send."""
        self.legs: dict[int, Leg] = {}
        self.rooms: dict[int, Part] = {}
        """By number, which is one of a stream."""
        self.free_ports: deque[int] = deque()
        self.restarts = 0
        self._arguments = [settings.address, *map(str, ports), settings.country, *more]
        self._clock = clock
        self._next_stream = 1
        self._socket: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._deframer = wire.Deframer()
        self._commands: list[bytes] = []
        self._flush_soon = self._flush_later = False
        """Whether `_flush` has been asked of the loop."""
        self._backlog = b""
        self._ready = asyncio.Event()
        self._reports: deque[asyncio.Future[wire.Report | None]] = deque()
        self._stopping = False
        self._restarting: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._started_at = 0.0
        self._failures = 0
        self._last: wire.Report | None = None
        """What this process said last."""
        self._past = dict.fromkeys(COUNTERS, 0)
        """What the processes before this one had counted when they were last asked."""

    @property
    def alive(self) -> bool:
        """Whether commands reach a process."""
        return self._socket is not None

    @property
    def pid(self) -> int | None:
        """The process."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Starts the process and waits for its first ports. Raises MediaUnavailable."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise MediaUnavailable(f"a media worker cannot be started: {error}") from error
        try:
            ours.setblocking(False)
            self._ready.clear()
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "outdial.media.worker",
                str(theirs.fileno()),
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        except OSError as error:
            ours.close()
            raise MediaUnavailable(f"a media worker cannot be started: {error}") from error
        except asyncio.CancelledError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket = ours
        self._started_at = self._clock.monotonic()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._read)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._ready.wait()
        except TimeoutError:
            self._lose("the media worker did not become ready")
        if self._socket is None:
            raise MediaUnavailable("a media worker ended before it was ready")
        if not self.free_ports:
            raise MediaUnavailable(
                f"a media worker on {self.address} found no free pair of ports in"
                f" {self._arguments[1]}-{self._arguments[2]}"
            )

        self._watching = asyncio.get_running_loop().create_task(self._watch(ours))

    async def _watch(self, sock: socket.socket) -> None:
        """A process that is there and does nothing is replaced too (a stop, a dead loop)."""
        misses = 0
        while misses < MISSES:
            await asyncio.sleep(WATCH_S)
            report = await self.report()
            if self._socket is not sock:
                return
            misses = 0 if report is not None else misses + 1
        self._lose(f"the media worker gave no sign of life for {MISSES * WATCH_S:g} s")

    # ------------------------------------------------------------------ streams

    def open(self, leg_id: str, listener: MediaListener) -> Leg:
        """A stream on the next port. Raises MediaUnavailable."""
        if self._socket is None or not self.free_ports:
            raise MediaUnavailable("no media worker has a free port")
        port, number = self.free_ports.popleft(), self._new_number()
        leg = self.legs[number] = Leg(leg_id, self, number, port, listener)
        self.command(wire.OPEN, number, wire.pack_port(port))
        if len(self.free_ports) < FEW_PORTS:
            self._hurry()
        return leg

    def add_room(self, part: Part) -> int:
        """Makes a mix; gives its number."""
        if self._socket is None:
            raise MediaUnavailable("the media worker is not running")
        number = self._new_number()
        self.rooms[number] = part
        self.command(wire.ROOM, number)
        return number

    def number_of(self, leg: MediaLeg) -> int:
        """The leg's number; 0 when it does not live here."""
        return leg.number if isinstance(leg, Leg) and leg.worker is self else 0

    def _new_number(self) -> int:
        number = self._next_stream
        self._next_stream = number % 0xFFFFFFFE + 1
        return number

    def command(self, opcode: int, stream: int, payload: bytes = b"") -> None:
        """Sends a command together with the others of this loop iteration, a patient one later."""
        if self._socket is None:
            return
        self._commands.append(wire.frame(opcode, stream, payload))
        if opcode not in PATIENT:
            self._hurry()
        elif not (self._flush_soon or self._flush_later):
            self._flush_later = True
            asyncio.get_running_loop().call_later(PATIENCE_S, self._flush_patient)

    def _hurry(self) -> None:
        if not self._flush_soon:
            self._flush_soon = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush_patient(self) -> None:
        self._flush_later = False
        if self._commands and not self._flush_soon:
            self._flush()

    def _flush(self) -> None:
        self._flush_soon = False
        data = self._backlog + b"".join(self._commands)
        self._commands.clear()
        if self._socket is None:
            return
        loop = asyncio.get_running_loop()
        waiting = bool(self._backlog)
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose("the media worker's socket is closed")
            return
        self._backlog = data[sent:]
        if len(self._backlog) > MAX_BACKLOG_BYTES:
            self._lose("the media worker does not read its commands")
        elif self._backlog and not waiting:
            loop.add_writer(self._socket.fileno(), self._flush)
        elif waiting and not self._backlog:
            loop.remove_writer(self._socket.fileno())

    async def report(self) -> wire.Report | None:
        """The worker's counters; None from a dead one."""
        if self._socket is None:
            return None
        future: asyncio.Future[wire.Report | None] = asyncio.get_running_loop().create_future()
        self._reports.append(future)
        self.command(wire.REPORT, 0)
        try:
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                report = await future
        except TimeoutError:
            return None
        self._last = report or self._last
        return report

    def counted(self, name: str) -> int:
        """One of `COUNTERS`, with what dead processes had counted: it never falls."""
        return self._past[name] + (getattr(self._last, name) if self._last is not None else 0)

    # ------------------------------------------------------------------ events

    def _read(self) -> None:
        if self._socket is None:
            return
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose("the media worker died")
            return
        for opcode, stream, payload in self._deframer.feed(data):
            leg = self.legs.get(stream)
            if leg is not None:
                _EVENTS[opcode](self, leg, payload)
            elif stream in self.rooms:
                self._room_event(opcode, stream, payload)
            elif opcode == wire.PORTS:
                self.free_ports.extend(wire.unpack_ports(payload))
                self._ready.set()
            elif opcode == wire.REPORTED and self._reports:
                future = self._reports.popleft()
                if not future.done():
                    future.set_result(wire.unpack_report(payload))

    def _played(self, leg: Leg, payload: bytes) -> None:
        play, how = wire.unpack_played(payload)
        leg.played(play, _ENDS[how])

    def _digit(self, leg: Leg, payload: bytes) -> None:
        digit, source, duration_ms = wire.unpack_digit(payload)
        leg.tell(Digit(digit, _SOURCES[source], duration_ms))

    def _no_rtp(self, leg: Leg, payload: bytes) -> None:
        leg.tell(NoRtp(*wire.unpack_no_rtp(payload)))

    def _recorded(self, leg: Leg, payload: bytes) -> None:
        leg.tell(RecordingDone(*wire.unpack_recorded(payload)))

    def _speech_began(self, leg: Leg, payload: bytes) -> None:
        leg.tell(SpeechBegan())

    def _speech_heard(self, leg: Leg, payload: bytes) -> None:
        leg.tell(SpeechHeard(payload))

    def _room_event(self, opcode: int, number: int, payload: bytes) -> None:
        if opcode == wire.RECORDED:
            self.rooms[number].tell(RecordingDone(*wire.unpack_recorded(payload)))
        elif opcode == wire.CLOSED:
            self.rooms.pop(number).ended(wire.unpack_stats(payload))

    def _leg_closed(self, leg: Leg, payload: bytes) -> None:
        del self.legs[leg.number]
        leg.ended(wire.unpack_stats(payload))

    # ------------------------------------------------------------------ death

    def _disconnect(self) -> None:
        sock, self._socket = self._socket, None
        if sock is None:
            return
        self._past = {name: self.counted(name) for name in COUNTERS}
        self._last = None
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock.fileno())
        if self._backlog:
            loop.remove_writer(sock.fileno())
        sock.close()
        self._backlog = b""
        self._commands.clear()
        self._deframer = wire.Deframer()
        self.free_ports.clear()
        for future in self._reports:
            if not future.done():
                future.set_result(None)
        self._reports.clear()
        self._ready.set()

    def _lose(self, reason: str) -> None:
        """The process is gone or useless: its legs are told, and it is started again."""
        if self._socket is None:
            return
        self._disconnect()
        lost: list[Leg | Part] = [*self.legs.values(), *self.rooms.values()]
        self.legs, self.rooms = {}, {}
        for holder in lost:
            holder.ended(MediaLost(reason))
        if self._stopping:
            return
        _log.error("media worker lost", worker=self.index, pid=self.pid, reason=reason)
        if self._restarting is None or self._restarting.done():
            self._restarting = asyncio.get_running_loop().create_task(self._restart())

    async def _restart(self) -> None:
        if self._clock.monotonic() - self._started_at > STEADY_S:
            self._failures = 0
        while not self._stopping:
            await self._reap(0.0)
            delay = RESTART_DELAYS_S[min(self._failures, len(RESTART_DELAYS_S) - 1)]
            self._failures += 1
            await asyncio.sleep(delay)
            try:
                await self.start()
            except MediaUnavailable as error:
                _log.error("media worker not restarted", worker=self.index, reason=str(error))
                self._disconnect()
                continue
            self.restarts += 1
            _log.info("media worker restarted", worker=self.index, pid=self.pid)
            return

    async def _reap(self, patience_s: float) -> None:
        """Waits for the process to end by itself for so long, then kills it."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        try:
            async with asyncio.timeout(patience_s):
                await process.wait()
        except TimeoutError:
            try:
                process.kill()
            except ProcessLookupError:
                pass  # it ended by itself in the same turn of the loop
            await process.wait()

    async def stop(self) -> None:
        """Ends the process; its legs get their terminal event."""
        self._stopping = True
        work = [task for task in (self._restarting, self._watching) if task is not None]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        for leg in list(self.legs.values()):
            leg.close()
        self.command(wire.SHUTDOWN, 0)
        await self._reap(STOP_TIMEOUT_S)
        # What it said last is still in the socket.
        while self._socket is not None:
            self._read()


_EVENTS: dict[int, Callable[[Worker, Leg, bytes], None]] = {
    wire.PLAYED: Worker._played,
    wire.DIGIT: Worker._digit,
    wire.NO_RTP: Worker._no_rtp,
    wire.RECORDED: Worker._recorded,
    wire.CLOSED: Worker._leg_closed,
    wire.SPEECH_BEGAN: Worker._speech_began,
    wire.SPEECH_HEARD: Worker._speech_heard,
}
