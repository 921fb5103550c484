"""What the SIP user agent, the media workers and the process hold, for `/metrics`.

All but the totals are back where they started once the last call has been over for 64*T1: what is
not has leaked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from outdial.frozen import frozen
from outdial.sip.core.agent import Agent
from outdial.sip.sentry import OFFENCES, Sentry
from outdial.trunk_state import STATUSES, TrunkServers, TrunkState
from outdial.webhooks.deliver import Deliverer

_MEDIA_GAUGES = {
    "legs": "Audio streams that calls hold.",
    "plays": "Clips, tones and digits that are playing or queued.",
    "streams": "Streams of the media workers.",
    "started": "Streams that send.",
    "rooms": "Mixes of the media workers.",
    "bridged": "Streams that are bridged to another.",
    "recordings": "Recordings not yet finished on disk.",
    "open_clips": "Prompts that the media workers have open.",
    "descriptors": "Files and sockets of the media workers, but for clips and waiting ports.",
    "workers": "Media workers that answer.",
}
_MEDIA_COUNTERS = {
    "packets_sent": "RTP packets sent.",
    "packets_received": "RTP packets received.",
    "packets_relayed": "RTP packets passed from one side of a bridge to the other.",
    "send_errors": "RTP packets that the system would not send.",
    "slots_skipped": "Sending slots lost because a worker was too busy.",
    "restarts": "Media workers that died and were started again.",
}


class MediaStatistics(Protocol):
    """The part of media.plane.WorkerPool that is read here."""

    async def stats(self) -> dict[str, int]: ...


class Trunks(Protocol):
    """The part of sip.plane.SipPlane that is read here."""

    def trunk_states(self) -> Iterable[TrunkState]: ...

    def trunk_servers(self) -> Iterable[TrunkServers]: ...


@frozen
class Kept:
    """What the process keeps open for the next who needs it, besides what calls hold."""

    http_connections: Callable[[], Mapping[str, int]]
    """The HTTP client's, by state."""
    api_connections: Callable[[], int]
    """Those of the HTTP server."""
    speech_helpers: Callable[[], int]
    sip_connections: Callable[[], int] = lambda: 0
    """SIP connections over TCP, in either direction."""


class Gauges(Collector):
    """Read at every scrape; `refresh` first, because the workers have to be asked."""

    def __init__(
        self,
        agent: Agent,
        sentry: Sentry,
        media: MediaStatistics,
        deliverer: Deliverer,
        kept: Kept,
        trunks: Trunks,
    ) -> None:
        self._trunks = trunks
        self._agent = agent
        self._sentry = sentry
        self._media = media
        self._deliverer = deliverer
        self._kept = kept
        self._of_media: dict[str, Any] = {}

    async def refresh(self) -> None:
        """Asks the media workers."""
        self._of_media = await self._media.stats()

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        held = self._agent.counters()
        yield _gauge("sip_client_transactions", "Requests of ours.", held.client_transactions)
        yield _gauge("sip_server_transactions", "Requests to us.", held.server_transactions)
        yield _gauge("sip_transaction_bytes", "What requests to us hold.", held.transaction_bytes)
        yield _gauge("sip_calls", "Calls of the SIP user agent.", held.calls)
        yield _gauge("sip_dialogs", "Confirmed dialogs.", held.dialogs)
        yield _gauge("sip_early_dialogs", "Dialogs before the answer.", held.early_dialogs)
        yield _gauge("sip_timers", "SIP timers that run.", held.timers)
        yield _gauge("sip_connections", "SIP connections.", self._kept.sip_connections())
        tally = self._agent.tally()
        dropped = CounterMetricFamily(
            "outdial_sip_dropped", "SIP messages thrown away, by the reason.", labels=["reason"]
        )
        for reason in ("malformed", "denied", "strays", "overload", "unauthorized"):
            dropped.add_metric([reason], getattr(tally, reason))
        dropped.add_metric(["banned"], self._sentry.refused())
        yield dropped
        yield _gauge("sip_banned", "Sources that are not listened to.", len(self._sentry.listed()))
        bans = CounterMetricFamily(
            "outdial_sip_bans",
            "Sources that were banned, by their last offence.",
            labels=["reason"],
        )
        for reason in OFFENCES:
            bans.add_metric([reason], self._sentry.made().get(reason, 0))
        yield bans
        yield CounterMetricFamily(
            "outdial_sip_orphans",
            "Calls of an earlier process whose far ends were released.",
            value=tally.orphans,
        )
        for name, what in _MEDIA_GAUGES.items():
            yield _gauge(f"media_{name}", what, self._of_media.get(name, 0))
        for name, what in _MEDIA_COUNTERS.items():
            yield CounterMetricFamily(
                f"outdial_media_{name}", what, value=self._of_media.get(name, 0)
            )
        yield _gauge("callbacks_held", "Callbacks not delivered yet.", self._deliverer.held)
        yield _gauge("callbacks_under_way", "Attempts going on.", self._deliverer.under_way)
        attempts = CounterMetricFamily(
            "outdial_callback_attempts",
            "Attempts to deliver a callback, by what came of them.",
            labels=["result"],
        )
        for result, count in self._deliverer.tally.items():
            attempts.add_metric([result], count)
        yield attempts
        lag = HistogramMetricFamily(
            "outdial_callback_lag_seconds", "From an event to the delivery of its callback."
        )
        self._deliverer.lag.add_to(lag)
        yield lag
        yield from self._of_trunks()
        yield from self._of_servers()
        connections = GaugeMetricFamily(
            "outdial_http_connections",
            "Connections to applications, receivers and sound files, by state.",
            labels=["state"],
        )
        for state, count in self._kept.http_connections().items():
            connections.add_metric([state], count)
        yield connections
        yield _gauge("api_connections", "HTTP connections to us.", self._kept.api_connections())
        yield _gauge(
            "speech_helpers", "Processes that speak and listen.", self._kept.speech_helpers()
        )
        yield _gauge("tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))

    def _of_trunks(self) -> Iterator[Metric]:
        """Whether calls should go there first; nothing of a trunk of which nobody knows."""
        up = GaugeMetricFamily(
            "outdial_trunk_up",
            "1: it answers, and we are registered where we should be.",
            labels=["trunk"],
        )
        standing = GaugeMetricFamily(
            "outdial_trunk_state", "1: the state it is in.", labels=["trunk", "state"]
        )
        trip = GaugeMetricFamily(
            "outdial_trunk_rtt_seconds", "How long its last answer took.", labels=["trunk"]
        )
        until = GaugeMetricFamily(
            "outdial_trunk_registered_until_timestamp_seconds",
            "When the registration ends unless it is refreshed.",
            labels=["trunk"],
        )
        for trunk in self._trunks.trunk_states():
            if trunk.is_well is not None:
                up.add_metric([trunk.name], int(trunk.is_well))
            for status in STATUSES:
                standing.add_metric([trunk.name, status], int(status == trunk.status))
            if trunk.rtt_ms is not None:
                trip.add_metric([trunk.name], trunk.rtt_ms / 1000)
            if trunk.registered_until is not None:
                until.add_metric([trunk.name], trunk.registered_until)
        yield from (up, standing, trip, until)

    def _of_servers(self) -> Iterator[Metric]:
        """Those of trunks; a trunk that was not found yet has none."""
        standing = GaugeMetricFamily(
            "outdial_trunk_servers",
            "Servers of the trunk: usable, avoided (calls go there last) or paused (none do).",
            labels=["trunk", "state"],
        )
        failures = CounterMetricFamily(
            "outdial_trunk_server_failures",
            "Calls that a server of the trunk did not take, by how it did not.",
            labels=["trunk", "reason"],
        )
        for one in self._trunks.trunk_servers():
            if one.usable or one.avoided or one.paused:
                standing.add_metric([one.name, "usable"], one.usable)
                standing.add_metric([one.name, "avoided"], one.avoided)
                standing.add_metric([one.name, "paused"], one.paused)
            for reason, count in one.failures.items():
                failures.add_metric([one.name, reason], count)
        yield from (standing, failures)


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"outdial_{name}", what, value=value)
