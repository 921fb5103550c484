"""Log lines of calls: which there are, and what is not in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from outdial.calls.steps import StepLog, loggable
from outdial.store.records import EventRecord

SID = "CA" + "0" * 32


class Kept:
    """Lines that are not written."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, float, Mapping[str, Any]]] = []

    def write(self, level: str, part: str, event: str, at: float, data: Mapping[str, Any]) -> None:
        assert part == "calls"
        self.lines.append((level, event, at, data))


def tell(*kinds: str, every: bool, level: str = "info") -> list[tuple[str, str]]:
    """Level and event of the lines that such events make."""
    kept = Kept()
    told = StepLog(kept, every=every, level=level)
    for seq, kind in enumerate(kinds):
        told(EventRecord(SID, seq, 7.5, kind, {"trunk": "a"}))
    assert all(data["call"] == SID and data["trunk"] == "a" for *_, data in kept.lines)
    return [(level, event) for level, event, *_ in kept.lines]


KINDS = ("state.ringing", "verb.started", "trunk.failed", "state.completed")


def test_every_step_or_states_and_trouble() -> None:
    states = [("info", KINDS[0]), ("warning", KINDS[2]), ("info", KINDS[3])]
    assert tell(*KINDS, every=False) == states
    assert tell(*KINDS, every=True) == [states[0], ("info", "verb.started"), *states[1:]]
    assert tell(*KINDS, every=True, level="debug") == tell(*KINDS, every=True)


def test_the_level_holds() -> None:
    assert tell(*KINDS, every=True, level="warning") == [("warning", "trunk.failed")]
    assert tell(*KINDS, every=True, level="error") == []


def test_number_and_time_are_those_of_the_event() -> None:
    kept = Kept()
    StepLog(kept, every=False, level="info")(EventRecord(SID, 4, 7.5, "state.ringing", {}))
    assert kept.lines == [("info", "state.ringing", 7.5, {"call": SID, "seq": 4})]


@pytest.mark.parametrize("kind", ["verb.started", "verb.warning", "document.warning"])
def test_what_the_document_says_is_not_logged(kind: str) -> None:
    data = {"verb": "Say", "text": "Your pin is 8970", "message": "'8970'", "line": 3}
    assert loggable(kind, data) == {"verb": "Say", "line": 3}


@pytest.mark.parametrize(
    ("text", "logged"),
    [
        ("http://app.test/a/b?token=s3cret&x=1", "http://app.test/a/b?…"),
        ("http://app.test/a#token", "http://app.test/a?…"),
        ("http://user:s3cret@app.test/a", "http://app.test/a"),
        ("https://s3cret@app.test:8443/?t=s3cret", "https://app.test:8443/?…"),
        (
            "notification to http://a:s3cret@h/x?k=s3cret failed: it's away",
            "notification to http://h/x?… failed: it's away",
        ),
        ("could not say “the pin is s3cret”: no voice", "could not say “…”: no voice"),
        ("could not say “the pin is s3cret", "could not say “…”"),
        ("the value 's3cret' isn't one of 'a'", "the value “…” isn't one of “…”"),
        ('the value "s3cret', "the value “…”"),
        ("the far side said 486 Busy Here", "the far side said 486 Busy Here"),
        ("", ""),
    ],
)
def test_free_texts_have_no_quotations_and_urls_no_secrets(text: str, logged: str) -> None:
    for key in ("problem", "url", "detail", "text", "error"):
        shown = loggable("warning", {key: text})
        assert shown == {key: logged}
        assert "s3cret" not in str(shown)


def test_members_that_a_line_has_itself_are_renamed() -> None:
    data = {"event": "completed", "level": 3, "part": "a", "call": "b", "status": 500}
    assert loggable("callback.failed", data) == {
        "of_event": "completed",
        "of_level": 3,
        "of_part": "a",
        "of_call": "b",
        "status": 500,
    }
