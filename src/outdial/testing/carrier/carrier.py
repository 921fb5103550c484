"""The scripted carrier: one trunk's far end, where every call follows the script of one fault."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Protocol

from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.message import SipText
from outdial.testing.carrier.registration import RegisterDesk, RegistrarScript, reply_to
from outdial.tls.contexts import ServerSecurity

Address = tuple[str, int]
Script = Callable[[CarrierCall], Awaitable[None]]
Distort = Callable[[bytes], Iterable[tuple[float, bytes]]]
"""What becomes of a message that is sent: when (seconds from now) which bytes leave."""

_ports = itertools.count(20_000, 2)


class Audio(Protocol):
    """What makes and takes the carrier's audio."""

    def begin(self, here: Address, there: Address) -> None:
        """Audio flows both ways."""

    def end(self, here: Address) -> None:
        """It does no more; without effect when it did not."""


class Link(Protocol):
    """The way from the carrier to Outdial."""

    def send(self, data: bytes) -> None:
        """A datagram, or a piece of the stream."""

    def reset(self) -> None:
        """Breaks the connection; nothing over UDP."""


class ScriptedCarrier:
    """Takes what arrives, and lives each call by the script.

    `distort` and `hears` stand for the network, as `network` sets them: what is lost, doubled or
    overtaken on its way.
    """

    def __init__(
        self,
        script: Script,
        address: Address,
        audio: Audio,
        *,
        transport: str = "udp",
        network: Callable[[ScriptedCarrier], None] | None = None,
        registrar: RegistrarScript | None = None,
    ) -> None:
        self.script = script
        self.desk = RegisterDesk(self)
        self.answers_options = True
        """Those that belong to no call."""
        self._registrar = registrar
        self.host, self.port = address
        self.audio = audio
        self.transport = transport
        self.security: ServerSecurity | None = None
        """What it shows over TLS."""
        self.link: Link | None = None
        """Where the last message came from."""
        self.calls: list[CarrierCall] = []
        self.distort: Distort = lambda data: ((0.0, data),)
        self.hears: Callable[[SipText], bool] = lambda message: True
        self.failures: list[BaseException] = []
        """Of scripts: defects of the carrier's own."""
        self._serial = 0.0
        self._by_id: dict[str, CarrierCall] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        if network is not None:
            network(self)

    @staticmethod
    def next_port() -> int:
        """One that nobody else has."""
        return next(_ports)

    def receive(self, data: bytes, link: Link) -> None:
        """A whole message has arrived over the link."""
        self.link = link
        message = SipText(data)
        if not self.hears(message):
            return
        if message.method == "REGISTER":
            self._register(message)
            return
        if message.method == "OPTIONS" and not message.status and not message.to_tag:
            if self.answers_options:
                self.send(reply_to(message, 200))
            return
        call = self._by_id.get(message["Call-ID"])
        if call is not None:
            call.arrive(message)
        elif message.method == "INVITE":
            call = self._by_id[message["Call-ID"]] = CarrierCall(self, message, len(self.calls))
            self.calls.append(call)
            self.spawn(self._noting(self.script(call)))

    def _register(self, request: SipText) -> None:
        registrar, self._registrar = self._registrar, None
        if registrar is not None:
            self.spawn(self._noting(registrar(self.desk)))
        self.desk.arrive(request)

    def send(self, data: bytes) -> None:
        """A message leaves."""
        loop = asyncio.get_running_loop()
        for delay_s, piece in self.distort(data):
            if self.link is None:
                return
            if not delay_s:
                self.link.send(piece)
            else:
                # the timers of a loop that are due at once run in any order
                self._serial += 1e-6
                loop.call_later(delay_s + self._serial, self.link.send, piece)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Something goes on beside the rest."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _noting(self, script: Awaitable[None]) -> None:
        try:
            await script
        except Exception as error:
            self.failures.append(error)

    async def stop(self) -> None:
        """Ends every script."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
