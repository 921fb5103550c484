"""The conference: PINs, waiting for the host, hearing each other, and the end."""

from __future__ import annotations

import pytest
from conference import ConferenceRooms

from outdial.testing.audio import active_s
from outdial.testing.rehearsal.rehearsal import Rehearsal
from outdial.testing.rehearsal.script import Phone

NUMBER = "18005550100"
HOST, GUEST = "1234", "1111"


@pytest.fixture
def rooms(outdial: Rehearsal) -> ConferenceRooms:
    """The application, served; its number leads to it."""
    rooms = ConferenceRooms({HOST: "weekly"}, {GUEST: "weekly"})
    outdial.number(NUMBER, outdial.serve(rooms.app) + "/answer")
    return rooms


def enters(outdial: Rehearsal, name: str, pin: str) -> Phone:
    """Somebody who calls and enters the PIN."""
    return outdial.phone(name=name).hears("enter your pin").presses(pin)


def test_guests_wait_for_the_host_and_all_hear_each_other(
    outdial: Rehearsal, rooms: ConferenceRooms
) -> None:
    ann = enters(outdial, "Ann", GUEST).hears_tone("hold").hears("good morning", within_s=100)
    ann.says("Hello, it is Ann.").hears("conference is over")
    bob = enters(outdial, "Bob", GUEST).hears("good morning", within_s=100).hears("it is Ann")
    bob.hears("conference is over")
    guests = [outdial.incoming(phone, NUMBER, wait=False) for phone in (ann, bob)]
    outdial.advance(60)
    host = enters(outdial, "the host", HOST).hears("begins").says("Good morning.")
    host.hears("it is Ann").hangs_up(after_s=3)
    outdial.incoming(host, NUMBER)
    outdial.wait_until_over()
    assert [call.said[-1] for call in guests] == ["The conference is over."] * 2


def test_a_wrong_pin_is_asked_for_again(outdial: Rehearsal, rooms: ConferenceRooms) -> None:
    caller = enters(outdial, "Eve", "9999").hears("not a pin").hears("enter your pin").hangs_up()
    call = outdial.incoming(caller, NUMBER)
    assert "Dial" not in call.verbs


def test_without_a_pin_the_call_ends(outdial: Rehearsal, rooms: ConferenceRooms) -> None:
    call = outdial.incoming(outdial.phone(), NUMBER)
    assert (call.said.count(call.said[0]), call.said[-1]) == (3, "Goodbye.")


def test_the_conference_is_recorded(outdial: Rehearsal, rooms: ConferenceRooms) -> None:
    guest = enters(outdial, "the guest", GUEST).hears_tone("hold").hears("conference is over")
    outdial.incoming(guest, NUMBER, wait=False)
    outdial.advance(20)
    host = enters(outdial, "the host", HOST).hears("begins").waits(2).speaks(5).hangs_up(after_s=2)
    call = outdial.incoming(host, NUMBER)
    outdial.wait_until_over()
    (recording,) = call.recordings
    assert recording.seconds == pytest.approx(9.5, abs=0.5)
    assert active_s(recording.audio[0]) == pytest.approx(5, abs=0.3)
