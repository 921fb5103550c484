"""Who may be dialled now."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from outdial.calls.admission import Admission, Ticket
from outdial.calls.channels import Channels
from outdial.calls.quota import Quota
from outdial.calls.standing import Standing
from outdial.config import Trunk


class Queue:
    """An admission whose calls are their own names; `now` is its clock."""

    def __init__(
        self,
        rate: float = 0,
        concurrent: int = 0,
        *,
        keys: Mapping[str, tuple[float, int]] | None = None,
        trunks: Mapping[str, tuple[float, int]] | None = None,
        waiting_max: int = 100,
        waiting_max_of_key: int = 80,
    ) -> None:
        self.now = 0.0
        self.channels = Channels(
            [
                Trunk(name=name, address="192.0.2.1", calls_per_second=rate, concurrent_calls=most)
                for name, (rate, most) in (trunks or {}).items()
            ],
            0.0,
        )
        self.admission: Admission[str] = Admission(
            Quota(rate, concurrent, 0.0),
            {name: Quota(*limits, 0.0) for name, limits in (keys or {}).items()},
            self.channels,
            waiting_max=waiting_max,
            waiting_max_of_key=waiting_max_of_key,
        )
        self.trunk_of: dict[str, str] = {}

    def wait(
        self, *sids: str, key: str = "dev", trunks: tuple[str, ...] = (), until: float = 1e9
    ) -> None:
        for sid in sids:
            self.admission.wait(Ticket(sid, key, trunks, sid, until))

    def admit(self, now: float | None = None) -> list[str]:
        """The sids that start."""
        self.now = self.now if now is None else now
        starts = self.admission.admit(self.now)
        self.trunk_of.update({start.ticket.sid: start.trunk for start in starts})
        return [start.ticket.item for start in starts]

    def over(self, sid: str, key: str = "dev") -> None:
        """A call that started has ended."""
        self.admission.release(key)
        if trunk := self.trunk_of.pop(sid):
            self.channels.give_back(trunk)

    def next_at(self) -> float | None:
        at = self.admission.next_at(self.now)
        return None if at == 1e9 else at


def test_calls_start_in_order_at_the_rate() -> None:
    queue = Queue(2.0)
    queue.wait("a", "b", "c", "d")
    assert queue.admit(0.0) == ["a", "b"]
    assert queue.next_at() == 0.5
    assert queue.admit(0.4) == []
    assert queue.admit(0.5) == ["c"]
    assert queue.admit(1.0) == ["d"]
    assert queue.next_at() is None


def test_waking_up_when_told_to_always_admits() -> None:
    queue = Queue(7.0, keys={"slow": (3.0, 0)}, trunks={"t": (5.0, 0)})
    queue.wait(*(f"a{n}" for n in range(30)))
    queue.wait(*(f"b{n}" for n in range(30)), key="slow")
    queue.wait(*(f"c{n}" for n in range(30)), key="other", trunks=("t",))
    started = queue.admit(0.0)
    woken = 0
    while (at := queue.next_at()) is not None:
        assert at > queue.now
        admitted = queue.admit(at)
        assert admitted
        started += admitted
        woken += 1
    assert len(started) == len(set(started)) == 90
    assert 10 < woken <= 90


def test_the_ceiling_holds_until_a_call_ends() -> None:
    queue = Queue(100.0, 2)
    queue.wait("a", "b", "c")
    assert queue.admit(0.0) == ["a", "b"]
    assert queue.next_at() is None
    assert queue.admit(50.0) == []
    queue.over("a")
    assert queue.admit(50.0) == ["c"]


def test_a_slow_rate_still_starts_one_at_once() -> None:
    queue = Queue(0.1)
    queue.wait("a", "b")
    assert queue.admit(0.0) == ["a"]
    assert queue.next_at() == 10.0


def test_withdrawing_leaves_the_queue() -> None:
    queue = Queue(1.0, 1, waiting_max=2)
    queue.wait("a", "b")
    assert queue.admission.is_full()
    assert queue.admission.withdraw("a") == "a"
    assert queue.admission.withdraw("a") is None
    assert queue.admission.waiting == 1
    assert not queue.admission.is_full()
    assert queue.admit() == ["b"]
    assert not queue.admission.is_waiting("b")


# ------------------------------------------------------------------ between keys


def test_keys_take_turns_however_many_calls_each_has() -> None:
    queue = Queue(1.0)
    queue.wait(*(f"a{n}" for n in range(1000)), key="a")
    queue.wait("b0", "b1", key="b")
    queue.wait("c0", key="c")
    started = [sid for second in range(8) for sid in queue.admit(float(second))]
    assert started == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


def test_whose_turn_it_is_is_kept_between_rounds() -> None:
    queue = Queue(0, 1)
    queue.wait("a0", "a1", "a2", key="a")
    queue.wait("b0", "b1", key="b")
    order = queue.admit()
    for _ in range(4):
        queue.over(order[-1], order[-1][0])
        order += queue.admit()
    assert order == ["a0", "b0", "a1", "b1", "a2"]


def test_a_key_at_its_limit_holds_up_no_other_and_gets_its_turn_back() -> None:
    queue = Queue(0, 3, keys={"a": (0, 1)})
    queue.wait("a0", "a1", key="a")
    queue.wait("b0", "b1", "b2", "b3", key="b")
    assert queue.admit() == ["a0", "b0", "b1"]
    queue.over("a0", "a")
    assert queue.admit() == ["a1"], "not b2, though b's calls came all along"
    queue.over("b0", "b")
    assert queue.admit() == ["b2"]


def test_the_rate_of_a_key() -> None:
    queue = Queue(0, 0, keys={"a": (2.0, 0)})
    queue.wait(*(f"a{n}" for n in range(5)), key="a")
    queue.wait("b0", "b1", "b2", key="b")
    assert queue.admit(0.0) == ["a0", "b0", "a1", "b1", "b2"]
    assert queue.next_at() == 0.5
    assert queue.admit(0.5) == ["a2"]


def test_no_key_can_fill_the_queue() -> None:
    queue = Queue(0, 1, waiting_max=10, waiting_max_of_key=8)
    queue.wait(*(f"a{n}" for n in range(8)), key="a")
    assert queue.admission.is_full_for("a")
    assert not queue.admission.is_full()
    assert not queue.admission.is_full_for("b")
    queue.wait("b0", "b1", key="b")
    assert queue.admission.is_full()


# ------------------------------------------------------------------ trunks


def test_a_full_trunk_overflows_and_then_makes_calls_wait() -> None:
    queue = Queue(trunks={"a": (0, 1), "b": (0, 1)})
    queue.wait("1", "2", "3", trunks=("a", "b"))
    assert queue.admit() == ["1", "2"]
    assert queue.trunk_of == {"1": "a", "2": "b"}
    assert queue.next_at() is None
    queue.over("2")
    assert queue.admit() == ["3"]
    assert queue.trunk_of == {"1": "a", "3": "b"}


def test_calls_for_a_full_trunk_hold_up_none_for_another() -> None:
    queue = Queue(trunks={"uk": (0, 1), "us": (0, 0)})
    queue.wait("uk0", "uk1", "uk2", trunks=("uk",))
    queue.wait("us0", "us1", trunks=("us",))
    assert queue.admit() == ["uk0", "us0", "us1"]
    queue.wait("us2", trunks=("us",))
    queue.over("uk0")
    assert queue.admit() == ["uk1", "us2"], "the oldest first"


def test_the_rate_of_a_trunk() -> None:
    queue = Queue(trunks={"a": (2.0, 0), "b": (1.0, 0)})
    queue.wait(*"123456", trunks=("a", "b"))
    assert queue.admit(0.0) == ["1", "2", "3"]
    assert queue.next_at() == 0.5
    assert queue.admit(0.5) == ["4"]
    assert queue.admit(1.0) == ["5", "6"]
    assert queue.trunk_of == {"1": "a", "2": "a", "3": "b", "4": "a", "5": "a", "6": "b"}


def test_a_call_without_a_route_starts_so_that_it_can_say_so() -> None:
    queue = Queue(trunks={"a": (0, 1)})
    queue.wait("x", trunks=())
    assert queue.admit() == ["x"]
    assert queue.trunk_of == {"x": ""}


# ------------------------------------------------------------------ questions


def test_whether_a_call_need_not_wait() -> None:
    queue = Queue(0, 2, keys={"a": (0, 1)}, trunks={"t": (0, 1)})
    ask = queue.admission.would_start
    assert ask("a", ("t",), 0.0)
    queue.wait("a0", "a1", key="a", trunks=("t",))
    assert queue.admit() == ["a0"]
    assert not ask("a", ("u",), 0.0), "another of its key waits"
    assert not ask("b", ("t",), 0.0), "the trunk is full"
    assert ask("b", ("t", "u"), 0.0)
    assert not queue.admission.has_room(0.0), "somebody waits"
    queue.admission.withdraw("a1")
    assert queue.admission.has_room(0.0)
    assert not ask("a", ("u",), 0.0), "the key has its one call"
    queue.wait("b0", key="b")
    assert queue.admit() == ["b0"]
    assert not ask("c", (), 0.0), "the server has its two calls"
    assert not queue.admission.has_room(0.0)


def test_the_position_of_one_key_is_its_place_in_the_queue() -> None:
    queue = Queue(0, 1, trunks={"t": (0, 5)})
    queue.wait("a")
    queue.wait("b", trunks=("t",))
    queue.wait("c")
    positions = [queue.admission.position(sid) for sid in "abcd"]
    assert positions == [1, 2, 3, None]
    queue.admission.withdraw("a")
    assert [queue.admission.position(sid) for sid in "abc"] == [None, 1, 2]
    assert queue.admit() == ["b"]
    assert queue.admission.position("c") == 1


def test_the_position_among_several_keys_is_the_latest_it_may_come() -> None:
    queue = Queue(1.0)
    queue.wait(*(f"a{n}" for n in range(1000)), key="a")
    queue.wait("b0", "b1", key="b")
    told = {sid: queue.admission.position(sid) for sid in ("a0", "a1", "a9", "b0", "b1")}
    assert told == {"a0": 2, "a1": 4, "a9": 12, "b0": 2, "b1": 4}
    order = [sid for second in range(12) for sid in queue.admit(float(second))]
    for sid, place in told.items():
        assert order.index(sid) + 1 <= (place or 0)


def test_what_goes_on_and_waits_by_key_and_trunk() -> None:
    queue = Queue(9.0, 3, keys={"a": (2.0, 1)}, trunks={"t": (0, 2), "u": (0, 1)})
    queue.wait("a0", "a1", "a2", key="a", trunks=("t", "u"))
    queue.wait("b0", "b1", "b2", key="b", trunks=("u",))
    assert queue.admit() == ["a0", "b0"]
    now = queue.admission.standings()
    assert now.total == Standing("", 2, 4, 9.0, 3)
    assert now.keys == (Standing("a", 1, 2, 2.0, 1), Standing("b", 1, 2, 0, 0))
    assert now.trunks == (Standing("t", 1, 2, 0, 2), Standing("u", 1, 4, 0, 1))


# ------------------------------------------------------------------ waiting too long


def test_a_call_that_waited_too_long_leaves_once() -> None:
    queue = Queue(0, 1)
    queue.wait("a", until=10.0)
    queue.wait("b", until=20.0)
    queue.wait("c", until=15.0)
    assert queue.admit() == ["a"]
    assert queue.admission.expired(14.9) == []
    assert queue.admission.next_at(14.9) == 15.0
    assert queue.admission.expired(15.0) == ["c"]
    assert queue.admission.expired(15.0) == []
    assert queue.admission.expired(99.0) == ["b"]
    assert queue.admission.waiting == 0
    assert queue.admission.next_at(99.0) is None


def test_a_call_that_comes_back_is_not_taken_for_its_former_self() -> None:
    queue = Queue(0, 1)
    queue.wait("a", until=10.0)
    queue.admission.withdraw("a")
    queue.wait("a", until=20.0)
    assert queue.admission.expired(15.0) == []
    assert queue.admission.expired(20.0) == ["a"]


def test_those_that_left_long_before_their_time_leave_nothing_behind() -> None:
    queue = Queue()
    for number in range(5000):
        queue.wait(f"{number}", until=1e6 + number)
        assert queue.admit() == [f"{number}"]
    assert len(queue.admission._deadlines) < 200


# ------------------------------------------------------------------ size


def test_ten_thousand_waiting_calls_make_no_decision_longer() -> None:
    def steps(waiting: int) -> int:
        """Lines run for a hundred ends of a call and starts of the next."""
        queue = Queue(0, 10, keys={"a": (0, 5)}, trunks={"t": (0, 4), "u": (0, 6)})
        for number in range(waiting):
            key, trunks = "abc"[number % 3], (("t",), ("t", "u"))[number % 2]
            queue.wait(f"{key}{number}", key=key, trunks=trunks)
        live = queue.admit()
        counted = itertools.count()

        def trace(frame: FrameType, event: str, argument: object) -> Callable[..., Any]:
            if event == "line":
                next(counted)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for _ in range(100):
                queue.over(live[0], live.pop(0)[0])
                live += queue.admit()
                queue.next_at()
        finally:
            sys.settrace(before)
        return next(counted)

    few, many = steps(1000), steps(10_000)
    assert few > 1000
    assert many < 1.2 * few
