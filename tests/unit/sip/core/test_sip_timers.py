"""The heap of timers."""

from __future__ import annotations

from outdial.sip.core.timers import TimerHeap, Timings


class Target:
    def __init__(self) -> None:
        self.fired: list[int] = []

    def on_timer(self, what: int) -> None:
        self.fired.append(what)


def test_the_values_follow_t1() -> None:
    timings = Timings(0.5)
    assert (timings.t2, timings.t4, timings.timeout) == (4.0, 5.0, 32.0)
    assert timings.trying == 0.2
    assert Timings(0.01).timeout == 0.64


def test_timers_fire_in_order_of_time() -> None:
    heap, target = TimerHeap(), Target()
    for at in (3.0, 1.0, 2.0):
        heap.start(at, target, int(at))
    assert heap.next() == 1.0
    heap.fire(0.9)
    assert target.fired == []
    heap.fire(2.0)
    assert target.fired == [1, 2]
    assert heap.live == 1
    assert heap.next() == 3.0


def test_stopped_timers_do_not_fire() -> None:
    heap, target = TimerHeap(), Target()
    first = heap.start(1.0, target, 1)
    second = heap.start(1.0, target, 2)
    heap.stop(first)
    heap.stop(first)
    heap.stop(None)
    assert heap.live == 1
    heap.fire(5.0)
    assert target.fired == [2]
    heap.stop(second)
    assert heap.live == 0
    assert heap.next() is None


def test_a_timer_that_fires_may_start_another_that_is_due() -> None:
    heap = TimerHeap()

    class Chain(Target):
        def on_timer(self, what: int) -> None:
            super().on_timer(what)
            if what < 3:
                heap.start(1.0, self, what + 1)

    target = Chain()
    heap.start(1.0, target, 1)
    heap.fire(1.0)
    assert target.fired == [1, 2, 3]


def test_stopped_timers_take_no_memory_for_long() -> None:
    heap, target = TimerHeap(), Target()
    for number in range(100_000):
        heap.stop(heap.start(32.0 + number, target, 1))
    assert heap.live == 0
    assert len(heap._entries) < 1000
