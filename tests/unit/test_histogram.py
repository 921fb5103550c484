"""Histograms as Prometheus reads them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as TheirHistogram
from prometheus_client.core import HistogramMetricFamily

from outdial.histogram import Histogram, by_trunk

BOUNDS = (0.0, 0.1, 1.0, 5.0)


def samples(histogram: Histogram) -> list[tuple[str, dict[str, str], float]]:
    family = HistogramMetricFamily("x", "")
    histogram.add_to(family)
    return [(sample.name, sample.labels, sample.value) for sample in family.samples]


@given(st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.100001, 1.0, 3.0, 5.0, 6.0, 1e9])))
def test_it_counts_as_the_client_library_does(values: list[float]) -> None:
    ours = Histogram(BOUNDS)
    registry = CollectorRegistry()
    theirs = TheirHistogram("x", "", buckets=BOUNDS, registry=registry)
    for value in values:
        ours.observe(value)
        theirs.observe(value)
    (family,) = registry.collect()
    wanted = [(one.name, one.labels, one.value) for one in family.samples]
    assert sorted(samples(ours), key=str) == sorted(
        (one for one in wanted if not one[0].endswith("_created")), key=str
    )


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    histogram = Histogram(BOUNDS)
    histogram.observe(-3600.0)
    assert samples(histogram)[0] == ("x_bucket", {"le": "0.0"}, 1)
    assert samples(histogram)[-1] == ("x_sum", {}, 0.0)


def test_several_trunks_are_one_family() -> None:
    main, spare = Histogram(BOUNDS), Histogram(BOUNDS)
    main.observe(2.0)
    family = by_trunk("outdial_x", "What.", {"main": main, "spare": spare})
    sums = {one.labels["trunk"]: one.value for one in family.samples if one.name.endswith("_sum")}
    assert sums == {"main": 2.0, "spare": 0.0}
