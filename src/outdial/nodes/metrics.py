"""What a node tells Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from outdial.nodes.member import Member


class NodeGauges(Collector):
    """Read at every scrape."""

    def __init__(self, member: Member) -> None:
        self._member = member

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        yield GaugeMetricFamily(
            "outdial_node_lease_held",
            "1: no other node can have taken over what this one has.",
            value=int(self._member.holds_lease),
        )
        yield CounterMetricFamily(
            "outdial_node_takeovers",
            "Nodes whose lease ran out and that this one took over.",
            value=self._member.takeovers,
        )
        yield CounterMetricFamily(
            "outdial_node_calls_claimed",
            "Queued calls that this node took from others.",
            value=self._member.claimed,
        )
