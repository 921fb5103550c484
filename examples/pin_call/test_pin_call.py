"""The PIN call, with a customer who follows a script."""

from __future__ import annotations

import pytest
from pin_call import PinCalls

from outdial.testing.audio import active_s
from outdial.testing.rehearsal.rehearsal import Rehearsal


@pytest.fixture
def calls(outdial: Rehearsal) -> PinCalls:
    """The application, served, with Outdial behind it."""
    calls = PinCalls(outdial.url, outdial.key)
    calls.url = outdial.serve(calls.app)
    return calls


def test_the_pin_is_told_twice(outdial: Rehearsal, calls: PinCalls) -> None:
    customer = outdial.phone().hears("goodbye")
    sent = calls.send(customer.number)
    (call,) = outdial.wait_until_over()
    digits = ", ".join(sent.pin)
    assert call.said[:2] == [
        f"Your pin is {digits}.",
        f"Again: {digits}. To hear it once more, press 1.",
    ]
    assert sent.reached is True


def test_one_tells_it_once_more(outdial: Rehearsal, calls: PinCalls) -> None:
    customer = outdial.phone().hears("press 1").presses("1").hears("your pin is").hangs_up()
    calls.send(customer.number)
    (call,) = outdial.wait_until_over()
    assert call.verbs.count("Gather") == 2
    assert call.hung_up_by == "callee"


def test_nobody_is_reached(outdial: Rehearsal, calls: PinCalls) -> None:
    customer = outdial.phone().is_busy()
    sent = calls.send(customer.number)
    outdial.wait_until_over()
    assert sent.reached is False


def test_the_pin_is_in_no_address(outdial: Rehearsal, calls: PinCalls) -> None:
    sent = calls.send(outdial.phone().number)
    (call,) = outdial.wait_until_over()
    assert len(call.requests) == 2
    assert not [request for request in call.requests if sent.pin in request.url]


@pytest.mark.outdial(mode="real")
def test_it_is_heard_on_the_line(outdial: Rehearsal, calls: PinCalls) -> None:
    customer = outdial.phone().hears("your pin is").hangs_up(after_s=0.2)
    calls.send(customer.number)
    outdial.wait_until_over()
    assert active_s(customer.calls[0].audio) > 1
