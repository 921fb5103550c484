"""A scripted carrier on UDP that remembers what it was asked to do.

Written from RFC 3261 with string handling and nothing of Outdial's, so that an error of Outdial's
SIP is not made here once more. What a number does is decided by its last two digits (`SCRIPTS`). It
is strict where a real carrier is: a CANCEL must carry the branch of its INVITE (section 9.2), a BYE
both tags of the dialog and a higher CSeq (section 12.2.2), or it is refused and counted.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

Address = tuple[str, int]

_T2_S = 4.0


@dataclass(frozen=True, slots=True)
class Script:
    """What happens to an INVITE."""

    name: str
    rings_after_s: float | None = None
    """None: no 180."""
    final_after_s: float = 0.0
    status: str = "200 OK"
    hangs_up_after_s: float | None = None
    """After the ACK; None: the other side does."""
    early_media: bool = False


_FAST = Script("answers at once")
_RINGS = Script("rings, then answers", 0.01, 0.6)
_PROMPT = Script("rings shortly, then answers", 0.005, 0.15)
_LONG = Script("rings for half a minute", 0.02, 30.0)
_EARLY = Script("early media, then answers", 0.01, 0.4, early_media=True)
_LEAVES = Script("answers and hangs up", 0.01, 0.1, hangs_up_after_s=0.5)
_BUSY = Script("busy", 0.01, 0.05, "486 Busy Here")
_DECLINES = Script("declines", 0.01, 0.2, "603 Decline")
_FAILS = Script("fails", None, 0.02, "503 Service Unavailable")

SCRIPTS: tuple[Script, ...] = (
    *(_FAST,) * 30,
    *(_PROMPT,) * 20,
    *(_RINGS,) * 15,
    *(_EARLY,) * 5,
    *(_LEAVES,) * 10,
    *(_LONG,) * 5,
    *(_BUSY,) * 7,
    *(_DECLINES,) * 4,
    *(_FAILS,) * 4,
)
"""By the last two digits of the called number."""


def script_of(number: str) -> Script:
    """What this number does."""
    return SCRIPTS[int(number[-2:])]


@dataclass(slots=True)
class Taken:
    """One INVITE transaction as the carrier knows it. Times are those of the wall clock."""

    call_id: str
    number: str
    at: float
    script: Script
    cseq: int
    branch: str
    from_: str
    to: str
    """With our tag."""
    head: str
    """Via, From, To, Call-ID and CSeq of every response."""
    target: str
    """Contact of the INVITE."""
    source: Address
    audio_port: int
    """Of the offer."""
    final: str = ""
    final_at: float = 0.0
    acked_at: float = 0.0
    ended_at: float = 0.0
    """Answered calls: when a BYE of either side was seen or given up."""
    ended_by: str = ""
    gave_up_at: float = 0.0
    """No ACK came for the 200 within 64*T1."""
    timers: set[asyncio.TimerHandle] = field(default_factory=set)

    @property
    def answered(self) -> bool:
        """Whether a 200 left: the carrier has begun to bill."""
        return self.final.startswith("2")

    @property
    def is_ringing(self) -> bool:
        """Whether nothing final was said yet."""
        return not self.final

    @property
    def is_up(self) -> bool:
        """Whether the carrier holds a line for it and bills it."""
        return self.answered and not self.ended_at and not self.gave_up_at


class Carrier(asyncio.DatagramProtocol):
    """Made by `start`. `taken` has every INVITE transaction, in order of arrival."""

    def __init__(self, t1_s: float, script_of: Callable[[str], Script]) -> None:
        self._t1_s = t1_s
        self._script_of = script_of
        self._tags = itertools.count(1)
        self._loop = asyncio.get_running_loop()
        self._by_call_id: dict[str, Taken] = {}
        self._byes: dict[str, Taken] = {}
        self.taken: list[Taken] = []
        self.invites: defaultdict[str, list[Taken]] = defaultdict(list)
        """By called number: more than one is what must never be."""
        self.seen: Counter[str] = Counter()
        """Requests by method, retransmissions too."""
        self.on_invite: Callable[[], None] = lambda: None
        self.misfits: list[str] = []
        """Requests that do not fit what they claim to belong to."""

    @classmethod
    async def start(
        cls, t1_s: float = 0.5, script_of: Callable[[str], Script] = script_of
    ) -> Carrier:
        """Listens on a free loopback port, and takes the audio of all calls on another."""
        loop = asyncio.get_running_loop()
        sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sip.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        sip.bind(("127.0.0.1", 0))
        sip.setblocking(False)
        _, carrier = await loop.create_datagram_endpoint(lambda: cls(t1_s, script_of), sock=sip)
        carrier.port = int(sip.getsockname()[1])
        carrier.ears = [_deaf() for _ in range(2)]
        carrier.rtp_port = int(carrier.ears[0].getsockname()[1])
        return carrier

    port: int
    rtp_port: int
    ears: list[socket.socket]
    _transport: asyncio.DatagramTransport

    def close(self) -> None:
        """Hears nothing any more."""
        for call in self.taken:
            _cancel(call)
        self._transport.close()
        for ear in self.ears:
            ear.close()

    # ------------------------------------------------------------------ what it thinks

    def ringing(self) -> list[Taken]:
        """Those still being rung."""
        return [call for call in self.taken if call.is_ringing]

    def up(self) -> list[Taken]:
        """Those it bills."""
        return [call for call in self.taken if call.is_up]

    def second_invites(self) -> dict[str, int]:
        """Numbers that were called more than once, with how often."""
        return {number: len(calls) for number, calls in self.invites.items() if len(calls) > 1}

    # ------------------------------------------------------------------ messages

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The port is open."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: Address) -> None:
        """One SIP message."""
        head, _, body = data.decode("utf-8", "replace").partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        if "call-id" not in headers or "cseq" not in headers:
            return
        if start.startswith("SIP/2.0 "):
            self._on_response(int(start.split(" ", 2)[1]), headers)
            return
        method, uri, _ = start.split(" ", 2)
        self.seen[method] += 1
        if method == "INVITE":
            self._on_invite(uri, headers, address, body)
        elif method == "ACK":
            self._on_ack(headers)
        elif method == "CANCEL":
            self._on_cancel(headers, address)
        elif method == "BYE":
            self._on_bye(headers, address)
        else:
            self._answer(headers, address, "200 OK")

    def error_received(self, exc: Exception) -> None:
        """The server is down: what was sent is lost, as on any network."""

    def _on_invite(
        self, uri: str, headers: dict[str, list[str]], address: Address, offer: str
    ) -> None:
        call_id, cseq, branch = headers["call-id"][0], _cseq(headers), _branch(headers)
        known = self._by_call_id.get(call_id)
        if known is not None and (known.cseq, known.branch) == (cseq, branch):
            return  # retransmitted: ours were lost or are under way
        if _tag(headers["to"][0]):
            self.misfits.append(f"re-INVITE on {call_id}")
            self._answer(headers, address, "488 Not Acceptable Here")
            return
        number = uri.partition(":")[2].partition("@")[0]
        to = f"{headers['to'][0]};tag=carrier{next(self._tags)}"
        call = Taken(
            call_id=call_id,
            number=number,
            at=time.time(),
            script=self._script_of(number),
            cseq=cseq,
            branch=branch,
            from_=headers["from"][0],
            to=to,
            head=_head({**headers, "to": [to]}),
            target=headers["contact"][0].partition("<")[2].partition(">")[0],
            source=address,
            audio_port=int(offer.partition("m=audio ")[2].split(" ", 1)[0]),
        )
        self.taken.append(call)
        self.invites[number].append(call)
        self.on_invite()
        self._by_call_id[call_id] = call
        self._send(call, "100 Trying")
        if call.script.rings_after_s is not None:
            self._later(call, call.script.rings_after_s, self._ring)
        self._later(call, call.script.final_after_s, self._decide)

    def _ring(self, call: Taken) -> None:
        if call.is_ringing:
            early = call.script.early_media
            self._send(call, "183 Session Progress" if early else "180 Ringing", sdp=early)

    def _decide(self, call: Taken) -> None:
        if call.is_ringing:
            self._final(call, call.script.status)

    def _final(self, call: Taken, status: str) -> None:
        call.final, call.final_at = status, time.time()
        self._repeat_final(call, self._t1_s)

    def _repeat_final(self, call: Taken, delay_s: float) -> None:
        """Until the ACK or, after 64*T1, never again (sections 13.3.1.4 and 17.2.1)."""
        if call.acked_at or call.ended_at:
            return
        if time.time() - call.final_at > 64 * self._t1_s:
            call.gave_up_at = time.time()
            return
        self._send(call, call.final, sdp=call.answered)
        again_s = min(2 * delay_s, _T2_S)
        self._later(call, delay_s, lambda call: self._repeat_final(call, again_s))

    def _on_ack(self, headers: dict[str, list[str]]) -> None:
        call = self._by_call_id.get(headers["call-id"][0])
        if call is None or not call.final:
            return
        if not self._fits(call, headers) or _cseq(headers) != call.cseq:
            self.misfits.append(f"ACK on {call.call_id}")
            return
        if not call.acked_at:
            call.acked_at = time.time()
            if call.answered and call.script.hangs_up_after_s is not None:
                self._later(call, call.script.hangs_up_after_s, self._hang_up)

    def _on_cancel(self, headers: dict[str, list[str]], address: Address) -> None:
        call = self._by_call_id.get(headers["call-id"][0])
        if call is None or call.branch != _branch(headers) or call.cseq != _cseq(headers):
            self.misfits.append(f"CANCEL of {headers['call-id'][0]}")
            self._answer(headers, address, "481 Call/Transaction Does Not Exist")
            return
        self._answer(headers, address, "200 OK")
        if call.is_ringing:
            self._final(call, "487 Request Terminated")

    def _on_bye(self, headers: dict[str, list[str]], address: Address) -> None:
        call = self._by_call_id.get(headers["call-id"][0])
        if call is None or not self._fits(call, headers):
            self.misfits.append(f"BYE on {headers['call-id'][0]}")
            self._answer(headers, address, "481 Call/Transaction Does Not Exist")
        elif not call.answered:
            # allowed in an early dialog (section 15), which is over by now
            self._answer(headers, address, "481 Call/Transaction Does Not Exist")
        elif _cseq(headers) <= call.cseq:
            self.misfits.append(f"BYE with CSeq {_cseq(headers)} on {call.call_id}")
            self._answer(headers, address, "500 Server Internal Error")
        else:
            self._answer(headers, address, "200 OK")
            self._end(call, "outdial")

    def _hang_up(self, call: Taken) -> None:
        if not call.ended_at:
            branch = f"z9hG4bKcarrier{next(self._tags)}"
            self._byes[branch] = call
            self._repeat_bye(call, branch, time.time(), self._t1_s)

    def _repeat_bye(self, call: Taken, branch: str, since: float, delay_s: float) -> None:
        if branch not in self._byes:
            return
        if call.ended_at or time.time() - since > 64 * self._t1_s:
            del self._byes[branch]
            self._end(call, "carrier, unconfirmed")
            return
        lines = (
            f"BYE {call.target} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch}",
            f"From: {call.to}",
            f"To: {call.from_}",
            f"Call-ID: {call.call_id}",
            "CSeq: 1 BYE",
            "Max-Forwards: 70",
            "Content-Length: 0",
        )
        self._transport.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), call.source)
        again_s = min(2 * delay_s, _T2_S)
        self._later(call, delay_s, lambda call: self._repeat_bye(call, branch, since, again_s))

    def _on_response(self, status: int, headers: dict[str, list[str]]) -> None:
        call = self._byes.pop(_branch(headers), None) if status >= 200 else None
        if call is not None:
            self._end(call, "carrier")

    def _end(self, call: Taken, by: str) -> None:
        if not call.ended_at:
            call.ended_at, call.ended_by = time.time(), by
            _cancel(call)

    # ------------------------------------------------------------------ sending

    def _fits(self, call: Taken, headers: dict[str, list[str]]) -> bool:
        ours, theirs = _tag(headers["to"][0]), _tag(headers["from"][0])
        return ours == _tag(call.to) and theirs == _tag(call.from_)

    def _later(self, call: Taken, delay_s: float, what: Callable[[Taken], None]) -> None:
        def due() -> None:
            call.timers.discard(timer)
            what(call)

        timer = self._loop.call_later(delay_s, due)
        call.timers.add(timer)

    def _send(self, call: Taken, status: str, *, sdp: bool = False) -> None:
        self._write(call.source, status, call.head, self._sdp() if sdp else "")

    def _answer(self, headers: dict[str, list[str]], address: Address, status: str) -> None:
        self._write(address, status, _head(headers), "")

    def _write(self, address: Address, status: str, head: str, body: str) -> None:
        contact = f"Contact: <sip:carrier@127.0.0.1:{self.port}>\r\n"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        length = f"Content-Length: {len(body)}\r\n\r\n"
        message = f"SIP/2.0 {status}\r\n{head}{contact}{kind}{length}{body}"
        self._transport.sendto(message.encode(), address)

    def _sdp(self) -> str:
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self.rtp_port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
        )


def _deaf() -> socket.socket:
    """A port that is open and never read, so that hearing costs nothing."""
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    ear.bind(("127.0.0.1", 0))
    return ear


def _cancel(call: Taken) -> None:
    for timer in call.timers:
        timer.cancel()
    call.timers.clear()


def _head(headers: dict[str, list[str]]) -> str:
    vias = "".join(f"Via: {via}\r\n" for via in headers["via"])
    return vias + "".join(
        f"{name}: {headers[name.lower()][0]}\r\n" for name in ("From", "To", "Call-ID", "CSeq")
    )


def _parameter(text: str, name: str) -> str:
    return text.partition(f";{name}=")[2].partition(";")[0]


def _tag(address: str) -> str:
    return _parameter(address.rpartition(">")[2], "tag")


def _branch(headers: dict[str, list[str]]) -> str:
    return _parameter(headers["via"][0], "branch")


def _cseq(headers: dict[str, list[str]]) -> int:
    return int(headers["cseq"][0].split()[0])
