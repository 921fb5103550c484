"""One RTP stream: what is sent every packet time, and what becomes of each packet that arrives.

The hot functions are `tick` and `receive`, with `take` and `relay` behind it: all that is looked at
for every packet stands here, in the stream's own slots. What happens a few times a call has modules
of its own, functions of a stream: another codec in `edge`, the way to the far end in `path`, digits
in `digits`, who else listens in `hearing`, what time brings in `housekeeping`.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from outdial.legs import Direction, MediaParams, MediaStats
from outdial.media import wire
from outdial.media.core import g711, reception, rtp
from outdial.media.core.dtmf import EventReceiver
from outdial.media.core.inband import InBandReceiver
from outdial.media.core.playlist import Playlist, Sound
from outdial.media.core.transcoding import LAW
from outdial.media.worker import path
from outdial.media.worker.digits import is_event, tell_digits, tick_digits
from outdial.media.worker.edge import Edge, fit_edge
from outdial.media.worker.hearing import attend
from outdial.media.worker.housekeeping import EVENT_SILENCE_S, NEVER, do_what_is_due, plan
from outdial.media.worker.recorder import Recording
from outdial.media.worker.reports import Reports

if TYPE_CHECKING:
    from outdial.media.core.endpointing import Endpointer
    from outdial.media.core.mix import Member
    from outdial.media.worker.learning import Learning
    from outdial.media.worker.rooms import Room
    from outdial.media.worker.srtp import Context, SecureSocket

RELAY_QUIET_S: Final = 0.1
"""A bridged far end that sends nothing for so long is replaced by silence."""
MOST_AHEAD_S: Final = 0.06

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
        """When time brings something: see `housekeeping`."""

    def fileno(self) -> int:
        return self.rtp.fileno()

    # ------------------------------------------------------------------ control

    def configure(self, params: MediaParams, now: float) -> None:
        """START and UPDATE: codec, direction, far address."""
        before = self.params
        self.params = params
        self.pt = params.codec.value if params.codec.is_g711 else LAW
        fit_edge(self, params, before)
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
            path.secure(self, params.keys)
        address = (params.remote_address, params.remote_port)
        answered = before is not None and before.early and not params.early
        if (
            before is None
            or (answered and params.learn_address)
            or address != (before.remote_address, before.remote_port)
        ):
            path.aim(self, params, now)
        path.bind(self)
        if params.telephone_event is not None:
            self.in_band = None
        elif self.in_band is None:
            self.in_band = InBandReceiver()
        self.arrived_at = now
        self.watch_from = now
        plan(self, now)

    def lock(self, address: tuple[str, int], rtcp_port: int, now: float) -> None:
        """The far address is settled: nobody else is heard from now on."""
        path.lock(self, address, rtcp_port, now)

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

    def tell_played(self) -> None:
        """Tells which plays have ended."""
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
            do_what_is_due(self, now)
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
                self.tell_played()
        else:
            tick_digits(self, item, now)
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
            self.restarted()
        if not is_audio:
            if not is_event(self, pt, size - start):
                # Comfort noise (RFC 3389) and other things that were not negotiated.
                return False
            tell_digits(self, self.events.packet(timestamp, data[start:size], now), wire.RFC4733)
            if self.events.open:
                self.due = min(self.due, now + EVENT_SILENCE_S)
        elif self.listening and (
            self.recordings or self.in_band is not None or self.endpointer is not None
        ):
            attend(self, bytes(data[start:size]), pt, timestamp, now, newest=order != reception.OLD)
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

    @property
    def clock_scale(self) -> int:
        """Units of the codec's timestamps in one of ours."""
        return 1 if self.edge is None else self.edge.scale

    def restarted(self) -> None:
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
