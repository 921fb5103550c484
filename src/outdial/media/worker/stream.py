"""One RTP stream: what is sent every packet time, and what becomes of each packet that arrives.

The two hot functions are `tick` and `receive`; everything else happens a few times a call.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from outdial.legs import Direction, MediaKeys, MediaParams, MediaStats
from outdial.media import wire
from outdial.media.core import g711, reception, rtp, tones
from outdial.media.core.dtmf import EVENT_UNITS, EventReceiver, EventSender, Heard
from outdial.media.core.inband import InBandReceiver
from outdial.media.core.playlist import DigitSound, Playlist, Sound
from outdial.media.core.transcoding import LAW
from outdial.media.worker.edge import Edge, coding_of
from outdial.media.worker.learning import Learning, open_again
from outdial.media.worker.recorder import Recording
from outdial.media.worker.reports import Reports

if TYPE_CHECKING:
    from outdial.media.core.endpointing import Endpointer
    from outdial.media.core.mix import Member
    from outdial.media.worker.rooms import Room
    from outdial.media.worker.srtp import Context, SecureSocket

RELAY_QUIET_S: Final = 0.1
"""A bridged far end that sends nothing for so long is replaced by silence."""
UNSPECIFIED: Final = ("0.0.0.0", "::")
EVENT_SILENCE_S: Final = 0.15
"""A telephone event whose end was lost is over when nothing came for so long."""
MOST_AHEAD_S: Final = 0.06
NEVER: Final = float("inf")

_UINT32: Final = 0xFFFFFFFF
_PACK = rtp.HEADER.pack_into
_UNPACK = rtp.HEADER.unpack_from

Emit = Callable[[int, int, bytes], None]


class Stream:
    """A stream from OPEN to CLOSE. `emit(opcode, stream, payload)` tells the control process."""

    __slots__ = (
        "ahead",
        "arrived_at",
        "due",
        "edge",
        "emit",
        "endpointer",
        "events",
        "fresh",
        "heard",
        "hushed",
        "idle",
        "in_band",
        "learning",
        "listening",
        "marker",
        "member",
        "packet",
        "params",
        "peer",
        "playlist",
        "port",
        "pt",
        "reception",
        "recordings",
        "refused",
        "relayed_at",
        "reports",
        "room",
        "rtp",
        "samples",
        "send",
        "send_errors",
        "sends",
        "sent",
        "sequence",
        "sequence_offset",
        "sound_at",
        "srtp",
        "ssrc",
        "started",
        "started_at",
        "stream",
        "ticks_late",
        "timestamp",
        "timestamp_offset",
        "told_at",
        "transmit",
        "watch_from",
        "watch_s",
    )

    def __init__(
        self, stream: int, port: int, rtp_socket: socket.socket, control: socket.socket, emit: Emit
    ) -> None:
        self.stream = stream
        self.port = port
        self.rtp: socket.socket | SecureSocket = rtp_socket
        self.srtp: Context | None = None
        self.reports = Reports(control)
        self.emit = emit
        self.started = False
        self.started_at = 0.0
        self.sound_at = 0.0
        """When the first sound was queued; 0: none was."""
        self.params: MediaParams | None = None
        self.playlist = Playlist()
        self.reception = reception.Reception()
        self.events = EventReceiver()
        self.learning: Learning | None = None
        self.peer: Stream | None = None
        self.room: Room | None = None
        self.member: Member | None = None
        """What the stream is in its room."""
        self.recordings: list[Recording] = []
        self.in_band: InBandReceiver | None = None
        self.endpointer: Endpointer | None = None
        """Set while somebody wants to know what is said."""
        self.packet = bytearray(rtp.HEADER_BYTES)
        self.transmit: Callable[[bytes | bytearray | memoryview], int] = rtp_socket.send
        """Puts a packet on its way."""
        self.edge: Edge | None = None
        """Set while the codec is not G.711."""
        self.send: Callable[[bytes | bytearray | memoryview], int] = rtp_socket.send
        """Takes a packet of G.711 or an event: `transmit`, or what turns it into the codec."""
        self.sends = self.listening = False
        self.hushed = False
        """What the far end says is neither passed on nor recorded."""
        self.heard = False
        """Listening and not hushed."""
        self.pt = rtp.PCMU
        self.samples = 160
        self.ssrc = random.getrandbits(32)
        self.sequence = random.getrandbits(15)
        self.timestamp = random.getrandbits(32)
        self.sequence_offset = self.timestamp_offset = 0
        self.marker = rtp.MARKER
        self.idle = False
        """The payload in `packet` is silence already."""
        self.fresh = True
        """The next relayed packet sets the offsets anew."""
        self.relayed_at = 0.0
        self.ahead = 0.0
        """Seconds by which our packets run ahead of the clock, from plays that began at once."""
        self.sent = self.send_errors = self.refused = self.ticks_late = 0
        self.arrived_at = 0.0
        self.watch_s = 0.0
        self.watch_from = 0.0
        self.told_at = 0.0
        """When the silence was last looked at and found too long."""
        self.due = NEVER
        """When `housekeeping` wants to run."""

    def fileno(self) -> int:
        return self.rtp.fileno()

    # ------------------------------------------------------------------ control

    def configure(self, params: MediaParams, now: float) -> None:
        """START and UPDATE: codec, direction, far address."""
        before = self.params
        self.params = params
        self.pt = params.codec.value if params.codec.is_g711 else LAW
        self._fit_edge(params, before)
        self.samples = params.ptime_ms * rtp.SAMPLES_PER_MS
        self.packet[rtp.HEADER_BYTES :] = g711.SILENCE[self.pt] * self.samples
        self.idle = True
        self.fresh = True
        if self.member is not None:
            self.member.law = self.pt
            self.member.drop()
        self.sends = params.direction in (Direction.SENDRECV, Direction.SENDONLY)
        self.listening = params.direction in (Direction.SENDRECV, Direction.RECVONLY)
        self.heard = self.listening and not self.hushed
        if params.keys is not None or self.srtp is not None:
            self._secure(params.keys)
        address = (params.remote_address, params.remote_port)
        answered = before is not None and before.early and not params.early
        if (
            before is None
            or (answered and params.learn_address)
            or address != (before.remote_address, before.remote_port)
        ):
            self._aim(params, now)
        self._bind()
        if params.telephone_event is not None:
            self.in_band = None
        elif self.in_band is None:
            self.in_band = InBandReceiver()
        self.arrived_at = now
        self.watch_from = now
        self.plan(now)

    def _fit_edge(self, params: MediaParams, before: MediaParams | None) -> None:
        """What stands between G.711 and the codec that was agreed on."""
        if before is not None and coding_of(before) == coding_of(params):
            return
        self.edge = None if params.codec.is_g711 else Edge(params, self.playlist)
        self.events.longest = EVENT_UNITS // (params.telephone_event_hz // g711.RATE_HZ)

    def _bind(self) -> None:
        """Lets `send` go through the edge, if there is one."""
        if self.edge is None:
            self.send = self.transmit
        else:
            self.edge.transmit = self.transmit
            self.send = self.edge.send

    def _secure(self, keys: MediaKeys | None) -> None:
        """Puts SRTP between the stream and its sockets, gives it other keys, or takes it away."""
        from outdial.media.worker import srtp

        before = self.rtp
        if keys is not None and self.srtp is not None:
            self.srtp.rekey(keys)
        elif keys is not None:
            self.srtp = srtp.Context(keys)
        if keys is None and isinstance(self.rtp, srtp.SecureSocket):
            self.rtp = self.rtp.plain
        elif keys is not None and self.srtp is not None and isinstance(self.rtp, socket.socket):
            self.rtp = srtp.SecureSocket(self.rtp, self.srtp)
        self.reports.secure(self.srtp if keys is not None else None)
        if self.rtp is not before:
            if self.learning is not None:
                self.learning.socket = self.rtp
            else:
                self.transmit = self.rtp.send

    def _aim(self, params: MediaParams, now: float) -> None:
        """Points the sockets at the far end."""
        if params.remote_address in UNSPECIFIED:
            # On hold the old way: packets may still come from where they came from. From the
            # start there is no such place; only the discard port of this machine is let through.
            if not self.started:
                loopback = "::1" if ":" in params.remote_address else "127.0.0.1"
                self.lock((loopback, 9), 0, now)
            return
        learning, self.learning = self.learning, None
        if params.learn_address:
            if self.started and learning is None:
                open_again(self.rtp)
            self.learning = Learning(self.rtp, params, now, learning)
            self.transmit = self.learning.send
            self.due = min(self.due, self.learning.until)
            return
        self.lock((params.remote_address, params.remote_port), params.remote_rtcp_port, now)

    def lock(self, address: tuple[str, int], rtcp_port: int, now: float) -> None:
        """Connects the sockets: from now on the kernel drops what others send (THREATS 6)."""
        self.learning = None
        self.transmit = self.rtp.send
        self._bind()
        try:
            self.rtp.connect(address)
        except OSError:
            # No route: nothing can be sent there, and nobody else may be heard in its place. A
            # socket that is connected to its own machine's discard port hears nobody.
            self.send_errors += 1
            self.sends = False
            with contextlib.suppress(OSError):
                self.rtp.connect((self.rtp.getsockname()[0], 9))
        self.reports.aim(address[0], rtcp_port, now)
        self._drain(address, now)

    def _drain(self, address: tuple[str, int], now: float) -> None:
        """Looks at what anyone sent before the socket was connected; only the far end counts.

        Its first packets are often quicker than its answer.
        """
        for _ in range(256):
            try:
                raw, source = self.rtp.recvfrom(rtp.MAX_PACKET)
            except OSError:
                return
            if source[:2] == address:
                data = bytearray(rtp.MAX_PACKET)
                data[: len(raw)] = raw
                self.arrive(data, memoryview(data), len(raw), now, int(now * g711.RATE_HZ))
            else:
                self.refused += 1

    def begin_early(self, wait_s: float) -> bool:
        """Whether a play may begin now, `wait_s` before its tick: not when it adds up."""
        if self.playlist.current is None or self.ahead + wait_s > MOST_AHEAD_S:
            return False
        self.ahead += max(0.0, wait_s)
        return True

    def skip(self, samples: int) -> None:
        """Time was lost in a stall: what comes next was sampled later."""
        self.timestamp = (self.timestamp + samples) & _UINT32
        self.marker = rtp.MARKER

    def _tell_played(self) -> None:
        for play in self.playlist.finished:
            self.emit(wire.PLAYED, self.stream, wire.pack_played(play, wire.FINISHED))
        self.playlist.finished.clear()

    def stop_playing(self) -> None:
        """Ends what plays and empties the queue."""
        for play in self.playlist.clear():
            self.emit(wire.PLAYED, self.stream, wire.pack_played(play, wire.STOPPED))

    def gives_way(self) -> bool:
        """Whether what plays is over because there is something to relay: ringback is."""
        item = self.playlist.current
        if not isinstance(item, Sound) or not item.gives_way:
            return False
        self.stop_playing()
        return True

    def bridge(self, other: Stream) -> None:
        """Each sends what the other receives."""
        for stream in (self, other):
            stream.unbridge()
            stream.leave()
        self.peer, other.peer = other, self
        self.fresh = other.fresh = True

    def unbridge(self) -> None:
        """Undoes `bridge` on both sides."""
        other, self.peer = self.peer, None
        if other is not None:
            other.peer = None

    def mute(self, muted: bool) -> None:
        """Whether its room hears it."""
        if self.member is not None:
            self.member.muted = muted

    def hush(self, hushed: bool) -> None:
        """Whether nobody hears it, and no recording; its digits count all the same."""
        self.hushed = hushed
        self.heard = self.listening and not hushed

    def leave(self) -> None:
        """Leaves the room it is in."""
        if self.room is not None:
            self.room.leave(self)

    def watch(self, seconds: float, now: float) -> None:
        """Tells when nothing has arrived for so long; 0: no more."""
        self.watch_s = seconds
        self.watch_from = now
        self.plan(now)

    def stats(self) -> MediaStats:
        """The counters so far."""
        heard = self.reception
        return MediaStats(
            packets_sent=self.sent,
            packets_received=heard.received,
            packets_lost=heard.lost,
            packets_late=heard.late,
            packets_refused=self.refused,
            packets_unauthentic=self.unauthentic,
            jitter_ms=heard.jitter_ms,
            ticks_late=self.ticks_late,
            far_lost_fraction=self.reports.far_lost_fraction,
            round_trip_ms=self.reports.round_trip_s * 1000,
            sound_after_ms=self._sound_after_ms(),
        )

    @property
    def unauthentic(self) -> int:
        """Packets that SRTP did not let through."""
        return 0 if self.srtp is None else self.srtp.unauthentic

    def _sound_after_ms(self) -> float | None:
        if not self.started or not self.sound_at:
            return None
        return 1000 * max(0.0, self.sound_at - self.started_at)

    def close(self, now: float) -> None:
        """Ends the recordings, says BYE, frees the sockets."""
        self.unbridge()
        self.leave()
        for recording in self.recordings:
            recording.hand_over(now, last=True)
        self.recordings.clear()
        if self.started:
            self.reports.send(self, now, leaving=True)
        self.rtp.close()
        self.reports.close()

    # ------------------------------------------------------------------ sending

    def tick(self, now: float) -> None:
        """Sends this packet time's packet."""
        if now >= self.due:
            self.housekeeping(now)
        item, member = self.playlist.current, self.member
        if item is None:
            if self.peer is not None and now - self.relayed_at < RELAY_QUIET_S:
                return
            if self.ahead >= self.samples / g711.RATE_HZ:
                # Plays that began at once have put us ahead: a packet of silence less.
                self.ahead -= self.samples / g711.RATE_HZ
                if member is not None:
                    member.take(self.samples)
                return
            if member is not None:
                self.packet[rtp.HEADER_BYTES :] = member.take(self.samples)
                self.idle = False
            elif not self.idle:
                self.packet[rtp.HEADER_BYTES :] = g711.SILENCE[self.pt] * self.samples
                self.idle = True
        elif isinstance(item, Sound):
            self.idle = False
            if member is not None:
                member.drop()
            position = item.position
            end = position + self.samples
            if end < item.length:
                view = item.ulaw if self.pt == 0 else item.alaw
                self.packet[rtp.HEADER_BYTES :] = view[position:end]
                item.position = end
            else:
                self.playlist.fill(self.packet, rtp.HEADER_BYTES, self.samples, self.pt)
                self._tell_played()
        else:
            self._tick_digits(item, now)
            return
        timestamp = self.timestamp
        self.timestamp = (timestamp + self.samples) & _UINT32
        if self.sends:
            sequence = self.sequence
            self.sequence = (sequence + 1) & 0xFFFF
            _PACK(self.packet, 0, 0x80, self.pt | self.marker, sequence, timestamp, self.ssrc)
            self.marker = 0
            self.fresh = True
            if self.recordings and not self.idle:
                self._record_said(timestamp, self.packet, len(self.packet), now)
            try:
                self.send(self.packet)
                self.sent += 1
            except OSError:
                # A closed far port (ICMP) or a full device queue: the next packet may do better.
                self.send_errors += 1

    def _tick_digits(self, item: EventSender, now: float) -> None:
        """A packet time of RFC 4733 digits; silence between them."""
        params = self.params
        if not self.takes_events():
            sound = tones.render_digits(item.remaining)
            self.playlist.current = DigitSound(
                item.play, memoryview(sound.ulaw), memoryview(sound.alaw), 1
            )
            self.tick(now)
            return
        event = item.tick(self.timestamp, self.samples)
        if item.finished:
            self.playlist.advance()
            self._tell_played()
        pt, marker, timestamp = self.pt, self.marker, self.timestamp
        payload = g711.SILENCE[self.pt] * self.samples
        if event is not None and params is not None and params.telephone_event is not None:
            payload, timestamp = event.payload, event.timestamp
            pt, marker = params.telephone_event, rtp.MARKER if event.marker else 0
        self.timestamp = (self.timestamp + self.samples) & _UINT32
        if self.sends:
            packet = bytearray(rtp.HEADER_BYTES) + payload
            _PACK(packet, 0, 0x80, pt | marker, self.sequence, timestamp, self.ssrc)
            self.sequence = (self.sequence + 1) & 0xFFFF
            self.marker = 0
            self.fresh = True
            try:
                self.send(packet)
                self.sent += 1
            except OSError:
                self.send_errors += 1

    def _record_said(self, timestamp: int, packet: bytearray, size: int, now: float) -> None:
        payload = bytes(packet[rtp.HEADER_BYTES : size])
        for recording in self.recordings:
            recording.said(timestamp, self.pt, payload, now)

    # ------------------------------------------------------------------ receiving

    def receive(self, data: bytearray, view: memoryview, now: float, arrival: int) -> bool:
        """Reads one datagram into `data` (`view` is of it); True when it was relayed.

        `arrival` is `now` in samples.
        """
        try:
            if self.learning is not None:
                size = self.learning.receive(self, view, now)
                if not size:
                    return False
            else:
                size = self.rtp.recv_into(data)
        except OSError:
            # Nothing there after all, or an ICMP error of an earlier send.
            return False
        if self.edge is not None:
            return self.edge.arrive(self, data, view, size, now, arrival)
        return self.take(data, view, size, now, arrival)

    def arrive(
        self, data: bytearray, view: memoryview, size: int, now: float, arrival: int
    ) -> bool:
        """One datagram as it came; True when it was relayed."""
        take = self.take if self.edge is None else partial(self.edge.arrive, self)
        return take(data, view, size, now, arrival)

    def take(self, data: bytearray, view: memoryview, size: int, now: float, arrival: int) -> bool:
        """One datagram of `size` bytes in `data`; True when it was relayed."""
        if size < rtp.HEADER_BYTES or data[0] & 0xC0 != rtp.VERSION:
            self.refused += 1
            return False
        flags, second, sequence, timestamp, ssrc = _UNPACK(data)
        start = rtp.HEADER_BYTES
        if flags != 0x80:
            parsed = rtp.parse(data, size)
            if parsed is None:
                self.refused += 1
                return False
            # CSRCs, extension and padding go; the payload moves up to the plain header.
            size = start + parsed.payload_end - parsed.payload_start
            data[start:size] = bytes(data[parsed.payload_start : parsed.payload_end])
        pt = second & 0x7F
        is_audio = pt == rtp.PCMU or pt == rtp.PCMA
        self.arrived_at = now
        order = self.reception.packet(sequence, timestamp, ssrc, arrival, is_audio)
        if order == reception.RESTART:
            self._restarted()
        if not is_audio:
            if not self._is_event(pt, size - start):
                # Comfort noise (RFC 3389) and other things that were not negotiated.
                return False
            self._hear(self.events.packet(timestamp, data[start:size], now), wire.RFC4733)
            if self.events.open:
                self.due = min(self.due, now + EVENT_SILENCE_S)
        elif self.listening and (
            self.recordings or self.in_band is not None or self.endpointer is not None
        ):
            self._attend(bytes(data[start:size]), pt, timestamp, now, newest=order != reception.OLD)
        if self.member is not None and is_audio and self.heard:
            self.member.buffer.put(
                timestamp, pt, bytes(data[start:size]), newest=order != reception.OLD
            )
        peer = self.peer
        if peer is None or not (peer.sends and self.heard):
            return False
        if peer.playlist.current is not None and not (is_audio and peer.gives_way()):
            return False
        return peer.relay(data, view, size, second, sequence, timestamp, now)

    def fill(
        self, data: bytearray, view: memoryview, size: int, now: float, *, relay: bool
    ) -> None:
        """A packet of G.711 in place of one that did not come; it counts as lost all the same."""
        _, second, sequence, timestamp, _ = _UNPACK(data)
        payload = bytes(data[rtp.HEADER_BYTES : size])
        if self.listening:
            self._attend(payload, self.pt, timestamp, now, newest=True)
        if self.member is not None and self.heard:
            self.member.buffer.put(timestamp, self.pt, payload)
        peer = self.peer
        if not relay or peer is None or not (peer.sends and self.heard):
            return
        if peer.playlist.current is None or peer.gives_way():
            peer.relay(data, view, size, second, sequence, timestamp, now)

    def miss(self, data: bytearray, now: float, arrival: int) -> None:
        """A packet that came, and is of no use: late, or nothing that can be decoded."""
        _, _, sequence, timestamp, ssrc = _UNPACK(data)
        self.arrived_at = now
        if self.reception.packet(sequence, timestamp, ssrc, arrival) == reception.RESTART:
            self._restarted()

    @property
    def attends(self) -> bool:
        """Whether somebody besides the other side of a bridge wants to hear what is said."""
        return bool(self.recordings or self.in_band or self.endpointer or self.member)

    @property
    def clock_scale(self) -> int:
        """Units of the codec's timestamps in one of ours."""
        return 1 if self.edge is None else self.edge.scale

    def _attend(self, payload: bytes, pt: int, timestamp: int, now: float, *, newest: bool) -> None:
        """Lets those hear it who want to."""
        if self.endpointer is not None and self.heard and newest:
            self._heed(self.endpointer, payload, pt, now)
        if self.heard:
            for recording in self.recordings:
                recording.heard(timestamp, pt, payload, now)
        if self.in_band is not None and newest:
            self._hear(self.in_band.feed(payload, pt), wire.IN_BAND)

    def _heed(self, endpointer: Endpointer, payload: bytes, pt: int, now: float) -> None:
        """Tells when somebody begins to speak, and what they have said."""
        had_begun = endpointer.begun
        endpointer.feed(payload, pt, playing=self.playlist.current is not None)
        if endpointer.begun and not had_begun:
            self.emit(wire.SPEECH_BEGAN, self.stream, b"")
            self.due = min(self.due, now + endpointer.silence_s)
        self._tell_heard(endpointer)

    def _tell_heard(self, endpointer: Endpointer) -> None:
        if endpointer.over:
            self.endpointer = None
            self.emit(wire.SPEECH_HEARD, self.stream, endpointer.take())

    def _is_event(self, pt: int, size: int) -> bool:
        """Whether it is a telephone event.

        RFC 3264 5.1 lets each side use the other's number; many send their own, so any dynamic
        type with a payload of an event's size is one.
        """
        params = self.params
        if params is None or params.telephone_event is None:
            return False
        return pt == params.telephone_event or (pt >= 96 and size == 4)

    def _restarted(self) -> None:
        """The far end's stream began anew: nothing older can be compared with it."""
        longest = self.events.longest
        self.events = EventReceiver()
        self.events.longest = longest
        for recording in self.recordings:
            recording.restart_far()
        if self.member is not None:
            self.member.buffer.restart()
        if self.peer is not None:
            self.peer.fresh = True

    def _hear(self, digits: list[Heard], source: int) -> None:
        for heard in digits:
            payload = wire.pack_digit(heard.digit, source, heard.duration_ms)
            self.emit(wire.DIGIT, self.stream, payload)
            peer = self.peer
            if (
                peer is not None
                and source == wire.RFC4733
                and self.heard
                and not peer.takes_events()
            ):
                # The other side of the bridge can only be told in the audio.
                peer.playlist.add(EventSender(heard.digit))

    def takes_events(self) -> bool:
        """Whether the far end can be sent telephone events."""
        return self.params is not None and self.params.telephone_event is not None

    def relay(
        self,
        data: bytearray,
        view: memoryview,
        size: int,
        second: int,
        sequence: int,
        timestamp: int,
        now: float,
    ) -> bool:
        """Sends on what the bridged leg received, as our own stream."""
        pt = second & 0x7F
        if pt != self.pt:
            table = g711.TRANSCODING.get((pt, self.pt))
            if table is not None:
                data[rtp.HEADER_BYTES : size] = data[rtp.HEADER_BYTES : size].translate(table)
                pt = self.pt
            else:
                event = self.params.telephone_event if self.params is not None else None
                if event is None:
                    return False
                pt = event
        if self.fresh:
            self.fresh = False
            self.sequence_offset = self.sequence - sequence
            self.timestamp_offset = self.timestamp - timestamp
            second |= rtp.MARKER
        sequence = (sequence + self.sequence_offset) & 0xFFFF
        timestamp = (timestamp + self.timestamp_offset) & _UINT32
        self.sequence = (sequence + 1) & 0xFFFF
        self.timestamp = (timestamp + self.samples) & _UINT32
        self.relayed_at = now
        _PACK(data, 0, 0x80, pt | (second & rtp.MARKER), sequence, timestamp, self.ssrc)
        if self.recordings and pt == self.pt:
            self._record_said(timestamp, data, size, now)
        try:
            self.send(view[:size])
            self.sent += 1
        except OSError:
            self.send_errors += 1
        return True

    # ------------------------------------------------------------------ now and then

    def plan(self, now: float) -> None:
        """Sets `due` to the next thing that time brings."""
        due = NEVER
        if self.watch_s > 0:
            since = max(self.arrived_at, self.watch_from, self.told_at, self.reports.heard_at)
            due = since + self.watch_s
        if self.learning is not None:
            due = min(due, self.learning.until)
        if self.events.open:
            due = min(due, now + 0.02)
        for recording in self.recordings:
            due = min(due, recording.next_at)
        if self.endpointer is not None and self.endpointer.begun:
            due = min(due, self.arrived_at + self.endpointer.silence_s)
        self.due = min(due, self.reports.next_at)

    def housekeeping(self, now: float) -> None:
        """What is due by time: lost ends of events, no-RTP, the end of learning."""
        self._hear(self.events.expire(now, EVENT_SILENCE_S), wire.RFC4733)
        if now >= self.reports.next_at:
            self.reports.send(self, now)
        for recording in [r for r in self.recordings if now >= r.next_at]:
            if recording.hand_over(now):
                self.recordings.remove(recording)
        if self.learning is not None and now >= self.learning.until:
            self.learning.give_up(self, now)
        endpointer = self.endpointer
        if endpointer is not None and now >= self.arrived_at + endpointer.silence_s:
            endpointer.expire()
            self._tell_heard(endpointer)
        if self.watch_s > 0:
            self._look_for_silence(now)
        self.plan(now)

    def _look_for_silence(self, now: float) -> None:
        """Tells of each silence once."""
        if not self.listening:
            self.watch_from = now
        # A telephone that sends nothing while nobody speaks, or while it is muted, reports all the
        # same (RFC 3550 section 6.3.5 counts both): it is no dead line.
        self.reports.read(now)
        since = max(self.arrived_at, self.watch_from, self.reports.heard_at)
        if now - since >= self.watch_s:
            if since > self.told_at:
                self.emit(wire.NO_RTP, self.stream, wire.pack_no_rtp(now - since, self.unauthentic))
            self.told_at = now
