"""What sessions stand on, gathered in one place; app.py fills it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol

from outdial.calls.calling_policy import CallingPolicy
from outdial.calls.channels import Channels
from outdial.calls.conferences import Conferences
from outdial.calls.faxes import Faxes
from outdial.calls.journal import Journal
from outdial.calls.messages import Messages
from outdial.calls.minutes import Minutes
from outdial.calls.peers import Lease
from outdial.calls.queues import Queues
from outdial.calls.routes import Routes
from outdial.calls.sip_hosts import SipHosts
from outdial.calls.tasks import Tasks
from outdial.clock import Clock
from outdial.config import Settings
from outdial.frozen import frozen
from outdial.key_rules import KeyBook
from outdial.legs import Clip, MediaPlane, SignallingPlane
from outdial.stored_file import SealingKeys


class HttpResponse(Protocol):
    """An answer to an outgoing request."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...
    @property
    def url(self) -> str: ...
    @property
    def content_type(self) -> str: ...


class HttpClient(Protocol):
    """The outgoing HTTP client, as sessions use it."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        timeout_s: float = 10.0,
        max_bytes: int = 65536,
        connect_timeout_s: float | None = None,
        read_timeout_s: float | None = None,
    ) -> HttpResponse:
        """Raises FetchError."""


class Speaker(Protocol):
    """Text to speech, as sessions use it."""

    def speak(self, text: str, voice: str, language: str) -> AsyncIterator[Clip]:
        """The clips of the text in order. Raises SpeechError."""


class SoundLibrary(Protocol):
    """Audio files from the web, as sessions use them."""

    async def fetch(self, url: str) -> Clip:
        """Raises FetchError, SoundError."""

    async def decoded(self, file: bytes, path: str) -> Clip:
        """The file as a clip of its own at ``path.ulaw`` and ``path.alaw``. Raises SoundError."""


class HeardSpeech(Protocol):
    """What was recognised."""

    @property
    def hint(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def unknown(self) -> tuple[str, ...]: ...


class Ear(Protocol):
    """Speech recognition, as sessions use it."""

    def problem(self, language: str) -> str:
        """Why nothing in that language can be recognised; "" when it can."""

    async def recognize(self, ulaw: bytes, hints: Sequence[str]) -> HeardSpeech:
        """Which of the hints it is. Raises SpeechError."""


@frozen
class Services:
    """Everything a session may call."""

    settings: Settings
    clock: Clock
    journal: Journal
    signalling: SignallingPlane
    media: MediaPlane
    http: HttpClient
    speech: Speaker
    sounds: SoundLibrary
    routes: Routes
    channels: Channels
    recordings: Path
    """Absolute path of the recordings folder."""
    public_url: str
    """Without a trailing slash."""
    check_destination: Callable[[str, str], None]
    """Raises Refused when the number (E.164 digits) of the field may not be dialled."""
    sip_hosts: SipHosts
    """Where documents may dial by SIP URI."""
    minutes: Minutes
    """How long may still be talked today."""
    policy: CallingPolicy
    """Whom one may call, and when."""
    tasks: Tasks
    """Where work that outlives its caller runs."""
    sdp_session_id: Callable[[], int]
    """A fresh session id for an SDP origin line."""
    sealing: SealingKeys = field(default_factory=SealingKeys)
    """What recordings and faxes are sealed with."""
    copies: Path | None = None
    """Where a recording may be in clear while it is played; None: beside it."""
    keys: KeyBook = field(default_factory=KeyBook)
    """What each API key may do."""
    conferences: Conferences = field(default_factory=Conferences)
    queues: Queues = field(default_factory=Queues)
    messages: Messages | None = None
    """None: no short messages can be sent."""
    faxes: Faxes | None = None
    """None: no faxes can be received."""
    lease: Lease | None = None
    """None: nobody else is on the database."""
    ear: Ear | None = None
    """None: no speech is recognised."""
