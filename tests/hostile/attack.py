"""The attacker: ``python -m hostile.attack PORT TCP_PORT OWN_PORT NUMBER SEED``.

Each line ``COUNT RATE`` on its standard input is so many messages, so many a second (0: as many as
are read); the answer is a line of JSON with what was sent. Between lines it is a peer that means
well: it answers what the server asks, so that its calls can end.

It sends 64 at a time and then a valid OPTIONS, and goes on when that is answered: everything sent
before has then been read. Without that most of what it sends would be thrown away by the kernel,
and nothing would be tried by it.
"""

from __future__ import annotations

import json
import random
import re
import select
import socket
import sys
import time
from collections import Counter
from contextlib import suppress

from hostile.corpus import Mutator, corpus
from hostile.dialogs import METHODS, Switchboard

TRUNK = "127.0.0.2"
"""The server takes calls from here."""
BATCH = 64
SIT_S = 2.0
_STRANGERS = 6
_TCP = 4
_UNANSWERED_S = 0.5
_LENGTH = re.compile(rb"^(?:Content-Length|l)[ \t]*:[ \t]*(\d+)", re.M | re.I)


class Datagrams:
    """A UDP socket of the trunk, with the calls on it."""

    def __init__(self, target: tuple[str, int], port: int, number: str, seed: int) -> None:
        self.socket = _udp(TRUNK, port)
        self._target = target
        host, port = self.socket.getsockname()
        self.board = Switchboard("udp", host, port, number, seed)
        self.mark = b""
        self.marked = False
        """Whether a message with the mark has come."""

    def send(self, data: bytes) -> None:
        """Sends; what the kernel does not take is lost, as on any network."""
        with suppress(OSError):
            self.socket.sendto(data, self._target)

    def read(self) -> None:
        """Takes all that has come."""
        while True:
            try:
                data = self.socket.recv(65_536)
            except OSError:
                return
            self.marked = self.marked or self.mark in data
            self._take(data)

    def _take(self, data: bytes) -> None:
        answer = self.board.take(data)
        if answer is not None:
            self.send(answer)


class Stream:
    """A TCP connection of the trunk or of a stranger, opened again when it was closed."""

    def __init__(self, target: tuple[str, int], host: str, number: str, seed: int) -> None:
        self._target = target
        self._host = host
        self._number = number
        self._seed = seed
        self._rest = b""
        self.opened = 0
        self.open()

    socket: socket.socket
    board: Switchboard

    @property
    def is_open(self) -> bool:
        """Whether it is connected, as far as this side knows."""
        return self.socket.fileno() >= 0

    def open(self) -> None:
        """Connects; the calls of the connection before are nobody's any more."""
        self.opened += 1
        self._rest = b""
        self.socket = socket.create_connection(self._target, 5.0, (self._host, 0))
        self.socket.setblocking(False)
        host, port = self.socket.getsockname()
        self.board = Switchboard("tcp", host, port, self._number, self._seed + self.opened)

    def send(self, data: bytes) -> None:
        """Sends; a connection that does not take it is opened anew."""
        try:
            if self.socket.send(data) == len(data):
                return
        except OSError:
            pass
        self._again()

    def read(self) -> None:
        """Takes all that has come."""
        try:
            data = self.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._again()
            return
        self._rest = (self._rest + data)[-100_000:]
        for message in self._whole():
            answer = self.board.take(message)
            if answer is not None:
                self.send(answer)

    def _whole(self) -> list[bytes]:
        messages = []
        while b"\r\n\r\n" in self._rest:
            end = self._rest.index(b"\r\n\r\n") + 4
            length = _LENGTH.search(self._rest[:end])
            end += int(length[1]) if length is not None else 0
            if len(self._rest) < end:
                break
            messages.append(self._rest[:end].lstrip(b"\r\n"))
            self._rest = self._rest[end:]
        return messages

    def _again(self) -> None:
        self.socket.close()
        self.open()


class Attack:
    """All sockets, and what is sent over which."""

    def __init__(self, port: int, tcp_port: int, own_port: int, number: str, seed: int) -> None:
        self._target = ("127.0.0.1", port)
        self._random = random.Random(seed)
        self._corpus = corpus(seed)
        self._mutator = Mutator(seed + 1, self._corpus)
        self._trunk = Datagrams(self._target, own_port, number, seed)
        target = ("127.0.0.1", tcp_port)
        self._streams = [Stream(target, TRUNK, number, seed + 100 * n) for n in range(1, _TCP)]
        self._tcp_target = target
        self._stranger_stream = Stream(target, self._stranger(), number, seed)
        self._strangers = [_udp(self._stranger()) for _ in range(_STRANGERS)]
        self._serial = 0
        self._seed = seed
        self.sent: Counter[str] = Counter()
        self.leave()

    # ------------------------------------------------------------------ the attack

    def run(self, count: int, rate: float) -> None:
        """Sends `count` messages."""
        for stream in self._all_streams:
            stream.open()
        started = time.monotonic()
        for number in range(0, count, BATCH):
            for _ in range(min(BATCH, count - number)):
                self._one()
            self._until_read()
            if number % (BATCH * 40) == 0:
                self._move()
            if rate:
                ahead_s = started + number / rate - time.monotonic()
                if ahead_s > 0:
                    self.sit(ahead_s)

    def _one(self) -> None:
        chance = self._random.random()
        if chance < 0.14:
            self._from_stranger()
        elif chance < 0.24:
            self._over_tcp()
        else:
            self.sent["trunk, UDP"] += 1
            self._trunk.send(self._message(self._trunk.board))

    def _message(self, board: Switchboard) -> bytes:
        """Mostly altered; what goes with a call is left whole now and then, to get further."""
        random = self._random.random
        chance, whole = random(), random() < 0.15
        if chance < 0.002:
            data = board.invite()
            whole = random() < 0.5
            self.sent["calls to a number"] += 1
        elif chance < 0.40 and board.calls:
            data = board.inside()
            self.sent["in calls that are up"] += 1
        elif chance < 0.50 and board.requests:
            data = board.answer() or b"\r\n"
            self.sent["answers to the server"] += 1
        elif chance < 0.65:
            data = board.outside(self._random.choice(METHODS), str(int(random() * 1e6)))
            self.sent["outside of calls"] += 1
        else:
            data = self._random.choice(self._corpus)
            self.sent["grammar and torture"] += 1
        if whole:
            self.sent["left whole"] += 1
            return data
        return self._mutator.alter(data)

    def _from_stranger(self) -> None:
        self.sent["strangers, UDP"] += 1
        with suppress(OSError):
            data = self._message(self._trunk.board)
            self._random.choice(self._strangers).sendto(data, self._target)

    def _over_tcp(self) -> None:
        if self._random.random() < 0.1:
            self.sent["strangers, TCP"] += 1
            stream = self._stranger_stream
        else:
            self.sent["trunk, TCP"] += 1
            stream = self._random.choice(self._streams)
        stream.read()
        stream.send(self._message(stream.board))

    def _until_read(self) -> None:
        """Returns once the server has read all that was sent over UDP."""
        self._serial += 1
        mark = f"barrier{self._seed}x{self._serial}"
        host, port = self._trunk.socket.getsockname()
        options = (
            f"OPTIONS sip:127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{mark}\r\n"
            f"From: <sip:b@{host}>;tag=b\r\nTo: <sip:127.0.0.1>\r\nCall-ID: {mark}\r\n"
            "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        for _ in range(60):
            self._trunk.send(options)
            if self._heard(mark.encode()):
                return
            self.sent["OPTIONS sent again"] += 1
        raise TimeoutError("the server answers no OPTIONS any more")

    def _heard(self, mark: bytes) -> bool:
        deadline = time.monotonic() + _UNANSWERED_S
        trunk = self._trunk
        trunk.mark, trunk.marked = mark, False
        while not trunk.marked and time.monotonic() < deadline:
            select.select([trunk.socket], [], [], _UNANSWERED_S)
            trunk.read()
        return trunk.marked

    def _move(self) -> None:
        """Strangers are somebody else now: those before may be banned."""
        at = self._random.randrange(_STRANGERS)
        self._strangers[at].close()
        self._strangers[at] = _udp(self._stranger())
        self.sent["TCP connections"] += self._stranger_stream.opened
        self._stranger_stream.socket.close()
        self._stranger_stream = Stream(self._tcp_target, self._stranger(), "1", self._serial)

    @property
    def _all_streams(self) -> list[Stream]:
        return [*self._streams, self._stranger_stream]

    def _stranger(self) -> str:
        return f"127.66.{self._random.randrange(256)}.{1 + self._random.randrange(250)}"

    # ------------------------------------------------------------------ meaning well

    def sit(self, for_s: float, until: int | None = None) -> bool:
        """Answers what comes for so long, or until there is something at the descriptor."""
        deadline = time.monotonic() + for_s
        streams = [stream for stream in self._streams if stream.is_open]
        peers: list[Datagrams | Stream] = [self._trunk, *streams]
        while (left_s := deadline - time.monotonic()) > 0:
            by_socket = {peer.socket: peer for peer in peers}
            waited: list[socket.socket | int] = [
                *by_socket,
                *([until] if until is not None else []),
            ]
            ready, _, _ = select.select(waited, [], [], left_s)
            for sock in ready:
                if isinstance(sock, socket.socket):
                    by_socket[sock].read()
                else:
                    return True
        return False

    def leave(self) -> None:
        """Closes what is over TCP: a stream that was cut in a message hears nothing right again,
        and what the server has left is its own then."""
        for stream in self._all_streams:
            self.sent["TCP connections"] += stream.opened
            stream.opened = 0
            stream.socket.close()
        self.sent["calls that were up"] += self._trunk.board.answered
        self._trunk.board.answered = 0


def _udp(host: str, port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock


def main() -> None:
    """Until the standard input ends."""
    port, tcp_port, own_port, number, seed = sys.argv[1:]
    attack = Attack(int(port), int(tcp_port), int(own_port), number, int(seed))
    print("ready", flush=True)
    while True:
        while not attack.sit(SIT_S, sys.stdin.fileno()):
            pass
        line = sys.stdin.readline()
        if not line:
            return
        count, rate = line.split()
        attack.sent.clear()
        started = time.monotonic()
        attack.run(int(count), float(rate))
        attack.leave()
        report = {"sent": attack.sent, "took_s": time.monotonic() - started}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
