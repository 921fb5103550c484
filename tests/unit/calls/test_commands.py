"""Commands as values: what the timeline says of them, and their way to another node and back."""

from __future__ import annotations

import json

import pytest

from outdial.calls import commands
from outdial.calls.commands import Command, HangUp, Mute, Record, Redirect, SendDigits

ALL: list[Command] = [
    HangUp(),
    Redirect("https://u:p@example.com/a?Digits=12", "GET", "https://example.com/b"),
    Redirect(document="<Response><Hangup/></Response>"),
    SendDigits("W1w23#"),
    Mute(muted=True),
    Record("pause"),
]


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.kind)
def test_a_command_and_back(command: Command) -> None:
    travelled = json.loads(json.dumps({**commands.to_json(command), "by": "ops", "token": "x"}))
    assert commands.from_json(command.kind, travelled) == command


def test_what_is_no_command_is_refused() -> None:
    with pytest.raises(ValueError, match="sing"):
        commands.from_json("sing", {})
    with pytest.raises(ValueError, match="digits"):
        commands.from_json("digits", {})


def test_the_timeline_is_told_no_digits_and_no_password() -> None:
    assert SendDigits("W1w23#").told() == {"count": 4}
    assert "1" not in repr(SendDigits("123"))
    assert ALL[1].told() == {"url": "https://example.com/a?Digits=***", "method": "GET"}
    assert ALL[2].told() == {"bytes": 30}
    assert (Mute(muted=False).told(), Record("stop").told(), HangUp().told()) == (
        {"muted": False},
        {"action": "stop"},
        {},
    )
