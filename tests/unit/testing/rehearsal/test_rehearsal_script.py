"""The script of a telephone: what may be in it, and how it is told."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from outdial.sim import steps as do
from outdial.testing.rehearsal.script import Phone, described, is_answering, must_be_done


def test_its_number_is_written_in_any_way() -> None:
    assert Phone("(202) 555-0101").number == "12025550101"
    assert Phone("+1 202 555 0101", "Ann").name == "Ann"
    assert repr(Phone("12025550101")) == "<Phone 12025550101>"


@pytest.mark.parametrize("number", ["", "home", "1"])
def test_what_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="number"):
        Phone(number)


@pytest.mark.parametrize(
    "step", [lambda phone: phone.presses("1x"), lambda phone: phone.refuses(200)]
)
def test_what_it_cannot_do_is_refused_at_once(step: Callable[[Phone], Phone]) -> None:
    with pytest.raises(ValueError, match=r"digit|300 to 699"):
        step(Phone("12025550101"))


def test_steps_are_told_in_words() -> None:
    phone = Phone("12025550101").rings(2).answers().hears("press 1").presses("1", after_s=0.3)
    phone.hears(re.compile("good.*bye")).hears_file("tune.wav").hears_tone("beep")
    phone.says("Hello.").speaks(3).goes_dead().hangs_up(after_s=4)
    waits = ("waits for 0.5 s",)
    assert [described(action) for action in phone.script(0)] == [
        *("rings for 2 s", "rings for 1 s", "answers", "hears 'press 1'"),
        *("waits for 0.3 s", "presses 1", "hears /good.*bye/", "hears the file 'tune.wav'"),
        *("hears the tone 'beep'", *waits, "says 'Hello.'", *waits, "speaks for 3 s"),
        *("goes dead", "waits for 4 s", "hangs up"),
    ]


def test_refusals_are_told_in_words() -> None:
    phone = Phone("12025550101").is_busy().declines().is_unknown().refuses(503).never_answers()
    told = [described(action) for action in phone.script(0)]
    assert told[0] == "refuses with 486 Busy Here"
    assert told[2:] == [
        "refuses with 603 Decline",
        "refuses with 404 Not Found",
        "refuses with 503 Refused",
        "rings",
    ]
    assert all(map(is_answering, [phone.script(0)[0], phone.script(0)[-1]]))


def test_only_what_the_test_is_about_must_be_done() -> None:
    phone = Phone("12025550101").answers().hears("hello").presses("1").waits(3).hangs_up()
    needed = [described(action) for action in phone.script(0) if must_be_done(action)]
    assert needed == ["hears 'hello'", "presses 1"]


def test_the_last_script_is_that_of_all_further_calls() -> None:
    phone = Phone("12025550101").is_busy().next_call().answers()
    assert phone.script(0) == [do.Refuse(486, "Busy Here")]
    assert phone.script(1) == phone.script(7) == [do.Ring(1.0), do.Answer()]


def test_a_phone_that_was_not_called_heard_nothing() -> None:
    phone = Phone("12025550101")
    assert (phone.heard, phone.digits, phone.calls) == ([], "", [])
