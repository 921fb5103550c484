"""The call centre: ten callers, two agents, and time."""

from __future__ import annotations

import urllib.request

import pytest
from call_centre import CallCentre

from outdial.testing.rehearsal.rehearsal import Rehearsal

NUMBER = "18005550100"


@pytest.fixture
def centre(outdial: Rehearsal) -> CallCentre:
    """The application, served; its number leads to it."""
    centre = CallCentre(outdial.url, outdial.key)
    centre.url = outdial.serve(centre.app)
    outdial.number(NUMBER, f"{centre.url}/caller")
    return centre


def log_in(centre: CallCentre, number: str) -> None:
    """As an agent does."""
    urllib.request.urlopen(f"{centre.url}/agents", f"number={number}".encode()).close()


def test_a_caller_waits_for_an_agent(outdial: Rehearsal, centre: CallCentre) -> None:
    caller = outdial.phone().hears("stay on the line").hears("next free agent")
    caller.hears("connected now").hears("how can I help").says("It is broken.").hangs_up(after_s=2)
    call = outdial.incoming(caller, NUMBER, wait=False)
    outdial.advance(40)
    agent = outdial.phone().answers().waits(4).says("How can I help?").hears("broken")
    agent.waits(10).hangs_up()
    log_in(centre, agent.number)
    outdial.wait_until_over()
    assert centre.served == [call.sid]
    assert "Enqueue" in call.verbs


def test_ten_callers_are_served_in_order_by_two_agents(
    outdial: Rehearsal, centre: CallCentre
) -> None:
    callers = [outdial.phone().hears("connected now", within_s=900) for _ in range(10)]
    calls = []
    for caller in callers:
        caller.waits(25).hangs_up()
        calls.append(outdial.incoming(caller, NUMBER, wait=False))
        outdial.advance(1)
    for _ in range(2):
        log_in(centre, outdial.phone().answers().number)
        outdial.advance(3)
    outdial.wait_until_over(within_s=900)
    assert centre.served == [call.sid for call in calls]


def test_an_agent_without_callers_is_logged_out(outdial: Rehearsal, centre: CallCentre) -> None:
    agent = outdial.phone().answers().hears("logged out", within_s=400)
    log_in(centre, agent.number)
    (call,) = outdial.wait_until_over()
    assert 300 <= call.duration_s < 320


def test_who_hangs_up_is_not_waited_for(outdial: Rehearsal, centre: CallCentre) -> None:
    impatient = outdial.phone().hears("stay on the line").hangs_up(after_s=5)
    patient = outdial.phone().hears("connected now").hangs_up(after_s=1)
    for phone in (impatient, patient):
        outdial.incoming(phone, NUMBER, wait=False)
    outdial.advance(15)
    log_in(centre, outdial.phone().answers().waits(30).hangs_up().number)
    calls = outdial.wait_until_over()
    assert centre.served == [call.sid for call in calls if call.from_ == patient.number]
