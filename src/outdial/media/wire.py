"""What the control process and a media worker say to each other over their socket pair.

A frame is its length (16 bits, all of it), an opcode, the stream it is about (0: the worker
itself) and a payload, little-endian. A native worker can take the Python one's place by speaking
it. Strings are UTF-8 behind a 16-bit length.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

from outdial.legs import Codec, CryptoSuite, Direction, MediaKeys, MediaParams, MediaStats

# Control process to worker.
OPEN: Final = 1
START: Final = 2
UPDATE: Final = 3
QUEUE: Final = 4
TONE: Final = 5
DIGITS: Final = 6
"""Its number of loops says when: 1 in their turn, 0 at once, in the middle of what plays."""
STOP: Final = 7
BRIDGE: Final = 8
UNBRIDGE: Final = 9
RECORD: Final = 10
STOP_RECORDING: Final = 11
WATCH: Final = 12
CLOSE: Final = 13
REPORT: Final = 14
SHUTDOWN: Final = 15
ROOM: Final = 16
"""Makes a room; its number is one of a stream, and RECORD, STOP_RECORDING and CLOSE know it too."""
JOIN: Final = 17
LEAVE: Final = 18
MUTE: Final = 19
CUE: Final = 20
HUSH: Final = 21
PAUSE_RECORDING: Final = 22
LISTEN: Final = 23
"""Says when somebody speaks, and what; once, after so many seconds of silence."""
STOP_LISTENING: Final = 24

# Worker to control process.
PORTS: Final = 64
PLAYED: Final = 65
DIGIT: Final = 66
NO_RTP: Final = 67
RECORDED: Final = 68
CLOSED: Final = 69
REPORTED: Final = 70
SPEECH_BEGAN: Final = 75
SPEECH_HEARD: Final = 76
"""The payload is what was said, as µ-law of G.711."""

MAX_FRAME: Final = 65535

_HEADER = Struct("<HBI")
_LENGTH = Struct("<H")
_PORT = Struct("<H")
_STREAM = Struct("<I")
_PLAY = Struct("<II")
_PLAYED = Struct("<IB")
_SECONDS = Struct("<d")
_NO_RTP = Struct("<dI")
_JOIN = Struct("<I??")
_DIGIT = Struct("<BBI")
_PARAMS = Struct("<HHBBBBBBHB")
_RECORD = Struct("<Bdd")
_RECORDED = Struct("<III")
_STATS = Struct("<7I4f")

_CODECS = {codec.value: codec for codec in Codec}
_DIRECTIONS = tuple(Direction)
_SUITES = {suite.value: suite for suite in CryptoSuite}
_NO_EVENT = 255
_NO_SUITE = 0
_NO_SOUND = -1.0

FINISHED: Final = 0
STOPPED: Final = 1

RFC4733: Final = 0
IN_BAND: Final = 1


def frame(opcode: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame. Raises ValueError when the payload does not fit."""
    size = _HEADER.size + len(payload)
    if size > MAX_FRAME:
        raise ValueError("a media command is limited to 64 KiB")
    return _HEADER.pack(size, opcode, stream) + payload


class Deframer:
    """Cuts a byte stream into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Opcode, stream and payload of every frame that is complete now."""
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        try:
            while end - at >= _HEADER.size:
                size, opcode, stream = _HEADER.unpack_from(data, at)
                if end - at < size:
                    break
                start, at = at + _HEADER.size, at + size
                yield opcode, stream, data[start:at]
        finally:
            self._rest = data[at:]


def pack_text(*texts: str) -> bytes:
    """Strings, each behind its length."""
    parts = []
    for text in texts:
        raw = text.encode()
        parts.append(_LENGTH.pack(len(raw)))
        parts.append(raw)
    return b"".join(parts)


def unpack_text(payload: bytes, at: int, count: int) -> list[str]:
    """`count` strings from offset `at`."""
    texts = []
    for _ in range(count):
        (size,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size + size
        texts.append(payload[at - size : at].decode())
    return texts


def pack_port(port: int) -> bytes:
    return _PORT.pack(port)


def pack_ports(ports: list[int]) -> bytes:
    return b"".join(map(_PORT.pack, ports))


def unpack_ports(payload: bytes) -> list[int]:
    return [port for (port,) in _PORT.iter_unpack(payload)]


def pack_stream(stream: int) -> bytes:
    return _STREAM.pack(stream)


def unpack_stream(payload: bytes) -> int:
    return int(_STREAM.unpack(payload)[0])


def pack_join(room: int, *, muted: bool, hears_cues: bool) -> bytes:
    return _JOIN.pack(room, muted, hears_cues)


def unpack_join(payload: bytes) -> tuple[int, bool, bool]:
    room, muted, hears_cues = _JOIN.unpack(payload)
    return room, muted, hears_cues


def pack_mute(muted: bool) -> bytes:
    return bytes([muted])


def unpack_mute(payload: bytes) -> bool:
    return bool(payload[0])


def pack_pause(recording_id: str, paused: bool) -> bytes:
    return bytes([paused]) + pack_text(recording_id)


def unpack_pause(payload: bytes) -> tuple[str, bool]:
    (recording_id,) = unpack_text(payload, 1, 1)
    return recording_id, bool(payload[0])


def pack_cue(name: str, unheard_by: int) -> bytes:
    """A tone's name and the stream that does not hear it, 0 for none."""
    return _STREAM.pack(unheard_by) + pack_text(name)


def unpack_cue(payload: bytes) -> tuple[str, int]:
    (unheard_by,) = _STREAM.unpack_from(payload)
    (name,) = unpack_text(payload, _STREAM.size, 1)
    return name, unheard_by


def pack_seconds(seconds: float) -> bytes:
    return _SECONDS.pack(seconds)


def unpack_seconds(payload: bytes) -> float:
    return float(_SECONDS.unpack(payload)[0])


def pack_params(params: MediaParams) -> bytes:
    event, keys = params.telephone_event, params.keys
    head = _PARAMS.pack(
        params.remote_port,
        params.remote_rtcp_port,
        params.codec.value,
        _NO_EVENT if event is None else event,
        params.ptime_ms,
        _DIRECTIONS.index(params.direction),
        params.learn_address + 2 * params.early,
        params.codec.value if params.payload_type is None else params.payload_type,
        params.telephone_event_hz,
        _NO_SUITE if keys is None else keys.suite.value,
    )
    # The keys stand at the end, each as long as the suite says.
    tail = b"" if keys is None else keys.send + keys.receive
    return head + pack_text(params.remote_address, params.signalling_address) + tail


def unpack_params(payload: bytes) -> MediaParams:
    port, rtcp_port, number, event, ptime_ms, direction, learn, payload_type, event_hz, suite = (
        _PARAMS.unpack_from(payload)
    )
    codec = _CODECS[number]
    remote, signalling = unpack_text(payload, _PARAMS.size, 2)
    return MediaParams(
        remote_address=remote,
        remote_port=port,
        codec=codec,
        telephone_event=None if event == _NO_EVENT else event,
        ptime_ms=ptime_ms,
        direction=_DIRECTIONS[direction],
        remote_rtcp_port=rtcp_port,
        learn_address=bool(learn & 1),
        early=bool(learn & 2),
        signalling_address=signalling,
        payload_type=None if payload_type == number else payload_type,
        telephone_event_hz=event_hz,
        keys=None if suite == _NO_SUITE else _keys(_SUITES[suite], payload),
    )


def _keys(suite: CryptoSuite, payload: bytes) -> MediaKeys:
    size = suite.key_bytes
    return MediaKeys(suite, payload[-2 * size : -size], payload[-size:])


def pack_no_rtp(seconds: float, unauthentic: int) -> bytes:
    return _NO_RTP.pack(seconds, unauthentic)


def unpack_no_rtp(payload: bytes) -> tuple[float, int]:
    seconds, unauthentic = _NO_RTP.unpack(payload)
    return seconds, unauthentic


def pack_play(play: int, loops: int, *texts: str) -> bytes:
    return _PLAY.pack(play, loops) + pack_text(*texts)


def unpack_play(payload: bytes, count: int) -> tuple[int, int, list[str]]:
    play, loops = _PLAY.unpack_from(payload)
    return play, loops, unpack_text(payload, _PLAY.size, count)


def pack_played(play: int, how: int) -> bytes:
    return _PLAYED.pack(play, how)


def unpack_played(payload: bytes) -> tuple[int, int]:
    play, how = _PLAYED.unpack(payload)
    return play, how


def pack_digit(digit: str, source: int, duration_ms: int) -> bytes:
    return _DIGIT.pack(ord(digit), source, duration_ms)


def unpack_digit(payload: bytes) -> tuple[str, int, int]:
    digit, source, duration_ms = _DIGIT.unpack(payload)
    return chr(digit), source, duration_ms


class RecordOrder(NamedTuple):
    """The payload of RECORD."""

    recording_id: str
    path: str
    channels: int
    max_duration_s: float
    silence_s: float = 0.0
    seal_head: bytes = b""
    """What the file is sealed with (`stored_file.Seal`); b"": with nothing."""
    seal_key: bytes = b""


def pack_record(order: RecordOrder) -> bytes:
    head = _RECORD.pack(order.channels, order.max_duration_s, order.silence_s)
    sealed = pack_text(order.seal_head.hex(), order.seal_key.hex())
    return head + pack_text(order.recording_id, order.path) + sealed


def unpack_record(payload: bytes) -> RecordOrder:
    channels, longest, silence = _RECORD.unpack_from(payload)
    recording_id, path, head, key = unpack_text(payload, _RECORD.size, 4)
    sealed = bytes.fromhex(head), bytes.fromhex(key)
    return RecordOrder(recording_id, path, channels, longest, silence, *sealed)


class Recorded(NamedTuple):
    """The payload of RECORDED."""

    recording_id: str
    path: str
    duration_ms: int
    size_bytes: int
    error: str
    sound_ms: int = 0


def pack_recorded(done: Recorded) -> bytes:
    head = _RECORDED.pack(done.duration_ms, done.size_bytes, done.sound_ms)
    return head + pack_text(done.recording_id, done.path, done.error[:500])


def unpack_recorded(payload: bytes) -> Recorded:
    duration_ms, size_bytes, sound_ms = _RECORDED.unpack_from(payload)
    recording_id, path, error = unpack_text(payload, _RECORDED.size, 3)
    return Recorded(recording_id, path, duration_ms, size_bytes, error, sound_ms)


def pack_stats(stats: MediaStats) -> bytes:
    return _STATS.pack(
        stats.packets_sent,
        stats.packets_received,
        stats.packets_lost,
        stats.packets_late,
        stats.packets_refused,
        stats.packets_unauthentic,
        stats.ticks_late,
        stats.jitter_ms,
        stats.far_lost_fraction,
        stats.round_trip_ms,
        _NO_SOUND if stats.sound_after_ms is None else stats.sound_after_ms,
    )


def unpack_stats(payload: bytes) -> MediaStats:
    sent, received, lost, late, refused, unauthentic, ticks, *measured = _STATS.unpack(payload)
    jitter, fraction, trip, sound = measured
    return MediaStats(
        packets_sent=sent,
        packets_received=received,
        packets_lost=lost,
        packets_late=late,
        packets_refused=refused,
        packets_unauthentic=unauthentic,
        jitter_ms=round(jitter, 3),
        ticks_late=ticks,
        far_lost_fraction=round(fraction, 4),
        round_trip_ms=round(trip, 3),
        sound_after_ms=None if sound == _NO_SOUND else round(sound, 3),
    )


class Report(NamedTuple):
    """A worker's own counters, the payload of REPORTED (64-bit each, in this order)."""

    streams: int
    started: int
    bridged: int
    ports_ready: int
    """Bound and waiting for a stream."""
    recordings: int
    """Not yet finished on disk."""
    open_clips: int
    descriptors: int
    """Besides those of waiting ports and open clips: back at the start when no stream is left."""
    wakeups: int
    packets_sent: int
    packets_received: int
    packets_relayed: int
    send_errors: int
    slots_skipped: int
    late_1ms: int
    """Slots begun up to 1 ms late."""
    late_2ms: int
    late_5ms: int
    late_10ms: int
    late_20ms: int
    late_more: int


_REPORT = Struct(f"<{len(Report._fields)}Q")


def pack_report(report: Report) -> bytes:
    return _REPORT.pack(*report)


def unpack_report(payload: bytes) -> Report:
    return Report(*_REPORT.unpack(payload))
