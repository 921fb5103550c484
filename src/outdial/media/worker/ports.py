"""Pairs of UDP ports, bound ahead of need: RTP on an even port, RTCP on the next (RFC 3550 11)."""

from __future__ import annotations

import random
import socket

RECEIVE_BUFFER_BYTES = 16384
"""The kernel doubles it; about 40 audio packets, nearly a second of a stall."""


class Ports:
    """Takes pairs from a range at random, so that nobody can guess the next call's (THREATS 6)."""

    def __init__(self, address: str, first: int, last: int) -> None:
        self._address = address
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._even = range(first + first % 2, last, 2)
        self.free: dict[int, tuple[socket.socket, socket.socket]] = {}
        """Bound and waiting, by RTP port."""

    def fill(self, count: int) -> list[int]:
        """Binds pairs until `count` are waiting, or the range has no more; gives the new ones."""
        new: list[int] = []
        for port in self._candidates():
            if len(self.free) >= count:
                break
            if port not in self.free and (pair := self._bind(port)):
                self.free[port] = pair
                new.append(port)
        return new

    def _candidates(self) -> list[int]:
        """Random ones, not too many: streams wait meanwhile."""
        return random.sample(self._even, min(256, len(self._even)))

    def _bind(self, port: int) -> tuple[socket.socket, socket.socket] | None:
        made: list[socket.socket] = []
        try:
            for number in (port, port + 1):
                sock = socket.socket(self._family, socket.SOCK_DGRAM)
                made.append(sock)
                sock.setblocking(False)
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
