"""Records as RFC 3263 and RFC 2782 read them."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from outdial.sip.core.locating import (
    MAX_TARGETS,
    Choice,
    Naptr,
    Srv,
    Target,
    default_port,
    first_targets,
    in_order,
    service_name,
    services,
)

ALL = ("udp", "tcp", "tls")


def pointer(order: int, preference: int, service: str, to: str, flags: str = "s") -> Naptr:
    return Naptr(order, preference, flags, service, to)


RFC_3263 = [
    pointer(50, 50, "SIPS+D2T", "_sips._tcp.example.com"),
    pointer(90, 50, "SIP+D2T", "_sip._tcp.example.com"),
    pointer(100, 50, "SIP+D2U", "_sip._udp.example.com"),
]
"""Section 4.1."""


def test_the_example_of_rfc_3263() -> None:
    assert services(RFC_3263, ALL) == [
        ("tls", "_sips._tcp.example.com"),
        ("tcp", "_sip._tcp.example.com"),
        ("udp", "_sip._udp.example.com"),
    ]
    assert services(RFC_3263, ["udp", "tcp"])[0] == ("tcp", "_sip._tcp.example.com")
    assert services(RFC_3263, []) == []


def test_order_counts_before_preference() -> None:
    records = [
        pointer(2, 1, "SIP+D2U", "c"),
        pointer(1, 9, "SIP+D2U", "b"),
        pointer(1, 1, "SIP+D2T", "a"),
    ]
    assert [name for _, name in services(records, ALL)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "record",
    [
        pointer(1, 1, "SIP+D2W", "ws"),
        pointer(1, 1, "SIP+D2S", "sctp"),
        pointer(1, 1, "E2U+sip", "enum", "u"),
        pointer(1, 1, "SIP+D2U", "elsewhere", ""),
        pointer(1, 1, "SIP+D2U", "", "s"),
        pointer(1, 1, "SIP+D2U", ".", "s"),
        pointer(1, 1, "", "x"),
    ],
)
def test_pointers_of_no_use(record: Naptr) -> None:
    assert services([record], ALL) == []


def test_services_are_named_in_either_case() -> None:
    assert services([pointer(1, 1, "sip+d2u", "x", "S")], ALL) == [("udp", "x")]


def test_names_and_ports() -> None:
    assert [service_name(one, "a.example") for one in ALL] == [
        "_sip._udp.a.example", "_sip._tcp.a.example", "_sips._tcp.a.example",
    ]  # fmt: skip
    assert [default_port(one) for one in ALL] == [5060, 5060, 5061]


def test_a_record_may_say_that_there_is_nothing() -> None:
    assert Srv(0, 0, 0, ".").leads_nowhere
    assert first_targets([Srv(0, 0, 0, ".")]) == []


def test_too_many_records_are_not_looked_at() -> None:
    records = [Srv(place, 0, 5060, f"h{place}") for place in range(100, 0, -1)]
    assert [one.priority for one in first_targets(records)] == list(range(1, MAX_TARGETS + 1))


def choice(priority: int, weight: int, *hosts: str) -> Choice:
    return Choice(priority, weight, tuple(Target("udp", host, 5060) for host in hosts))


def order(choices: list[Choice], *draws: float) -> list[str]:
    left = list(draws)
    hosts = [target.host for target in in_order(choices, lambda: left.pop(0))]
    assert left == [], "each draw is used"
    return hosts


def test_priorities_need_no_lot() -> None:
    assert order([choice(20, 5, "c"), choice(10, 0, "a", "b"), choice(30, 9, "d")]) == [
        "a", "b", "c", "d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("draws", "hosts"),
    [
        # sums: none 0, light 1, heavy 4; the lot is from 0 to 4
        ((0.0, 0.0), ["none", "light", "heavy"]),
        ((0.2, 0.0), ["light", "none", "heavy"]),
        ((0.4, 0.0), ["heavy", "none", "light"]),
        ((0.99, 0.99), ["heavy", "light", "none"]),
        ((0.0, 0.99), ["none", "heavy", "light"]),
    ],
)
def test_the_lot_of_rfc_2782(draws: tuple[float, ...], hosts: list[str]) -> None:
    given = [choice(1, 3, "heavy"), choice(1, 0, "none"), choice(1, 1, "light")]
    given = [given[2], given[0], given[1]]
    assert order(given, *draws) == hosts


def test_a_record_is_first_as_often_as_its_weight_says() -> None:
    random = Random(1)
    given = [choice(1, 60, "a"), choice(1, 20, "b"), choice(1, 20, "c"), choice(2, 100, "d")]
    first: Counter[str] = Counter()
    for _ in range(5000):
        hosts = [target.host for target in in_order(given, random.random)]
        assert sorted(hosts) == ["a", "b", "c", "d"]
        assert hosts[-1] == "d"
        first[hosts[0]] += 1
    assert 0.57 < first["a"] / 5000 < 0.63
    assert 0.17 < first["b"] / 5000 < 0.23


def test_an_address_that_two_records_share_stands_once() -> None:
    given = [choice(1, 0, "a", "b"), choice(2, 0, "b", "a", "c")]
    assert order(given) == ["a", "b", "c"]


def test_weights_that_are_all_nothing_are_no_trap() -> None:
    given = [choice(1, 0, host) for host in "abc"]
    assert sorted(order(given, 0.5, 0.5)) == ["a", "b", "c"]
