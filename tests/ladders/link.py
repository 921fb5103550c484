"""Two or three agents joined by a scriptable network, with a clock that only moves when told.

`Link.run` delivers messages and fires timers in order of time. Losses are a list of booleans for
each direction, one for each message sent that way: True is lost. Everything sent is kept in
`ladder` as ``(time, "A>B", "INVITE")``, so a test can compare whole flows.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from outdial.sip.core.agent import Agent, Invited
from outdial.sip.core.counts import Caps, Counters
from outdial.sip.core.hop import Hop
from outdial.sip.core.invite_client import Invitation, OutgoingCall
from outdial.sip.core.invite_server import IncomingCall

OFFER = b"v=0\r\ns=offer\r\n"
ANSWER = b"v=0\r\ns=answer\r\n"
FORK = "10.0.0.9"
"""What is sent there reaches every agent but the sender."""
CLEAN = Counters(0, 0, 0, 0, 0, 0)


def tokens(name: str) -> Callable[[], str]:
    """Predictable tokens: the side's name in hexadecimal and a number."""
    numbers = itertools.count(1)
    return lambda: f"{ord(name):02x}{next(numbers):014x}"


@dataclass
class Side:
    """One agent, what it was told, and how it behaves."""

    name: str
    host: str
    agent: Agent
    transport: str = "udp"
    events: list[Any] = field(default_factory=list)
    invited: list[IncomingCall] = field(default_factory=list)
    on_event: Callable[[Any, Any], None] | None = None
    """Called with the call and the event, after it was noted."""

    @property
    def kinds(self) -> list[str]:
        """The class names of the events."""
        return [type(event).__name__ for event in self.events]

    @property
    def call(self) -> IncomingCall:
        """The last call that came in."""
        return self.invited[-1]

    @property
    def last(self) -> Any:
        """The last event."""
        return self.events[-1]


class Link:
    """The network."""

    def __init__(
        self,
        names: str = "AB",
        *,
        latency_s: float = 0.01,
        transport: str = "udp",
        session_expires_s: int = 0,
        caps: Caps | None = None,
    ) -> None:
        self.now = 1000.0
        self.latency_s = latency_s
        self.transport = transport
        self.losses: dict[str, list[bool]] = {}
        self.lose: Callable[[str, bytes], bool] | None = None
        """Alternatively a function of direction and message."""
        self.ladder: list[tuple[float, str, str]] = []
        self.raw: list[bytes] = []
        self.sides: dict[str, Side] = {}
        self._flying: list[tuple[float, int, Side, bytes, Hop]] = []
        self._serial = itertools.count()
        self._more = {"session_expires_s": session_expires_s, "caps": caps}
        for number, name in enumerate(names, 1):
            agent = self.agent(name)
            self.sides[name] = Side(name, f"10.0.0.{number}", agent, transport)

    def agent(self, seed: str, **more: Any) -> Agent:
        """A new one, whose tokens begin with `seed`, a letter or digit."""
        common: dict[str, Any] = {
            "takes_invites": True,
            "accepts": lambda host: host.startswith("10."),
        }
        return Agent(token=tokens(seed), **{**common, **self._more, **more})

    def restart(self, name: str, **more: Any) -> None:
        """The side's process is killed, with what it has not sent, and started again."""
        self.sides[name].agent = self.agent(name.lower(), **more)
        self.sides[name].events.clear()

    def __getitem__(self, name: str) -> Side:
        return self.sides[name]

    def hop(self, sender: str, host: str) -> Hop:
        """The way from a side to an address."""
        return Hop(self.transport, host, 5060, f"{self.sides[sender].host}:5060")

    def dial(self, to: str = "B", **more: Any) -> OutgoingCall:
        """A calls; `to` is a side, or FORK."""
        host = self.sides[to].host if to in self.sides else to
        invitation = Invitation(
            call_id=more.pop("call_id", "call-1"),
            uri=f"sip:15005550001@{host}",
            from_="<sip:1222@10.0.0.1>",
            hop=self.hop("A", host),
            offer=more.pop("offer", OFFER),
            **more,
        )
        call = self["A"].agent.invite(invitation, self.now)
        self.settle()
        return call

    def settle(self) -> None:
        """Sends and delivers what the agents have ready, without time passing."""
        busy = True
        while busy:
            busy = False
            for side in self.sides.values():
                for message in side.agent.outgoing():
                    busy = True
                    self._carry(side, message.data, message.hop)
                for owner, event in side.agent.events():
                    busy = True
                    self._note(side, owner, event)

    def _note(self, side: Side, owner: Any, event: Any) -> None:
        side.events.append(event)
        if isinstance(event, Invited):
            side.invited.append(owner)
        if side.on_event is not None:
            side.on_event(owner, event)

    def _carry(self, sender: Side, data: bytes, hop: Hop) -> None:
        source_port = 5060
        for target in self.sides.values():
            if target is sender or (hop.host not in (target.host, FORK)):
                continue
            way = f"{sender.name}>{target.name}"
            self.ladder.append((round(self.now - 1000, 3), way, title(data)))
            self.raw.append(data)
            pattern = self.losses.get(way)
            lost = pattern.pop(0) if pattern else False
            if lost or (self.lose is not None and self.lose(way, data)):
                continue
            source = Hop(hop.transport, sender.host, source_port, f"{target.host}:5060")
            arrival = (self.now + self.latency_s, next(self._serial), target, data, source)
            heapq.heappush(self._flying, arrival)

    def inject(self, to: str, text: str, host: str = "10.0.0.77") -> None:
        """A hand-made message arrives at a side."""
        side = self.sides[to]
        source = Hop(self.transport, host, 5060, f"{side.host}:5060")
        side.agent.receive(text.replace("\n", "\r\n").encode(), source, self.now)
        self.settle()

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        end = self.now + seconds
        self.settle()
        while (at := self._next()) is not None and at <= end:
            self.now = max(self.now, at)
            while self._flying and self._flying[0][0] <= self.now:
                _, _, side, data, source = heapq.heappop(self._flying)
                side.agent.receive(data, source, self.now)
                self.settle()
            for side in self.sides.values():
                side.agent.handle_timer(self.now)
            self.settle()
        self.now = end
        for side in self.sides.values():
            side.agent.now = end

    def _next(self) -> float | None:
        times = [timer for side in self.sides.values() if (timer := side.agent.next_timer())]
        if self._flying:
            times.append(self._flying[0][0])
        return min(times, default=None)

    def flow(self, *ways: str) -> list[str]:
        """The ladder as ``"A>B INVITE"`` lines, of the ways given or of all."""
        return [f"{way} {what}" for _, way, what in self.ladder if not ways or way in ways]

    def count(self, line: str) -> int:
        """How often a line stands in `flow`."""
        return self.flow().count(line)

    def assert_clean(self) -> None:
        """64*T1 after everything, nothing is left anywhere."""
        self.run(33.0)
        for side in self.sides.values():
            assert side.agent.counters() == CLEAN, side.name
            assert side.agent.next_timer() is None


def title(data: bytes) -> str:
    """``INVITE``, or ``200 INVITE``: what a ladder shows of a message."""
    first, *lines = data.split(b"\r\n\r\n")[0].decode().split("\r\n")
    if not first.startswith("SIP/2.0 "):
        return first.split(" ")[0]
    cseq = next(line for line in lines if line.startswith("CSeq:"))
    return f"{first.split(' ')[1]} {cseq.split(' ')[-1]}"


def header(data: bytes, name: str) -> str:
    """The first line of a header of a raw message, "" when it is not there."""
    for line in data.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
        key, _, value = line.partition(": ")
        if key == name:
            return value
    return ""


def answering(link: Link, name: str = "B", *, ring: bool = True) -> None:
    """The side rings (perhaps) and answers each call at once."""

    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            if ring:
                call.ring(180, None)
            call.accept(ANSWER)

    link[name].on_event = react
