"""A leg as seen from a session: its audio. `media` fulfils these protocols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import field
from enum import Enum
from typing import Protocol

from outdial.frozen import frozen
from outdial.word import Word


class Codec(Enum):
    """What we send and take, by RTP payload type: static ones of RFC 3551, ours for opus."""

    PCMU = 0
    PCMA = 8
    G722 = 9
    OPUS = 111

    __hash__ = object.__hash__  # Enum's is a function of Python's

    @property
    def encoding(self) -> str:
        """As an rtpmap, the settings and the API write it."""
        return "opus" if self is Codec.OPUS else self.name

    @property
    def rtp_hz(self) -> int:
        """Of its timestamps. G.722 counts 8000 although it samples 16000 (RFC 3551, 4.5.2)."""
        return 48000 if self is Codec.OPUS else 8000

    @property
    def is_g711(self) -> bool:
        """Whether its packets are what clips, recordings and rooms are made of."""
        return self is Codec.PCMU or self is Codec.PCMA


class CryptoSuite(Enum):
    """How SRTP protects a stream, by the names of RFC 4568 section 6.2 and RFC 7714 section 14.2.

    The values are numbers of ours.
    """

    AES_CM_128_HMAC_SHA1_80 = 1
    AES_CM_128_HMAC_SHA1_32 = 2
    AEAD_AES_128_GCM = 3
    AEAD_AES_256_GCM = 4

    @property
    def key_bytes(self) -> int:
        """Length of the master key and the master salt behind it."""
        return _KEY_BYTES[self]


_KEY_BYTES = {
    CryptoSuite.AES_CM_128_HMAC_SHA1_80: 16 + 14,
    CryptoSuite.AES_CM_128_HMAC_SHA1_32: 16 + 14,
    CryptoSuite.AEAD_AES_128_GCM: 16 + 12,
    CryptoSuite.AEAD_AES_256_GCM: 32 + 12,
}


@frozen
class MediaKeys:
    """SRTP (RFC 3711) of one stream: for each direction a master key with its salt."""

    suite: CryptoSuite
    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)
    profile: str = field(default="RTP/SAVP", compare=False)
    """How the descriptions write it; some write RTP/AVP."""
    tag: int = field(default=1, compare=False)
    """The number of the line that was chosen."""


class Direction(Word):
    """RFC 4566 section 6, as seen from us."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


@frozen
class MediaParams:
    """What was negotiated for one audio stream, as seen from us."""

    remote_address: str
    """IPv4 or IPv6 literal; "0.0.0.0" is turned into direction by `sdp`."""
    remote_port: int
    codec: Codec
    telephone_event: int | None
    """Payload type for RFC 4733, None when not negotiated."""
    ptime_ms: int = 20
    """Packet length to send; the receive side takes any."""
    direction: Direction = Direction.SENDRECV
    remote_rtcp_port: int = 0
    """0: no RTCP."""
    learn_address: bool = False
    """The trunk is behind NAT: learn the far address once, within 500 ms of the answer."""
    signalling_address: str = ""
    """The address the signalling goes to: one of the places `learn_address` may learn."""
    payload_type: int | None = None
    """What the far end calls the codec; None: the codec's own number."""
    telephone_event_hz: int = 8000
    """What the durations of its RFC 4733 packets count."""
    keys: MediaKeys | None = None
    """None: RTP as it is."""
    early: bool = False
    """They are of a provisional response: what is learnt holds until the answer and no longer."""


@frozen
class Clip:
    """Audio ready to send: the same sound as raw G.711 in both laws, 8000 bytes a second."""

    ulaw_path: str
    alaw_path: str
    duration_ms: int


class PlayEnd(Word):
    """Why a play ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    """`stop_playing` was called."""
    LOST = "lost"
    """The leg was closed or its worker died."""


@frozen
class Digit:
    """A DTMF digit was heard, reported once, when it ends or (`in-band`) is sure."""

    digit: str
    source: str
    """rfc4733 or in-band"""
    duration_ms: int


@frozen
class NoRtp:
    """Nothing has arrived from the far end for `seconds`. Sent once per silence."""

    seconds: float
    unauthentic: int = 0
    """Packets of the stream up to now that were not authentic, with SRTP: the far end talks, but
    not with the key that it gave."""


@frozen
class SpeechBegan:
    """Somebody has begun to speak, or it is loud there: see `MediaLeg.listen`."""


@frozen
class SpeechHeard:
    """What they said until they fell silent. It follows `SpeechBegan`; nothing more is heard."""

    ulaw: bytes = field(repr=False)
    """µ-law of G.711, 7.5 s at most."""


@frozen
class MediaLost:
    """The worker that carried the stream died. Terminal."""

    reason: str


@frozen
class RecordingDone:
    """A recording is complete on disk, or could not be written (`error`)."""

    recording_id: str
    path: str
    duration_ms: int
    size_bytes: int
    error: str = ""
    sound_ms: int = 0
    """How much of what the far end sent was louder than silence."""


@frozen
class MediaStats:
    """A stream's counters at its end. Terminal; the leg is closed."""

    packets_sent: int = 0
    packets_received: int = 0
    packets_lost: int = 0
    """From sequence numbers, RFC 3550 appendix A.3."""
    packets_late: int = 0
    """Arrived after their play-out time."""
    packets_refused: int = 0
    """From an address that was not negotiated, or not RTP, or (SRTP) not authentic."""
    jitter_ms: float = 0.0
    """RFC 3550 interarrival jitter."""
    ticks_late: int = 0
    """Own packets sent more than half a packet time late."""
    far_lost_fraction: float = 0.0
    """What the far end reported losing, from its last RTCP report."""
    round_trip_ms: float = 0.0
    """From RTCP, 0 when unknown."""
    sound_after_ms: float | None = None
    """From the start of the stream to the first sound that was played on it; None without one."""
    packets_unauthentic: int = 0
    """Of those refused: not SRTP, or SRTP under another key, altered, or sent a second time."""

    def to_json(self) -> dict[str, int | float | None]:
        """By name, as stored with the call."""
        return {name: getattr(self, name) for name in self.__match_args__}


MediaEvent = Digit | NoRtp | SpeechBegan | SpeechHeard | MediaLost | RecordingDone | MediaStats
MediaListener = Callable[[MediaEvent], None]


@frozen
class RecordingPlan:
    """What to record and where."""

    recording_id: str
    path: str
    """Absolute path of the WAV file; its folder exists."""
    channels: int = 2
    """2: left what the far end said, right what we sent. 1: only what the far end said."""
    max_duration_s: float = 14400.0
    silence_s: float = 0.0
    """The recording ends by itself, and is cut there, when the far end was silent for so long; 0:
    it does not."""
    seal_head: bytes = b""
    """What the file is sealed with, as `stored_file.Seal` has it; b"": with nothing."""
    seal_key: bytes = field(default=b"", repr=False)


class MediaLeg(Protocol):
    """One RTP stream. Every method returns at once unless it says otherwise."""

    @property
    def address(self) -> str:
        """Our address for the SDP."""

    @property
    def port(self) -> int:
        """Our RTP port (even); RTCP is the next one."""

    def start(self, params: MediaParams) -> None:
        """The answer is in: packets leave within 5 ms, at once with what is queued by then.

        Silence until there is something to play.
        """

    def update(self, params: MediaParams) -> None:
        """A re-negotiation: address, codec, direction."""

    def queue(self, clip: Clip, loops: int = 1) -> Awaitable[PlayEnd]:
        """Plays the clip after what is queued already, without a gap. `loops` 0: until stopped."""

    def tone(self, name: str) -> Awaitable[PlayEnd]:
        """Queues an endless tone: ringback, busy, congestion, hold, or beep (0.5 s at 1 kHz, ends).

        The country variant is appended with a colon: ``ringback:us``. Unknown names raise
        ValueError.
        """

    def stop_playing(self) -> None:
        """Ends what plays and empties the queue; their awaitables give STOPPED."""

    def send_digits(self, digits: str, *, at_once: bool = False) -> Awaitable[PlayEnd]:
        """Queues DTMF: ``0-9*#A-D``, ``w`` waits 0.5 s, ``W`` 1 s. RFC 4733 if negotiated.

        `at_once`: what plays is interrupted, and goes on where it was; digits before are ended.
        """

    def bridge(self, other: MediaLeg) -> None:
        """Each now sends what the other receives, RFC 4733 included; both legs must be started.

        A leg plays its queue in preference to the bridge; but ringback ends with the first sound
        that the other receives. Both legs live on one worker when the second was opened with
        `near`.
        """

    def unbridge(self) -> None:
        """Undoes `bridge` on both sides."""

    def join(self, room: Room, *, muted: bool = False) -> None:
        """From now on the leg hears the sum of the room's other members, and they hear it.

        It leaves the room or the bridge it is in. It must be started. A leg plays its queue in
        preference to the room, and alone hears it; its RFC 4733 digits are told, not heard. Raises
        MediaUnavailable.
        """

    def leave(self) -> None:
        """Undoes `join`; without effect on a leg in no room."""

    def mute(self, muted: bool) -> None:
        """Whether the others in its room do not hear it."""

    def hush(self, hushed: bool) -> None:
        """Whether what the far end says is neither heard by anybody nor recorded.

        Its digits are told all the same, but not passed on.
        """

    def record(self, plan: RecordingPlan) -> None:
        """Starts a recording; `RecordingDone` follows when it is stopped or the leg closes."""

    def stop_recording(self, recording_id: str) -> None:
        """Ends that recording."""

    def pause_recording(self, recording_id: str, paused: bool) -> None:
        """Whether silence is recorded in place of what is said, so that the time stays right."""

    def listen(self, silence_s: float) -> None:
        """`SpeechBegan` comes when somebody speaks, `SpeechHeard` when they were silent for so long
        afterwards. Once; to hear more it is called again, which also forgets what was begun."""

    def stop_listening(self) -> None:
        """Undoes `listen`; what was begun is forgotten."""

    def watch_silence(self, seconds: float) -> None:
        """`NoRtp` comes when nothing arrived for so long; 0 switches it off."""

    def close(self) -> None:
        """Frees the stream and its port. `MediaStats` follows as the last event. Idempotent."""


class Room(Protocol):
    """A mix: see `MediaLeg.join`. It takes any number of legs, wherever they live."""

    def cue(self, name: str, unheard_by: MediaLeg | None = None) -> None:
        """Plays a tone, named as for `MediaLeg.tone`, once to all members but one."""

    def record(self, plan: RecordingPlan) -> None:
        """Records the sum of all members, in one channel; somebody must have joined.

        `RecordingDone` follows when it is stopped or the room closes. Raises MediaUnavailable.
        """

    def stop_recording(self, recording_id: str) -> None:
        """Ends that recording."""

    def close(self) -> None:
        """All leave. `MediaStats`, which are empty, follow as the last event. Idempotent."""


class MediaPlane(Protocol):
    """Makes media legs and rooms."""

    def open(self, leg_id: str, listener: MediaListener, near: MediaLeg | None = None) -> MediaLeg:
        """Takes a port on a worker, without waiting. Raises MediaUnavailable.

        `near`: put it on the worker of that leg, because the two will be bridged.
        """

    def room(self, room_id: str, listener: MediaListener) -> Room:
        """An empty room. `MediaLost` tells that the worker with its recordings died."""
