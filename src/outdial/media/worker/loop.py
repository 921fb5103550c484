"""The worker's loop: commands from the control process, packets out on time, packets in."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable

from outdial.legs import MediaStats
from outdial.media import wire
from outdial.media.core import g711, rtp, tones
from outdial.media.core.dtmf import EventSender
from outdial.media.core.endpointing import Endpointer
from outdial.media.core.playlist import Sound
from outdial.media.worker.clips import Clips
from outdial.media.worker.housekeeping import NEVER, plan, watch
from outdial.media.worker.ports import Ports
from outdial.media.worker.recorder import Recorder
from outdial.media.worker.rooms import Room
from outdial.media.worker.slots import SLOT_S, Slots
from outdial.media.worker.slots import Stream as OnTheWheel
from outdial.media.worker.stream import Stream

READY_PORTS = 256
"""Bound ahead: a burst of calls must find enough, also while this process gets no processor."""
LOW_PORTS = 128
"""So few are left that more must come now; else they come with the next CLOSED, which wakes the
control process anyway."""
RELAY_SLICE_S = 0.004
"""While legs are bridged, arrivals are looked at this often: a whole batch a wake-up, because a
wake-up costs as much as ten relayed packets. Adds 2 ms of delay on average."""
READ_ROUNDS = 8
LAST_WORDS_S = 1.0
MOST_BACKLOG_BYTES = 8 * 1024 * 1024
"""Events a control process may leave unread before it is taken for dead."""

_PATIENT = frozenset({wire.PORTS, wire.CLOSED})
"""Events that wait for the next slot: the control process need not be woken for each of them."""

_LATENESS_S = (0.001, 0.002, 0.005, 0.010, 0.020)


class Worker:
    """One media worker process."""

    def __init__(self, control: socket.socket, ports: Ports, country: str) -> None:
        self._control = control
        self._country = country
        self._ports = ports
        self._clips = Clips()
        self._deframer = wire.Deframer()
        self._streams: dict[int, Stream] = {}
        self._rooms: dict[int, Room] = {}
        self._by_descriptor: dict[int, Stream] = {}
        self._arrivals = select.epoll()
        self._slots = Slots(time.monotonic())
        self._data = bytearray(rtp.MAX_PACKET)
        self._view = memoryview(self._data)
        self._events: list[bytes] = []
        self._urgent = False
        """An event among them must not wait."""
        self._wake_at = NEVER
        """When sockets and slots want to be looked at."""
        self._looked_at = 0.0
        """When the sockets were."""
        self._backlog = b""
        self._tones: dict[str, tones.Rendered] = {}
        self._recorder = Recorder()
        self._unwritten: dict[int, int] = {}
        """Recordings that are not finished on disk, by stream."""
        self._closing: dict[int, MediaStats] = {}
        """Closed streams whose last event waits for their recordings."""
        self._starting: list[Stream] = []
        self._bridged = 0
        self._running = True
        self._relayed = self._wakeups = self._skipped = 0
        # of streams that are closed: totals must not sink when a call ends
        self._sent_before = self._received_before = self._send_errors_before = 0
        self._late = [0] * (len(_LATENESS_S) + 1)
        self._commands: dict[int, Callable[[int, bytes], None]] = {
            wire.OPEN: self._open,
            wire.START: self._start,
            wire.UPDATE: self._update,
            wire.QUEUE: self._queue,
            wire.TONE: self._tone,
            wire.DIGITS: self._digits,
            wire.STOP: self._stop,
            wire.BRIDGE: self._bridge,
            wire.UNBRIDGE: self._unbridge,
            wire.RECORD: self._record,
            wire.STOP_RECORDING: self._stop_recording,
            wire.WATCH: self._watch,
            wire.CLOSE: self._close,
            wire.REPORT: self._report,
            wire.SHUTDOWN: self._shutdown,
            wire.ROOM: self._room,
            wire.JOIN: self._join,
            wire.LEAVE: self._leave,
            wire.MUTE: self._mute,
            wire.CUE: self._cue,
            wire.HUSH: self._hush,
            wire.PAUSE_RECORDING: self._pause_recording,
            wire.LISTEN: self._listen,
            wire.STOP_LISTENING: self._stop_listening,
        }

    def run(self) -> None:
        """Works until SHUTDOWN or until the control process is gone."""
        monotonic, wait = time.monotonic, select.select
        controls: list[socket.socket | int] = [self._control, self._recorder.wake]
        self._announce()
        self._flush()
        while self._running:
            writing = controls[:1] if self._backlog else ()
            readable, _, _ = wait(controls, writing, (), self._pause(monotonic()))
            self._wakeups += 1
            self._skip_stall(monotonic())
            if readable:
                if self._control in readable:
                    self._read_commands()
                if self._recorder.wake in readable:
                    self._tell_recorded()
            ran = False
            now = monotonic()
            # Not when a command came in between: a look at the sockets costs as much as 3 packets.
            if now >= self._wake_at:
                self._read_arrivals(now)
                ran = self._run_slots(now)
            if self._urgent or self._backlog or (self._events and (ran or not self._slots.count)):
                self._flush()
        now = time.monotonic()
        for room in self._rooms.values():
            room.close(now)
        for stream in self._streams.values():
            stream.close(now)
        self._recorder.stop()
        self._tell_recorded()
        # The last words may wait for the control process.
        self._control.settimeout(LAST_WORDS_S)
        self._flush()

    def _pause(self, now: float) -> float | None:
        """Seconds until there is something to do; None: until a command comes."""
        wake = self._slots.next_at()
        if wake is None:
            self._wake_at = NEVER
            return None
        if self._bridged:
            wake = min(wake, max(now, self._looked_at + RELAY_SLICE_S))
        self._wake_at = wake
        return max(0.0, wake - now)

    # ------------------------------------------------------------------ the clock

    def _run_slots(self, now: float) -> bool:
        """Sends what is due now; False when nothing was.

        What comes due meanwhile waits for the next round: a worker with more streams than it can
        serve still reads its commands.
        """
        monotonic, slots, late, began = time.monotonic, self._slots, self._late, now
        ran = False
        while (batch := slots.due(began)) is not None:
            ran = True
            streams, late_s = batch
            if late_s >= _LATENESS_S[0]:
                self._note_late(streams, late_s)
            else:
                late[0] += 1
            for stream in streams:
                stream.tick(now)
            now = monotonic()
        return ran

    def _note_late(self, streams: list[OnTheWheel], late_s: float) -> None:
        bins = sum(late_s >= limit for limit in _LATENESS_S)
        self._late[bins] += 1
        for stream in streams:
            if late_s * 16000 > stream.samples:
                stream.ticks_late += 1

    def _skip_stall(self, now: float) -> None:
        """After a long stall: the time is lost, and the timestamps say so."""
        slots = self._slots.skip(now)
        if not slots:
            return
        self._skipped += slots
        for stream in self._streams.values():
            if stream.started:
                stream.skip(round(slots * SLOT_S * g711.RATE_HZ))

    def _read_arrivals(self, now: float) -> None:
        by_descriptor, data, view = self._by_descriptor, self._data, self._view
        arrival = int(now * g711.RATE_HZ)
        self._looked_at = now
        poll, most = self._arrivals.poll, len(by_descriptor) or 1
        relayed = 0
        # One datagram a stream and round: a burst is read in time, yet a flood on one stream
        # cannot delay the others; what does not fit the socket's buffer the kernel drops.
        for _ in range(READ_ROUNDS):
            ready = poll(0, most)
            if not ready:
                break
            for descriptor, _events in ready:
                relayed += by_descriptor[descriptor].receive(data, view, now, arrival)
        self._relayed += relayed

    # ------------------------------------------------------------------ the control process

    def _emit(self, opcode: int, stream: int, payload: bytes) -> None:
        self._events.append(wire.frame(opcode, stream, payload))
        if opcode not in _PATIENT:
            self._urgent = True

    def _flush(self) -> None:
        """Sends the events; what a busy control process does not take now waits."""
        data = self._backlog + b"".join(self._events)
        self._events.clear()
        self._urgent = False
        try:
            self._backlog = data[self._control.send(data) :]
        except BlockingIOError:
            self._backlog = data
        except OSError:
            self._running = False
        if len(self._backlog) > MOST_BACKLOG_BYTES:
            self._running = False

    def _announce(self) -> None:
        """Binds ports ahead and tells of them."""
        new = self._ports.fill(READY_PORTS)
        if new:
            self._emit(wire.PORTS, 0, wire.pack_ports(new))

    def _read_commands(self) -> None:
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._running = False
            return
        for opcode, number, payload in self._deframer.feed(data):
            self._commands[opcode](number, payload)
        for stream in self._starting:
            now = time.monotonic()
            stream.tick(now)
            self._slots.insert(stream, now)
        self._starting.clear()

    def _open(self, number: int, payload: bytes) -> None:
        (port,) = wire.unpack_ports(payload)
        rtp_socket, control = self._ports.take(port)
        self._streams[number] = Stream(number, port, rtp_socket, control, self._emit)
        if len(self._ports.free) < LOW_PORTS:
            self._announce()
            self._urgent = True

    def _start(self, number: int, payload: bytes) -> None:
        stream = self._streams[number]
        if stream.started:
            self._update(number, payload)
            return
        now = time.monotonic()
        stream.configure(wire.unpack_params(payload), now)
        stream.started, stream.started_at = True, now
        descriptor = stream.fileno()
        self._by_descriptor[descriptor] = stream
        self._arrivals.register(descriptor, select.EPOLLIN)
        # After the commands that came with it: the first packet may be of a clip then.
        self._starting.append(stream)

    def _update(self, number: int, payload: bytes) -> None:
        self._streams[number].configure(wire.unpack_params(payload), time.monotonic())

    def _play(self, stream: Stream, item: Sound | EventSender, *, at_once: bool = False) -> None:
        """Queues the item; on a stream that is idle it begins now, not at the next tick."""
        idle = stream.playlist.current is None
        if not stream.sound_at and isinstance(item, Sound):
            stream.sound_at = time.monotonic()
        if at_once and isinstance(item, EventSender):
            stream.playlist.interject(item)
        else:
            stream.playlist.add(item)
        if idle and stream.started and stream not in self._starting:
            now = time.monotonic()
            due = self._slots.remove(stream)
            if stream.begin_early(due - now):
                stream.tick(now)
                self._slots.insert(stream, now)
            else:
                self._slots.insert_at(stream, due)

    def _queue(self, number: int, payload: bytes) -> None:
        play, loops, (ulaw, alaw) = wire.unpack_play(payload, 2)
        try:
            identity, view = self._clips.identified(ulaw)
            sound = Sound(play, view, self._clips.get(alaw), loops, key=identity)
        except OSError:
            sound = Sound(play, memoryview(b""), memoryview(b""), 1)
        self._play(self._streams[number], sound)

    def _tone(self, number: int, payload: bytes) -> None:
        play, _, (name,) = wire.unpack_play(payload, 1)
        sound = self._rendered(name)
        loops = 0 if tones.find(name, self._country).endless else 1
        item = Sound(
            play,
            memoryview(sound.ulaw),
            memoryview(sound.alaw),
            loops,
            gives_way=name.partition(":")[0] == "ringback",
            key=name,
        )
        self._play(self._streams[number], item)

    def _rendered(self, name: str) -> tones.Rendered:
        key = name if ":" in name else f"{name}:{self._country}"
        if key not in self._tones:
            self._tones[key] = tones.render(tones.find(name, self._country))
        return self._tones[key]

    def _digits(self, number: int, payload: bytes) -> None:
        play, loops, (text,) = wire.unpack_play(payload, 1)
        self._play(self._streams[number], EventSender(text, play), at_once=not loops)

    def _stop(self, number: int, payload: bytes) -> None:
        self._streams[number].stop_playing()

    def _bridge(self, number: int, payload: bytes) -> None:
        self._streams[number].bridge(self._streams[wire.unpack_stream(payload)])
        self._count_bridged()

    def _unbridge(self, number: int, payload: bytes) -> None:
        self._streams[number].unbridge()
        self._count_bridged()

    def _count_bridged(self) -> None:
        self._bridged = sum(stream.peer is not None for stream in self._streams.values())

    def _room(self, number: int, payload: bytes) -> None:
        room = self._rooms[number] = Room(number)
        self._slots.insert(room, time.monotonic())

    def _join(self, number: int, payload: bytes) -> None:
        room, muted, hears_cues = wire.unpack_join(payload)
        self._rooms[room].join(self._streams[number], muted=muted, hears_cues=hears_cues)
        self._count_bridged()

    def _leave(self, number: int, payload: bytes) -> None:
        self._streams[number].leave()

    def _mute(self, number: int, payload: bytes) -> None:
        self._streams[number].mute(wire.unpack_mute(payload))

    def _hush(self, number: int, payload: bytes) -> None:
        self._streams[number].hush(wire.unpack_mute(payload))

    def _cue(self, number: int, payload: bytes) -> None:
        name, unheard_by = wire.unpack_cue(payload)
        self._rooms[number].cue(self._rendered(name).ulaw, self._streams.get(unheard_by))

    def _record(self, number: int, payload: bytes) -> None:
        stream, now = self._holder(number), time.monotonic()
        stream.recordings.append(self._recorder.begin(number, wire.unpack_record(payload), now))
        self._unwritten[number] = self._unwritten.get(number, 0) + 1
        if isinstance(stream, Stream):
            plan(stream, now)

    def _holder(self, number: int) -> Stream | Room:
        """Who has recordings under this number."""
        return self._streams.get(number) or self._rooms[number]

    def _stop_recording(self, number: int, payload: bytes) -> None:
        stream = self._holder(number)
        (recording_id,) = wire.unpack_text(payload, 0, 1)
        for recording in [r for r in stream.recordings if r.order.recording_id == recording_id]:
            recording.hand_over(time.monotonic(), last=True)
            stream.recordings.remove(recording)

    def _pause_recording(self, number: int, payload: bytes) -> None:
        recording_id, paused = wire.unpack_pause(payload)
        for recording in self._holder(number).recordings:
            if recording.order.recording_id == recording_id:
                recording.paused = paused

    def _tell_recorded(self) -> None:
        for number, done in self._recorder.take_finished():
            self._emit(wire.RECORDED, number, wire.pack_recorded(done))
            self._unwritten[number] -= 1
            if not self._unwritten[number]:
                del self._unwritten[number]
                stats = self._closing.pop(number, None)
                if stats is not None:
                    self._emit(wire.CLOSED, number, wire.pack_stats(stats))

    def _watch(self, number: int, payload: bytes) -> None:
        watch(self._streams[number], wire.unpack_seconds(payload), time.monotonic())

    def _listen(self, number: int, payload: bytes) -> None:
        self._streams[number].endpointer = Endpointer(wire.unpack_seconds(payload))

    def _stop_listening(self, number: int, payload: bytes) -> None:
        self._streams[number].endpointer = None

    def _close(self, number: int, payload: bytes) -> None:
        if number in self._rooms:
            room = self._rooms.pop(number)
            self._slots.remove(room)
            room.close(time.monotonic())
            self._closed(number, MediaStats(ticks_late=room.ticks_late))
            return
        stream = self._streams.pop(number)
        if stream.recordings:
            # What was said last has come, but was not read.
            self._read_arrivals(time.monotonic())
        if stream.started:
            if stream in self._starting:
                self._starting.remove(stream)
            else:
                self._slots.remove(stream)
            # Closing the socket takes it out of the epoll set.
            del self._by_descriptor[stream.fileno()]
        stream.close(time.monotonic())
        self._sent_before += stream.sent
        self._received_before += stream.reception.received
        self._send_errors_before += stream.send_errors
        if self._bridged:
            self._count_bridged()
        self._closed(number, stream.stats())
        self._announce()

    def _closed(self, number: int, stats: MediaStats) -> None:
        """Tells the end of a stream or a room, after that of its recordings."""
        if number in self._unwritten:
            self._closing[number] = stats
        else:
            self._emit(wire.CLOSED, number, wire.pack_stats(stats))

    def _report(self, number: int, payload: bytes) -> None:
        self._read_arrivals(time.monotonic())
        streams, ready = list(self._streams.values()), len(self._ports.free)
        report = wire.Report(
            streams=len(streams),
            started=sum(stream.started for stream in streams),
            bridged=self._bridged,
            ports_ready=ready,
            recordings=sum(self._unwritten.values()),
            open_clips=len(self._clips),
            descriptors=len(os.listdir("/proc/self/fd")) - 2 * ready - len(self._clips),
            wakeups=self._wakeups,
            packets_sent=sum((stream.sent for stream in streams), self._sent_before),
            packets_received=sum(
                (stream.reception.received for stream in streams), self._received_before
            ),
            packets_relayed=self._relayed,
            send_errors=sum((stream.send_errors for stream in streams), self._send_errors_before),
            slots_skipped=self._skipped,
            late_1ms=self._late[0],
            late_2ms=self._late[1],
            late_5ms=self._late[2],
            late_10ms=self._late[3],
            late_20ms=self._late[4],
            late_more=self._late[5],
        )
        self._emit(wire.REPORTED, number, wire.pack_report(report))

    def _shutdown(self, number: int, payload: bytes) -> None:
        self._running = False
