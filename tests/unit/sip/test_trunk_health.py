"""What answers make of a trunk's state, and what is logged of it."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from outdial.sip.trunk_health import Answer, TrunkHealth
from outdial.testing.clock import FakeClock

ALIVE = Answer("udp:192.0.2.1:5060", 200, "OK", 12.5)
SILENT = Answer("udp:192.0.2.1:5060", problem="no answer from 192.0.2.1:5060")
REFUSED = Answer("udp:192.0.2.1:5060", 403, "Forbidden", 8.0, "403 Forbidden")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1000.0)


def told(logs: list[Any]) -> list[tuple[str, str, str]]:
    """Level, state and detail of each line."""
    return [(line["log_level"], line["state"], line["detail"]) for line in logs]


def test_nobody_knows_before_it_was_asked(clock: FakeClock) -> None:
    state = TrunkHealth("a", clock).state
    assert (state.status, state.since, state.is_well) == ("unknown", None, None)
    assert not state.is_last_choice


def test_each_change_is_told_once(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock)
    with capture_logs() as logs:
        for answer in (ALIVE, ALIVE, SILENT, SILENT, SILENT, ALIVE):
            clock.tick(30)
            health.pinged(answer)
    assert told(logs) == [
        ("info", "up", ""),
        ("warning", "down", "no answer from 192.0.2.1:5060"),
        ("info", "up", ""),
    ]


def test_since_is_of_the_state_and_not_of_the_answer(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock)
    began = clock.now()
    health.pinged(ALIVE)
    clock.tick(30)
    state = health.pinged(ALIVE)
    assert (state.since, state.checked_at) == (began, began + 30)
    assert (state.last_code, state.last_reason, state.rtt_ms) == (200, "OK", 12.5)
    state = health.pinged(SILENT)
    assert (state.since, state.last_code, state.rtt_ms) == (began + 30, None, None)
    assert state.is_last_choice


def test_a_call_that_is_answered_shows_that_it_is_back(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock)
    health.pinged(ALIVE)
    health.pinged(SILENT)
    health.heard()
    assert not health.state.is_last_choice
    assert health.pinged(SILENT).status == "down", "it does answer OPTIONS when it is there"


def test_a_carrier_that_answers_calls_but_no_options(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock)
    seen = [health.pinged(SILENT).status]
    for happens in (health.heard, lambda: health.pinged(SILENT), health.missed, health.heard):
        happens()
        seen.append(health.state.status)
    assert seen == ["down", "up", "up", "down", "up"]


def test_calls_say_nothing_of_a_trunk_that_is_not_asked(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock)
    health.heard()
    health.missed()
    assert health.state.status == "unknown"


def test_a_registered_trunk(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock, registers=True)
    with capture_logs() as logs:
        assert health.registration("registering").status == "registering"
        assert health.state.is_last_choice
        state = health.registration("registered", ALIVE, until=4600.0)
        assert (state.status, state.registered_until, state.is_well) == ("registered", 4600.0, True)
        state = health.registration("rejected", REFUSED)
        assert (state.status, state.registered_until) == ("rejected", None)
        assert (state.last_code, state.detail) == (403, "403 Forbidden")
    assert told(logs) == [
        ("info", "registered", ""),
        ("warning", "rejected", "403 Forbidden"),
    ]


def test_a_registrar_that_never_answers_options_is_well(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock, registers=True)
    health.registration("registered", ALIVE)
    assert health.pinged(SILENT).status == "registered"


def test_a_registrar_that_no_longer_answers_options_is_down(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock, registers=True)
    health.registration("registered", ALIVE)
    health.pinged(ALIVE)
    assert health.pinged(SILENT).status == "down"
    assert health.pinged(ALIVE).status == "registered"


def test_options_do_not_hide_that_it_is_not_registered(clock: FakeClock) -> None:
    health = TrunkHealth("a", clock, registers=True)
    health.registration("rejected", REFUSED)
    state = health.pinged(ALIVE)
    assert (state.status, state.detail) == ("rejected", "403 Forbidden")
    assert (state.last_code, state.last_reason) == (403, "Forbidden")
