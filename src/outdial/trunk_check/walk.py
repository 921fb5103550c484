"""The steps of a check before the call: settings, names, connections, what the trunk answers.

Everything goes over sockets of its own on free ports, so that a server may run beside it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from ipaddress import ip_address

from outdial.calls.audio import codecs_of
from outdial.clock import SystemClock
from outdial.config import Settings, Sip, Trunk
from outdial.errors import ConfigError, OutdialError
from outdial.frozen import frozen
from outdial.media.coders import available
from outdial.sip.core.hop import Hop, host_port, is_literal
from outdial.sip.core.locating import TRANSPORTS, Naptr, Srv, Target
from outdial.sip.core.probe import ProbeResult
from outdial.sip.endpoint import SipEndpoint, parse_listener
from outdial.sip.names import Answer, Names, NamesAway, NameServers
from outdial.sip.plane import SipPlane
from outdial.sip.resolver import ResolutionFailed, Resolver
from outdial.sip.trunks import TrunkLine, split_address, transport_of
from outdial.tls.certificate import Certificate
from outdial.tls.contexts import ClientSecurity
from outdial.tls.layer import TlsLayer
from outdial.tls.trouble import TlsFailed, Trouble, life
from outdial.trunk_check.diagnoses import (
    DIAGNOSES,
    of_connecting,
    of_options,
    of_registration,
    of_trouble,
)

CONNECT_S = 5.0
ANSWER_S = 5.0
REGISTER_S = 10.0


@frozen
class Step:
    """One thing that was looked at."""

    name: str
    """settings, dns, connect, tls, options, register, call, audio."""
    row: str
    """Of `DIAGNOSES`."""
    detail: str = ""
    """What was seen: records, certificates, statuses."""
    took_ms: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way of calls."""
        return DIAGNOSES[self.row].ok

    @property
    def meaning(self) -> str:
        """What was found, in words."""
        return DIAGNOSES[self.row].meaning

    @property
    def remedy(self) -> str:
        """What to change; "" for nothing."""
        return DIAGNOSES[self.row].remedy


def settings_steps(settings: Settings, trunk: Trunk) -> Iterator[Step]:
    """What the settings alone say."""
    host, _ = split_address(trunk.address)
    found = False
    if not _is_here(host):
        listeners = [parse_listener(one) for one in settings.sip.listen]
        if all(_is_here(address) for _, address, _ in listeners):
            found = True
            yield Step("settings", "listener-loopback", ", ".join(settings.sip.listen))
        if _is_here(settings.media.address):
            found = True
            yield Step("settings", "media-loopback", settings.media.address)
    missing = available.problem(codecs_of(settings, trunk))
    if missing:
        found = True
        yield Step("settings", "codec-missing", missing)
    if trunk.username and not trunk.password.get_secret_value():
        found = True
        yield Step("settings", "password-missing", trunk.username)
    if trunk.transport == "tls" and not trunk.tls_verify:
        yield Step("settings", "unchecked")
    if not found:
        fixed = "" if trunk.address == host and not is_literal(host) else "udp"
        transport = transport_of(trunk) or fixed or "as its records say"
        yield Step("settings", "settings-well", f"{trunk.address}, transport {transport}")


class Asked(Names):
    """Name servers, with a note of what they said."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.notes: list[str] = []

    async def naptr(self, name: str) -> Answer[Naptr]:
        """See Names."""
        answer = await self._asking("NAPTR", name, self._names.naptr(name))
        for one in answer.records:
            self.notes.append(
                f"NAPTR {name}: {one.order} {one.preference} {one.service} {one.replacement}"
            )
        return answer

    async def srv(self, name: str) -> Answer[Srv]:
        """See Names."""
        answer = await self._asking("SRV", name, self._names.srv(name))
        for one in answer.records:
            self.notes.append(f"SRV {name}: {one.priority} {one.weight} {one.port} {one.target}")
        return answer

    async def addresses(self, name: str) -> Answer[str]:
        """See Names."""
        answer = await self._asking("A", name, self._names.addresses(name))
        if answer.records:
            self.notes.append(f"A {name}: {', '.join(answer.records)}")
        return answer

    async def _asking(self, kind: str, name: str, asking: Awaitable[Answer]) -> Answer:  # type: ignore[type-arg]
        try:
            answer = await asking
        except NamesAway as away:
            self.notes.append(f"{kind} {name}: {away}")
            raise
        if not answer.records:
            self.notes.append(f"{kind} {name}: none")
        return answer


async def find(
    sip: Sip, trunk: Trunk, names: Names | None = None
) -> tuple[list[Step], list[Target]]:
    """Where the trunk's servers are."""
    host, port = split_address(trunk.outbound_proxy or trunk.address)
    listening = {one.partition(":")[0] for one in sip.listen}
    asked = Asked(names or NameServers(sip.nameservers))
    resolver = Resolver(asked, [one for one in TRANSPORTS if one in listening])
    begin = time.monotonic()
    try:
        targets = await resolver.resolve(host, port, transport_of(trunk))
    except ResolutionFailed as error:
        row = "dns-away" if any("answer" in note for note in asked.notes) else "dns-none"
        said = "; ".join([str(error), *asked.notes])
        return [Step("dns", row, said, _since(begin))], []
    finally:
        resolver.close()
    row = "dns-literal" if is_literal(host) else "dns-found"
    shown = ", ".join(f"{one.transport}:{host_port(one.host, one.port)}" for one in targets)
    steps = [Step("dns", row, "; ".join([*asked.notes, shown]), _since(begin))]
    usable = [one for one in targets if one.transport in listening]
    return (steps if usable else [*steps, Step("dns", "no-listener", shown)]), usable


async def connect(target: Target, security: ClientSecurity | None) -> AsyncIterator[Step]:
    """A TCP connection to a server, and over it, with `security`, the handshake of TLS."""
    peer = host_port(target.host, target.port)
    begin = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(target.host, target.port)
    except OSError as error:
        yield Step("connect", of_connecting(error), peer, _since(begin))
        return
    yield Step("connect", "connected", peer, _since(begin))
    try:
        if security is not None:
            yield await _secure(reader, writer, target, security)
    finally:
        writer.close()


async def _secure(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    target: Target,
    security: ClientSecurity,
) -> Step:
    begin = time.monotonic()
    try:
        async with asyncio.timeout(CONNECT_S):
            layer = await _shake_hands(reader, writer, security)
    except (TimeoutError, OSError, TlsFailed) as error:
        trouble = (
            error.trouble
            if isinstance(error, TlsFailed)
            else Trouble("failed", "the handshake was broken off, or took too long")
        )
        took_ms = _since(begin)
        shown = await _shown_anyhow(target, security.name)
        return Step("tls", of_trouble(trouble.kind), "; ".join([trouble.text, *shown]), took_ms)
    return Step(
        "tls", "secure", "; ".join([layer.version, *_told(layer.certificate)]), _since(begin)
    )


async def _shake_hands(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, security: ClientSecurity
) -> TlsLayer:
    layer = TlsLayer(security)
    layer.begin()
    while True:
        writer.write(layer.outgoing())
        if layer.established:
            await _listen_a_moment(layer, reader)
            return layer
        data = await reader.read(65_536)
        if not data:
            raise TlsFailed(Trouble("closed", "the far end closed it in the middle"))
        layer.receive(data)


async def _listen_a_moment(layer: TlsLayer, reader: asyncio.StreamReader) -> None:
    """With TLS 1.3 the far end refuses our certificate, or the want of one, only now."""
    try:
        async with asyncio.timeout(0.3):
            layer.receive(await reader.read(65_536))
    except TimeoutError:
        return


async def _shown_anyhow(target: Target, name: str) -> list[str]:
    """What the far end shows to somebody who takes anything."""
    try:
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(target.host, target.port)
            try:
                unchecked = ClientSecurity("check", name, verify=False)
                layer = await _shake_hands(reader, writer, unchecked)
            finally:
                writer.close()
    except (TimeoutError, OSError, TlsFailed):
        return []
    return _told(layer.certificate)


def _told(certificate: Certificate | None) -> list[str]:
    if certificate is None:
        return []
    return [
        certificate.subject,
        f"for {', '.join(certificate.names[:5]) or 'nobody'}",
        f"issued by {certificate.issuer}",
        life(certificate, time.time()),
    ]


async def walk(settings: Settings, trunk: Trunk, names: Names | None = None) -> AsyncIterator[Step]:
    """All steps before a call; it ends where the next would be in vain."""
    for step in settings_steps(settings, trunk):
        yield step
        if step.row == "listener-loopback":
            return
    steps, targets = await find(settings.sip, trunk, names)
    for step in steps:
        yield step
    taken = []
    for target in targets:
        security = None
        try:
            if target.transport == "tls":
                security = _security(trunk)
        except ConfigError as error:
            yield Step("tls", "files-wrong", str(error))
            return
        good = True
        if target.transport != "udp":
            async for step in connect(target, security):
                yield step
                good = good and step.ok
        if good:
            taken.append(target)
    if taken:
        async for step in ask(settings.sip, trunk, taken):
            yield step


def may_call(steps: Sequence[Step]) -> bool:
    """Whether a call is worth a try behind these steps: one server that answers is enough, because
    calls go to the next one where a server does not."""
    wrong = {step.name for step in steps if not step.ok}
    answers = any(step.ok for step in steps if step.name == "options")
    return answers and wrong <= {"connect", "tls", "options"}


def own_sip(sip: Sip, transports: set[str]) -> Sip:
    """The settings of SIP with free ports in place of those that a server may hold."""
    listeners = [parse_listener(one) for one in sip.listen]
    listen = [
        f"{transport}:{f'[{host}]' if ':' in host else host}:0"
        for transport, host, _ in listeners
        if transport in transports
    ]
    alone = {"tls_certificate": "", "tls_key": "", "tls_client_ca": ""}
    return sip.model_copy(update={"listen": listen or ["udp:127.0.0.1:0"], **alone})


async def ask(sip: Sip, trunk: Trunk, targets: list[Target]) -> AsyncIterator[Step]:
    """What the trunk answers to OPTIONS and, where we register, to REGISTER."""
    clock = SystemClock()
    own = own_sip(sip, {target.transport for target in targets})
    try:
        endpoint = await SipEndpoint.start(own, clock=clock)
    except ConfigError as error:
        yield Step("options", "no-listener", str(error))
        return
    try:
        plane = SipPlane(own, [trunk], endpoint, clock)
        line = plane.line(trunk.name)
        if line is None:
            return
        asked = [_options(endpoint, line, hop) for hop in line.hops_at(targets)]
        for step in await asyncio.gather(*asked):
            yield step
        if not asked:
            yield Step("options", "no-listener")
        if trunk.register_:
            yield await _register(plane, line)
        await plane.stop()
    except OutdialError as error:
        yield Step("options", "files-wrong", str(error))
    finally:
        await endpoint.close()


async def _options(endpoint: SipEndpoint, line: TrunkLine, hop: Hop) -> Step:
    """Of one server. Not by `TrunkLine.ping`, which tells of the registration first."""
    begin = time.monotonic()
    answered: asyncio.Future[ProbeResult] = asyncio.get_running_loop().create_future()
    endpoint.probe(line.target(hop), hop, answered.set_result, line.routes(hop))
    done, _ = await asyncio.wait((answered,), timeout=ANSWER_S)
    result = answered.result() if done else ProbeResult(None)
    said = f"{result.status} {result.reason}" if result.status is not None else result.why
    row = of_options(result.status, nobody=result.unreachable)
    shown = f"{hop.transport}:{hop.peer} {said}".strip()
    return Step("options", row, shown, _since(begin))


async def _register(plane: SipPlane, line: TrunkLine) -> Step:
    begin = time.monotonic()
    line.register()
    latest = begin + REGISTER_S
    while line.state.status == "registering" and time.monotonic() < latest:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    state = line.state
    status = 200 if state.status == "registered" else state.last_code
    if state.status == "registering":
        status = None
    said = state.detail or f"{state.target} {state.last_code} {state.last_reason}"
    return Step("register", of_registration(status), said, _since(begin))


def _security(trunk: Trunk) -> ClientSecurity:
    host, _ = split_address(trunk.outbound_proxy or trunk.address)
    return ClientSecurity(
        f"trunks.{trunk.name}",
        trunk.tls_name or host,
        ca=trunk.tls_ca,
        certificate=trunk.tls_certificate,
        key=trunk.tls_key,
        verify=trunk.tls_verify,
    )


def _is_here(host: str) -> bool:
    """Whether the host is this machine's loopback."""
    if host == "localhost":
        return True
    return is_literal(host) and ip_address(host.strip("[]")).is_loopback


def _since(begin: float) -> float:
    return 1000 * (time.monotonic() - begin)
