"""Places for attempts: how many a receiver gets, and that those that answer find one at once."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from outdial.webhooks import turns
from outdial.webhooks.turns import AFTER_FAILURE, FIRST, MOST_PER_RECEIVER, Turn, Turns


def fill(line: Turns, receiver: str, lanes: int) -> None:
    for number in range(lanes):
        line.wait(receiver, f"{receiver} {number}")


def take_all(line: Turns) -> list[Turn]:
    taken = []
    while (turn := line.take()) is not None:
        taken.append(turn)
    return taken


def proven(line: Turns, receiver: str) -> None:
    line.wait(receiver, "first")
    (turn,) = take_all(line)
    line.end(turn, answered=True)


def test_a_receiver_that_answers_gets_more_and_more_places() -> None:
    line = Turns()
    fill(line, "a", 1000)
    open_ = take_all(line)
    assert len(open_) == FIRST
    for answers in range(1, 200):
        line.end(open_.pop(0), answered=True)
        open_ += take_all(line)
        assert len(open_) == min(FIRST + answers, MOST_PER_RECEIVER)
    assert line.in_doubt == 0


def test_one_that_does_not_answer_falls_back() -> None:
    line = Turns()
    fill(line, "a", 1000)
    open_ = take_all(line)
    for _ in range(20):
        line.end(open_.pop(0), answered=True)
        open_ += take_all(line)
    assert len(open_) == FIRST + 20
    for left in range(FIRST + 19, AFTER_FAILURE - 1, -1):
        line.end(open_.pop(0), answered=False)
        assert take_all(line) == [] and line.under_way == left
    line.end(open_.pop(0), answered=False)
    (after,) = take_all(line)
    assert after.in_doubt and line.under_way == AFTER_FAILURE


def test_hanging_receivers_leave_half_of_the_places_to_others() -> None:
    line = Turns()
    proven(line, "good")
    for number in range(200):
        fill(line, f"hangs {number}", 100)
    assert len(take_all(line)) == turns.MOST_IN_DOUBT
    for number in range(1000):
        line.wait("good", f"{number}")
        (turn,) = take_all(line)
        assert turn.receiver == "good" and not turn.in_doubt
        line.end(turn, answered=True)
    assert line.under_way == line.in_doubt == turns.MOST_IN_DOUBT


def test_receivers_that_answered_and_then_hang_leave_places_to_others() -> None:
    line = Turns()
    for number in range(8):
        fill(line, f"was good {number}", 200)
    open_ = take_all(line)
    for _ in range(600):  # each has earned all the places there are for one
        turn = open_.pop(0)
        line.end(turn, answered=True)
        open_ += take_all(line)
    for number in range(8):
        fill(line, f"was good {number}", 200)
    take_all(line)
    assert line.under_way == turns.MOST // 2
    line.wait("good", "x")
    assert [turn.receiver for turn in take_all(line)] == ["good"]


def test_places_go_round_among_receivers() -> None:
    line = Turns()
    for name in "abc":
        fill(line, name, 6)
    taken = [turn.receiver for turn in take_all(line)]
    assert taken[:6] == ["a", "b", "c", "a", "b", "c"]
    assert Counter(taken) == {"a": 6, "b": 6, "c": 6}


def test_neither_the_doubted_nor_the_trusted_starve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST", 8)
    monkeypatch.setattr(turns, "FIRST", 4)
    line = Turns()
    proven(line, "good")
    fill(line, "good", 100)
    fill(line, "new", 100)
    open_ = take_all(line)
    seen: Counter[str] = Counter()
    for _ in range(40):
        turn = open_.pop(0)
        seen[turn.receiver] += 1
        line.end(turn, answered=turn.receiver == "good")
        open_ += take_all(line)
        assert line.under_way >= 4
    assert min(seen["good"], seen["new"]) > 5


def test_lanes_of_a_receiver_keep_their_order() -> None:
    line = Turns()
    fill(line, "a", 30)
    order: list[str] = []
    while len(order) < 30:
        for turn in take_all(line):
            order.append(turn.lane)
            line.end(turn, answered=len(order) % 3 > 0)
    assert order == [f"a {number}" for number in range(30)]


def test_receivers_without_work_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_REMEMBERED", 3)
    line = Turns()
    for name in "abcdefg":
        proven(line, name)
    assert list(line._receivers) == ["e", "f", "g"]
    for name in "hijkl":
        line.wait(name, "x")  # none of these may be forgotten
    assert {turn.receiver for turn in take_all(line)} == set("hijkl")
    for number in range(100):  # one that is never idle does not keep all others remembered
        proven(line, f"{number}")
    assert len(line._receivers) < 10


@pytest.mark.parametrize("seed", range(20))
def test_counts_are_right_whatever_happens(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "MOST", 12)
    monkeypatch.setattr(turns, "MOST_IN_DOUBT", 6)
    monkeypatch.setattr(turns, "_REMEMBERED", 4)
    dice = random.Random(seed)
    line = Turns()
    open_: list[Turn] = []
    given = taken = 0
    for step in range(3000):
        if dice.random() < 0.5:
            line.wait(dice.choice("abcdefgh"), f"{step}")
            given += 1
        elif open_:
            turn = open_.pop(dice.randrange(len(open_)))
            line.end(turn, answered=dice.random() < 0.6)
        fresh = take_all(line)
        taken += len(fresh)
        open_ += fresh
        assert line.under_way == len(open_) <= 12
        assert line.in_doubt == sum(turn.in_doubt for turn in open_) <= 6
    while open_:
        line.end(open_.pop(), answered=True)
        fresh = take_all(line)
        taken += len(fresh)
        open_ += fresh
    assert given == taken  # nobody is left waiting
