"""Servers that take no calls at present."""

from __future__ import annotations

from dataclasses import replace

from outdial.sip.core import outages as module
from outdial.sip.core.hop import Hop
from outdial.sip.core.outages import FORGOTTEN_AFTER_S, MAX_PAUSE_S, Outages


def hop(last: int, port: int = 5060, transport: str = "udp") -> Hop:
    return Hop(transport, f"192.0.2.{last}", port, "192.0.2.99:5060")


A, B, C = hop(1), hop(2), hop(3)


def test_nothing_is_known_at_first() -> None:
    outages = Outages()
    assert not outages
    assert outages.in_order([A, B], 0) == [A, B]
    assert outages.of([A, B], 0) == []


def test_the_dead_are_tried_last_and_forgotten() -> None:
    outages = Outages()
    outages.died(A, "says nothing", 10)
    assert outages.in_order([A, B, C], 11) == [B, C, A]
    assert outages.in_order([A], 11) == [A], "a call is better tried in vain than not at all"
    (known,) = outages.of([A, B], 11)
    assert (known.target, known.why) == ("udp:192.0.2.1:5060", "says nothing")
    assert outages.in_order([A, B], 10 + FORGOTTEN_AFTER_S) == [A, B]
    assert not outages


def test_who_answers_is_back() -> None:
    outages = Outages()
    outages.died(A, "says nothing", 10)
    outages.revived(A, 11)
    outages.revived(B, 11)
    assert outages.in_order([A, B], 11) == [A, B]


def test_who_asks_for_no_calls_gets_none() -> None:
    outages = Outages()
    outages.paused(A, 120, 0)
    outages.died(B, "says nothing", 0)
    assert outages.in_order([A, B, C], 1) == [C, B]
    assert outages.in_order([A], 1) == []
    outages.revived(A, 2)
    outages.died(A, "says nothing", 2)
    assert outages.in_order([A], 119) == [], "an answer to OPTIONS does not take the wish back"
    assert outages.in_order([A], 120) == [A]


def test_wishes_have_a_limit_and_nothing_is_none() -> None:
    outages = Outages()
    outages.paused(A, 10**9, 0)
    outages.paused(B, 0, 0)
    assert outages.in_order([A, B], MAX_PAUSE_S - 1) == [B]
    assert outages.in_order([A, B], MAX_PAUSE_S) == [A, B]


def test_port_and_transport_tell_servers_apart() -> None:
    outages = Outages()
    outages.died(A, "says nothing", 0)
    others = [hop(1, 5061), hop(1, transport="tcp")]
    assert outages.in_order([A, *others], 1) == [*others, A]
    elsewhere = replace(A, local="192.0.2.98:5060")
    assert outages.in_order([elsewhere, B], 1) == [B, elsewhere]


def test_memory_has_a_limit() -> None:
    outages = Outages()
    for port in range(1, module._MAX_KEPT + 101):
        outages.died(hop(1, port), "says nothing", 0)
    assert len(outages._kept) == module._MAX_KEPT
    assert outages.of([hop(1, 1)], 1) == []
    assert outages.of([hop(1, module._MAX_KEPT + 100)], 1)
