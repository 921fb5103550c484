"""One call as the scripted carrier has it: what it says is right unless a script wants it wrong."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from outdial.testing.carrier.message import SipText, audio_description, written

if TYPE_CHECKING:
    from outdial.testing.carrier.carrier import ScriptedCarrier

T1_S = 0.5
_GIVES_UP_S = 64 * T1_S

NO_CONTACT = ("Contact", "none")
"""Among the fields of a reply: it is to have none."""

Fields = Sequence[tuple[str, str]]
Handler = Callable[[SipText], object]


class CarrierCall:
    """What follows from one INVITE: all that has its Call-ID.

    Requests inside the dialog are answered as a decent carrier does; a script replaces that in
    `handlers`, by method. Repeated requests get the reply of the first.
    """

    def __init__(self, carrier: ScriptedCarrier, invite: SipText, number: int) -> None:
        self.carrier = carrier
        self.invite = invite
        self.tag = f"carrier-{number}"
        self.requests: list[SipText] = [invite]
        """What arrived, without repetitions."""
        self.responses: list[SipText] = []
        self.copies: Counter[str] = Counter()
        """Repetitions that arrived, by method."""
        self.handlers: dict[str, Handler] = {
            "BYE": self.take_bye,
            "CANCEL": self.take_cancel,
            "INVITE": self.take_offer,
            "UPDATE": self.take_offer,
            "ACK": lambda ack: None,
        }
        self.audio = (carrier.host, carrier.next_port())
        """Where it wants to hear Outdial."""
        self._taken = Counter({"INVITE": 1})
        self._replies: dict[tuple[str, str], bytes] = {(invite.method, invite.branch): b""}
        self._changed = asyncio.Event()
        self._cseq = 0
        self._answered: SipText | None = None
        self._answered_tag = self.tag
        self._final = False
        """Whether the INVITE has its final response."""
        self._acked: set[str] = set()
        """CSeq numbers."""

    # ------------------------------------------------------------------ what arrives

    def arrive(self, message: SipText) -> None:
        """A message of the call."""
        if message.status:
            self.responses.append(message)
        elif (key := (message.method, message.branch)) in self._replies:
            self.copies[message.method] += 1
            if self._replies[key]:
                self.carrier.send(self._replies[key])
        else:
            self._take(message, key)
        self._changed.set()

    def _take(self, message: SipText, key: tuple[str, str]) -> None:
        self.requests.append(message)
        self._replies[key] = b""
        if message.method == "ACK":
            self._acked.add(message["CSeq"].split(" ")[0])
        handler = self.handlers.get(message.method)
        if message.method == "INVITE" and not message.to_tag:
            self._final = False  # again, with credentials: the script's own affair
        elif handler is not None:
            handler(message)
        else:
            self.reply(message, 200)

    def take_bye(self, bye: SipText) -> None:
        """200, and no more audio."""
        self.carrier.audio.end(self.audio)
        self.reply(bye, 200)

    def take_cancel(self, cancel: SipText) -> None:
        """200, and 487 to the INVITE unless that was answered."""
        self.reply(cancel, 200)
        if not self._final:
            self.reply(self.invite, 487)

    def take_offer(self, request: SipText) -> None:
        """200 with the description that was agreed."""
        self.reply(request, 200, body=self.description() if request.body else b"")

    async def receive(self, method: str) -> SipText:
        """The next request of the method."""
        while True:
            found = [one for one in self.requests if one.method == method]
            if len(found) > self._taken[method]:
                self._taken[method] += 1
                request = found[self._taken[method] - 1]
                if method == "INVITE" and not request.to_tag:
                    self.invite = request
                return request
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def count(self, method: str) -> int:
        """How many requests of the method there were, repetitions left out."""
        return sum(one.method == method for one in self.requests)

    # ------------------------------------------------------------------ what it says

    def description(self, **more: object) -> bytes:
        """Its audio; `more` as in `audio_description`."""
        host, port = self.audio
        return audio_description(host, port, **more)  # type: ignore[arg-type]

    def reply(
        self,
        request: SipText,
        status: int,
        *,
        body: bytes = b"",
        fields: Fields = (),
        tag: str | None = None,
    ) -> bytes:
        """Sends a response; `tag` "" is none. Gives what was sent."""
        tag = self.tag if tag is None else tag
        to = request["To"]
        if not request.to_tag and tag and status > 100:
            to += f";tag={tag}"
        copied = [("Via", via) for via in request.all("Via")]
        copied += [("From", request["From"]), ("To", to)]
        copied += [(name, request[name]) for name in ("Call-ID", "CSeq")]
        if "Contact" not in dict(fields):
            copied.append(("Contact", f"<sip:{self.carrier.host}:{self.carrier.port}>"))
        added = [one for one in fields if one != NO_CONTACT]
        data = written(f"SIP/2.0 {status} As Scripted", [*copied, *added], body)
        self._replies[request.method, request.branch] = data
        if request is self.invite and status >= 200:
            self._final = True
        self.carrier.send(data)
        return data

    def ring(self, status: int = 180, *, tag: str | None = None, body: bytes = b"") -> None:
        """A provisional response to the INVITE."""
        self.reply(self.invite, status, tag=tag, body=body)

    def answer(
        self,
        body: bytes | None = None,
        *,
        fields: Fields = (),
        tag: str | None = None,
        silent: bool = False,
    ) -> bytes:
        """200, repeated until it is acknowledged; audio flows from now on unless `silent`."""
        body = self.description() if body is None else body
        data = self.reply(self.invite, 200, body=body, fields=fields, tag=tag)
        self._answered_tag = self.tag if tag is None else tag
        far = self.invite.audio
        if far is not None and not silent:
            self.carrier.audio.begin(self.audio, far)
        self.carrier.spawn(self._repeat(data, self.invite["CSeq"].split(" ")[0]))
        return data

    async def _repeat(self, data: bytes, cseq: str) -> None:
        wait_s, waited_s = T1_S, 0.0
        while waited_s < _GIVES_UP_S:
            await asyncio.sleep(wait_s)
            if cseq in self._acked:
                return
            self.carrier.send(data)
            waited_s += wait_s
            wait_s = min(2 * wait_s, 8 * T1_S)

    async def ask(
        self,
        method: str,
        *,
        body: bytes = b"",
        fields: Fields = (),
        cseq: int | None = None,
        tag: str | None = None,
        ack_body: bytes = b"",
    ) -> SipText | None:
        """Sends a request inside the dialog; its final response, acknowledged if it is INVITE's.

        None: there was none in 32 s.
        """
        if cseq is None:
            self._cseq += 1
            cseq = self._cseq
        branch = f"z9hG4bK-carrier-{self.carrier.next_port()}"
        request = self._request(method, cseq, branch, tag, fields, body)
        wait_s, waited_s = T1_S, 0.0
        while waited_s < _GIVES_UP_S:
            self.carrier.send(request)
            response = await self._final_within(branch, wait_s)
            if response is not None:
                if method == "INVITE":
                    own = f"{branch}-ack" if response.status < 300 else branch
                    self.carrier.send(self._request("ACK", cseq, own, tag, (), ack_body))
                return response
            waited_s += wait_s
            wait_s = min(2 * wait_s, 8 * T1_S)
        return None

    def _request(
        self,
        method: str,
        cseq: int,
        branch: str,
        tag: str | None,
        fields: Fields,
        body: bytes,
    ) -> bytes:
        invite, carrier = self.invite, self.carrier
        here = f"{carrier.host}:{carrier.port}"
        own = self._answered_tag if tag is None else tag
        lines = [
            ("Via", f"SIP/2.0/{carrier.transport.upper()} {here};branch={branch}"),
            ("Max-Forwards", "70"),
            ("From", f"{invite['To']};tag={own}"),
            ("To", invite["From"]),
            ("Call-ID", invite["Call-ID"]),
            ("CSeq", f"{cseq} {method}"),
            *((("Contact", f"<sip:{here}>"),) if not dict(fields).get("Contact") else ()),
            *fields,
        ]
        return written(f"{method} {invite.contact} SIP/2.0", lines, body)

    async def _final_within(self, branch: str, seconds: float) -> SipText | None:
        try:
            async with asyncio.timeout(seconds):
                while True:
                    for one in self.responses:
                        if one.branch == branch and one.status >= 200:
                            return one
                    await self._change()
        except TimeoutError:
            return None

    async def hang_up(self) -> SipText | None:
        """BYE."""
        self.carrier.audio.end(self.audio)
        return await self.ask("BYE")
