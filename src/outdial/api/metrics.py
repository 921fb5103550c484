"""What Prometheus is told at `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from outdial.calls.service import CallService

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The API's counters, the calls' gauges, and the collectors of other parts."""

    def __init__(self, calls: CallService, collectors: Iterable[Collector] = ()) -> None:
        self._registry = CollectorRegistry()
        self._posts = Counter(
            "outdial_call_posts",
            "Posts that asked for a call, by the HTTP status they were answered with.",
            ["status"],
            registry=self._registry,
        )
        self._by_status: dict[str, Counter] = {}
        ProcessCollector(registry=self._registry)
        self._registry.register(_CallGauges(calls))
        for collector in collectors:
            self._registry.register(collector)

    def posted(self, status: str) -> None:
        """Counts a post; `status` is the HTTP status, or ``gone`` when the client went away."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._posts.labels(status)
        counter.inc()

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)


class _CallGauges(Collector):
    def __init__(self, calls: CallService) -> None:
        self._calls = calls

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Asked at every scrape, so that nothing is counted twice."""
        health = self._calls.health()
        yield GaugeMetricFamily("outdial_calls_live", "Calls now.", value=health["live"])
        yield GaugeMetricFamily("outdial_calls_queued", "Calls waiting.", value=health["queued"])
        yield GaugeMetricFamily("outdial_ready", "1: takes calls.", value=int(health["ready"]))
