"""The registrar of a scripted carrier: every REGISTER that arrives, and what the script answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from outdial.testing.carrier.message import SipText, written

if TYPE_CHECKING:
    from outdial.testing.carrier.carrier import ScriptedCarrier

Fields = Sequence[tuple[str, str]]


def reply_to(request: SipText, status: int, fields: Fields = ()) -> bytes:
    """A response to a request that belongs to no call."""
    copied = [("Via", via) for via in request.all("Via")]
    copied += [("From", request["From"]), ("To", f"{request['To']};tag=scripted")]
    copied += [(name, request[name]) for name in ("Call-ID", "CSeq")]
    return written(f"SIP/2.0 {status} As Scripted", [*copied, *fields])


class RegisterDesk:
    """Where REGISTERs arrive. Repeated ones get the reply of the first."""

    def __init__(self, carrier: ScriptedCarrier) -> None:
        self.carrier = carrier
        self.requests: list[SipText] = []
        """What arrived, without repetitions."""
        self._replies: dict[str, bytes] = {}
        self._taken = 0
        self._arrived = asyncio.Event()

    def arrive(self, request: SipText) -> None:
        """A REGISTER."""
        known = self._replies.get(request.branch)
        if known is None:
            self._replies[request.branch] = b""
            self.requests.append(request)
            self._arrived.set()
        elif known:
            self.carrier.send(known)

    async def receive(self) -> SipText:
        """The next one."""
        while self._taken >= len(self.requests):
            self._arrived.clear()
            await self._arrived.wait()
        self._taken += 1
        return self.requests[self._taken - 1]

    def reply(self, request: SipText, status: int, fields: Fields = ()) -> None:
        """Sends a response."""
        data = reply_to(request, status, fields)
        self._replies[request.branch] = data
        self.carrier.send(data)

    def take(self, request: SipText, expires_s: int = 3600) -> None:
        """200 with the contact that was registered."""
        granted = 0 if request["Expires"] == "0" else expires_s
        contact = f"<{request.contact}>;expires={granted}"
        self.reply(request, 200, [("Contact", contact)] if granted else ())

    async def take_all(self, expires_s: int = 3600) -> None:
        """200 from now on."""
        while True:
            self.take(await self.receive(), expires_s)


RegistrarScript = Callable[[RegisterDesk], Awaitable[None]]
