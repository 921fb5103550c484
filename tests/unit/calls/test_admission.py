"""Who may be dialled now."""

from __future__ import annotations

from outdial.calls.admission import Admission


def waiting(admission: Admission[str], *sids: str) -> None:
    for sid in sids:
        admission.wait(sid, sid)


def test_calls_start_in_order_at_the_rate() -> None:
    admission: Admission[str] = Admission(2.0, 100, 100, now=0.0)
    waiting(admission, "a", "b", "c", "d")
    assert admission.admit(0.0) == ["a", "b"]
    assert admission.next_at() == 0.5
    assert admission.admit(0.4) == []
    assert admission.admit(0.5) == ["c"]
    assert admission.admit(1.0) == ["d"]
    assert admission.next_at() is None


def test_waking_up_when_told_to_always_admits() -> None:
    admission: Admission[str] = Admission(7.0, 1000, 1000, now=0.0)
    waiting(admission, *(str(n) for n in range(50)))
    admission.admit(0.0)
    woken = 0
    while (at := admission.next_at()) is not None:
        assert admission.admit(at)
        woken += 1
    assert woken == 43


def test_the_ceiling_holds_until_a_call_ends() -> None:
    admission: Admission[str] = Admission(100.0, 2, 100, now=0.0)
    waiting(admission, "a", "b", "c")
    assert admission.admit(0.0) == ["a", "b"]
    assert admission.next_at() is None
    assert admission.admit(50.0) == []
    admission.release()
    assert admission.admit(50.0) == ["c"]


def test_a_slow_rate_still_starts_one_at_once() -> None:
    admission: Admission[str] = Admission(0.1, 10, 10, now=0.0)
    waiting(admission, "a", "b")
    assert admission.admit(0.0) == ["a"]
    assert admission.next_at() == 10.0


def test_withdrawing_leaves_the_queue() -> None:
    admission: Admission[str] = Admission(1.0, 1, 2, now=0.0)
    waiting(admission, "a", "b")
    assert admission.is_full
    assert admission.withdraw("a") == "a"
    assert admission.withdraw("a") is None
    assert admission.waiting == 1
    assert admission.admit(0.0) == ["b"]


def test_there_is_room_again_after_a_withdrawal() -> None:
    admission: Admission[str] = Admission(1.0, 1, 1, now=0.0)
    waiting(admission, "a")
    admission.withdraw("a")
    assert not admission.is_full


def test_taking_at_once_does_not_overtake_those_who_wait() -> None:
    admission: Admission[str] = Admission(2.0, 2, 10, now=0.0)
    assert admission.take(0.0)
    waiting(admission, "a")
    assert not admission.take(0.0)
    assert admission.admit(0.0) == ["a"]
    assert admission.live == 2
    assert not admission.take(5.0)
    admission.release()
    assert admission.take(5.0)


def test_time_that_goes_back_takes_nothing_away() -> None:
    admission: Admission[str] = Admission(1.0, 10, 10, now=100.0)
    waiting(admission, "a", "b")
    assert admission.admit(100.0) == ["a"]
    assert admission.admit(50.0) == []
    assert admission.admit(51.0) == ["b"]
