"""A little name server on a free port: it says what a test has written down, or misbehaves.

async with NameServer() as names:
    names.add("_sip._udp.carrier.example. 60 IN SRV 10 5 5060 a.carrier.example.")
    names.add("a.carrier.example. 60 IN A 127.0.0.1")
    settings = {"sip": {"nameservers": [names.address]}}
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from types import TracebackType
from typing import Self, cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

_TRIES = 20
_CHAIN = 8
_DATAGRAM_BYTES = 512


class NameServer:
    """Answers over UDP and TCP at `address` for every name that there is.

    What it does wrong is set at any time: `delay_s` before every answer, `is_silent`, `fails` (with
    SERVFAIL), `truncates` (an answer over UDP says only that TCP has the whole one).
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0
        self.delay_s = 0.0
        self.is_silent = False
        self.fails = False
        self.truncates = False
        self.asked: list[tuple[str, str, str]] = []
        """Name without the last dot, kind of record, and udp or tcp, in order."""
        self._sets: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """host:port, as `sip.nameservers` has it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def add(self, record: str) -> None:
        """A line of a zone file: name, seconds, ``IN``, kind, value. ValueError for another."""
        try:
            name, ttl_s, _, kind, value = record.split(maxsplit=4)
            line = dns.rrset.from_text(name, int(ttl_s), "IN", kind, value)
        except (ValueError, dns.exception.DNSException) as error:
            raise ValueError(f"{record!r} is no record: {error}") from None
        known = self._sets.setdefault((line.name, line.rdtype), line)
        for value in line:
            known.add(value, line.ttl)

    def forget(self, name: str) -> None:
        """There is nothing of that name any more."""
        gone = dns.name.from_text(name)
        self._sets = {key: one for key, one in self._sets.items() if key[0] != gone}

    async def start(self) -> None:
        """Listens. OSError when there is no port that is free for both."""
        loop = asyncio.get_running_loop()
        for place in range(_TRIES):
            udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(self.host, 0)
            )
            port = udp.get_extra_info("sockname")[1]
            try:
                self._tcp = await asyncio.start_server(self._stream, self.host, port)
            except OSError:
                udp.close()
                if place == _TRIES - 1:
                    raise
            else:
                self._udp, self.port = udp, port
                return

    async def stop(self) -> None:
        """Listens no more."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # ------------------------------------------------------------ inside

    def answer(self, data: bytes, transport: str) -> bytes | None:
        """What it says to a query; None: nothing."""
        try:
            query = dns.message.from_wire(data)
        except dns.exception.DNSException:
            return None
        if not query.question:
            return None
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((question.name.to_text(omit_final_dot=True), kind, transport))
        if self.is_silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if self.fails:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif self.truncates and transport == "udp":
            response.flags |= dns.flags.TC
        else:
            self._fill(response, question.name, question.rdtype)
        try:
            return response.to_wire(max_size=65_535 if transport == "tcp" else _DATAGRAM_BYTES)
        except dns.exception.TooBig:
            response.answer.clear()
            response.flags |= dns.flags.TC
            return response.to_wire()

    def delay_of(self, data: bytes) -> float:
        """Seconds before the answer to a query."""
        return self.delay_s

    def _fill(
        self, response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> None:
        """The records, and the aliases that lead to them; a loop of those is told as it stands."""
        for _ in range(_CHAIN):
            if (found := self._sets.get((name, kind))) is not None:
                response.answer.append(found)
                return
            alias = self._sets.get((name, dns.rdatatype.CNAME))
            if alias is None:
                break
            if alias not in response.answer:
                response.answer.append(alias)
            name = alias[0].target
        if not response.answer and not any(known == name for known, _ in self._sets):
            response.set_rcode(dns.rcode.NXDOMAIN)

    def spawn(self, data: bytes, transport: asyncio.DatagramTransport, peer: object) -> None:
        """Answers a datagram, in its time."""
        task = asyncio.get_running_loop().create_task(self._reply(data, transport, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, data: bytes, transport: asyncio.DatagramTransport, peer: object) -> None:
        reply = self.answer(data, "udp")
        await asyncio.sleep(self.delay_of(data))
        if reply is not None and not transport.is_closing():
            transport.sendto(reply, peer)  # type: ignore[arg-type]

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (size,) = struct.unpack("!H", await reader.readexactly(2))
                data = await reader.readexactly(size)
                reply = self.answer(data, "tcp")
                await asyncio.sleep(self.delay_of(data))
                if reply is not None:
                    writer.write(struct.pack("!H", len(reply)) + reply)
                    await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._transport is not None:
            self._server.spawn(data, self._transport, addr)
