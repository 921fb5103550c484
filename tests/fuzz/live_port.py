"""A user agent on real sockets among peers that mean it no good.

The peers send messages made by grammar, broken ones, and the next steps of calls that are under
way (taken from what the user agent itself sent), most of those altered on the way. They come from
an address that it knows and from one that it does not, over UDP and over TCP. Everything that
goes wrong is put into `Siege.complaints`.
"""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, Final

from structlog.testing import capture_logs

from fuzz.sip_messages import MessageMaker
from ladders.test_mutated_flows import mutate
from outdial.clock import SystemClock
from outdial.config import Sip
from outdial.errors import RemoteProtocolError
from outdial.legs import DialTarget, Rejected, Released, Reoffer, TracedMessage
from outdial.sip.core.acceptance import Acceptance
from outdial.sip.core.counts import Caps, Counters
from outdial.sip.core.dialog import Dialog
from outdial.sip.core.hop import Hop
from outdial.sip.core.invite_client import OutgoingCall
from outdial.sip.core.invite_server import IncomingCall
from outdial.sip.core.message import Request, Response
from outdial.sip.core.parser import parse_message
from outdial.sip.core.renegotiation import Renegotiation
from outdial.sip.core.response import ResponseHead
from outdial.sip.core.session import Session
from outdial.sip.core.transaction import ClientTransaction, ServerTransaction
from outdial.sip.endpoint import SipEndpoint, parse_listener
from outdial.sip.leg import InboundLeg, Leg
from outdial.sip.plane import SipPlane
from outdial.sip.udp import UdpListener

KNOWN: Final = "127.0.0.2"
UNKNOWN: Final = "127.0.0.66"
CAPS: Final = Caps(transactions=100, calls=40)
CLEAN: Final = Counters(0, 0, 0, 0, 0, 0)
T1_S: Final = 0.01
_BATCH = 25
_KEPT = 30
_ANSWER = b"v=0\r\ns=answer\r\n"


class Phone:
    """Does something or other with each call and each offer."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.legs: list[Leg] = []
        """Those that have not ended."""
        self.ladder: deque[TracedMessage] = deque(maxlen=_KEPT)

    def on_invite(self, leg: InboundLeg) -> None:
        """A call towards the user agent."""
        chance = self._chance
        self.legs.append(leg)
        leg.listen(self.listener(leg))
        if chance.random() < 0.5:
            leg.trace(self.ladder.append)
        choice = chance.randrange(5)
        if choice == 0:
            leg.reject(chance.choice((302, 404, 486, 603)))
        elif choice == 1:
            leg.ring(chance.choice((180, 183)), _ANSWER)
        elif choice > 2:
            leg.ring()
            leg.accept(_ANSWER)

    def listener(self, leg: Leg) -> Callable[[Any], None]:
        """Who hears of the leg."""

        def listen(event: Any) -> None:
            if isinstance(event, Rejected | Released) and leg in self.legs:
                self.legs.remove(leg)
            elif isinstance(event, Reoffer):
                if self._chance.random() < 0.7:
                    leg.answer_offer(_ANSWER)
                else:
                    leg.refuse_offer(488)

        return listen


class Peer:
    """A UDP socket at one address, and what was seen there."""

    def __init__(self, host: str, target: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((host, 0))
        self.target = target
        self.seen: deque[bytes] = deque(maxlen=_KEPT)
        self.sent_bytes = 0

    def send(self, data: bytes) -> None:
        """Sends; what does not fit into a datagram is cut."""
        self.sent_bytes += self.socket.sendto(data[:60_000], self.target)

    def read(self) -> Iterator[bytes]:
        """What has come."""
        while True:
            try:
                data = self.socket.recv(65_536)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self.seen.append(data)
            yield data


class Siege:
    """One user agent under attack. `run` sends, `end` waits until nothing can be left."""

    def __init__(self, seed: int) -> None:
        self.complaints: list[str] = []
        self.tally: Counter[str] = Counter()
        self.most = Counters(0, 0, 0, 0, 0, 0)
        self._chance = random.Random(seed)
        self._maker = MessageMaker(seed)
        self._phone = Phone(self._chance)
        self._sent_to: Counter[str] = Counter()
        self._serial = 0

    async def start(self) -> None:
        """Binds everything."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(str(context)))
        self.endpoint = await SipEndpoint.start(
            Sip(
                listen=["udp:127.0.0.1:0", "tcp:127.0.0.1:0"],
                t1_ms=round(T1_S * 1000),
                ban_after=0,  # a banned attacker would not get far enough to break anything
            ),
            on_invite=self._phone.on_invite,
            accept_source=lambda host: host != UNKNOWN,
            caps=CAPS,
        )
        self._plane = SipPlane(Sip(), (), self.endpoint, SystemClock())
        ports = {one[:3]: parse_listener(one)[2] for one in self.endpoint.listeners}
        self.tcp_target = ("127.0.0.1", ports["tcp"])
        target = ("127.0.0.1", ports["udp"])
        self.known, self.unknown = Peer(KNOWN, target), Peer(UNKNOWN, target)
        self._friend = Peer("127.0.0.3", target)

    def watch_sending(self, send: Callable[[UdpListener, bytes, Hop], None]) -> Any:
        """In place of `UdpListener.send`: counts what goes where."""

        def counted(listener: UdpListener, data: bytes, hop: Hop) -> None:
            self._sent_to[hop.host] += len(data)
            send(listener, data, hop)

        return counted

    # ------------------------------------------------------------ the attack

    async def run(self, count: int) -> None:
        """Sends `count` datagrams; between batches the user agent has to answer a friend."""
        await self._batches(count, self._attack)

    async def flood(self, count: int, without: bytes = b"no such header") -> None:
        """Sends `count` calls, with nothing wrong but perhaps that a header is missing."""

        def attack() -> None:
            lines = self._new_call(self.known).split(b"\r\n")
            self.known.send(b"\r\n".join([one for one in lines if not one.startswith(without)]))

        await self._batches(count, attack)

    async def _batches(self, count: int, attack: Callable[[], None]) -> None:
        with capture_logs() as logged:
            for number in range(1, count + 1):
                attack()
                if number % _BATCH == 0 or number == count:
                    await self._ask_friendly()
                    self._look()
            self.complaints += [str(line) for line in logged if line.get("exc_info")]

    def _attack(self) -> None:
        chance = self._chance
        peer = self.unknown if chance.random() < 0.2 else self.known
        choice = chance.randrange(10)
        if choice < 2:
            data = self._maker.broken()
        elif choice == 2:
            data = self._maker.valid()
        elif choice < 6:
            data = self._new_call(peer)
        else:
            data = self._next_step(peer)
        if chance.random() < 0.5:
            data = mutate(data, chance) if data else data
        peer.send(data)
        if chance.random() < 0.05:
            self._own_call()
        if self._phone.legs and chance.random() < 0.1:
            leg = chance.choice(self._phone.legs)
            chance.choice((leg.hang_up, lambda: leg.reoffer(_ANSWER)))()

    def _new_call(self, peer: Peer) -> bytes:
        self._serial += 1
        host, port = peer.socket.getsockname()
        chance = self._chance
        contacts = (f"{host}:{port}", f"{host}:{port}", "[::1]:5060", "999.1.1.1", "a.invalid")
        extra = chance.choice(("", "", "Require: 100rel\r\n", "Session-Expires: 90\r\n"))
        return (
            f"INVITE sip:1@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{self._serial}\r\n"
            f"From: <sip:a@{host}>;tag={self._serial}\r\nTo: <sip:1@127.0.0.1>\r\n"
            f"Call-ID: {self._serial}@{host}\r\nCSeq: 1 INVITE\r\nSupported: timer\r\n{extra}"
            f"Contact: <sip:a@{chance.choice(contacts)}>\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    def _own_call(self) -> None:
        host, port = self.known.socket.getsockname()
        target = DialTarget("CA1", "", "1", "2", "", f"sip:1@{host}:{port}")
        leg = self._plane.dial(target, _ANSWER, lambda event: self._phone.listener(leg)(event))
        self._phone.legs.append(leg)

    def _next_step(self, peer: Peer) -> bytes:
        """What could follow a message of the user agent: an answer, or a request of the dialog."""
        if not peer.seen:
            return self._new_call(peer)
        try:
            message = parse_message(self._chance.choice(peer.seen))
        except RemoteProtocolError as error:
            self.complaints.append(f"we sent what we do not accept: {error}")
            return b"\r\n"
        if isinstance(message, Request):
            return self._answer(message, peer)
        return self._follow(message, peer)

    def _answer(self, request: Request, peer: Peer) -> bytes:
        host, port = peer.socket.getsockname()
        status = self._chance.choice((100, 180, 183, 200, 200, 200, 302, 407, 422, 481, 491, 503))
        contact = self._chance.choice((f"{host}:{port}", "[::1]", "999.1.1.1:7"))
        fields = [("Contact", f"<sip:a@{contact}>")]
        if status in (180, 183) and self._chance.random() < 0.5:
            fields += [("Require", "100rel"), ("RSeq", "1")]
        tag = str(self._chance.randrange(3))
        return Response.to_request(request, status, to_tag=tag, headers=fields).encode()

    def _follow(self, response: Response, peer: Peer) -> bytes:
        host, port = peer.socket.getsockname()
        method = self._chance.choice(
            ("ACK", "ACK", "ACK", "BYE", "CANCEL", "INVITE", "UPDATE", "INFO", "PRACK", "OPTIONS")
        )
        same = method in ("ACK", "CANCEL") and response.status >= 300
        self._serial += not same
        branch = response.top_via.branch if same else f"z9hG4bK{self._serial}"
        number = response.cseq.number + (0 if method in ("ACK", "CANCEL") else self._serial)
        get = response.headers.get
        return (
            f"{method} sip:1@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch={branch}\r\n"
            f"From: {get('From')}\r\nTo: {get('To')}\r\nCall-ID: {get('Call-ID')}\r\n"
            f"CSeq: {number} {method}\r\nRAck: 1 1 INVITE\r\n"
            f"Contact: <sip:a@{host}:{port}>\r\nContent-Length: 0\r\n\r\n"
        ).encode()

    # ------------------------------------------------------------ what must hold all the time

    async def _ask_friendly(self) -> None:
        """OPTIONS, sent again every half second like any SIP request; also a barrier: when the
        answer is here, everything sent before has been handled."""
        self._serial += 1
        branch = f"z9hG4bKfriend{self._serial}"
        host, port = self._friend.socket.getsockname()
        options = (
            f"OPTIONS sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch={branch}\r\n"
            f"From: <sip:f@{host}>;tag=1\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {branch}\r\n"
            "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        for _ in range(10):
            self._friend.send(options)
            if await self._answered(branch.encode()):
                return
        self.complaints.append("OPTIONS is not answered any more")

    async def _answered(self, branch: bytes) -> bool:
        deadline = asyncio.get_running_loop().time() + 0.5
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0)
            for data in self._friend.read():
                if branch in data and data.startswith(b"SIP/2.0 200 "):
                    return True
        return False

    def _look(self) -> None:
        for _ in self.known.read():
            self.tally["to known"] += 1
        for _ in self.unknown.read():
            self.tally["to unknown"] += 1
        held = self.endpoint.agent.counters()
        self.most = Counters(*map(max, _numbers(self.most), _numbers(held)))
        most = CAPS.transactions + CAPS.calls  # above the cap there is room for BYE
        if held.server_transactions > most or held.calls > CAPS.calls:
            self.complaints.append(f"more than the caps: {held}")
        if self._sent_to[UNKNOWN] > self.unknown.sent_bytes:
            self.complaints.append("more was sent to the unknown than they sent")

    # ------------------------------------------------------------ TCP

    async def storm_tcp(self, count: int) -> int:
        """`count` connections with rubbish, calls and half messages; how many were kept at most."""
        most = 0
        with capture_logs() as logged:
            for number in range(count):
                host = UNKNOWN if number % 3 == 0 else KNOWN
                _, writer = await asyncio.open_connection(*self.tcp_target, local_addr=(host, 0))
                writer.write(self._stream())
                await asyncio.sleep(0)
                writer.close()
                most = max(most, self.connections)
            await self._ask_friendly()
            self.complaints += [str(line) for line in logged if line.get("exc_info")]
        return most

    async def sit_on_tcp(self, count: int) -> int:
        """Unknown peers open `count` connections and say nothing; how many are kept."""
        writers = []
        for _ in range(count):
            _, writer = await asyncio.open_connection(*self.tcp_target, local_addr=(UNKNOWN, 0))
            writers.append(writer)
        await self._ask_friendly()
        kept = self.connections
        for writer in writers:
            writer.close()
        return kept

    @property
    def connections(self) -> int:
        """TCP connections that the user agent holds."""
        return self.endpoint.connections

    def _stream(self) -> bytes:
        chance = self._chance
        pieces = [chance.choice((self._maker.broken, self._maker.valid))() for _ in range(2)]
        call = self._new_call(self.known).replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
        pieces.append(call if chance.random() < 0.7 else call[: chance.randrange(len(call))])
        chance.shuffle(pieces)
        return b"".join(pieces)

    # ------------------------------------------------------------ the end

    async def end(self) -> Counters:
        """Everything is hung up; what is held when nothing is left, or when 64*T1 has gone by
        twice: a BYE may have to wait for an ACK."""
        loop = asyncio.get_running_loop()
        with capture_logs() as logged:
            for leg in list(self._phone.legs):
                leg.hang_up()
            deadline = loop.time() + 2 * 64 * T1_S + 0.2
            while loop.time() < deadline and (  # noqa: ASYNC110 - counters tell nobody
                self._held() != CLEAN or self.connections
            ):
                await asyncio.sleep(0.02)
            self.complaints += [str(line) for line in logged if line.get("exc_info")]
        return self._held()

    def _held(self) -> Counters:
        return self.endpoint.agent.counters()

    async def close(self) -> None:
        """Closes the sockets."""
        self._plane.close()
        await self.endpoint.close()
        for peer in (self.known, self.unknown, self._friend):
            peer.socket.close()


def left_behind() -> Counter[str]:
    """How many objects of each kind there are that live no longer than a call or a message."""
    gc.collect()
    kinds = (
        ClientTransaction, ServerTransaction, ResponseHead, OutgoingCall, IncomingCall, Dialog,
        Session, Renegotiation, Acceptance, Request, Response, Leg,
    )  # fmt: skip
    return Counter(type(one).__name__ for one in gc.get_objects() if isinstance(one, kinds))


def _numbers(counters: Counters) -> tuple[int, ...]:
    return (
        counters.client_transactions, counters.server_transactions, counters.calls,
        counters.dialogs, counters.early_dialogs, counters.timers,
    )  # fmt: skip
