"""A name server that answers with anything: records, or names that are away, and nothing else."""

from __future__ import annotations

import asyncio
import random

import pytest

from hostile.corpus import Mutator
from outdial.sip import names
from outdial.sip.names import Answer, NamesAway, NameServers
from outdial.testing.name_server import NameServer

COUNT = 150
LONGEST_S = 0.3
"""In place of the seconds that a query may take: what is no answer to it is waited out."""


class Liar(NameServer):
    """Alters most of its answers behind the first two bytes, by which they are known."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = random.Random(seed)
        self._mutator = Mutator(seed, [bytes(range(256)), b"\xc0\x0c" * 30, b"\xff" * 40])
        self.altered = 0

    def answer(self, data: bytes, transport: str) -> bytes | None:
        """See NameServer."""
        told = super().answer(data, transport)
        if told is None or self._chance.random() < 0.2:
            return told
        self.altered += 1
        return told[:2] + self._mutator.alter(told[2:])


@pytest.mark.parametrize("seed", range(2))
async def test_answers_that_are_none_raise_nothing_else(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_ALL_SERVERS_S", LONGEST_S)
    async with Liar(seed) as liar:
        for record in (
            '_x.example. 60 IN NAPTR 10 100 "s" "SIP+D2U" "" _sip._udp.x.example.',
            "_x.example. 60 IN SRV 10 5 5060 a.x.example.",
            "_x.example. 60 IN A 192.0.2.1",
            "_x.example. 60 IN AAAA 2001:db8::1",
        ):
            for number in range(COUNT):
                liar.add(f"n{number}{record}")
        servers = NameServers([liar.address])
        asks = (servers.naptr, servers.srv, servers.addresses)
        told = await asyncio.gather(
            *(asks[number % 3](f"n{number}_x.example") for number in range(COUNT)),
            return_exceptions=True,
        )
        assert liar.altered > COUNT / 2
    assert [one for one in told if not isinstance(one, Answer | NamesAway)] == []
    assert any(isinstance(one, Answer) and one.records for one in told)
