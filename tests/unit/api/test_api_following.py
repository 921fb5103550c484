"""Following a timeline: what is given when, by a clock that the test moves."""

from __future__ import annotations

import json

from outdial.api.following import (
    CHECK_S,
    GAP_S,
    KEEP_ALIVE_S,
    LATEST_S,
    SOONEST_S,
    Following,
    written,
)
from outdial.store.records import EventRecord


def event(seq: int, kind: str = "verb.started") -> EventRecord:
    return EventRecord("CA1", seq, 1_800_000_000.0 + seq, kind, {"verb": "Say"})


def seqs(events: list[EventRecord]) -> list[int]:
    return [one.seq for one in events]


def test_events_are_given_once_in_their_order_until_the_one_that_ends_the_call() -> None:
    following = Following(-1, 0.0)
    assert seqs(following.take([event(0), event(1)], 0.0)) == [0, 1]
    assert following.after == 1
    assert following.take([], 0.1) == []
    assert not following.is_done
    assert seqs(following.take([event(2, "state.completed"), event(3)], 0.2)) == [2, 3]
    assert following.is_done


def test_what_stands_behind_a_gap_waits_for_it_to_be_filled() -> None:
    following = Following(4, 0.0)
    assert seqs(following.take([event(5), event(7)], 1.0)) == [5]
    assert following.take([event(7)], 1.0 + GAP_S - 0.1) == []
    assert seqs(following.take([event(6), event(7)], 1.0 + GAP_S - 0.05)) == [6, 7]


def test_an_event_that_was_lost_holds_nothing_up_for_long() -> None:
    following = Following(4, 0.0)
    assert following.take([event(6), event(9)], 1.0) == []
    assert seqs(following.take([event(6), event(9)], 1.0 + GAP_S)) == [6]
    assert following.take([event(9)], 1.5 + GAP_S) == []  # another gap has a time of its own
    assert seqs(following.take([event(9)], 1.0 + 2 * GAP_S)) == [9]


def test_the_record_is_looked_at_less_often_when_nothing_happens() -> None:
    following = Following(-1, 0.0)
    naps = []
    for _ in range(8):
        following.take([], 0.0)
        naps.append(following.nap_s)
    assert naps == sorted(naps)
    assert naps[-1] == LATEST_S
    following.take([event(0)], 0.0)
    assert following.nap_s == SOONEST_S


def test_silence_is_broken_by_a_comment() -> None:
    following = Following(-1, 0.0)
    assert not following.is_to_be_told(KEEP_ALIVE_S - 0.1)
    assert following.is_to_be_told(KEEP_ALIVE_S)
    assert not following.is_to_be_told(KEEP_ALIVE_S + 0.1)
    following.take([event(0)], KEEP_ALIVE_S * 1.5)
    assert not following.is_to_be_told(KEEP_ALIVE_S * 2)
    assert following.is_to_be_told(KEEP_ALIVE_S * 2.5)


def test_the_call_is_looked_at_now_and_then() -> None:
    following = Following(-1, 0.0)
    assert not following.is_to_be_checked(CHECK_S - 0.1)
    assert following.is_to_be_checked(CHECK_S)
    assert not following.is_to_be_checked(CHECK_S + 0.1)


def test_an_event_is_one_line_whatever_is_in_it() -> None:
    nasty = EventRecord("CA1", 3, 0.0, "warning", {"text": "a\r\ndata: b\n\nid: 9 \ud800"})
    text = written([nasty, event(4)]).decode()
    first, second, rest = text.split("\n\n")
    assert rest == ""
    assert first.splitlines()[0] == "id: 3"
    assert len(first.splitlines()) == 2
    shown = json.loads(second.splitlines()[1].removeprefix("data: "))
    assert shown == {
        "seq": 4,
        "at": "2027-01-15T08:00:04.000Z",
        "kind": "verb.started",
        "data": {"verb": "Say"},
    }
