"""The reminder, with customers who confirm, cancel, and are hard to reach."""

from __future__ import annotations

import pytest
from reminder import Reminders

from outdial.testing.rehearsal.rehearsal import Rehearsal


@pytest.fixture
def reminders(outdial: Rehearsal) -> Reminders:
    """The application, served, with Outdial behind it; it calls again at once."""
    reminders = Reminders(outdial.url, outdial.key, again_after_s=0)
    reminders.url = outdial.serve(reminders.app)
    return reminders


@pytest.mark.parametrize(
    ("key", "answer", "reply"),
    [
        ("1", "confirmed", "Thank you. We look forward to seeing you."),
        ("2", "cancelled", "Your appointment is cancelled. Goodbye."),
    ],
)
def test_the_customer_answers(
    outdial: Rehearsal, reminders: Reminders, key: str, answer: str, reply: str
) -> None:
    customer = outdial.phone().hears("tomorrow at ten").hears("press 2").presses(key).hears(reply)
    appointment = reminders.remind(customer.number, "tomorrow at ten")
    (call,) = outdial.wait_until_over()
    assert appointment.answer == answer
    assert call.said[-1] == reply


def test_another_key_is_asked_again(outdial: Rehearsal, reminders: Reminders) -> None:
    customer = outdial.phone().hears("press 2").presses("7").hears("press 2").presses("1")
    appointment = reminders.remind(customer.number, "on Monday")
    outdial.wait_until_over()
    assert (appointment.answer, appointment.attempts) == ("confirmed", 1)


def test_who_is_busy_and_who_says_nothing_is_called_again(
    outdial: Rehearsal, reminders: Reminders
) -> None:
    customer = outdial.phone().is_busy()
    customer.next_call().answers().hears("call again")
    customer.next_call().answers().hears("press 1").presses("1")
    appointment = reminders.remind(customer.number, "on Monday")
    calls = outdial.wait_until_over()
    assert [call.outcome for call in calls] == ["busy", "completed", "completed"]
    assert (appointment.answer, appointment.attempts) == ("confirmed", 3)


def test_three_calls_are_enough(outdial: Rehearsal, reminders: Reminders) -> None:
    customer = outdial.phone().never_answers()
    appointment = reminders.remind(customer.number, "on Monday")
    assert len(outdial.wait_until_over()) == 3
    assert appointment.answer == "unreached"
