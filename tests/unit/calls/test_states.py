"""The table of a call's states."""

from __future__ import annotations

import itertools

import pytest

from outdial.calls.states import ENTERED_AT, STATUS_EVENT, TRANSITIONS, Event, State, following
from outdial.errors import LocalProtocolError


def test_a_call_that_is_answered() -> None:
    state = State.QUEUED
    for event in (Event.DIAL, Event.RING, Event.ANSWER, Event.END):
        state = following(state, event)
    assert state is State.COMPLETED


@pytest.mark.parametrize(
    ("state", "event"),
    [pair for pair in itertools.product(State, Event) if pair not in TRANSITIONS],
)
def test_what_the_table_does_not_list_is_an_error(state: State, event: Event) -> None:
    with pytest.raises(LocalProtocolError, match=state.value):
        following(state, event)


def test_nothing_follows_the_end() -> None:
    assert not [state for state, _ in TRANSITIONS if state is State.COMPLETED]


def test_every_state_can_end_and_leads_there() -> None:
    for state in State:
        if state is not State.COMPLETED:
            assert following(state, Event.END) is State.COMPLETED


def test_every_state_but_the_first_is_told_and_timed() -> None:
    reached = set(TRANSITIONS.values())
    assert set(STATUS_EVENT) == set(ENTERED_AT) == reached
