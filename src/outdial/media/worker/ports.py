"""Pairs of UDP ports, bound ahead of need: RTP on an even port, RTCP on the next (RFC 3550 11)."""

from __future__ import annotations

import random
import socket
from array import array

RECEIVE_BUFFER_BYTES = 16384
"""The kernel doubles it; about 40 audio packets, nearly a second of a stall."""
MOST_TRIES = 512
"""Ports tried at a time: streams wait meanwhile, some 10 µs a try."""


class Ports:
    """Takes pairs from a range at random, so that nobody can guess the next call's (THREATS 6)."""

    def __init__(self, address: str, first: int, last: int) -> None:
        self._address = address
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._deck = array("H", range(first + first % 2, last, 2))
        self._left = 0
        self.free: dict[int, tuple[socket.socket, socket.socket]] = {}
        """Bound and waiting, by RTP port."""

    def fill(self, count: int) -> list[int]:
        """Binds pairs until `count` are waiting or enough was tried; gives the new ones."""
        new: list[int] = []
        for _ in range(min(MOST_TRIES, len(self._deck))):
            if len(self.free) >= count:
                break
            port = self._draw()
            if port not in self.free and (pair := self._bind(port)):
                self.free[port] = pair
                new.append(port)
        return new

    def _draw(self) -> int:
        """A random port; none twice before all have been drawn."""
        self._left = self._left or len(self._deck)
        place = random.randrange(self._left)
        self._left -= 1
        deck = self._deck
        deck[place], deck[self._left] = deck[self._left], deck[place]
        return deck[self._left]

    def _bind(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        made: list[socket.socket] = []
        try:
            for number in (port, port + 1):
                sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                made.append(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
                sock.bind((self._address, number))
        except OSError:
            for sock in made:
                sock.close()
            return None
        return made[0], made[1]

    def take(self, port: int) -> tuple[socket.socket, socket.socket]:
        """Hands out a waiting pair. Raises KeyError for one that is not waiting."""
        return self.free.pop(port)
