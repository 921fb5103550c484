"""Every line of the registration faults of docs/reference/carrier-faults.md, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from faults.test_carrier_faults import lines_of
from outdial.testing.carrier.registrars import REGISTRARS
from outdial.testing.carrier.registration import RegisterDesk
from outdial.testing.rehearsal.call import Call
from outdial.testing.rehearsal.rehearsal import Rehearsal

AT_ONCE = 4
"""Posts between which no time passes: the store takes a burst of 16 commits."""
LATEST_S = 0.2
HOUR_S = 3600.0


class Promise(NamedTuple):
    """A line of the page."""

    states: list[str]
    """After ten seconds, a minute and an hour."""
    outcome: str
    cause: str
    after_s: float


PROMISES = {
    name: Promise([first, second, third], outcome, cause, float(after))
    for name, _, first, second, third, outcome, cause, after in lines_of("Registration faults")
}


class Happened(NamedTuple):
    """What became of the trunks and of the calls."""

    outdial: Rehearsal
    calls: dict[str, Call]
    states: dict[str, list[dict[str, Any]]]
    after_an_hour: dict[str, int]
    """REGISTERs that came in it."""


@pytest.fixture(scope="module")
def happened() -> Iterator[Happened]:
    states: dict[str, list[dict[str, Any]]] = {name: [] for name in REGISTRARS}
    with Rehearsal(faults=list(REGISTRARS.values())) as outdial:
        url = outdial.web().serve("/x", '<Response><Pause length="5"/><Hangup/></Response>')

        def look() -> None:
            for trunk in outdial.get("/v1/trunks")["trunks"]:
                name, _, way = trunk["name"].rpartition("-")
                if way == "0":
                    states[name].append(trunk)

        calls: dict[str, Call] = {}
        gone_s = 0.0
        for number, name in enumerate(REGISTRARS):
            calls[name] = outdial.call(outdial.lines[name].number, url, wait=False)
            if number % AT_ONCE == 0:
                outdial.advance(0.2)
                gone_s += 0.2
        for at_s in (10.0, 65.0, HOUR_S):
            outdial.advance(at_s - gone_s)
            gone_s = at_s
            look()
        asked = {name: len(desk_of(outdial, name).requests) for name in REGISTRARS}
        yield Happened(outdial, calls, states, asked)


def desk_of(outdial: Rehearsal, name: str) -> RegisterDesk:
    return outdial.lines[name].carriers[0].desk


def test_the_page_has_a_line_for_each_fault() -> None:
    assert set(PROMISES) == set(REGISTRARS)


@pytest.mark.parametrize("name", REGISTRARS)
def test_the_trunk_is_as_the_page_says(happened: Happened, name: str) -> None:
    assert [one["state"] for one in happened.states[name]] == PROMISES[name].states
    for one in happened.states[name]:
        assert bool(one["detail"]) == (one["state"] in ("down", "rejected")) or (
            one["state"] == "registering"
        )
    assert happened.outdial.lines[name].carriers[0].failures == []


@pytest.mark.parametrize("name", REGISTRARS)
def test_a_call_ends_as_the_page_says(happened: Happened, name: str) -> None:
    call, wanted = happened.calls[name], PROMISES[name]
    assert (call.outcome, call.cause) == (wanted.outcome, wanted.cause)
    record = call.record
    assert record.ended_at is not None
    after_s = record.ended_at - record.created_at
    assert wanted.after_s - 0.1 <= after_s <= wanted.after_s + LATEST_S
    if wanted.cause == "trunk-not-registered":
        assert f"trunk {name}-0 is not registered: " in (record.detail or "")
        assert happened.outdial.lines[name].carriers[0].calls == [], "nothing was sent"


@pytest.mark.parametrize("name", REGISTRARS)
def test_no_registrar_is_flooded(happened: Happened, name: str) -> None:
    assert happened.after_an_hour[name] < 200, "at most one every 20 s or so"
    requests = desk_of(happened.outdial, name).requests
    numbers = [int(one["CSeq"].split(" ")[0]) for one in requests]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len({one["Call-ID"] for one in requests}) == 1


def nonce_used_again(desk: RegisterDesk) -> None:
    first, *others = desk.requests
    assert not first["Authorization"]
    assert [f"nc={n:08x}" in one["Authorization"] for n, one in enumerate(others, 1)] == (
        [True] * len(others)
    )


def asked_for_two_hours(desk: RegisterDesk) -> None:
    assert [one["Expires"] for one in desk.requests] == ["3600", "7200"]


def came_back_when_told(desk: RegisterDesk) -> None:
    assert len(desk.requests) >= 3


def refreshed_every_minute(desk: RegisterDesk) -> None:
    assert 60 <= len(desk.requests) <= 80


def shown_no_digest(desk: RegisterDesk) -> None:
    assert not any(one["Authorization"] for one in desk.requests)


def two_for_each_attempt(desk: RegisterDesk) -> None:
    shown = [bool(one["Authorization"]) for one in desk.requests]
    assert shown[:2] == [False, True]
    assert len(shown) < 20


SEEN: dict[str, Callable[[RegisterDesk], None]] = {
    "register-digest": nonce_used_again,
    "register-too-brief": asked_for_two_hours,
    "register-overloaded": came_back_when_told,
    "register-contacts-of-others": refreshed_every_minute,
    "register-contact-rewritten": refreshed_every_minute,
    "register-without-password": shown_no_digest,
    "register-wrong-password": two_for_each_attempt,
}


@pytest.mark.parametrize("name", SEEN)
def test_the_registrar_sees_what_it_should(happened: Happened, name: str) -> None:
    SEEN[name](desk_of(happened.outdial, name))


def test_stopping_takes_the_bindings_back() -> None:
    with Rehearsal(faults=[REGISTRARS["register"], REGISTRARS["register-refused-403"]]) as outdial:
        outdial.advance(1)
        desks = [desk_of(outdial, name) for name in ("register", "register-refused-403")]
    taken, refused = ([one["Expires"] for one in desk.requests] for desk in desks)
    assert taken == ["3600", "0"]
    assert set(refused) == {"3600"}, "nothing to take back, however often it has asked"
