"""The simulated carrier as a part of the server, and as a program of its own (`outdial sim`)."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from ipaddress import ip_address, ip_network

from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from outdial.api.server import HttpServer
from outdial.clock import Clock, SystemClock
from outdial.config import Media, Settings, Sip, Trunk
from outdial.errors import ConfigError
from outdial.frozen import frozen
from outdial.legs import Codec, MediaPlane
from outdial.media.coders import available
from outdial.media.plane import WorkerPool
from outdial.sim.carrier import SimulatedCarrier
from outdial.sim.http import heard_router
from outdial.sim.personas import PASSWORD, PERSON, PERSONAS, USERNAME
from outdial.sim.steps import Persona
from outdial.sip.core.locating import TRANSPORTS
from outdial.sip.endpoint import SipEndpoint, parse_listener
from outdial.speech.cache import ClipCache
from outdial.speech.pool import HelperPool
from outdial.speech.speech import Speech

LOOPBACK = ("127.0.0.0/8", "::1/128")
G711 = (Codec.PCMU, Codec.PCMA)
MEDIA_PORTS = "30000-39999"
"""Not those of a server beside it, whose settings it reads."""


@frozen
class RunningCarrier:
    """A simulated carrier that listens."""

    phones: SimulatedCarrier
    endpoint: SipEndpoint

    @property
    def trunk(self) -> Trunk:
        """The trunk that leads to it."""
        transport, _, address = self.endpoint.listeners[0].partition(":")
        return Trunk(
            name="sim",
            address=address,
            transport="tcp" if transport == "tcp" else "udp",
            username=USERNAME,
            password=SecretStr(PASSWORD),
            prefixes=[""],
        )

    async def stop(self) -> None:
        """Hangs up every phone and closes the sockets."""
        await self.phones.stop()
        await self.endpoint.close()


def codecs_of(settings: Settings) -> list[Codec]:
    """What phones take that stand beside a server with these settings."""
    return [Codec[name.upper()] for name in settings.media.codecs]


def beside(sip: Sip) -> tuple[str, tuple[str, ...]]:
    """Where phones listen that a server with these settings reaches, and who may call them. Raises
    ConfigError.

    They are on its first listener's address (the loopback for one on every address), because a
    socket that is bound to one address sends from no other, and speak its transport.
    """
    listeners = [parse_listener(listener) for listener in sip.listen]
    transport, host, _ = min(listeners, key=lambda listener: TRANSPORTS.index(listener[0]))
    if transport == "tls":
        raise ConfigError(
            "sip.listen",
            "has TLS alone, which simulated phones do not speak",
            'add e.g. "udp:127.0.0.1:5060"',
        )
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{transport}:{f'[{host}]' if ':' in host else host}:0", (*LOOPBACK, host)


async def start_carrier(
    plane: MediaPlane,
    speech: Speech,
    clock: Clock,
    *,
    listen: Sequence[str] = ("udp:127.0.0.1:0",),
    allow: Sequence[str] = LOOPBACK,
    personas: Mapping[str, Persona] = PERSONAS,
    person: Persona = PERSON,
    codecs: Sequence[Codec] = G711,
) -> RunningCarrier:
    """Listens for calls, from `allow` only, and answers them as the personas do.

    Raises ConfigError when a listener cannot be bound.
    """
    phones = SimulatedCarrier(
        plane,
        speech.speak,
        clock,
        personas=personas,
        person=person,
        # What they take; who calls says what he likes best.
        codecs=[*G711, *(codec for codec in codecs if codec not in G711)],
    )
    try:
        endpoint = await SipEndpoint.start(
            _sip_settings(listen),
            on_invite=phones.take,
            accept_source=_within(allow),
            clock=clock,
        )
    except BaseException:
        await phones.stop()
        raise
    return RunningCarrier(phones, endpoint)


@contextlib.asynccontextmanager
async def standalone(
    settings: Settings,
    listen: Sequence[str],
    *,
    allow: Sequence[str] = LOOPBACK,
    personas: Mapping[str, Persona] = PERSONAS,
    person: Persona = PERSON,
) -> AsyncIterator[RunningCarrier]:
    """A carrier with media workers and speech of its own. Raises ConfigError."""
    available.check(settings)
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as stack:
        plane = await WorkerPool.start(settings.media, clock)
        stack.push_async_callback(plane.stop)
        cache = ClipCache(settings.storage.cache, settings.storage.cache_max_mb * 1_000_000)
        await cache.start()
        stack.push_async_callback(cache.stop)
        pool = HelperPool()
        stack.push_async_callback(pool.stop)
        speech = Speech(settings.speech, cache, pool)
        stack.push_async_callback(speech.stop)
        carrier = await start_carrier(
            plane,
            speech,
            clock,
            listen=listen,
            allow=allow,
            personas=personas,
            person=person,
            codecs=codecs_of(settings),
        )
        stack.push_async_callback(carrier.stop)
        yield carrier


async def serve(
    settings: Settings,
    listen: Sequence[str],
    http: str,
    allow: Sequence[str],
    say: Callable[[str], None],
) -> None:
    """Runs until SIGINT or SIGTERM. Raises ConfigError."""
    host, _, port = http.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError("--http", f"{http!r} is not host:port", "e.g. 127.0.0.1:8090")
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    async with standalone(settings, listen, allow=allow) as carrier:
        app = FastAPI(title="Outdial simulated phones", docs_url=None, redoc_url=None)
        app.include_router(heard_router(carrier.phones))
        server = HttpServer(host.strip("[]"), int(port))
        await server.start(app)
        try:
            for line in _greeting(carrier, f"{host}:{server.port}"):
                say(line)
            await over.wait()
        finally:
            await server.stop()


def run(
    listen: Sequence[str] = ("udp:127.0.0.1:5090",),
    http: str = "127.0.0.1:8090",
    allow: Sequence[str] = LOOPBACK,
    *,
    media_ports: str = MEDIA_PORTS,
    settings: Settings | None = None,
    say: Callable[[str], None],
) -> None:
    """`outdial sim`: a carrier for tests, on `listen`, until it is interrupted.

    `allow` are the networks that may call it, `http` where `/sim/phones` is answered, `say` prints
    a line. The settings are those of a server, but for its ports of media and the public address
    it may have. Raises ConfigError.
    """
    settings = settings or Settings()
    media = _media_settings(settings.media, media_ports)
    own = settings.model_copy(update={"media": media})
    asyncio.run(serve(own, listen, http, allow, say))


def _greeting(carrier: RunningCarrier, http: str) -> list[str]:
    lines = [f"Simulated carrier on {', '.join(carrier.endpoint.listeners)}; use it as a trunk:"]
    lines += [
        "",
        "  [[trunks]]",
        '  name = "sim"',
        f'  address = "{carrier.trunk.address}"',
        f'  transport = "{carrier.trunk.transport}"',
        f'  username = "{USERNAME}"',
        f'  password = "{PASSWORD}"',
        "",
    ]
    lines += [f"  {number}  {p.summary}" for number, p in carrier.phones.personas.items()]
    lines += [f"  any other    {carrier.phones.person.summary}", ""]
    return [*lines, f"What they heard: http://{http}/sim/phones/15005550001/heard"]


def _sip_settings(listen: Sequence[str]) -> Sip:
    try:
        return Sip(listen=list(listen), user_agent="Outdial simulated carrier")
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError("--listen", problem, "e.g. udp:127.0.0.1:5090") from None


def _media_settings(media: Media, ports: str) -> Media:
    try:
        return Media(**{**media.model_dump(), "ports": ports, "public_address": ""})
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError("--media-ports", problem, f"e.g. {MEDIA_PORTS}") from None


def _within(networks: Sequence[str]) -> Callable[[str], bool]:
    try:
        allowed = [ip_network(network) for network in networks]
    except ValueError as error:
        raise ConfigError("--allow", str(error), "e.g. 10.0.0.0/8") from None

    def accepts(host: str) -> bool:
        address = ip_address(host)
        return any(address in network for network in allowed)

    return accepts
