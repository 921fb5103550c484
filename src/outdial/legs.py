"""The two protocols through which a session and the verbs see a leg, and what passes through them.

`sip` fulfils `SignallingPlane` and `SignallingLeg`, `media` fulfils `MediaPlane` and `MediaLeg`.
Nothing here does I/O. Events are delivered by calling, on the event loop's thread, the listener
given when the leg was made; a listener must return at once and must not raise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

# --------------------------------------------------------------------------- signalling


@dataclass(frozen=True, slots=True)
class DialTarget:
    """Whom to call and over what, resolved: nothing is left to be looked up but DNS."""

    leg_id: str
    """Our call sid; also seeds the SIP Call-ID."""
    trunk: str
    """Name of the trunk in the settings; "" dials `uri` directly."""
    number: str
    """User part of the Request-URI, already in the trunk's number format."""
    caller_id: str
    """User part of From."""
    caller_name: str = ""
    """Display name of From; "" for none."""
    uri: str = ""
    """A full SIP URI to call instead of `number` at the trunk's address."""
    headers: tuple[tuple[str, str], ...] = ()
    """Extra headers, name and value, checked for control characters by the SIP core."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """A provisional response above 100. `sdp` is set when it carries an answer (early media)."""

    status: int
    reason: str
    sdp: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A 2xx to our INVITE. `sdp` is the answer, None if there was none.

    The ACK waits for `OutgoingLeg.acknowledge`; the far end repeats its 2xx until it comes, and
    gives the call up after 64*T1 (32 s) without.
    """

    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The INVITE ended without an answer. Terminal; nothing follows.

    `local` says that no peer sent this status: 408 timer B, 503 transport failure, 487 our CANCEL
    that nobody confirmed.
    """

    status: int
    reason: str
    local: bool = False
    retry_after_s: int | None = None
    q850_cause: int | None = None


@dataclass(frozen=True, slots=True)
class Reoffer:
    """A re-INVITE or UPDATE that wants an SDP answer: call `answer_offer` or `refuse_offer`.

    `sdp` None: an offerless re-INVITE, the answer given is then our offer; the far end's answer
    arrives as `Reanswered`.
    """

    sdp: bytes | None


@dataclass(frozen=True, slots=True)
class Reanswered:
    """The far end's SDP answer in the ACK of its offerless re-INVITE."""

    sdp: bytes


@dataclass(frozen=True, slots=True)
class DigitInfo:
    """A digit by SIP INFO (application/dtmf-relay or application/dtmf)."""

    digit: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Released:
    """An answered leg is over. Terminal; nothing follows.

    `by_far_end`: a BYE arrived. Otherwise we hung up, or the dialog died (`status` 408 or 481 from
    a request inside the dialog, or session timer expiry).
    """

    by_far_end: bool
    status: int | None = None
    reason: str = ""
    q850_cause: int | None = None


SignallingEvent = Ringing | Answered | Rejected | Reoffer | Reanswered | DigitInfo | Released
SignallingListener = Callable[[SignallingEvent], None]


@dataclass(frozen=True, slots=True)
class TracedMessage:
    """One SIP message of a leg, as it went over the wire."""

    at: float
    """Wall time, seconds."""
    outgoing: bool
    peer: str
    """host:port"""
    transport: str
    """udp, tcp, tls"""
    raw: bytes


TraceListener = Callable[[TracedMessage], None]


class SignallingLeg(Protocol):
    """One call as signalling sees it."""

    @property
    def sip_call_id(self) -> str:
        """The Call-ID header, for finding the call in a carrier's logs."""

    @property
    def peer(self) -> tuple[str, int] | None:
        """Address and port the signalling goes to, once known."""

    @property
    def dialog_data(self) -> Mapping[str, Any] | None:
        """What `SignallingPlane.release` needs to end the leg as it stands, as plain JSON values.

        Before the answer that is the INVITE under way, after it the dialog; of an incoming leg it
        is the dialog that the answer makes. None while there is nothing to end, and once the leg is
        over.
        """

    def hang_up(self, status: int = 0, reason: str = "") -> None:
        """Ends the leg in whatever state it is: CANCEL before the answer, BYE after it.

        On an incoming unanswered leg `status` (default 603) is the response. Idempotent.
        `reason` becomes a Reason header (RFC 3326) as SIP text. The terminal event follows.
        """

    def answer_offer(self, sdp: bytes) -> None:
        """Answers the pending `Reoffer`. Without a pending one it does nothing."""

    def refuse_offer(self, status: int = 488) -> None:
        """Refuses the pending `Reoffer`; the session stays as it was."""

    def reoffer(self, sdp: bytes) -> None:
        """Sends a re-INVITE with the offer; the answer arrives as `Reanswered`. For later use."""


class OutgoingLeg(SignallingLeg, Protocol):
    """A call that we make."""

    def acknowledge(self) -> None:
        """Sends the ACK of the 2xx that `Answered` told of. Idempotent, and without effect before.

        `hang_up` acknowledges by itself, and so does the end of the call.
        """


class IncomingLeg(SignallingLeg, Protocol):
    """A call towards us that is not answered yet."""

    @property
    def called(self) -> str:
        """User part of the Request-URI."""

    @property
    def caller_id(self) -> str:
        """User part of From."""

    @property
    def caller_name(self) -> str:
        """Display name of From."""

    @property
    def offer(self) -> bytes | None:
        """The SDP offer; None when the INVITE had none."""

    @property
    def source(self) -> tuple[str, int]:
        """Where the INVITE came from."""

    @property
    def account(self) -> str:
        """The user name that it showed by digest; "" when it did not have to."""

    def listen(self, listener: SignallingListener) -> None:
        """Who gets the events from now on, and those that came before."""

    def trace(self, trace: TraceListener) -> None:
        """Who sees the leg's messages from now on; the INVITE is the first of them."""

    def ring(self, status: int = 180, sdp: bytes | None = None) -> None:
        """Sends a provisional response, reliably when the peer requires 100rel."""

    def accept(self, sdp: bytes) -> None:
        """Sends 200 and repeats it until the ACK arrives."""

    def reject(
        self, status: int, reason: str = "", headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """Sends a final 3xx-6xx."""


class SignallingPlane(Protocol):
    """Makes outgoing legs."""

    def dial(
        self,
        target: DialTarget,
        offer: bytes,
        listener: SignallingListener,
        trace: TraceListener | None = None,
    ) -> OutgoingLeg:
        """Sends the INVITE and returns at once; all that follows comes as events.

        Even a failure that is known at once (unknown trunk, DNS, no route) arrives as `Rejected`,
        after this method has returned.
        """

    def release(self, dialog_data: Mapping[str, Any], trace: TraceListener | None = None) -> None:
        """Ends a leg of an earlier process: BYE, or CANCEL if it was not answered then.

        An answer that comes all the same is acknowledged and followed by BYE. Returns at once, and
        goes on in the background; nobody is told how it went. Data that cannot be used are logged.
        """


# --------------------------------------------------------------------------- media


class Codec(Enum):
    """What we send and take: static RTP payload types of RFC 3551."""

    PCMU = 0
    PCMA = 8


class Direction(Enum):
    """RFC 4566 section 6, as seen from us."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
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
    """The trunk is behind NAT: learn the far address once, within 500 ms of `start`."""
    signalling_address: str = ""
    """The address the signalling goes to: one of the places `learn_address` may learn."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Audio ready to send: the same sound as raw G.711 in both laws, 8000 bytes a second."""

    ulaw_path: str
    alaw_path: str
    duration_ms: int


class PlayEnd(Enum):
    """Why a play ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    """`stop_playing` was called."""
    LOST = "lost"
    """The leg was closed or its worker died."""


@dataclass(frozen=True, slots=True)
class Digit:
    """A DTMF digit was heard, reported once, when it ends or (`in-band`) is sure."""

    digit: str
    source: str
    """rfc4733 or in-band"""
    duration_ms: int


@dataclass(frozen=True, slots=True)
class NoRtp:
    """Nothing has arrived from the far end for `seconds`. Sent once per silence."""

    seconds: float


@dataclass(frozen=True, slots=True)
class SpeechBegan:
    """Somebody has begun to speak, or it is loud there: see `MediaLeg.listen`."""


@dataclass(frozen=True, slots=True)
class SpeechHeard:
    """What they said until they fell silent. It follows `SpeechBegan`; nothing more is heard."""

    ulaw: bytes = field(repr=False)
    """µ-law of G.711, 7.5 s at most."""


@dataclass(frozen=True, slots=True)
class MediaLost:
    """The worker that carried the stream died. Terminal."""

    reason: str


@dataclass(frozen=True, slots=True)
class RecordingDone:
    """A recording is complete on disk, or could not be written (`error`)."""

    recording_id: str
    path: str
    duration_ms: int
    size_bytes: int
    error: str = ""
    sound_ms: int = 0
    """How much of what the far end sent was louder than silence."""


@dataclass(frozen=True, slots=True)
class MediaStats:
    """A stream's counters at its end. Terminal; the leg is closed."""

    packets_sent: int = 0
    packets_received: int = 0
    packets_lost: int = 0
    """From sequence numbers, RFC 3550 appendix A.3."""
    packets_late: int = 0
    """Arrived after their play-out time."""
    packets_refused: int = 0
    """From an address that was not negotiated, or not RTP."""
    jitter_ms: float = 0.0
    """RFC 3550 interarrival jitter."""
    ticks_late: int = 0
    """Own packets sent more than half a packet time late."""
    far_lost_fraction: float = 0.0
    """What the far end reported losing, from its last RTCP report."""
    round_trip_ms: float = 0.0
    """From RTCP, 0 when unknown."""

    def to_json(self) -> dict[str, int | float]:
        """By name, as stored with the call."""
        return {name: getattr(self, name) for name in self.__slots__}


MediaEvent = Digit | NoRtp | SpeechBegan | SpeechHeard | MediaLost | RecordingDone | MediaStats
MediaListener = Callable[[MediaEvent], None]


@dataclass(frozen=True, slots=True)
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


# --------------------------------------------------------------------------- how a call ends


class Outcome(Enum):
    """What became of a call, as `CallOutcome` says it."""

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"


class Source(Enum):
    """Who ended it, as `HangupSource` says it."""

    CALLEE = "callee"
    CALLER = "caller"
    """The other leg of a bridge, or who asked by the API."""
    APPLICATION = "application"
    """The document: Hangup, its end, its error."""
    CARRIER = "carrier"
    """A trunk or the network."""
    OUTDIAL = "outdial"
    """A limit of ours: time limit, silence, shutdown."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a leg is over. Every leg has exactly one."""

    outcome: Outcome
    cause: str
    """HangupCause: a lower-case word of docs/reference/causes.md, e.g. normal-clearing."""
    source: Source
    sip_code: int | None = None
    detail: str = ""
    """One sentence for a person."""
    media: MediaStats = field(default_factory=MediaStats)
