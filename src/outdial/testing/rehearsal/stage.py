"""The server of a test, in this process: everything of it is real but, in virtual time, the network
of the telephones and the passing of time.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI

from outdial.app import MediaSystem, Server, Trunking
from outdial.calls.services import Services, Speaker
from outdial.clock import Clock, SystemClock
from outdial.config import Settings, Sip, Trunk
from outdial.errors import FetchError
from outdial.frozen import frozen
from outdial.legs import IncomingLeg, SignallingPlane
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient, HttpResponse, Params
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.plane import SipPlane
from outdial.speech.speech import Speech
from outdial.testing.rehearsal.exchange import ExchangePlane
from outdial.testing.rehearsal.heard import Transcript
from outdial.testing.rehearsal.hearing import Hearing, Stream
from outdial.testing.rehearsal.observed_media import ObservedMedia
from outdial.testing.rehearsal.phones import SERVER, TRUNK, Phones, Texts
from outdial.testing.rehearsal.sounds import KnowingSounds, KnowingSpeaker
from outdial.testing.rehearsal.virtual_media import VirtualMedia
from outdial.testing.rehearsal.virtual_time import VirtualTimeLoop
from outdial.webhooks.secret_file import Signing

API_GRACE_S = 0.25
"""Real seconds that a request to the API may take without any virtual time passing; what takes
longer follows something."""


@frozen
class Request:
    """What an application, a receiver of callbacks or a server of sounds was asked."""

    at: float
    """Monotonic time."""
    method: str
    url: str
    params: dict[str, str]
    status: int | None
    """Of the answer; None when there was none."""
    problem: str = ""
    """Why there was none."""


class Stage(Server):
    """A server with phones. Made and used on one loop: `begin`, later `stop`."""

    def __init__(self, settings: Settings, clock: Clock, folder: Path) -> None:
        super().__init__(settings, clock)
        self.folder = folder
        self.hearing = Hearing()
        self.phones: Phones
        self.spoken: dict[str, Transcript] = {}
        """What was played to each leg, by its sid."""
        self.requests: list[Request] = []
        self.asked: dict[int, float] = {}
        """When requests under way began, in real seconds."""

    def request_age_s(self) -> float | None:
        """How long the oldest request under way has taken, in real seconds."""
        return _age_s(self.asked.values())

    def is_computing(self) -> bool:
        """Whether the disk or a helper is at work."""
        return self.store.is_writing or self.helpers.is_working

    # ------------------------------------------------------------------ what is another way here

    def _make_client(self, policy: AddressPolicy) -> HttpClient:
        # the receiver of a signature compares its time with the time of the real world
        signing = Signing.open(self.settings.webhooks, SystemClock())
        return _ObservedClient(self, policy, signing)

    def _equip(self, services: Services) -> Services:
        return replace(
            services,
            media=ObservedMedia(self.media, self.hearing, self.clock.monotonic, self._new_stream),
            speech=KnowingSpeaker(services.speech),
            sounds=KnowingSounds(services.sounds),
            ear=None,  # scripted phones press keys
            faxes=None,  # and are no fax machines
        )

    def _new_stream(self, stream: Stream) -> None:
        now = self.clock.monotonic
        self.spoken[stream.leg_id] = Transcript(
            self.hearing, now, lambda: () if stream.playing is None else (stream.playing,)
        )

    def _make_phones(self, signalling: SignallingPlane, speaker: Speaker) -> Phones:
        media = ObservedMedia(self.media, self.hearing, self.clock.monotonic)
        speak = KnowingSpeaker(speaker).speak
        phones = Phones(media, signalling, speak, self.clock, self.hearing, self.folder)
        self._stack.push_async_callback(phones.stop)
        self.messenger = Texts(phones)
        return phones


class VirtualStage(Stage):
    """In virtual time, without SIP and RTP."""

    def __init__(
        self, settings: Settings, loop: VirtualTimeLoop, clock: Clock, folder: Path
    ) -> None:
        super().__init__(settings, clock, folder)
        self._posts: dict[int, float] = {}
        """When requests to the API began, in real seconds."""
        loop.outside += [self.request_age_s, self._computing_age_s, self._post_age_s]

    def _computing_age_s(self) -> float | None:
        """Nobody waits in vain for the disk or a helper, however long it takes."""
        started = hasattr(self, "store") and hasattr(self, "helpers")
        return 0.0 if started and self.is_computing() else None

    def _post_age_s(self) -> float | None:
        age_s = _age_s(self._posts.values())
        return age_s if age_s is not None and age_s < API_GRACE_S else None

    def _served(self, app: FastAPI) -> Any:
        """The API, whose requests are answered before time goes on."""
        names = itertools.count()

        async def counted(scope: Any, receive: Any, send: Any) -> None:
            name = next(names)
            self._posts[name] = time.monotonic()
            try:
                await app(scope, receive, send)
            finally:
                del self._posts[name]

        return counted

    async def _start_media(self) -> MediaSystem:
        return VirtualMedia(self.hearing)

    async def _start_trunks(self, speech: Speech) -> tuple[list[Trunk], list[APIRouter]]:
        plane = ExchangePlane(lambda leg: self.reception.take(leg), TRUNK)
        self.phones = self._make_phones(plane, speech)
        return [Trunk(name=TRUNK, address="127.0.0.1:5060")], []

    async def _start_signalling(self, take: Callable[[IncomingLeg], None]) -> Trunking:
        # nothing is sent or taken by it: `/metrics` counts what it holds
        nowhere = Sip(listen=["udp:127.0.0.1:0"])
        self.sip = await SipEndpoint.start(nowhere, clock=self.clock)
        self._stack.push_async_callback(self.sip.close)
        return ExchangePlane(self.phones.take, TRUNK)


class RealStage(Stage):
    """In real time, over SIP and RTP on the loopback interface."""

    async def _start_trunks(self, speech: Speech) -> tuple[list[Trunk], list[APIRouter]]:
        sip = Sip(listen=["udp:127.0.0.1:0"], user_agent="Outdial test phones")
        self._endpoint = await SipEndpoint.start(
            sip,
            on_invite=lambda leg: self.phones.take(leg),
            accept_source=lambda host: True,
            clock=self.clock,
        )
        self._stack.push_async_callback(self._endpoint.close)
        self._speech = speech
        return [_trunk_to(self._endpoint, TRUNK)], []

    async def _start_signalling(self, take: Callable[[IncomingLeg], None]) -> Trunking:
        sip, stack = self.settings.sip, self._stack
        self.sip = await SipEndpoint.start(sip, on_invite=take, clock=self.clock)
        stack.push_async_callback(self.sip.close)
        server = SipPlane(sip, self.trunks, self.sip, self.clock)
        stack.callback(server.close)
        server.watch()
        phones = SipPlane(sip, [_trunk_to(self.sip, SERVER)], self._endpoint, self.clock)
        stack.callback(phones.close)
        self.phones = self._make_phones(phones, self._speech)
        return server


class _ObservedClient(HttpClient):
    """Keeps what was asked and how it was answered."""

    def __init__(self, stage: Stage, policy: AddressPolicy, signer: Signing) -> None:
        super().__init__(policy, signer=signer)
        self._stage = stage
        self._names = itertools.count()

    async def request(
        self, method: str, url: str, *, params: Params = (), **further: Any
    ) -> HttpResponse:
        """See HttpClient."""
        stage, name = self._stage, next(self._names)
        at = stage.clock.monotonic()
        stage.asked[name] = time.monotonic()
        status, problem = None, "it was not waited for"
        try:
            response = await super().request(method, url, params=params, **further)
            status, problem = response.status, ""
            return response
        except FetchError as error:
            problem = f"{error.kind}: {error}"
            raise
        finally:
            del stage.asked[name]
            stage.requests.append(Request(at, method, url, dict(params), status, problem))


def _age_s(began: Iterable[float]) -> float | None:
    first = min(began, default=None)
    return None if first is None else time.monotonic() - first


def _trunk_to(endpoint: SipEndpoint, name: str) -> Trunk:
    return Trunk(name=name, address=endpoint.listeners[0].partition(":")[2], options_interval_s=0)
