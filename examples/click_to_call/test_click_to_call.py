"""The button, as a browser presses it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from urllib.parse import urlencode

import pytest
from click_to_call import ClickToCall

from outdial.testing.rehearsal.rehearsal import Rehearsal

AGENT = "12025550180"


@pytest.fixture
def page(outdial: Rehearsal) -> ClickToCall:
    """The page, served, with Outdial behind it."""
    page = ClickToCall(outdial.url, outdial.key, AGENT)
    page.url = outdial.serve(page.app)
    return page


def press(page: ClickToCall, number: str) -> str:
    """The button with that number in the form; the sid of the call."""
    form = urlencode({"number": number}).encode()
    with urllib.request.urlopen(f"{page.url}/call", form) as answer:
        return str(json.load(answer)["call"]).removeprefix("/calls/")


def test_visitor_and_agent_are_connected(outdial: Rehearsal, page: ClickToCall) -> None:
    agent = outdial.phone(AGENT).answers(after_s=3).says("Sales, hello.").hears("a question")
    agent.hangs_up(after_s=1)
    visitor = outdial.phone().answers().hears("hello").says("I have a question.")
    sid = press(page, visitor.number)
    assert page.states[sid] in ({}, {"visitor": "ringing"})
    outdial.wait_until_over()
    assert page.states[sid] == {"visitor": "completed", "agent": "completed"}


def test_the_agent_is_busy(outdial: Rehearsal, page: ClickToCall) -> None:
    outdial.phone(AGENT).is_busy()
    visitor = outdial.phone().answers().hears("the other party is busy")
    sid = press(page, visitor.number)
    outdial.wait_until_over()
    assert page.states[sid] == {"visitor": "completed", "agent": "busy"}


def test_the_visitor_does_not_answer_and_the_agent_is_left_alone(
    outdial: Rehearsal, page: ClickToCall
) -> None:
    agent = outdial.phone(AGENT)
    sid = press(page, outdial.phone().never_answers().number)
    outdial.wait_until_over()
    assert page.states[sid] == {"visitor": "no-answer"}
    assert agent.calls == []


def test_what_is_no_number_is_refused(outdial: Rehearsal, page: ClickToCall) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400") as refused:
        press(page, "my number")
    with refused.value as error:
        assert json.load(error)["field"] == "to"
