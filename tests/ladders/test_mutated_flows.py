"""Whole calls over a network that alters, repeats, delays and loses what it carries.

Nothing may be raised, and 64*T1 after the end nothing may be left: sipua kept 1,900 transactions
after 20,000 such datagrams.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from ladders.link import ANSWER, CLEAN, Link
from outdial.legs import Reoffer
from outdial.sip.core.agent import Invited
from outdial.sip.core.hop import Hop

CALLS = 60


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One of the usual accidents, or none."""
    kind = rng.randrange(8)
    at = rng.randrange(len(data))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if kind == 2:
        return data[:at] + data[at : at + 20] * 2 + data[at + 20 :]
    if kind == 3:
        lines = data.split(b"\r\n")
        rng.shuffle(lines)
        return b"\r\n".join(lines)
    if kind == 4:
        return data.replace(b"INVITE", rng.choice([b"BYE", b"ACK", b"PRACK", b"UPDATE"]), 1)
    if kind == 5:
        statuses = (b"100", b"180", b"200", b"302", b"401", b"407", b"422", b"487", b"491", b"603")
        return data.replace(b" 200 ", b" " + rng.choice(statuses) + b" ", 1)
    if kind == 6:
        return data.replace(b"tag=", b"tag=" + bytes([97 + rng.randrange(26)]), 1)
    return data


def behave(rng: random.Random) -> Any:
    """A side that does something or other with each call and offer."""

    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            choice = rng.randrange(5)
            if choice == 0:
                call.reject(rng.choice([302, 486, 503]), "", ())
            elif choice == 1:
                call.ring(183, ANSWER)
            else:
                call.ring(180, None)
                call.accept(ANSWER)
        elif isinstance(event, Reoffer) and call.session is not None:
            if rng.random() < 0.7:
                call.session.renegotiation.answer_offer(ANSWER)
            else:
                call.session.renegotiation.refuse_offer(488)

    return react


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_raised_and_nothing_is_left(seed: int) -> None:
    rng = random.Random(seed)
    link = Link(session_expires_s=rng.choice([0, 90, 1800]), latency_s=0.02)
    calls: list[Any] = []
    for side in link.sides.values():
        side.on_event = behave(rng)
    link.lose = lambda way, data: rng.random() < 0.15
    for number in range(CALLS):
        headers = (("Require", "100rel"),) if rng.random() < 0.2 else ()
        calls.append(link.dial(call_id=f"call-{number}", headers=headers))
        link.run(rng.random())
        for _ in range(20):
            side = link[rng.choice("AB")]
            other = "10.0.0.1" if side.name == "B" else "10.0.0.2"
            data = mutate(rng.choice(link.raw[-40:]), rng)
            side.agent.receive(data, Hop("udp", other, 5060, f"{side.host}:5060"), link.now)
            link.settle()
        if rng.random() < 0.3 and calls[-1].session is not None:
            calls[-1].session.reoffer(ANSWER)
        if rng.random() < 0.8:
            rng.choice(calls).hang_up()
    for call in (*calls, *link["A"].invited, *link["B"].invited):
        call.hang_up()
    link.lose = None
    link.run(64.1)
    for side in link.sides.values():
        assert side.agent.counters() == CLEAN


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_left_of_crashes_either(seed: int) -> None:
    """The caller forgets everything again and again, and takes up what it had kept."""
    rng = random.Random(seed)
    link = Link(latency_s=0.02)
    link["B"].on_event = behave(rng)
    link.lose = lambda way, data: rng.random() < 0.15
    for crash in range(12):
        calls = []
        for number in range(5):
            calls.append(link.dial(call_id=f"call-{crash}-{number}", ack_waits=True))
            link.run(rng.random() / 3)
            if rng.random() < 0.5:
                calls[-1].acknowledge()
        kept = [data for call in calls if (data := call.dialog_data) is not None]
        link["A"].agent = link.agent(f"{crash:x}")
        link.run(rng.random())
        for data in rng.sample(kept, rng.randrange(len(kept) + 1)):
            link["A"].agent.release(data, link.hop("A", data.host), None, link.now)
        for _ in range(30):
            raw = mutate(rng.choice(link.raw[-60:]), rng)
            link["A"].agent.receive(raw, link.hop("A", "10.0.0.2"), link.now)
            link.settle()
    link.lose = None
    for incoming in (*link["A"].invited, *link["B"].invited):
        incoming.hang_up()
    link.run(64.1)
    for side in link.sides.values():
        assert side.agent.counters() == CLEAN
