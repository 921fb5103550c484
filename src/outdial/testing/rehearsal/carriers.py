"""Scripted carriers at the ends of a rehearsal's trunks: real SIP over a network without sockets.

Everything of Outdial but sockets and audio is the real thing: transactions, dialogs, calls, store.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable
from pathlib import Path

from fastapi import APIRouter

from outdial.app import Trunking
from outdial.clock import Clock
from outdial.config import Settings, Trunk
from outdial.legs import IncomingLeg
from outdial.sip.core.hop import Hop
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.plane import SipPlane
from outdial.sip.resolver import Resolver
from outdial.sip.sentry import Sentry
from outdial.sip.tcp import Broke, Far, TcpConnection, TcpPool
from outdial.sip.tls import TlsPool
from outdial.sip.udp import Failed, Received, UdpListener
from outdial.speech.speech import Speech
from outdial.testing.carrier.carrier import Address, ScriptedCarrier
from outdial.testing.carrier.fault import Fault
from outdial.testing.rehearsal.hearing import Hearing, Stream
from outdial.testing.rehearsal.names import CarrierNames, Domain
from outdial.testing.rehearsal.stage import VirtualStage
from outdial.testing.rehearsal.virtual_time import VirtualTimeLoop
from outdial.tls.contexts import ServerSecurity
from outdial.tls.layer import TlsLayer
from outdial.tls.trouble import TlsFailed

HERE = ("127.0.0.1", 5060)
LATENCY_S = 0.01
"""Each way."""


class Line:
    """A number whose calls go to carriers that have the fault."""

    def __init__(self, place: int, fault: Fault) -> None:
        self.fault = fault
        self.number = str(12025551000 + place)
        self.hosts = [
            f"127.{77 + way}.{place // 200}.{place % 200 + 1}"
            for way in range(2 if fault.second else 1)
        ]
        self.servers = [
            f"127.{80 + one}.{place // 200}.{place % 200 + 1}" for one in range(len(fault.servers))
        ]
        """Addresses of the servers of its domain."""
        self.domain = "" if fault.dns == "right" and not fault.servers else f"{fault.name}.example"
        self.carriers: list[ScriptedCarrier] = []

    def trunks(self) -> list[Trunk]:
        """First and second."""
        common = {"prefixes": [self.number], "options_interval_s": 0}
        return [
            Trunk.model_validate(
                {
                    "name": f"{self.fault.name}-{way}",
                    "address": self.domain if self.domain and not way else f"{host}:5060",
                    **common,
                    **self.fault.trunk,
                    **({"register": False} if way else {}),
                }
            )
            for way, host in enumerate(self.hosts)
        ]

    def make(self, hearing: Hearing) -> Iterable[tuple[str, ScriptedCarrier]]:
        """Its carriers, by address."""
        transport = str(self.fault.trunk.get("transport", "udp"))
        single = zip(self.hosts, (self.fault.script, self.fault.second), strict=False)
        for host, script in (*zip(self.servers, self.fault.servers, strict=True), *single):
            if script is not None:
                carrier = ScriptedCarrier(
                    script,
                    (host, 5060),
                    CarrierAudio(hearing),
                    transport=transport,
                    network=self.fault.network,
                    registrar=self.fault.registrar if host == self.hosts[0] else None,
                )
                if self.fault.certificates:
                    certificate, key = self.fault.certificates[self.hosts.index(host)]
                    carrier.security = ServerSecurity("carrier", certificate, key)
                self.carriers.append(carrier)
                yield host, carrier


class CarrierAudio:
    """Fulfils `carrier.Audio` with streams that everybody hears."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing

    def begin(self, here: Address, there: Address) -> None:
        """See Audio."""
        self._hearing.add(Stream("carrier", here, far_address=there))
        self._hearing.changed()

    def end(self, here: Address) -> None:
        """See Audio."""
        stream = self._hearing.stream_at(here)
        if stream is not None:
            self._hearing.remove(stream)


class CarrierStage(VirtualStage):
    """A server in virtual time whose trunks lead to scripted carriers."""

    def __init__(
        self,
        settings: Settings,
        loop: VirtualTimeLoop,
        clock: Clock,
        folder: Path,
        faults: Iterable[Fault],
    ) -> None:
        super().__init__(settings, loop, clock, folder)
        self.lines = [Line(place, fault) for place, fault in enumerate(faults)]
        self._at: dict[str, ScriptedCarrier] = {}

    async def _start_trunks(self, speech: Speech) -> tuple[list[Trunk], list[APIRouter]]:
        await super()._start_trunks(speech)  # the phones, which nobody calls
        for line in self.lines:
            self._at.update(line.make(self.hearing))
        for carrier in self._at.values():
            self._stack.push_async_callback(carrier.stop)
        return [trunk for line in self.lines for trunk in line.trunks()], []

    def _domains(self) -> dict[str, Domain]:
        lines = [line for line in self.lines if line.domain]
        return {line.domain: Domain(line.fault.dns, line.servers) for line in lines}

    async def _start_signalling(self, take: Callable[[IncomingLeg], None]) -> Trunking:
        sip, stack = self.settings.sip, self._stack
        endpoint = WiredEndpoint(sip, on_invite=take, clock=self.clock)
        endpoint.plug(self._at)
        self.sip = endpoint
        stack.push_async_callback(self.sip.close)
        plane = SipPlane(
            sip, self.trunks, self.sip, self.clock, Resolver(CarrierNames(self._domains()))
        )
        stack.push_async_callback(plane.stop)
        plane.watch()
        return plane


class WiredEndpoint(SipEndpoint):
    """An endpoint whose messages go to scripted carriers, and to nobody else."""

    def plug(self, carriers: dict[str, ScriptedCarrier]) -> None:
        """In place of binding sockets."""
        udp = _Datagrams(carriers, self._received, self._failed)
        pool = _Connections(carriers, self._received, self._failed, self.sentry)
        secret = Secrets(carriers, self._received, self._failed, self.sentry)
        self._udp[udp.local] = udp
        self._tcp[pool.local] = pool
        self._tls[secret.local] = secret


class _Datagrams(UdpListener):
    """A UDP socket. To an address where nobody is everything is answered by an ICMP error."""

    def __init__(
        self, carriers: dict[str, ScriptedCarrier], received: Received, failed: Failed
    ) -> None:
        super().__init__(received, failed)
        self.address = HERE
        self.local = f"{HERE[0]}:{HERE[1]}"
        self._carriers = carriers
        self._links: dict[Address, _Return] = {}
        self._way = _Way()

    def send(self, data: bytes, hop: Hop) -> None:
        """See UdpListener."""
        carrier = self._carriers.get(hop.host)
        if carrier is None:
            self._way.carry(self._failed, hop.host, hop.port)
            return
        address = (hop.host, hop.port)
        link = self._links.get(address)
        if link is None:
            link = self._links[address] = _Return(
                lambda data: self.datagram_received(data, address), lambda: None
            )
        self._way.carry(carrier.receive, data, link)


class _Connections(TcpPool):
    """A TCP listener; whoever is not there refuses connections."""

    def __init__(
        self,
        carriers: dict[str, ScriptedCarrier],
        received: Received,
        failed: Broke,
        sentry: Sentry,
    ) -> None:
        super().__init__(received, failed, lambda host: True, sentry)
        self.address = HERE
        self.local = f"{HERE[0]}:{HERE[1]}"
        self._carriers = carriers

    async def _open(self, far: Far) -> None:
        await asyncio.sleep(LATENCY_S)
        carrier = self._carriers.get(far.host)
        if carrier is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        connection = self._dialled(far)
        connection.connection_made(CarrierStream((far.host, far.port), carrier, connection))


class Secrets(TlsPool):
    """A TLS listener that nobody connects to."""

    def __init__(
        self,
        carriers: dict[str, ScriptedCarrier],
        received: Received,
        failed: Broke,
        sentry: Sentry,
    ) -> None:
        super().__init__(received, failed, lambda host: True, sentry, None, lambda host: None)
        self.address = (HERE[0], 5061)
        self.local = f"{HERE[0]}:5061"
        self._carriers = carriers

    async def _open(self, far: Far) -> None:
        await asyncio.sleep(LATENCY_S)
        carrier = self._carriers.get(far.host)
        if carrier is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        connection = self._dialled(far)
        stream = SecretStream((far.host, far.port), carrier, connection)
        connection.connection_made(stream)


class _Way:
    """Nothing on it is overtaken: the timers of a loop that are due at once run in any order."""

    def __init__(self) -> None:
        self._last = 0.0

    def carry(self, arrive: Callable[..., None], *arguments: object) -> None:
        """Calls it when the message has arrived."""
        loop = asyncio.get_running_loop()
        self._last = max(loop.time() + LATENCY_S, self._last + 1e-6)
        loop.call_at(self._last, arrive, *arguments)


class _Return:
    """Fulfils `carrier.Link`."""

    def __init__(self, deliver: Callable[[bytes], None], broken: Callable[[], None]) -> None:
        self._way = _Way()
        self._deliver = deliver
        self._broken = broken

    def send(self, data: bytes) -> None:
        """See Link."""
        self._way.carry(self._deliver, data)

    def reset(self) -> None:
        """See Link."""
        self._way.carry(self._broken)


class CarrierStream(asyncio.Transport):
    """Our end of a connection to a carrier. What is written at once is one message."""

    def __init__(self, peer: Address, carrier: ScriptedCarrier, connection: TcpConnection) -> None:
        super().__init__({"peername": peer})
        self._carrier = carrier
        self._connection = connection
        self._is_open = True
        self._way = _Way()
        self._link = _Return(self._arrive, self._reset)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See asyncio.WriteTransport."""
        self._way.carry(self._carrier.receive, bytes(data), self._link)

    def get_write_buffer_size(self) -> int:
        """Everything has left."""
        return 0

    def is_closing(self) -> bool:
        """Whether it is broken or closed."""
        return not self._is_open

    def close(self) -> None:
        """See asyncio.BaseTransport."""
        self._end(None)

    def abort(self) -> None:
        """See asyncio.WriteTransport."""
        self._end(None)

    def _arrive(self, data: bytes) -> None:
        if self._is_open:
            self._connection.data_received(data)

    def _reset(self) -> None:
        self._end(ConnectionResetError())

    def _end(self, error: Exception | None) -> None:
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().call_soon(self._connection.connection_lost, error)


class SecretStream(CarrierStream):
    """A connection to a carrier that speaks TLS."""

    def __init__(self, peer: Address, carrier: ScriptedCarrier, connection: TcpConnection) -> None:
        super().__init__(peer, carrier, connection)
        assert carrier.security is not None  # noqa: S101 - a fault of TLS has certificates
        self._layer = TlsLayer(carrier.security)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See asyncio.WriteTransport."""
        self._way.carry(self._take, bytes(data))

    def _take(self, data: bytes) -> None:
        try:
            plain = self._layer.receive(data)
        except TlsFailed:
            self._link.reset()
            return
        self._flush()
        if plain:
            self._carrier.receive(plain, self)

    def send(self, data: bytes) -> None:
        """See Link."""
        self._layer.send(data)
        self._flush()

    def reset(self) -> None:
        """See Link."""
        self._link.reset()

    def _flush(self) -> None:
        if data := self._layer.outgoing():
            self._link.send(data)
