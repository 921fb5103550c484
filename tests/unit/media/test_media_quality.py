"""The E-model: points of ITU-T G.107 and G.109, and that worse is never better."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.legs import MediaStats
from outdial.media.core.quality import opinion, rating, score


@pytest.mark.parametrize(
    ("r", "mos"),
    [(0, 1.0), (50, 2.58), (60, 3.10), (70, 3.60), (80, 4.02), (90, 4.34), (93.2, 4.41)],
)
def test_ratings_and_opinions_of_the_recommendation(r: float, mos: float) -> None:
    assert round(opinion(r), 2) == pytest.approx(mos, abs=0.011)


def test_a_perfect_network_has_the_default_rating() -> None:
    assert rating(0.0, 0.0) == 93.2


@pytest.mark.parametrize(("loss", "impairment"), [(0.01, 3.64), (0.05, 15.78), (1.0, 75.9)])
def test_loss_impairs_as_g711_with_concealment_does(loss: float, impairment: float) -> None:
    assert 93.2 - rating(loss, 0.0) == pytest.approx(impairment, abs=0.05)


@pytest.mark.parametrize(("codec", "taken"), [("PCMU", 0), ("PCMA", 0), ("G722", 2), ("opus", 5)])
def test_a_codec_takes_something_away_and_loss_the_rest(codec: str, taken: float) -> None:
    assert 93.2 - rating(0.0, 0.0, codec) == pytest.approx(taken)
    assert rating(0.02, 0.0, codec) < rating(0.0, 0.0, codec)
    assert rating(1.0, 0.0, codec) == pytest.approx(rating(1.0, 0.0), abs=2)
    stats = MediaStats(packets_received=500)
    assert score(stats, codec) <= score(stats)  # type: ignore[operator]


def test_delay_hurts_more_beyond_177_ms() -> None:
    assert rating(0.0, 100.0) == pytest.approx(93.2 - 2.4)
    assert rating(0.0, 277.3) == pytest.approx(93.2 - 6.655 - 11.0, abs=0.01)


@given(
    st.floats(-1, 2),
    st.floats(0, 5000),
    st.floats(0, 1),
    st.floats(0, 1000),
)
def test_worse_is_never_better(loss: float, delay: float, more: float, longer: float) -> None:
    better, worse = rating(loss, delay), rating(loss + more, delay + longer)
    assert 0 <= worse <= better <= 93.2
    assert 1.0 <= opinion(better) <= 4.5


def test_a_call_is_scored_by_what_came() -> None:
    assert score(MediaStats(packets_sent=500)) is None
    assert score(MediaStats(packets_received=500)) == pytest.approx(4.40, abs=0.01)
    lossy = MediaStats(packets_received=95, packets_lost=5)
    late = MediaStats(packets_received=100, packets_late=5)
    assert score(lossy) == score(late) == pytest.approx(3.9, abs=0.1)
    far = MediaStats(packets_received=100, round_trip_ms=600.0)
    shaky = MediaStats(packets_received=100, jitter_ms=150.0)
    assert score(far) == score(shaky)
    assert (score(far) or 0) < 3.7
    drowned = MediaStats(packets_received=1, packets_lost=999, packets_late=1)
    assert score(drowned) == pytest.approx(1.2, abs=0.2)
