"""Joins everything into one server and runs it. Nobody imports this but the command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import uvloop
from fastapi import APIRouter, FastAPI
from prometheus_client.registry import Collector

from outdial import log
from outdial.api.app import create_app
from outdial.api.server import HttpServer
from outdial.api.trunks import TrunkBoard
from outdial.calls import playback
from outdial.calls.archive import Recordings
from outdial.calls.called_numbers import CalledNumbers
from outdial.calls.calling_policy import CallingPolicy
from outdial.calls.channels import Channels
from outdial.calls.faxes import Faxes
from outdial.calls.gateway import Gateway
from outdial.calls.journal import Journal
from outdial.calls.left_recordings import Strays
from outdial.calls.messages import Messages
from outdial.calls.minutes import Minutes
from outdial.calls.numbers import check_destination, normalise
from outdial.calls.rates import read_rates
from outdial.calls.reception import Reception
from outdial.calls.recording_files import RecordingFiles
from outdial.calls.registry import Registry
from outdial.calls.retention import Sweeper
from outdial.calls.routes import Routes
from outdial.calls.services import Services
from outdial.calls.sip_hosts import SipHosts
from outdial.calls.tasks import Tasks
from outdial.clock import Clock, SystemClock
from outdial.config import Media, Settings, Trunk
from outdial.errors import ConfigError, StoreUnavailable
from outdial.file_watch import FileWatch
from outdial.gauges import Gauges, Kept
from outdial.key_keeper import KeyKeeper
from outdial.keys import KeyRing
from outdial.legs import IncomingLeg, MediaPlane, SignallingPlane
from outdial.media.coders import available
from outdial.media.plane import WorkerPool
from outdial.memory import AfterPeaks, settle_down
from outdial.messages import MessagePlane
from outdial.net.addresses import AddressPolicy, check_url
from outdial.net.client import HttpClient
from outdial.nodes.member import Member
from outdial.nodes.metrics import NodeGauges
from outdial.nodes.name import node_name
from outdial.observers import Observers
from outdial.preflight import check_addresses
from outdial.sim.http import heard_router
from outdial.sim.main import beside, codecs_of, start_carrier
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.messenger import Messenger
from outdial.sip.plane import SipPlane
from outdial.speech.cache import ClipCache
from outdial.speech.mp3 import Mp3s
from outdial.speech.pool import HelperPool
from outdial.speech.recognizer import Recognizer
from outdial.speech.sounds import Sounds
from outdial.speech.speech import Speech
from outdial.store.backends import is_shared
from outdial.store.store import Store
from outdial.tls.contexts import ServerSecurity
from outdial.tls.gauges import CertificateGauges
from outdial.tls.watch import CertificateWatch
from outdial.trunk_state import TrunkMessages, TrunkServers, TrunkState
from outdial.webhooks.deliver import Deliverer
from outdial.webhooks.replay import Replays
from outdial.webhooks.secret_file import Signing

_log = log.get("app")

HARD_STOP_S = 2.0
"""A second SIGTERM ends the process within."""
LAST_CALLBACKS_S = 5.0
"""How long the callbacks of the last calls may take; the others are delivered at the next start."""
SWITCH_INTERVAL_S = 0.0005
"""How long the store's thread may have to wait for the interpreter after a sync to disk; Python's
default of 5 ms would be the larger part of a call's set-up time."""

TAKEN_OVER = 75
"""Exit status when another node has taken over: EX_TEMPFAIL, start it again."""


class Trunking(SignallingPlane, Protocol):
    """The signalling of a server: it knows whose calls towards us it takes."""

    def trunk_of(self, host: str, account: str = "") -> str | None:
        """The name of the trunk at the address, of several there the one of that user name."""

    def trunk_messages(self, trunk_name: str) -> TrunkMessages:
        """The last messages between us and the trunk outside of calls."""

    def trunk_states(self) -> Sequence[TrunkState]:
        """What is known of each trunk."""

    def trunk_servers(self) -> Sequence[TrunkServers]:
        """How many servers each trunk has left."""

    def is_last_choice(self, trunk_name: str) -> bool:
        """Whether any other trunk is better now."""


class MediaSystem(MediaPlane, Protocol):
    """The media of a server."""

    async def stats(self) -> dict[str, int]:
        """What is held and was done, by name, for `gauges`."""

    async def stop(self) -> None:
        """Ends it."""


class Server:
    """Everything that runs in the control process. Made by `start`, ended by `stop`.

    `outdial.testing.rehearsal` does in another way, without a network and in time of its own, what
    the methods `_make_client`, `_start_…`, `_equip` and `_served` do.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self._stack = contextlib.AsyncExitStack()
        self.certificates = CertificateWatch()
        self.file_watch = FileWatch()
        self.messenger: MessagePlane | None = None
        """What takes short messages to the trunks."""

    @classmethod
    async def start(cls, settings: Settings) -> Server:
        """Starts every part, the HTTP API last. Raises ConfigError."""
        server = cls(settings)
        await server.begin()
        return server

    async def begin(self) -> None:
        """Starts every part of one that was only made. Raises ConfigError."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def _start(self) -> None:
        settings, clock, stack = self.settings, self.clock, self._stack
        check_addresses(settings)
        available.check(settings)
        self.observers = Observers.start(settings)
        stack.push_async_callback(self.observers.stop)
        files = self.files = RecordingFiles.open(settings, self.file_watch)
        stack.callback(files.close)
        recordings = files.folder
        playback.clear(recordings, clock.now())
        policy = AddressPolicy(settings.webhooks.allow_private, settings.webhooks.allow_ports)
        host, _, port = settings.http.listen.rpartition(":")

        self.store = await _open_store(settings, clock)
        stack.push_async_callback(self.store.close)
        self.member = await _join(settings, self.store)
        if self.member is not None:
            stack.push_async_callback(self._leave, self.member)
        keys = await KeyRing.open(self.store, settings, clock)
        client = self._make_client(policy)
        stack.push_async_callback(client.close)
        self.media = await self._start_media()
        stack.push_async_callback(self.media.stop)
        speech, sounds = await self._start_speech(client)
        ear = Recognizer()
        stack.push_async_callback(ear.stop)
        self.trunks, routers = await self._start_trunks(speech)

        plane = await self._start_signalling(lambda leg: self.reception.take(leg))

        self.deliverer = Deliverer(
            self.store,
            client,
            clock,
            settings.webhooks,
            on_settled=lambda delivery, elapsed_ms: journal.delivered(delivery, elapsed_ms),
            is_live=lambda sid: journal.is_open(sid),
            keys=files.keys,
        )
        journal = Journal(self.store, self.deliverer, clock, self.observers.told)
        shown = _shown(settings)
        self.certificates.add(shown)
        self.http = HttpServer(host.strip("[]"), int(port), shown)
        stack.push_async_callback(self.http.stop)
        self.url = f"{'http' if shown is None else 'https'}://{host}:{self.http.port}"
        routes = Routes(
            self.trunks,
            plane.is_last_choice,
            () if settings.sim.enabled else settings.routes,
            read_rates(self.trunks, self.file_watch),
        )

        def check(number: str, field: str) -> None:
            check_destination(number, settings.limits, field, sim=settings.sim.enabled)

        self.messages = Messages(
            settings.sms,
            store=self.store,
            journal=journal,
            routes=routes,
            plane=self.messenger,
            gateway=Gateway(client, settings.sms) if settings.sms.gateway_url else None,
            clock=clock,
            check_destination=check,
            lease=self.member,
            keys=keys.book,
        )
        services = self._equip(
            Services(
                settings=settings,
                clock=clock,
                journal=journal,
                signalling=plane,
                media=self.media,
                http=client,
                speech=speech,
                sounds=sounds,
                routes=routes,
                channels=Channels(self.trunks, clock.monotonic()),
                recordings=recordings,
                public_url=settings.http.public_url.rstrip("/") or self.url,
                check_destination=check,
                sip_hosts=SipHosts(
                    settings.limits.sip_hosts, self.trunks, sim=settings.sim.enabled
                ),
                minutes=Minutes(settings.model_copy(update={"trunks": self.trunks}), clock),
                policy=CallingPolicy(settings.policy, clock),
                tasks=Tasks(),
                sdp_session_id=partial(secrets.randbits, 62),
                messages=self.messages,
                faxes=Faxes(settings.fax, recordings),
                keys=keys.book,
                sealing=files.keys,
                copies=files.copies,
                lease=self.member,
                ear=ear,
            )
        )
        self.calls = Registry(services, self.store, self.member)
        numbers = CalledNumbers(settings.numbers, self.store.numbers, clock)
        self.reception = Reception(services, self.calls, plane.trunk_of, numbers)
        kept = Kept(
            http_connections=client.connections,
            api_connections=self.http.connections,
            speech_helpers=lambda: len(self.helpers.pids) + len(ear.pids),
            sip_connections=lambda: self.sip.connections,
        )
        gauges = Gauges(self.sip.agent, self.sip.sentry, self.media, self.deliverer, kept, plane)
        watch = self.certificates
        secrecy = CertificateGauges(watch, clock, self.sip.handshakes)
        collectors: list[Collector] = [gauges, self.calls.figures, secrecy]
        if self.member is not None:
            collectors.append(NodeGauges(self.member))
        app = create_app(
            calls=self.calls,
            store=self.store,
            replays=Replays(self.store, self.deliverer, clock),
            numbers=numbers,
            recordings=Recordings(recordings, self.store.archive, journal, self.mp3s),
            sealing=files.keys,
            mp3s=self.mp3s,
            bans=self.sip.sentry,
            trunks=TrunkBoard(
                self.trunks, plane.trunk_states, settings.media.codecs, plane.trunk_messages
            ),
            keys=keys,
            keeper=KeyKeeper(self.store, [key.name for key in settings.keys], clock),
            settings=settings,
            check_url=lambda url: check_url(url, policy),
            extra=routers,
            collectors=collectors,
            refresh=gauges.refresh,
        )
        # Loads the number plans, 40 ms that the first post need not wait for.
        normalise("12025550100", "")
        await self.deliverer.start()
        stack.push_async_callback(self.deliverer.stop)
        stack.push_async_callback(self.messages.stop)
        await self.calls.start()
        sweeper = Sweeper(self.store.expiry, settings.retention, recordings, clock)
        sweeper.start()
        stack.push_async_callback(sweeper.stop)
        strays = Strays(recordings, self.store.archive, clock, files.keys)
        strays.start()
        stack.push_async_callback(strays.stop)
        if self.member is not None:
            self.member.serve(self.calls, self.deliverer)
        watch.start()
        stack.callback(watch.stop)
        self.file_watch.start()
        stack.callback(self.file_watch.stop)
        await self.http.start(self.observers.served(self._served(app)))

    def _make_client(self, policy: AddressPolicy) -> HttpClient:
        return self.observers.client(policy, Signing.open(self.settings.webhooks, self.clock))

    async def _start_media(self) -> MediaSystem:
        encrypts = any(self._may_encrypt(trunk) for trunk in self.settings.trunks)
        media, sealed = _media_settings(self.settings), self.files.keys.seals
        codecs = {codec for trunk in self.settings.trunks for codec in trunk.codecs}
        return await WorkerPool.start(
            media, self.clock, encrypts=encrypts, sealed=sealed, codecs=codecs
        )

    def _may_encrypt(self, trunk: Trunk) -> bool:
        """Whether SRTP has to be at hand for its calls, which DNS may move to TLS."""
        speaks_tls = any(one.startswith("tls:") for one in self.settings.sip.listen)
        return trunk.encryption_over(tls=speaks_tls and trunk.finds_transport) != "off"

    async def _start_signalling(self, take: Callable[[IncomingLeg], None]) -> Trunking:
        """`take` gets the calls towards us."""
        sip, stack = self.settings.sip, self._stack
        self.sip = await SipEndpoint.start(sip, on_invite=take, clock=self.clock)
        stack.push_async_callback(self.sip.close)
        plane = SipPlane(sip, self.trunks, self.sip, self.clock)
        stack.push_async_callback(plane.stop)
        self.messenger = Messenger(self.sip, plane)
        for secured in (self.sip.security, *plane.securities()):
            self.certificates.add(secured)
        plane.watch()
        return plane

    def _served(self, app: FastAPI) -> Any:
        """What answers the requests."""
        return app

    def _equip(self, services: Services) -> Services:
        """What sessions stand on, before anything stands on it."""
        return services

    async def _start_speech(self, client: HttpClient) -> tuple[Speech, Sounds]:
        settings, stack = self.settings, self._stack
        cache = ClipCache(settings.storage.cache, settings.storage.cache_max_mb * 1_000_000)
        await cache.start()
        stack.push_async_callback(cache.stop)
        pool = self.helpers = HelperPool()
        stack.push_async_callback(pool.stop)
        speech = Speech(settings.speech, cache, pool)
        stack.push_async_callback(speech.stop)
        sounds = Sounds(client, cache, pool, max_bytes=settings.didml.max_sound_bytes)
        stack.push_async_callback(sounds.stop)
        self.mp3s = Mp3s(pool)
        stack.push_async_callback(self.mp3s.stop)
        await speech.start()
        return speech, sounds

    async def _start_trunks(self, speech: Speech) -> tuple[list[Trunk], list[APIRouter]]:
        """The trunks to dial on: with the simulated phones switched on, only the one to them."""
        if not self.settings.sim.enabled:
            return self.settings.trunks, []
        listen, allow = beside(self.settings.sip)
        carrier = await start_carrier(
            *(self.media, speech, self.clock),
            listen=(listen,),
            allow=allow,
            codecs=codecs_of(self.settings),
        )
        self._stack.push_async_callback(carrier.stop)
        return [carrier.trunk], [heard_router(carrier.phones)]

    async def stop(self, drain_s: float, hurry: asyncio.Event | None = None) -> None:
        """No new calls; live ones may go on for so long, then everything is closed.

        `hurry`, once set, ends the waiting.
        """
        hurry = hurry or asyncio.Event()
        self.calls.refuse()
        if self.member is not None:
            await self.member.retire()
        await self.calls.drain(drain_s, hurry)
        await self.messages.stop()
        if not hurry.is_set():
            # How the last calls ended is told now, if the receivers are there, and not only at
            # the next start.
            with contextlib.suppress(StoreUnavailable):
                await self.store.flush()
            await self.deliverer.settle(LAST_CALLBACKS_S)
            await self.http.let_followers_see()
        await self._stack.aclose()

    async def _leave(self, member: Member) -> None:
        """Everything is written; what is left of callbacks is for other nodes to deliver."""
        with contextlib.suppress(StoreUnavailable):
            await self.store.flush()
        await member.leave()


def run(settings: Settings) -> None:
    """Serves until SIGTERM or SIGINT. Raises ConfigError."""
    log.configure(settings.log.level, json=settings.log.json_)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            _log.warning("stopping now")
            loop.call_later(HARD_STOP_S, os._exit, 1)
            hurry.set()
        stopping.set()

    hurry = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    server = await Server.start(settings)
    settle_down()
    peaks = AfterPeaks(lambda: server.sip.agent.is_busy)
    peaks.start()
    _announce(settings, server)
    await stopping.wait()
    peaks.stop()
    _log.info("stopping", live=server.calls.health()["live"], drain_s=settings.calls.drain_s)
    await server.stop(settings.calls.drain_s, hurry)
    _log.info("stopped")


def _announce(settings: Settings, server: Server) -> None:
    _log.info(
        "ready",
        http=server.url,
        sip=server.sip.listeners,
        trunks=[trunk.name for trunk in server.trunks],
        simulated=settings.sim.enabled,
    )


def _media_settings(settings: Settings) -> Media:
    """Simulated phones are on this machine, which its public address may not lead back to."""
    if settings.sim.enabled:
        return settings.media.model_copy(update={"public_address": ""})
    return settings.media


async def _open_store(settings: Settings, clock: Clock) -> Store:
    """Raises ConfigError when there is none at the setting."""
    try:
        return await Store.open(settings.store.url, clock, serving=True)
    except StoreUnavailable as error:
        remedy = (
            "start the server, or name a database that this user may write"
            if is_shared(settings.store.url)
            else "name a file that can be written"
        )
        raise ConfigError("store.url", str(error), remedy) from None


async def _join(settings: Settings, store: Store) -> Member | None:
    """The server's place among those on its database; None when it has that for itself.

    Raises ConfigError.
    """
    if not is_shared(settings.store.url):
        return None
    name, lease_s = node_name(settings), settings.node.lease_s
    try:
        return await Member.join(store, settings.store.url, name, lease_s, _stop_at_once)
    except StoreUnavailable as error:
        raise ConfigError("store.url", str(error), "see whether the database is well") from None


def _shown(settings: Settings) -> ServerSecurity | None:
    """What the API is served with; None: it is plain HTTP. Raises ConfigError."""
    http = settings.http
    if not http.tls_certificate:
        return None
    return ServerSecurity("http", http.tls_certificate, http.tls_key)


def _stop_at_once() -> None:
    """Another node has this one's calls and ends them: nothing more may be sent, said or written.

    The media workers end with this process.
    """
    _log.error("stopped", reason="another node has taken over; it was thought to be gone")
    sys.stderr.flush()
    os._exit(TAKEN_OVER)
