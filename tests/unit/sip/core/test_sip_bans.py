"""Who is banned, for how long, and that it stays little whatever comes."""

from __future__ import annotations

import pytest

from outdial.sip.core.bans import MOST_BANS, MOST_SOURCES, WINDOW_S, Ban, Bans, source_of

SCANNER = "198.51.100.7"


def bans(after: int = 3, ban_s: float = 600.0) -> Bans:
    return Bans(after, ban_s)


def banned(made: Bans, host: str = SCANNER, now: float = 0.0) -> Bans:
    """The same, with the host banned then."""
    while made.offend(host, "denied", now) is None:
        pass
    return made


def test_so_many_offences_ban() -> None:
    made = bans()
    assert made.offend(SCANNER, "malformed", 1.0) is None
    assert made.offend(SCANNER, "strays", 2.0) is None
    assert not made.holds(SCANNER, 2.0)
    assert not made
    assert made.offend(SCANNER, "denied", 3.0) == Ban(SCANNER, "denied", 3, 3.0, 603.0)
    assert made
    assert made.holds(SCANNER, 602.9)
    assert not made.holds(SCANNER, 603.0)
    assert not made.holds("198.51.100.8", 3.0)
    assert made.counted == 0
    assert made.made == {"denied": 1}


def test_what_was_under_way_when_the_ban_was_made_is_no_second_one() -> None:
    made = banned(bans())
    assert made.offend(SCANNER, "denied", 1.0) is None
    assert len(made.listed(1.0)) == 1
    assert made.counted == 0


def test_offences_far_apart_do_not_add_up() -> None:
    made = bans()
    for number in range(10):
        assert made.offend(SCANNER, "denied", number * (WINDOW_S + 1)) is None
    assert not made


def test_nobody_is_banned_when_that_is_switched_off() -> None:
    made = bans(after=0)
    assert [made.offend(SCANNER, "denied", 0.0) for _ in range(100)] == [None] * 100
    assert made.counted == 0


def test_who_is_spared_is_asked_only_at_the_brink_and_counted_anew() -> None:
    made, asked = bans(), []

    def spared() -> bool:
        asked.append(1)
        return True

    for _ in range(9):
        assert made.offend(SCANNER, "malformed", 0.0, spared) is None
    assert len(asked) == 3
    assert not made


def test_a_ban_that_is_over_is_followed_by_another() -> None:
    made = banned(bans())
    assert made.listed(600.0) == []
    assert not made
    assert banned(made, now=601.0).holds(SCANNER, 602.0)
    assert made.made == {"denied": 2}


def test_a_ban_is_lifted_and_its_offences_are_forgotten() -> None:
    made = banned(bans())
    assert made.lift(SCANNER)
    assert not made.lift(SCANNER)
    assert not made.holds(SCANNER, 0.0)
    assert made.offend(SCANNER, "denied", 0.0) is None


def test_who_is_forgiven_begins_anew() -> None:
    made = bans()
    made.offend(SCANNER, "unauthorized", 0.0)
    made.offend(SCANNER, "unauthorized", 0.0)
    made.forgive(SCANNER)
    assert made.offend(SCANNER, "unauthorized", 0.0) is None


def test_memory_is_bounded_whoever_comes() -> None:
    made = bans()
    hosts = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(3 * MOST_SOURCES)]
    for host in hosts:
        made.offend(host, "denied", 0.0)
    assert made.counted == MOST_SOURCES
    for number, host in enumerate(hosts[: 2 * MOST_BANS]):
        banned(made, host, now=number / 1000)
    listed = made.listed(3.0)
    assert len(listed) == MOST_BANS
    assert [ban.address for ban in listed] == hosts[MOST_BANS : 2 * MOST_BANS]


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_what_is_banned_with_an_address(host: str, source: str) -> None:
    assert source_of(host) == source


def test_a_whole_site_is_banned_for_its_addresses_together() -> None:
    made = bans()
    for last in (1, 2, 3):
        made.offend(f"2001:db8::{last}", "denied", 0.0)
    assert made.holds("2001:db8::99", 0.0)
    assert not made.holds("2001:db8:0:1::1", 0.0)
    assert made.lift("2001:db8::5")
