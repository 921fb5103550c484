"""The scripted carriers on real sockets: SIP over UDP and TCP, and RTP that is really sent.

Each has an address of its own in 127.0.0.0/8, at port 5060, as in virtual time.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, cast

from outdial.media.core import rtp
from outdial.testing.carrier.carrier import Address, ScriptedCarrier
from outdial.testing.carrier.fault import Dns, Fault
from outdial.testing.name_server import NameServer
from outdial.testing.rehearsal.names import SLOW_S

PORT = 5060
_PACKET_S = 0.02
_SOUND = b"\xff" * 160
_LENGTH = re.compile(rb"\r\n(?:Content-Length|l)[ \t]*:[ \t]*(\d+)", re.I)


class RealLine:
    """A number whose calls go to real carriers that have the fault."""

    def __init__(self, place: int, fault: Fault) -> None:
        self.fault = fault
        self.number = str(12025551000 + place)
        self.hosts = [
            f"127.{87 + way}.{place // 200}.{place % 200 + 1}"
            for way in range(2 if fault.second else 1)
        ]
        self.servers = [
            f"127.{90 + one}.{place // 200}.{place % 200 + 1}" for one in range(len(fault.servers))
        ]
        """Addresses of the servers of its domain."""
        self.domain = "" if fault.dns == "right" and not fault.servers else f"{fault.name}.example"
        self.carriers: list[ScriptedCarrier] = []

    def trunks(self) -> list[dict[str, Any]]:
        """First and second, as in outdial.toml."""
        return [
            {
                "name": f"{self.fault.name}-{way}",
                "address": self.domain if self.domain and not way else f"{host}:{PORT}",
                "prefixes": [self.number],
                "options_interval_s": 0,
                **self.fault.trunk,
            }
            for way, host in enumerate(self.hosts)
        ]

    def records(self) -> Iterator[str]:
        """What the name server knows of its domain."""
        if self.fault.dns == "broken":
            yield f"{self.domain}. 10 IN CNAME www.{self.domain}."
            yield f"www.{self.domain}. 10 IN CNAME {self.domain}."
        service = f"_sip._udp.{self.domain}. 10 IN SRV"
        if self.fault.dns == "no service":
            yield f"{service} 0 0 0 ."
        if self.fault.dns == "dangling":
            yield f"{service} 0 0 {PORT} gone.{self.domain}."
        for place, host in enumerate(self.servers):
            yield f"{service} {place} 1 {PORT} s{place}.{self.domain}."
            yield f"s{place}.{self.domain}. 10 IN A {host}"


class RealCarriers:
    """All of them, on an event loop in a thread. Use it as a context manager."""

    def __init__(self, lines: Iterable[RealLine]) -> None:
        self._lines = list(lines)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="carriers")
        self._audio = RealAudio(self._loop)
        self._servers: list[asyncio.Server] = []
        self._transports: list[asyncio.BaseTransport] = []
        self.names = Names()
        """Who is to be asked for names."""

    def __enter__(self) -> RealCarriers:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        await self.names.start()
        for line in self._lines:
            self.names.take(line)
            transport = str(line.fault.trunk.get("transport", "udp"))
            single = zip(line.hosts, (line.fault.script, line.fault.second), strict=False)
            for host, script in (*zip(line.servers, line.fault.servers, strict=True), *single):
                if script is None:
                    continue
                carrier = ScriptedCarrier(
                    script,
                    (host, PORT),
                    self._audio,
                    transport=transport,
                    network=line.fault.network,
                )
                line.carriers.append(carrier)
                await self._bind(carrier)

    async def _bind(self, carrier: ScriptedCarrier) -> None:
        here = (carrier.host, carrier.port)
        if carrier.transport == "tcp":
            server = await self._loop.create_server(lambda: _Stream(carrier), *here)
            self._servers.append(server)
        else:
            made, _ = await self._loop.create_datagram_endpoint(
                lambda: _Datagrams(carrier), local_addr=here
            )
            self._transports.append(made)

    async def _stop(self) -> None:
        self._audio.stop()
        await self.names.stop()
        for line in self._lines:
            for carrier in line.carriers:
                await carrier.stop()
        for server in self._servers:
            server.close()
        for transport in self._transports:
            transport.close()
        await asyncio.sleep(0)


class Names(NameServer):
    """Knows the domains of the lines, and does to each what its fault says."""

    def __init__(self) -> None:
        super().__init__()
        self._misbehaves: dict[bytes, Dns] = {}
        """By a label that stands in the questions."""
        self._answered: set[bytes] = set()

    def take(self, line: RealLine) -> None:
        """The line's domain is there from now on."""
        if line.domain:
            label = line.domain.partition(".")[0].encode()
            self._misbehaves[bytes([len(label)]) + label] = line.fault.dns
        for record in line.records():
            self.add(record)

    def answer(self, data: bytes, transport: str) -> bytes | None:
        """See NameServer."""
        dns = next((dns for label, dns in self._misbehaves.items() if label in data), "right")
        question = data[12:]
        if dns == "silent" or (dns == "lost" and question in self._answered):
            return None
        self._answered.add(question)
        self.truncates = dns == "cut off"
        return super().answer(data, transport)

    def delay_of(self, data: bytes) -> float:
        """See NameServer."""
        slow = (label for label, dns in self._misbehaves.items() if dns == "slow")
        return SLOW_S if any(label in data for label in slow) else 0.0


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP socket of a carrier."""

    def __init__(self, carrier: ScriptedCarrier) -> None:
        self._carrier = carrier

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self._carrier.receive(data, _Return(self._transport, addr))

    def error_received(self, exc: Exception) -> None:
        """Outdial is not there any more."""


class _Return:
    """Fulfils `carrier.Link` over UDP."""

    def __init__(self, transport: asyncio.DatagramTransport, address: Address) -> None:
        self._transport = transport
        self._address = address

    def send(self, data: bytes) -> None:
        """See Link."""
        self._transport.sendto(data, self._address)

    def reset(self) -> None:
        """See Link."""


class _Stream(asyncio.Protocol):
    """A connection of Outdial's; fulfils `carrier.Link`."""

    def __init__(self, carrier: ScriptedCarrier) -> None:
        self._carrier = carrier
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._rest[: end + 2])
            size = end + 4 + (int(length[1]) if length is not None else 0)
            if len(self._rest) < size:
                return
            message, self._rest = self._rest[:size], self._rest[size:]
            self._carrier.receive(message.lstrip(b"\r\n"), self)

    def send(self, data: bytes) -> None:
        """See Link."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def reset(self) -> None:
        """See Link: with a RST."""
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class RealAudio:
    """Fulfils `carrier.Audio`: 50 packets of silence a second to everybody who is to hear them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._streams: dict[Address, tuple[socket.socket, Address, list[int]]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, here: Address, there: Address) -> None:
        """See Audio."""
        self.end(here)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind(here)
        self._streams[here] = (sock, there, [0])
        if self._timer is None:
            self._tick(time.monotonic())

    def end(self, here: Address) -> None:
        """See Audio."""
        stream = self._streams.pop(here, None)
        if stream is not None:
            stream[0].close()

    def _tick(self, due: float) -> None:
        for sock, there, sent in self._streams.values():
            number = sent[0]
            sent[0] += 1
            try:
                sock.sendto(rtp.build(0, number & 0xFFFF, 160 * number, 7, _SOUND), there)
            except OSError:
                continue  # the leg is over, and its port closed
        due += _PACKET_S
        self._timer = self._loop.call_later(
            max(0.0, due - time.monotonic()), self._tick, max(due, time.monotonic() - 0.2)
        )

    def stop(self) -> None:
        """Closes everything."""
        if self._timer is not None:
            self._timer.cancel()
        for here in list(self._streams):
            self.end(here)
