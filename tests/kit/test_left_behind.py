"""Rehearsals that are over have left nothing behind."""

from __future__ import annotations

import os
import threading

import pytest

from outdial.testing.rehearsal.rehearsal import Rehearsal
from outdial.testing.server import family


def held() -> tuple[int, list[str], int]:
    """Descriptors, threads and processes of this process."""
    names = sorted(thread.name for thread in threading.enumerate())
    return len(os.listdir("/proc/self/fd")), names, len(family(os.getpid()))


def rehearse(*, real_time: bool) -> None:
    with Rehearsal(real_time=real_time) as outdial:
        url = outdial.web().serve("/answer", "<Response><Say>Hello.</Say></Response>")
        outdial.call(outdial.phone(), url)
        outdial.call(outdial.phone(), url, wait=False)
        folder = outdial.folder
    assert not folder.exists()


@pytest.mark.parametrize("real_time", [False, True], ids=["virtual", "real"])
def test_descriptors_threads_and_processes_are_as_before(real_time: bool) -> None:
    rehearse(real_time=real_time)
    before = held()
    for _ in range(2):
        rehearse(real_time=real_time)
    assert held() == before


def test_two_at_a_time_do_not_meet() -> None:
    with Rehearsal() as one, Rehearsal() as other:
        phone = one.phone()
        url = one.web().serve("/answer", "<Response><Say>Hello.</Say></Response>")
        assert one.call(phone, url).said == ["Hello."]
        assert (other.calls, one.url == other.url) == ([], False)


def test_a_test_that_raises_ends_it_too() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), Rehearsal():
        raise ZeroDivisionError
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"didml": {"no_such": 1}}, "no_such"), ({"limits": {"concurrent_calls": 0}}, "concurrent")],
)
def test_settings_that_are_wrong_are_named(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Rehearsal(settings).__enter__()
