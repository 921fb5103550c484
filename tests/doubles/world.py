"""A whole set of services made of stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from doubles.legs import FakeCallbacks, FakeMedia, FakeSignalling, FakeStore
from outdial.calls.calling_policy import CallingPolicy
from outdial.calls.channels import Channels
from outdial.calls.journal import Journal
from outdial.calls.minutes import Minutes
from outdial.calls.routes import Routes
from outdial.calls.services import Services
from outdial.calls.sip_hosts import SipHosts
from outdial.calls.tasks import Tasks
from outdial.clock import SystemClock
from outdial.config import Settings, Trunk
from outdial.errors import FetchError, SpeechError
from outdial.key_rules import KeyBook
from outdial.keys import rules_given
from outdial.legs import Clip


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the fake web."""

    body: bytes
    status: int = 200
    content_type: str = "text/xml"
    url: str = ""


@dataclass
class FakeWeb:
    """Pages by URL; every request is kept."""

    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

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
    ) -> Page:
        self.requests.append((method, url, dict(params)))
        page = self.pages.get(url)
        if page is None:
            raise FetchError("connect", f"nobody serves {url}")
        return Page(page.body, page.status, page.content_type, url)


@dataclass
class FakeSpeech:
    """Every sentence is one clip whose path is the text."""

    is_broken: bool = False

    async def speak(self, text: str, voice: str, language: str) -> AsyncIterator[Clip]:
        await asyncio.sleep(0)
        if self.is_broken:
            raise SpeechError("no engine")
        yield Clip(f"{voice} {language}: {text}", "", 1000)


class FakeSounds:
    """Every sound is a clip whose path is its URL."""

    async def fetch(self, url: str) -> Clip:
        return Clip(url, "", 1000)

    async def decoded(self, file: bytes, path: str) -> Clip:
        return _written(file, path)


def _written(file: bytes, path: str) -> Clip:
    for law in ("ulaw", "alaw"):
        Path(f"{path}.{law}").write_bytes(file)
    return Clip(f"{path}.ulaw", f"{path}.alaw", 1000)


async def until(condition: Callable[[], object]) -> None:
    """Lets the loop run until the condition holds, five seconds at most."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event of its own)
            await asyncio.sleep(0)


class World:
    """Services, and the stand-ins they are made of."""

    def __init__(self, *trunks: Trunk, settings: Settings | None = None) -> None:
        self.store = FakeStore()
        self.callbacks = FakeCallbacks()
        self.signalling = FakeSignalling()
        self.media = FakeMedia()
        self.web = FakeWeb()
        self.speech = FakeSpeech()
        clock = SystemClock()
        trunks = trunks or (Trunk(name="a", address="192.0.2.1"),)
        self.services = Services(
            settings=settings or Settings(),
            clock=clock,
            journal=Journal(self.store, self.callbacks, clock),
            signalling=self.signalling,
            media=self.media,
            http=self.web,
            speech=self.speech,
            sounds=FakeSounds(),
            routes=Routes(trunks),
            channels=Channels(trunks, clock.monotonic()),
            recordings=Path("/nowhere"),
            public_url="http://outdial.test",
            check_destination=lambda number, field: None,
            sip_hosts=SipHosts(["192.0.2.7"], trunks, sim=False),
            minutes=Minutes((settings or Settings()).model_copy(update={"trunks": trunks}), clock),
            policy=CallingPolicy((settings or Settings()).policy, clock),
            tasks=Tasks(),
            sdp_session_id=lambda: 7,
            keys=KeyBook({key.name: rules_given(key) for key in (settings or Settings()).keys}),
        )

    def told(self, sid: str = "") -> list[str]:
        """The events of the callbacks, in order."""
        return [d.event for d in self.callbacks.submitted if not sid or d.call_sid == sid]

    def last_params(self) -> dict[str, str]:
        """The parameters of the last callback."""
        return dict(self.callbacks.submitted[-1].params)
