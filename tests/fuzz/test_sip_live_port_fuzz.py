"""The user agent on real sockets against generated messages and calls that go wrong.

OUTDIAL_FUZZ sets how many datagrams (8,000 without it), OUTDIAL_FUZZ_SEED where they start.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine

import pytest
import uvloop

from fuzz.live_port import CAPS, CLEAN, Siege, left_behind
from outdial.sip.udp import UdpListener

COUNT = int(os.environ.get("OUTDIAL_FUZZ", "8000"))
SEED = int(os.environ.get("OUTDIAL_FUZZ_SEED", "1"))
ROUND = 20_000
UNKNOWN_CONNECTIONS = 50


@pytest.fixture
def besiege(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs an attack on the event loop that the server uses, then looks at what is left."""

    def run(attack: Callable[[Siege], Coroutine[None, None, None]], seed: int = SEED) -> None:
        async def whole() -> None:
            before = left_behind()
            siege = Siege(seed)
            monkeypatch.setattr(UdpListener, "send", siege.watch_sending(UdpListener.send))
            await siege.start()
            try:
                await attack(siege)
                assert await siege.end() == CLEAN
                assert siege.connections == 0
                assert siege.complaints == []
                assert left_behind() == before
            finally:
                await siege.close()

        uvloop.run(whole())

    return run


def test_datagrams_break_nothing_and_leave_nothing(besiege: Callable[..., None]) -> None:
    async def attack(siege: Siege) -> None:
        await siege.run(min(COUNT, ROUND))
        assert left_behind()
        assert siege.most.calls > 5
        assert siege.most.dialogs > 5
        assert siege.most.client_transactions > 5
        assert siege.tally["to known"] > COUNT / 100

    for number in range(max(COUNT // ROUND, 1)):
        besiege(attack, SEED + number)


def test_a_flood_of_calls_stops_at_the_cap(besiege: Callable[..., None]) -> None:
    async def attack(siege: Siege) -> None:
        await siege.flood(4 * CAPS.calls)
        assert siege.most.calls == CAPS.calls
        assert siege.endpoint.agent.tally().overload > 0

    besiege(attack)


def test_a_flood_of_transactions_stops_at_the_cap(besiege: Callable[..., None]) -> None:
    async def attack(siege: Siege) -> None:
        await siege.flood(4 * CAPS.transactions, without=b"Contact")
        assert siege.most.server_transactions == CAPS.transactions
        assert siege.most.calls == 0
        assert siege.endpoint.agent.tally().overload > 0

    besiege(attack)


def test_streams_break_nothing_and_leave_nothing(besiege: Callable[..., None]) -> None:
    async def attack(siege: Siege) -> None:
        assert await siege.storm_tcp(min(COUNT, ROUND) // 40) > 0

    besiege(attack)


def test_silent_connections_leave_room_for_others(besiege: Callable[..., None]) -> None:
    async def attack(siege: Siege) -> None:
        assert await siege.sit_on_tcp(2 * UNKNOWN_CONNECTIONS) == UNKNOWN_CONNECTIONS

    besiege(attack)
