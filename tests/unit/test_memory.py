"""When memory goes back to the system."""

from __future__ import annotations

from outdial.memory import AfterPeaks, give_back


class Process:
    """Something that is busy or not, and counts what it gives back."""

    def __init__(self) -> None:
        self.busy = False
        self.given = 0
        self.peaks = AfterPeaks(lambda: self.busy, self.give)

    def give(self) -> None:
        self.given += 1

    def looked_at(self, *, busy: bool) -> int:
        """How often it has given by now."""
        self.busy = busy
        self.peaks.look()
        return self.given


def test_memory_goes_back_once_after_each_peak() -> None:
    process = Process()
    assert process.looked_at(busy=False) == 0
    assert process.looked_at(busy=True) == 0
    assert process.looked_at(busy=True) == 0
    assert process.looked_at(busy=False) == 1
    assert process.looked_at(busy=False) == 1
    assert process.looked_at(busy=True) == 1
    assert process.looked_at(busy=False) == 2


def test_what_is_free_can_be_given_at_any_time() -> None:
    kept = [bytes(1_000) for _ in range(1_000)]
    give_back()
    assert sum(len(one) for one in kept) == 1_000_000
