"""The menu, with callers who ask, are connected, or leave a message."""

from __future__ import annotations

import pytest
from voicemail_menu import Company

from outdial.testing.audio import active_s, read_mono
from outdial.testing.rehearsal.rehearsal import Rehearsal

NUMBER = "18005550100"
OFFICE = "12025550170"


@pytest.fixture
def company(outdial: Rehearsal) -> Company:
    """The application, served; its number leads to it."""
    company = Company(OFFICE)
    outdial.number(NUMBER, outdial.serve(company.app) + "/menu")
    return company


def test_one_tells_the_opening_hours_and_asks_again(outdial: Rehearsal, company: Company) -> None:
    caller = outdial.phone().hears("press 1").presses("1").hears("nine to five")
    caller.hears("welcome").hangs_up()
    call = outdial.incoming(caller, NUMBER)
    assert call.hung_up_by == "caller"
    assert call.verbs[-1] == "Say"


def test_two_connects_with_the_office(outdial: Rehearsal, company: Company) -> None:
    office = outdial.phone(OFFICE).answers(after_s=5).says("Good morning.").hears("order")
    office.hangs_up(after_s=1)
    caller = outdial.phone().hears("press 2").presses("2").hears("good morning").says("My order?")
    call = outdial.incoming(caller, NUMBER)
    assert (call.tones, call.legs[0].outcome) == (["ringback"], "completed")
    assert company.messages == []


@pytest.mark.parametrize("office", ["is_busy", "never_answers", "declines"])
def test_nobody_there_means_a_message(outdial: Rehearsal, company: Company, office: str) -> None:
    getattr(outdial.phone(OFFICE), office)()
    caller = outdial.phone().hears("press 2").presses("2").hears_tone("beep").speaks(6)
    caller.presses("#").hears("call you back")
    call = outdial.incoming(caller, NUMBER)
    (message,) = company.messages
    assert (message.caller, message.seconds) == (caller.number, 7)
    heard = read_mono(outdial.get_bytes(message.url.removeprefix(outdial.url)))
    assert active_s(heard) == pytest.approx(6, abs=0.3)
    assert call.outcome == "completed"


def test_who_presses_nothing_may_leave_a_message(outdial: Rehearsal, company: Company) -> None:
    caller = outdial.phone().hears_tone("beep").speaks(3).hears("call you back")
    call = outdial.incoming(caller, NUMBER)
    assert call.said.count(call.said[0]) == 3
    assert len(company.messages) == 1


def test_silence_is_no_message(outdial: Rehearsal, company: Company) -> None:
    call = outdial.incoming(outdial.phone(), NUMBER)
    assert call.said[-1] == "We heard nothing. Goodbye."
    assert company.messages == []


@pytest.mark.outdial(mode="real")
def test_a_message_is_left_over_sip(outdial: Rehearsal, company: Company) -> None:
    outdial.phone(OFFICE).is_busy()
    caller = outdial.phone().hears("welcome", interrupting=True).presses("2")
    caller.hears_tone("beep").speaks(2, after_s=0.2).presses("#").hears("thank you").hangs_up()
    outdial.incoming(caller, NUMBER)
    (message,) = company.messages
    heard = read_mono(outdial.get_bytes(message.url.removeprefix(outdial.url)))
    assert active_s(heard) == pytest.approx(2, abs=0.4)
