"""Trunks as signalling sees them: where they are, whether they answer, whom they may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

from outdial.clock import Clock
from outdial.config import Trunk
from outdial.sip.core.authorization import Credentials, Nonces
from outdial.sip.core.hop import Hop, is_literal
from outdial.sip.core.identity import Presentation
from outdial.sip.core.locating import Target, default_port
from outdial.sip.core.outages import Outages
from outdial.sip.core.outline import user_part
from outdial.sip.core.peer import Peer
from outdial.sip.core.probe import ProbeResult
from outdial.sip.core.registration import Binding
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.exchanges import Exchange
from outdial.sip.registrar import Registrar, Way
from outdial.sip.resolver import ResolutionFailed, Resolver
from outdial.sip.trunk_health import Answer, TrunkHealth
from outdial.tls.contexts import ClientSecurity
from outdial.trunk_state import FAILURES, Failure, TrunkMessages, TrunkServers, TrunkState

_PING_TIMEOUT_S = 5.0
_LOOK_UP_AGAIN_S = 60.0
_MAX_HOSTS = 256
REGISTRATION_WAIT_S = 5.0
"""How long a call waits for the first registration, or one after a lost connection."""


class TrunkLine:
    """One trunk: its addresses, its credentials, its health."""

    def __init__(
        self,
        settings: Trunk,
        endpoint: SipEndpoint,
        resolver: Resolver,
        clock: Clock,
        outages: Outages | None = None,
    ) -> None:
        self.settings = settings
        self.host, self.port = split_address(settings.outbound_proxy or settings.address)
        """Where everything to it is sent first."""
        self.transport = transport_of(settings)
        self.domain = _domain(settings)
        """Of our address there; "" for none."""
        self.contact_user = settings.contact_user
        if settings.register_ and not self.contact_user:
            self.contact_user = settings.register_user or settings.username
        self.health = TrunkHealth(settings.name, clock, registers=settings.register_)
        self.presentation = presentation_of(settings, self.domain)
        self.headers = tuple(settings.headers.items())
        self.peer = Peer(
            settings.name,
            settings.nat,
            settings.public_address,
            may_refer=settings.refer == "allow",
            may_replace=settings.replaces == "allow",
        )
        self.security = _security(settings, self.host) if self._may_be_secret(endpoint) else None
        """Whose certificate it must show; None: it is not reached over TLS."""
        self.hosts: frozenset[str] = frozenset(
            (self.host.strip("[]"),) if is_literal(self.host) else ()
        )
        """All addresses that the trunk was found at, of very many the latest: its calls come from
        them too."""
        self._found: dict[str, None] = dict.fromkeys(self.hosts)
        self._networks = tuple(map(ip_network, settings.inbound_addresses))
        self._endpoint = endpoint
        self._resolver = resolver
        self._outages = Outages() if outages is None else outages
        self.failures: dict[Failure, int] = dict.fromkeys(FAILURES, 0)
        """Calls that one of its servers did not take."""
        self._talkers: set[Hop] = set()
        """Servers that have answered OPTIONS: of these silence says something."""
        self._hops_now: list[Hop] = []
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._keepalive: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[object]] = set()
        self._nonces = Nonces()
        self._registered, self._probed = Exchange(), Exchange()
        self._registrar: Registrar | None = None
        self._registrar_security: ClientSecurity | None = None
        """Its certificate has another name where it is another host."""
        if settings.registrar and self.security is not None:
            host, _ = split_address(settings.registrar)
            self._registrar_security = _security(settings, host)
        if settings.register_:
            self._registrar = Registrar(
                settings.name,
                self._binding(),
                endpoint,
                self.health,
                clock,
                self._way,
                self._registered.add,
            )

    def _may_be_secret(self, endpoint: SipEndpoint) -> bool:
        """Whether it is reached over TLS, or its domain's records may say so."""
        if self.transport or self.port is not None or is_literal(self.host):
            return self.transport == "tls"
        return any(one.startswith("tls:") for one in endpoint.listeners)

    @property
    def state(self) -> TrunkState:
        """What is known of it."""
        state = self.health.state
        if not self._outages or not self._hops_now:
            return state
        now = self._endpoint.now
        outages = self._outages.of(self._hops_now, now)
        paused = [outage.until for outage in outages if outage.is_pause]
        is_paused = len(paused) == len(self._hops_now)
        return replace(
            state,
            avoided=tuple(f"{outage.target} {outage.why}" for outage in outages),
            paused_until=self._clock.now() + min(paused) - now if is_paused else None,
        )

    def messages(self) -> TrunkMessages:
        """What went to and fro outside of calls, last."""
        return TrunkMessages(self._registered.shown(), self._probed.shown())

    @property
    def servers(self) -> TrunkServers:
        """How many there are, and how many take no calls."""
        outages = self._outages.of(self._hops_now, self._endpoint.now)
        paused = sum(outage.is_pause for outage in outages)
        return TrunkServers(
            self.settings.name,
            usable=len(self._hops_now) - len(outages),
            avoided=len(outages) - paused,
            paused=paused,
            failures=dict(self.failures),
        )

    @property
    def credentials(self) -> Credentials | None:
        """Its user name and password with the addresses that may see a digest of them."""
        if not self.settings.username:
            return None
        password = self.settings.password.get_secret_value()
        return Credentials(self.settings.username, password, self.hosts, self._nonces)

    def routes(self, hop: Hop | None) -> tuple[str, ...]:
        """The Route of what goes that way."""
        proxy = self.settings.outbound_proxy
        if not proxy or hop is None:
            return ()
        parameter = "" if hop.transport == "udp" else f";transport={hop.transport}"
        return (f"<sip:{proxy}{parameter};lr>",)

    @property
    def refusal(self) -> str:
        """Why no call can be made on it, for a person; "": one can be tried."""
        state = self.state
        if not state.registers or self.health.is_registered:
            return ""
        why = state.detail or f"it is {state.status}"
        return f"trunk {state.name} is not registered: {why}"

    @property
    def is_registering(self) -> bool:
        """Whether it may be known in a moment that calls can be made on it."""
        return self.state.status == "registering"

    async def registered(self) -> None:
        """Waits for that moment, not for long."""
        if self._registrar is not None:
            await self._registrar.settled(REGISTRATION_WAIT_S)

    def uri(self, number: str, hop: Hop | None = None) -> str:
        """The number at the trunk, as a Request-URI; `number` is in the trunk's format, and `hop`
        is the way to it."""
        settings = self.settings
        transport = settings.transport if hop is None else hop.transport
        parameter = "" if transport == "udp" else f";transport={transport}"
        return f"sip:{user_part(number)}@{settings.address}{parameter}"

    def target(self, hop: Hop) -> str:
        """The trunk itself as a URI; `hop` is the way to it."""
        parameter = "" if hop.transport == "udp" else f";transport={hop.transport}"
        return f"sip:{self.settings.address}{parameter}"

    @property
    def secure_at(self) -> tuple[int, ClientSecurity] | None:
        """Its port and certificate, if it is reached over TLS."""
        if self.security is None:
            return None
        return self.port or default_port("tls"), self.security

    def calls_from(self, host: str) -> bool:
        """Whether its calls to us may come from that address."""
        if host in self.hosts:
            return True
        if not self._networks:
            return False
        address = ip_address(host.partition("%")[0])
        return any(address in network for network in self._networks)

    def hops_known(self) -> list[Hop] | None:
        """Where it is, if no name has to be looked up for that."""
        known = self._resolver.known(self.host, self.port, self.transport)
        if known is None:
            return None
        self._hops_now = self._hops(known)
        return self._hops_now

    async def hops(self) -> list[Hop]:
        """Where it is, best first. Raises ResolutionFailed."""
        found = await self._resolver.resolve(self.host, self.port, self.transport)
        self._hops_now = self._hops(found)
        return self._hops_now

    def hops_at(self, targets: list[Target]) -> list[Hop]:
        """The ways to these of its servers, for whoever has looked them up."""
        return self._hops(targets)

    def _hops(self, targets: list[Target], security: ClientSecurity | None = None) -> list[Hop]:
        """`security` is that of another host than calls go to."""
        self._note_hosts(targets)
        security = security or self.security
        hops = [
            self._endpoint.hop(
                one.transport,
                one.host,
                one.port,
                security if one.transport == "tls" else None,
            )
            for one in targets
        ]
        shown = self.peer.shown
        return [hop.showing(shown) for hop in hops if hop is not None]

    def _note_hosts(self, targets: list[Target]) -> None:
        """All of its servers are the trunk's, whichever of them is called: any may call us."""
        if not all(target.host in self.hosts for target in targets):
            for target in targets:
                self._found.pop(target.host, None)
                self._found[target.host] = None
            while len(self._found) > _MAX_HOSTS:
                del self._found[next(iter(self._found))]
            self.hosts = frozenset(self._found)

    def watch(self) -> None:
        """Looks the trunk up and pings it, now and then every `options_interval_s`."""
        interval = self.settings.options_interval_s
        self._resolver.keep(self.host, self.port, self.transport)
        self._spawn(self.ping(_PING_TIMEOUT_S) if interval else self._look_up())
        loop = asyncio.get_running_loop()
        if self._timer is None and self._registrar is not None:
            self._registrar.start()
        self._timer = loop.call_later(interval or _LOOK_UP_AGAIN_S, self.watch)

    def register(self) -> None:
        """Registers, where that is set, without the rest of `watch`."""
        if self._registrar is not None:
            self._registrar.start()

    async def stop(self) -> None:
        """Takes the registration back."""
        if self._registrar is not None:
            await self._registrar.stop()

    def keep_alive(self) -> None:
        """Sends a keep-alive now and then every `keepalive_s`, if that is set. A trunk whose name
        is not known yet gets its first when it is."""
        interval = self.settings.keepalive_s
        if not interval:
            return
        for hop in (self.hops_known() or ())[:1]:
            self._endpoint.keep_alive(hop)
        self._keepalive = asyncio.get_running_loop().call_later(interval, self.keep_alive)

    def close(self) -> None:
        """Ends the watching."""
        if self._registrar is not None:
            self._registrar.close()
        for timer in (self._timer, self._keepalive):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()

    async def ping(self, timeout_s: float) -> TrunkState:
        """Sends OPTIONS and waits for the answer."""
        try:
            hops = await self.hops()
        except ResolutionFailed as error:
            return self.health.pinged(Answer(problem=str(error)))
        if not hops:
            problem = f"no {self.settings.transport} listener of that address family"
            return self.health.pinged(Answer(problem=problem))
        answers = await asyncio.gather(*(self._ask(hop, timeout_s) for hop in hops))
        well = (answer for answer in answers if not answer.problem)
        return self.health.pinged(next(well, answers[0]))

    async def _ask(self, hop: Hop, timeout_s: float) -> Answer:
        """One of its servers. What it says counts for its place among them, too."""
        answered: asyncio.Future[ProbeResult] = asyncio.get_running_loop().create_future()
        asked_at = self._clock.monotonic()
        self._endpoint.probe(
            self.target(hop), hop, _resolve(answered), self.routes(hop), self._probed.add
        )
        try:
            async with asyncio.timeout(timeout_s):
                result = await answered
        except TimeoutError:
            result = ProbeResult(None)
        answer = _judge(result, hop, 1000 * (self._clock.monotonic() - asked_at))
        self._place(hop, answer)
        return answer

    def _place(self, hop: Hop, answer: Answer) -> None:
        now = self._endpoint.now
        if not answer.problem:
            self._outages.revived(hop, now)
            if len(self._talkers) < _MAX_HOSTS:
                self._talkers.add(hop)
        elif answer.code is not None or hop in self._talkers:
            why = "says nothing" if answer.code is None else f"answers {answer.code}"
            self._outages.died(hop, why, now)

    def noticed(self, *, answered: bool) -> None:
        """A call on it was answered, be it by a refusal, or got no answer. After the latter it is
        asked at once whether it is there."""
        if answered:
            if self.state.is_last_choice:
                self.health.heard()
            return
        self.health.missed()
        if self.settings.options_interval_s and not self._tasks:
            self._spawn(self.ping(_PING_TIMEOUT_S))

    def _binding(self) -> Binding:
        settings = self.settings
        user = user_part(settings.register_user or settings.username)
        transport = "" if settings.transport == "udp" else f";transport={settings.transport}"
        return Binding(
            registrar=f"sip:{self.domain}{transport}",
            address=f"sip:{user}@{self.domain}",
            expires_s=settings.expires_s,
            contact_user=self.contact_user,
            headers=tuple(settings.register_headers.items()),
        )

    async def _way(self) -> Way:
        """Where REGISTER goes. Raises ResolutionFailed."""
        settings = self.settings
        if settings.registrar and not settings.outbound_proxy:
            host, port = split_address(settings.registrar)
            self._resolver.keep(host, port, self.transport)
            found = await self._resolver.resolve(host, port, self.transport)
            hops = self._hops(found, self._registrar_security)
        else:
            hops = await self.hops()
        hops = self._outages.in_order(hops, self._endpoint.now) or hops
        credentials = self.credentials
        if credentials is not None:  # the registrar's nonces are no business of calls
            credentials = replace(credentials, nonces=None)
        return Way(hops, credentials, self.routes(hops[0] if hops else None), self.peer.shown)

    async def ask_registrar(self, timeout_s: float) -> TrunkState:
        """Whether the registrar knows us, without a binding being made or changed: a REGISTER that
        has no Contact only asks (RFC 3261 section 10.2.3)."""
        health = TrunkHealth(self.settings.name, self._clock, registers=True)
        question = replace(self._binding(), is_query=True)
        registrar = Registrar(
            self.settings.name, question, self._endpoint, health, self._clock, self._way
        )
        registrar.start()
        await registrar.settled(timeout_s)
        await registrar.stop()
        return health.state

    async def _look_up(self) -> None:
        try:
            await self.hops()
        except ResolutionFailed:
            return

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[object] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _judge(result: ProbeResult, hop: Hop, rtt_ms: float) -> Answer:
    target = f"{hop.transport}:{hop.peer}"
    if result.status is None:
        return Answer(target, problem=_silence(result, hop))
    ok = result.status not in (408, 503)
    problem = "" if ok else f"{hop.peer} answers {result.status}"
    return Answer(target, result.status, result.reason, rtt_ms, problem)


def _resolve(future: asyncio.Future[ProbeResult]) -> Callable[[ProbeResult], None]:
    def done(result: ProbeResult) -> None:
        if not future.done():
            future.set_result(result)

    return done


def _domain(settings: Trunk) -> str:
    """The domain of our address at the trunk; "" for none of its own."""
    if settings.from_domain or not settings.register_:
        return settings.from_domain
    host, _ = split_address(settings.registrar or settings.address)
    return f"[{host}]" if ":" in host else host


def transport_of(settings: Trunk) -> str:
    """The transport that the owner has set; "" leaves it to the domain's records."""
    return settings.transport if "transport" in settings.model_fields_set else ""


def presentation_of(trunk: Trunk, domain: str) -> Presentation:
    """How callers are shown to the trunk. `domain` is that of our address there."""
    return Presentation(
        trunk.from_user,
        domain,
        trunk.caller_name,
        tuple(trunk.identity_headers),
        trunk.trusted,
        trunk.diversion,
    )


def _silence(result: ProbeResult, hop: Hop) -> str:
    """Why there was no answer, in words."""
    if not result.unreachable:
        return f"no answer from {hop.peer}"
    if not hop.reliable or not result.why:
        return f"nobody listens at {hop.peer}"
    return result.why if hop.peer in result.why else f"{hop.peer}: {result.why}"


def _security(settings: Trunk, host: str) -> ClientSecurity:
    """Raises ConfigError for files that cannot be used."""
    return ClientSecurity(
        f"trunks.{settings.name}",
        settings.tls_name or host,
        ca=settings.tls_ca,
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        verify=settings.tls_verify,
    )


def split_address(address: str) -> tuple[str, int | None]:
    """``host[:port]`` or ``[v6][:port]`` as host (without brackets) and port or None."""
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    elif address.count(":") == 1:
        host, _, port = address.partition(":")
    else:
        host, port = address, ""
    return host, int(port) if port.isdigit() else None
