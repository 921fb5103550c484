"""The last call of each number, and the bounds of what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from outdial.sim.heard import MAX_DIGITS, HeardCalls, key_of


def test_only_the_last_call_of_a_number_is_kept(tmp_path: Path) -> None:
    calls = HeardCalls(tmp_path)
    first = calls.begin("15005550001", "answers", "1", 1.0)
    first.path.write_bytes(b"first")
    calls.end(first, 2.0)
    second = calls.begin("15005550001", "answers", "1", 3.0)
    assert calls.last("15005550001") is second
    assert not first.path.exists()
    assert len(calls) == 1


def test_a_replaced_call_that_still_runs_loses_its_recording_when_it_ends(tmp_path: Path) -> None:
    calls = HeardCalls(tmp_path)
    first = calls.begin("15005550001", "answers", "1", 1.0)
    calls.begin("15005550001", "answers", "1", 2.0)
    first.path.write_bytes(b"first")
    calls.end(first, 3.0)
    assert first.over.is_set()
    assert not first.path.exists()


def test_the_number_called_longest_ago_goes_first(tmp_path: Path) -> None:
    calls = HeardCalls(tmp_path, max_numbers=2)
    for at, number in enumerate(("11", "12", "11", "13")):
        call = calls.begin(number, "person", "1", float(at))
        call.path.write_bytes(b"x")
        calls.end(call, float(at))
    assert calls.last("12") is None
    assert [calls.last("11") is None, calls.last("13") is None] == [False, False]
    assert len(list(tmp_path.iterdir())) == 2


def test_digits_are_bounded(tmp_path: Path) -> None:
    call = HeardCalls(tmp_path).begin("1", "person", "1", 0.0)
    for _ in range(MAX_DIGITS + 10):
        call.key("5")
    assert call.digits == "5" * MAX_DIGITS


@pytest.mark.parametrize(
    "spelling", ["15005550001", "+15005550001", "5005550001", "+1 (500) 555-0001"]
)
def test_a_number_has_one_key_however_it_is_spelt(spelling: str) -> None:
    assert key_of(spelling) == "15005550001"
