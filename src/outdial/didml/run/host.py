"""What the interpreter and its verbs need from the call they run on; `calls` fulfils it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import field
from typing import Any, Protocol

from outdial.didml.run.keys import Keys
from outdial.frozen import frozen
from outdial.legs import Clip, MediaLeg

Params = Sequence[tuple[str, str]]


@frozen
class Fetched:
    """An application's answer. `url` is where it really came from: the base of relative URLs."""

    url: str
    status: int
    content_type: str
    body: bytes


@frozen
class CallIdentity:
    """Who is on the call."""

    sid: str
    to: str
    from_: str
    caller_name: str


@frozen
class TakeEnd:
    """How a recording ended."""

    duration_ms: int
    is_empty: bool
    """Nothing was said."""
    error: str
    """Why it could not be written; "" when it was."""


@frozen
class Recognized:
    """What somebody said."""

    hint: str
    """One of the hints; "" when it was none of them."""
    confidence: float
    """From 0 to 1."""
    unknown: tuple[str, ...] = ()
    """Hints that cannot be recognised."""


class Listening(Protocol):
    """An ear for the next thing that the caller says."""

    async def begun(self) -> None:
        """Returns when they begin to speak."""

    async def heard(self) -> Recognized:
        """Which of the hints it was. Raises SpeechError."""

    def stop(self) -> None:
        """Nobody wants to know any more. Idempotent."""


class Take(Protocol):
    """A recording of what the caller says, while it is made and afterwards."""

    @property
    def sid(self) -> str:
        """Its id."""

    @property
    def url(self) -> str:
        """Where it can be fetched once it is kept."""

    def stop(self) -> None:
        """Ends it. Idempotent."""

    async def end(self) -> TakeEnd:
        """Waits until it is complete on disk, or has failed; also when the call is over."""

    async def keep(self) -> None:
        """It can be fetched from now on."""

    async def discard(self) -> None:
        """Nobody shall hear it."""

    async def clip(self) -> Clip:
        """It as a prompt. Raises SoundError."""


@frozen
class DialLeg:
    """One party to ring."""

    number: str = ""
    """Digits as the document wrote them; the host normalises and routes them."""
    uri: str = ""
    """A sip: URI, or a bare host (called as the dialled number at that host)."""
    caller_id: str = ""
    """"": the host's rule."""
    timeout_s: float = 30.0
    """Ringing time."""
    time_limit_s: float = 14400.0
    """Longest bridged time."""
    send_digits: str = ""
    url: str = ""
    """A document for who answers, run before the bridge; its Hangup declines. "": none."""
    method: str = "POST"
    status_callback: str = ""
    status_callback_events: tuple[str, ...] = ("completed",)
    status_callback_method: str = "POST"
    record: bool = False
    """Whether the conversation is recorded, as a recording of this leg."""


@frozen
class DialPlan:
    """Whom Dial rings: all at once, the first to answer is bridged, the rest are cancelled."""

    legs: tuple[DialLeg, ...]
    gone: Gone | None = field(default=None, compare=False)


@frozen
class ConferencePlan:
    """The conference that Dial joins."""

    name: str
    muted: bool = False
    beep: bool = True
    """Whether the others hear a beep when the caller joins or leaves."""
    starts: bool = True
    """Whether it begins with this caller, if there is another."""
    ends: bool = False
    """Whether it is over for all when this caller leaves."""
    wait_url: str = ""
    """A document run over and over until it begins; "": a tone."""
    wait_method: str = "POST"
    max_participants: int = 40
    record: bool = False
    time_limit_s: float = 14400.0
    gone: Gone | None = field(default=None, compare=False)


@frozen
class QueuePlan:
    """The queue whose first caller Dial takes."""

    name: str
    url: str = ""
    """A document for who waited, run before the two are connected; "": none."""
    method: str = "POST"
    timeout_s: float = 30.0
    """How long to wait while the queue is empty."""
    time_limit_s: float = 14400.0
    record: bool = False
    """Whether the conversation is recorded, as a recording of the leg that waited."""
    gone: Gone | None = field(default=None, compare=False)


@frozen
class EnqueuePlan:
    """The queue that Enqueue waits in."""

    name: str
    wait_url: str = ""
    """A document run over and over meanwhile; "": a tone."""
    wait_method: str = "POST"


@frozen
class DialEnd:
    """What became of a Dial. `status`: completed, busy, no-answer, failed, canceled."""

    status: str
    sid: str = ""
    """The leg that was bridged, else the last that failed."""
    duration_s: int = 0
    """Bridged time."""
    recording_url: str = ""
    """Of the leg's recording; "" when there is none."""
    conference_sid: str = ""
    queue_sid: str = ""


Gone = Callable[[DialEnd], None]
"""Called when the caller has hung up during a Dial, with what became of it: no answer is needed."""


@frozen
class SmsPlan:
    """A short message to send."""

    text: str
    to: str = ""
    """As the document wrote it; "": the other party of the call."""
    from_: str = ""
    """"": the number of ours that is on the call."""
    status_callback: str = ""
    status_callback_method: str = "POST"


@frozen
class SmsEnd:
    """What is known of a message. `status`: queued, sending, sent, failed."""

    sid: str
    status: str
    error: str = ""
    """Why it failed."""


@frozen
class FaxEnd:
    """What became of a fax. `status`: Complete, incomplete, failed."""

    status: str
    pages: int = 0
    """Those that there are, the last of an incomplete one included."""
    received: int = 0
    """Those that came whole."""
    sender: str = ""
    """What the sending machine calls itself."""
    error: str = ""
    """Why it is not complete."""


class FaxTake(Protocol):
    """A fax, while it is received and afterwards."""

    @property
    def url(self) -> str:
        """Where its PDF can be fetched once it is over, if it has pages."""

    def stop(self) -> None:
        """Takes no more; what is here by now is kept. Idempotent."""

    async def end(self) -> FaxEnd:
        """Waits until it is over; also when the call is."""


class Host(Protocol):
    """One call, as verbs see it."""

    @property
    def call(self) -> CallIdentity:
        """Who is on it."""

    @property
    def media(self) -> MediaLeg:
        """The caller's audio. Only an answered call has any."""

    async def answer(self) -> bool:
        """Answers a call towards us, if that is not done yet; False: the call is over."""

    @property
    def keys(self) -> Keys:
        """What the caller has keyed since the answer and no verb has taken."""

    async def fetch(self, url: str, method: str, extra: Params = ()) -> Fetched:
        """Requests a document with the standard six parameters and `extra`.

        Raises FetchError, also (kind ``status``) for any answer that is not 2xx.
        """

    def notify(self, url: str, method: str, extra: Params = ()) -> None:
        """The same request as a notification: sent in the background, its answer thrown away."""

    def speak(self, text: str, voice: str, language: str) -> AsyncIterator[Clip]:
        """The text as clips, the first as soon as it is ready. Raises SpeechError.

        `voice`: man, woman or "" for the default; `language`: "" for the default.
        """

    async def sound(self, url: str) -> Clip:
        """The audio file as a clip. Raises FetchError or SoundError."""

    async def dial(self, plan: DialPlan) -> DialEnd:
        """Rings, bridges, and returns when the bridge is over or nobody could be had.

        The caller hears ringback meanwhile. Never raises for what the far side does.
        """

    async def confer(self, plan: ConferencePlan) -> DialEnd:
        """Joins the conference, and returns when it is over for this caller, or was full."""

    async def dequeue(self, plan: QueuePlan) -> DialEnd:
        """Takes who has waited longest; returns after the conversation, or when nobody came."""

    async def enqueue(self, plan: EnqueuePlan) -> None:
        """Waits in the queue; returns after the conversation with who took the call."""

    def deafness(self, language: str) -> str:
        """Why no speech can be recognised; "" when it can. `language`: "" for the default."""

    def listen(self, hints: Sequence[str], silence_s: float) -> Listening:
        """Listens for one of the hints, until the caller was silent for so long."""

    def record(self, longest_s: float, silence_s: float) -> Take:
        """Records what the caller says from now on.

        It ends by itself after `longest_s`, after a silence of `silence_s`, or with the call.
        """

    def record_whole(self) -> None:
        """Records the whole call from now on, both directions, unless it is already."""

    def postcall(self, url: str, method: str) -> None:
        """Has the URL told the call's whole record after its end; the last one named counts."""

    async def send_text(self, plan: SmsPlan, wait_s: float) -> SmsEnd:
        """Sends a short message: it is kept when this returns, and sent once whatever happens.

        Waits so long at most for what becomes of it. A message that may not or cannot be sent has
        failed; nothing is raised.
        """

    def receive_fax(self) -> FaxTake:
        """Receives a fax from now on. One that cannot be received has failed; nothing is raised."""

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Goes on with the work when the call is over."""

    def note(self, kind: str, **data: str | int | float | bool | None) -> None:
        """Writes a line on the call's timeline."""
