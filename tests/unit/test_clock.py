"""Time as text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.clock import iso8601


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_795_764_174.2281914, "2026-11-27T07:22:54.228Z"),
        (1_795_764_174.9999, "2026-11-27T07:22:54.999Z"),
        (1_795_764_174.9999998, "2026-11-27T07:22:55.000Z"),
        (-1.5, "1969-12-31T23:59:58.500Z"),
    ],
)
def test_milliseconds_are_cut_off(seconds: float, text: str) -> None:
    assert iso8601(seconds) == text


@given(st.floats(-1e9, 4e9))
def test_it_is_what_the_library_writes(seconds: float) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    assert iso8601(seconds) == moment.isoformat(timespec="milliseconds")[:-6] + "Z"
