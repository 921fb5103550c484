"""Signalling in memory: each side is told what the other does, a little later."""

from __future__ import annotations

import asyncio

import pytest

from outdial.legs import Answered, DialTarget, Rejected, Released, Ringing, SignallingEvent
from outdial.testing.rehearsal.exchange import ExchangeIncoming, ExchangeOutgoing, ExchangePlane

OFFER, ANSWER = b"offer", b"answer"


class Pair:
    """A call that was dialled, and what each side was told."""

    def __init__(self, uri: str = "") -> None:
        self.arrived: list[ExchangeIncoming] = []
        self.caller: list[SignallingEvent] = []
        self.called: list[SignallingEvent] = []
        plane = ExchangePlane(self.arrived.append, "phones")
        number = "" if uri else "12025550101"
        target = DialTarget("CA1", "phones", number, "18005550100", "Shop", uri)
        self.outgoing: ExchangeOutgoing = plane.dial(target, OFFER, self.caller.append)

    @property
    def incoming(self) -> ExchangeIncoming:
        return self.arrived[0]


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def pair() -> Pair:
    pair = Pair()
    assert pair.arrived == []
    await settled()
    pair.incoming.listen(pair.called.append)
    return pair


async def test_who_is_called_sees_who_calls(pair: Pair) -> None:
    leg = pair.incoming
    assert (leg.called, leg.caller_id, leg.caller_name) == ("12025550101", "18005550100", "Shop")
    assert leg.offer == leg.request.body == OFFER
    assert leg.sip_call_id == pair.outgoing.sip_call_id
    assert leg.sip_call_id.startswith("CA1-")


async def test_a_call_is_answered_and_hung_up(pair: Pair) -> None:
    pair.incoming.ring()
    pair.incoming.accept(ANSWER)
    await settled()
    assert pair.caller == [Ringing(180, ""), Answered(ANSWER)]
    pair.outgoing.acknowledge()
    pair.outgoing.acknowledge()
    await settled()
    assert pair.called == [Answered(None)]
    pair.incoming.hang_up()
    pair.outgoing.hang_up()
    await settled()
    assert pair.called[1:] == [Released(by_far_end=False, status=200)]
    assert pair.caller[2:] == [Released(by_far_end=True)]


async def test_the_caller_gives_up(pair: Pair) -> None:
    pair.incoming.ring()
    pair.outgoing.hang_up()
    pair.incoming.accept(ANSWER)
    await settled()
    assert pair.caller == [Ringing(180, ""), Rejected(487, "Request Terminated")]
    assert pair.called == [Rejected(487, "Request Terminated")]


async def test_the_call_is_refused(pair: Pair) -> None:
    pair.incoming.reject(486, "Busy Here")
    pair.incoming.reject(603)
    pair.outgoing.acknowledge()
    await settled()
    assert pair.caller == [Rejected(486, "Busy Here")]
    assert pair.called == [Rejected(486, "Busy Here", local=True)]


async def test_hanging_up_before_the_answer_is_a_refusal(pair: Pair) -> None:
    pair.incoming.hang_up()
    await settled()
    assert pair.caller == [Rejected(603, "")]


async def test_what_is_over_before_it_arrives_does_not_arrive() -> None:
    pair = Pair()
    pair.outgoing.hang_up()
    await settled()
    assert pair.arrived == []
    assert pair.caller == [Rejected(487, "Request Terminated")]


async def test_who_listens_late_is_told_all_the_same() -> None:
    pair = Pair()
    await settled()
    pair.outgoing.hang_up()
    await settled()
    pair.incoming.listen(pair.called.append)
    await settled()
    assert pair.called == [Rejected(487, "Request Terminated")]


async def test_an_address_is_called_by_its_user() -> None:
    pair = Pair("sip:12025550177@198.51.100.1")
    await settled()
    assert pair.incoming.called == "12025550177"
