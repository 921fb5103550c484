"""What waits for connections that are being made is bounded, whatever is sent and wherever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outdial.sip.core.unsent import MOST_BYTES, MOST_BYTES_EACH, MOST_ENDS, Unsent


def test_messages_leave_in_the_order_in_which_they_came() -> None:
    unsent: Unsent[str] = Unsent()
    assert unsent.begin("a") == ""
    assert [unsent.add("a", data) for data in (b"1", b"2", b"3")] == ["", "", ""]
    assert "a" in unsent and "b" not in unsent
    assert unsent.take("a") == b"123"
    assert "a" not in unsent
    assert unsent.take("a") == b""
    assert (len(unsent), unsent.size_bytes) == (0, 0)


def test_a_burst_of_calls_to_one_trunk_waits() -> None:
    unsent: Unsent[str] = Unsent()
    unsent.begin("trunk")
    assert not any(unsent.add("trunk", bytes(1200)) for _ in range(500))
    assert len(unsent.take("trunk")) == 500 * 1200


def test_as_many_ends_as_there_may_be() -> None:
    unsent: Unsent[int] = Unsent()
    told = [unsent.begin(end) for end in range(MOST_ENDS + 10)]
    assert told[:MOST_ENDS] == [""] * MOST_ENDS
    assert told[MOST_ENDS:] == [f"{MOST_ENDS} other connections are being made"] * 10
    assert len(unsent) == MOST_ENDS
    unsent.take(0)
    assert unsent.begin(1000) == "", "there is room again"


def test_as_many_bytes_as_there_may_be() -> None:
    unsent: Unsent[int] = Unsent()
    unsent.begin(0)
    assert unsent.add(0, bytes(MOST_BYTES_EACH)) == ""
    assert "too much waits" in unsent.add(0, b"x")
    for end in range(1, MOST_BYTES // MOST_BYTES_EACH):
        unsent.begin(end)
        assert unsent.add(end, bytes(MOST_BYTES_EACH)) == ""
    unsent.begin(100)
    assert "too much waits" in unsent.add(100, b"x")
    unsent.drop(0)
    assert 0 in unsent
    assert unsent.add(100, b"x") == ""
    assert unsent.take(0) == b""


ACTS = st.tuples(st.sampled_from(["begin", "add", "drop", "take"]), st.integers(0, 5))


@given(st.lists(st.tuples(ACTS, st.binary(max_size=40)), max_size=60))
def test_it_never_holds_more(acts: list[tuple[tuple[str, int], bytes]]) -> None:
    unsent: Unsent[int] = Unsent(3, 100, 50)
    for (act, end), data in acts:
        if act == "begin" and end not in unsent:
            unsent.begin(end)
        elif act == "add" and end in unsent:
            unsent.add(end, data)
        elif act == "drop":
            unsent.drop(end)
        elif act == "take":
            assert len(unsent.take(end)) <= 50
        assert len(unsent) <= 3
        assert 0 <= unsent.size_bytes <= 100
    for end in range(6):
        unsent.take(end)
    assert (len(unsent), unsent.size_bytes) == (0, 0)
