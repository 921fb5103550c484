"""The timer wheel, with an explicit clock."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from outdial.media.worker.ports import Ports
from outdial.media.worker.slots import CROWD, MOST_BEHIND, SLOT_S, Slots
from outdial.media.worker.slots import Stream as OnTheWheel
from outdial.media.worker.stream import Stream


@pytest.fixture
def make() -> Iterator[Callable[[int], Stream]]:
    """Makes streams of a packet time; they share one unused socket."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def stream(ptime_ms: int = 20) -> Stream:
        made = Stream(1, 0, sock, sock, lambda opcode, number, payload: None)
        made.samples = ptime_ms * 8
        return made

    yield stream
    sock.close()


def ticks(slots: Slots, until: float, step: float = 0.001) -> list[tuple[OnTheWheel, float]]:
    """Runs the wheel; every stream that was due, and when."""
    got, steps = [], 0
    while (now := steps * step) <= until:
        while (batch := slots.due(now)) is not None:
            got += [(stream, now) for stream in batch[0]]
        steps += 1
    return got


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60])
def test_every_interval_but_the_first_is_exact(
    make: Callable[[int], Stream], ptime_ms: int
) -> None:
    slots, stream = Slots(0.0), make(ptime_ms)
    slots.insert(stream, 0.0)
    times = [at for _, at in ticks(slots, 1.0)]
    assert len(times) == pytest.approx(1000 // ptime_ms, abs=1)
    for index, at in enumerate(times):
        assert at == pytest.approx((index + 1) * ptime_ms / 1000, abs=0.0011)


def test_streams_gather_until_there_is_a_crowd(make: Callable[[int], Stream]) -> None:
    slots = Slots(0.0)
    first = make(20)
    slots.insert(first, 0.0)
    slots.insert(make(20), 0.009)
    batch = slots.due(0.0201)
    assert batch is not None
    assert len(batch[0]) == 2
    for _ in range(CROWD):
        slots.insert(first, 0.0201)
    slots.insert(make(20), 0.0299)
    sizes = []
    for now in (0.0401, 0.0501):
        batch = slots.due(now)
        assert batch is not None
        sizes.append(len(batch[0]))
    assert sizes == [CROWD + 2, 1]


def test_lateness_is_told_and_a_short_stall_is_made_good(make: Callable[[int], Stream]) -> None:
    slots, stream = Slots(0.0), make(20)
    slots.insert(stream, 0.0)
    assert slots.next_at() == pytest.approx(0.02)
    assert slots.due(0.019) is None
    assert slots.skip(0.085) == 0
    late = []
    while (batch := slots.due(0.085)) is not None:
        late.append(batch[1])
    assert late == pytest.approx([0.065, 0.045, 0.025, 0.005])


def test_a_long_stall_is_skipped(make: Callable[[int], Stream]) -> None:
    slots, stream = Slots(0.0), make(20)
    slots.insert(stream, 0.0)
    assert slots.skip(3.0) == 300
    assert slots.due(3.0) is None
    assert slots.next_at() == pytest.approx(3.02)


def test_an_idle_wheel_serves_the_stream_that_ends_its_rest(
    make: Callable[[int], Stream],
) -> None:
    for rested_ms in range(0, 2000, 7):
        slots, stream = Slots(0.0), make(20)
        now = rested_ms / 1000
        slots.insert(stream, now)
        sent: list[float] = []
        while len(sent) < 10:
            due = slots.next_at()
            assert due is not None
            now = max(now, due) + 0.0002
            assert slots.skip(now) == 0
            while slots.due(now) is not None:
                sent.append(now)
        assert sent[-1] - sent[0] == pytest.approx(9 * 0.020, abs=0.001)


@pytest.mark.parametrize(("before_ms", "after_ms"), [(60, 10), (10, 60), (20, 20)])
@pytest.mark.parametrize("early_s", [0.0, 0.005])
def test_the_only_stream_may_change_its_packet_time_and_its_phase(
    make: Callable[[int], Stream], before_ms: int, after_ms: int, early_s: float
) -> None:
    slots, stream = Slots(0.0), make(before_ms)
    slots.insert(stream, 0.0)
    assert [at for _, at in ticks(slots, before_ms / 1000)] == pytest.approx([before_ms / 1000])
    stream.samples = after_ms * 8
    now = before_ms / 1000 + 0.002
    due = slots.remove(stream) - early_s
    slots.insert_at(stream, due)
    times = [at for _, at in ticks(slots, now + 1.0) if at > now]
    assert times[0] == pytest.approx(due, abs=0.0011)
    for one, next_one in pairwise(times):
        assert next_one - one == pytest.approx(after_ms / 1000, abs=0.0011)


def test_a_stream_that_comes_after_the_longest_stall_made_good(
    make: Callable[[int], Stream],
) -> None:
    slots, first, second = Slots(0.0), make(60), make(60)
    slots.insert(first, 0.0)
    now = 0.060 + MOST_BEHIND * SLOT_S + 0.009
    slots.insert(second, now)
    sent = [at for stream, at in ticks(slots, 1.0) if stream is second]
    assert now + 0.045 <= sent[0] <= now + 0.065


def test_a_removed_stream_is_due_no_more(make: Callable[[int], Stream]) -> None:
    slots, stream = Slots(0.0), make(20)
    slots.insert(stream, 0.0)
    assert slots.remove(stream) == pytest.approx(0.02)
    assert slots.next_at() is None
    assert ticks(slots, 0.1) == []
    with pytest.raises(KeyError):
        slots.remove(stream)


def test_the_slot_divides_every_packet_time() -> None:
    for ptime_ms in (10, 20, 30, 40, 60):
        assert (ptime_ms / 1000 / SLOT_S) == int(ptime_ms / 1000 / SLOT_S)


def test_ports_are_even_random_and_never_twice() -> None:
    ports = Ports("127.0.0.1", 45001, 45999)
    drawn = ports.fill(100)
    assert len(set(drawn)) == len(drawn) == 100
    assert all(port % 2 == 0 and 45001 <= port < 45999 for port in drawn)
    assert drawn != sorted(drawn)
    assert ports.fill(100) == []
    for port in drawn:
        for sock in ports.take(port):
            sock.close()


def test_a_taken_port_is_skipped() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1] // 2 * 2
        ports = Ports("127.0.0.1", port, port + 1)
        assert ports.fill(5) == []
