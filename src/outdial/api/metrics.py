"""What Prometheus is told at `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.types import Message, Send

from outdial.calls.service import CallService

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The API's counters, the calls' gauges, and the collectors of other parts."""

    def __init__(self, calls: CallService, collectors: Iterable[Collector] = ()) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "outdial_api_requests",
            "Requests by the door they came to and the HTTP status they were answered with.",
            ["door", "status"],
            registry=self._registry,
        )
        self._by_door: dict[tuple[str, str], Counter] = {}
        ProcessCollector(registry=self._registry)
        self._registry.register(_CallCollector(calls))
        for collector in collectors:
            self._registry.register(collector)

    def answered(self, door: str, status: str) -> None:
        """Counts a request; `status` is the HTTP status, ``gone`` when the client went away."""
        counter = self._by_door.get((door, status))
        if counter is None:
            counter = self._by_door[door, status] = self._requests.labels(door, status)
        counter.inc()

    def counting(self, door: str, send: Send) -> Send:
        """An ASGI `send` that also counts the answer."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answered(door, str(message["status"]))
            await send(message)

        return counted

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(self._registry)


def door(path: str) -> str:
    """The `door` label of a path that is not V2's."""
    return "v1" if path.startswith("/v1/") else "other"


class _CallCollector(Collector):
    def __init__(self, calls: CallService) -> None:
        self._calls = calls

    def collect(self) -> Iterator[Metric]:
        """Asked at every scrape, so that nothing is counted twice."""
        ended = CounterMetricFamily(
            "outdial_calls_ended",
            "Calls that ended since the start, by outcome and cause.",
            labels=["outcome", "cause"],
        )
        for (outcome, cause), count in self._calls.ended().items():
            ended.add_metric([outcome, cause], count)
        yield ended
        health = self._calls.health()
        yield GaugeMetricFamily("outdial_calls_live", "Calls now.", value=health["live"])
        yield GaugeMetricFamily("outdial_calls_queued", "Calls waiting.", value=health["queued"])
        yield from self._meetings()
        yield GaugeMetricFamily("outdial_ready", "1: takes calls.", value=int(health["ready"]))

    def _meetings(self) -> Iterator[Metric]:
        """Who is in conferences and queues."""
        going_on, queues = list(self._calls.conferences), list(self._calls.queues)
        levels = (
            ("conferences", "Conferences that go on.", len(going_on)),
            (
                "conference_members",
                "Calls in conferences.",
                sum(len(one.attendees) for one in going_on),
            ),
            (
                "queue_callers",
                "Calls that wait in queues.",
                sum(len(queue.callers) for queue in queues),
            ),
            (
                "queue_agents",
                "Calls that wait for a caller of a queue.",
                sum(queue.agents for queue in queues),
            ),
        )
        for name, what, value in levels:
            yield GaugeMetricFamily(f"outdial_{name}", what, value=value)
