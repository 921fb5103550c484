"""A histogram for `/metrics`: an observation costs a search among a dozen bounds, and no lock.

prometheus_client's own takes a lock for every observation. Ours are made and read on one loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily


class Histogram:
    """How often a figure fell between which bounds."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one figure; a negative one, of a clock that was set back, as zero."""
        value = max(value, 0.0)
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str] = ()) -> None:
        """Its samples, under the values of the family's labels."""
        names = (*map(str, self._bounds), "+Inf")
        buckets = list(zip(names, map(float, accumulate(self._counts)), strict=True))
        family.add_metric(list(labels), buckets, self._sum)


def by_trunk(name: str, what: str, histograms: Mapping[str, Histogram]) -> HistogramMetricFamily:
    """The same figure of several trunks."""
    family = HistogramMetricFamily(name, what, labels=["trunk"])
    for trunk, histogram in histograms.items():
        histogram.add_to(family, [trunk])
    return family
