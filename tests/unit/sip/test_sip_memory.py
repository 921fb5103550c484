"""What a call costs in memory while it is up, and what it leaves for 64*T1 when it is over."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from ladders.link import Link, answering

CALLS = 100
SDP = b"v=0\r\n" + b"a=" + b"x" * 250 + b"\r\n"
LIVE_BYTES = 15 * 1024
OVER_BYTES = 10 * 1024


@pytest.fixture
def link() -> Link:
    return Link(session_expires_s=1800)


def forget_the_ladder(link: Link) -> None:
    link.ladder.clear()
    link.raw.clear()
    for side in link.sides.values():
        side.events.clear()
        side.invited.clear()


def test_calls_are_small_and_leave_little(link: Link) -> None:
    """Both sides of a call together, each with its INVITE, SDP, dialog and transactions."""
    answering(link)
    calls = [link.dial(call_id=f"first-{number}", offer=SDP) for number in range(10)]
    link.run(0.2)
    forget_the_ladder(link)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    calls += [link.dial(call_id=f"call-{number}", offer=SDP) for number in range(CALLS)]
    link.run(0.2)
    forget_the_ladder(link)
    gc.collect()
    live = (tracemalloc.get_traced_memory()[0] - before) / CALLS
    assert link["A"].agent.counters().dialogs == len(calls)
    for call in calls:
        call.hang_up()
    calls.clear()
    del call
    link.run(0.2)
    forget_the_ladder(link)
    gc.collect()
    over = (tracemalloc.get_traced_memory()[0] - before) / CALLS
    tracemalloc.stop()
    assert 0 < live < LIVE_BYTES
    assert over < OVER_BYTES
    link.assert_clean()
