"""What `/metrics` says of SIP and media."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from outdial.calls.figures import Figures
from outdial.clock import SystemClock
from outdial.gauges import Gauges, Kept
from outdial.histogram import Histogram
from outdial.sip.core.agent import Agent
from outdial.sip.core.bans import Bans
from outdial.sip.sentry import Sentry
from outdial.trunk_state import FAILURES, STATUSES, Failure, TrunkServers, TrunkState

_REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"


class _Media:
    def __init__(self) -> None:
        self.asked = 0

    async def stats(self) -> dict[str, Any]:
        self.asked += 1
        return {"streams": 3, "packets_sent": 500, "unknown": 9}


def _gauges(media: _Media) -> Gauges:
    lag = Histogram((0.1, 1.0))
    lag.observe(0.5)
    agent = Agent(token=lambda: "0123456789abcdef", name="Outdial")
    bans = Bans(1, 60.0)
    bans.offend("198.51.100.7", "denied", 0.0)
    sentry = Sentry(bans, SystemClock(), lambda: 1.0, lambda host: False, lambda host: False)
    assert sentry.turns_away("198.51.100.7")
    return Gauges(
        agent,
        sentry,
        cast(Any, media),
        cast(
            Any,
            SimpleNamespace(
                held=2, under_way=1, tally={"delivered": 3, "failed": 2, "dead": 1}, lag=lag
            ),
        ),
        Kept(lambda: {"idle": 4, "busy": 1}, lambda: 7, lambda: 2, lambda: 5),
        _Trunks(),
    )


class _Trunks:
    def trunk_states(self) -> list[TrunkState]:
        return [
            TrunkState("main", "registered", rtt_ms=12.5, registered_until=60.0),
            TrunkState("spare", "down"),
            TrunkState("never-asked"),
        ]

    def trunk_servers(self) -> list[TrunkServers]:
        none: dict[Failure, int] = dict.fromkeys(FAILURES, 0)
        return [
            TrunkServers("main", 2, 1, 0, {**none, "silent": 7}),
            TrunkServers("spare", 0, 0, 1, {**none, "paused": 1}),
            TrunkServers("never-asked", 0, 0, 0, none),
        ]


async def test_the_workers_are_asked_before_a_scrape_and_not_during_it() -> None:
    media = _Media()
    gauges = _gauges(media)
    await gauges.refresh()
    samples = [sample for metric in gauges.collect() for sample in metric.samples]
    values = {sample.name: sample.value for sample in samples}
    connections = {
        sample.labels["state"]: sample.value
        for sample in samples
        if sample.name == "outdial_http_connections"
    }
    assert connections == {"idle": 4, "busy": 1}
    assert (values["outdial_api_connections"], values["outdial_speech_helpers"]) == (7, 2)
    assert values["outdial_sip_connections"] == 5
    assert media.asked == 1
    assert values["outdial_media_streams"] == 3
    assert values["outdial_media_packets_sent_total"] == 500
    assert values["outdial_media_bridged"] == 0
    assert values["outdial_callbacks_held"] == 2
    assert values["outdial_sip_dialogs"] == 0
    assert values["outdial_tasks"] >= 1
    by_reason = {
        (sample.name, sample.labels["reason"]): sample.value
        for sample in samples
        if "reason" in sample.labels
    }
    assert values["outdial_sip_banned"] == 1
    assert by_reason["outdial_sip_bans_total", "denied"] == 1
    assert by_reason["outdial_sip_bans_total", "strays"] == 0
    assert by_reason["outdial_sip_dropped_total", "banned"] == 1


async def test_trunks_that_were_asked_are_told_of_and_how_late_callbacks_are() -> None:
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in _gauges(_Media()).collect()
        for sample in metric.samples
        if "trunk" in sample.name or "lag" in sample.name
    }
    states = {"main": "registered", "spare": "down", "never-asked": "unknown"}
    expected: dict[tuple[str, ...], float] = {
        ("outdial_trunk_state", name, status): int(status == state)
        for name, state in states.items()
        for status in STATUSES
    } | {
        ("outdial_trunk_server_failures_total", name, reason): 0
        for name in states
        for reason in FAILURES
    }
    assert found == expected | {
        ("outdial_trunk_server_failures_total", "main", "silent"): 7,
        ("outdial_trunk_server_failures_total", "spare", "paused"): 1,
        ("outdial_trunk_servers", "main", "usable"): 2,
        ("outdial_trunk_servers", "main", "avoided"): 1,
        ("outdial_trunk_servers", "main", "paused"): 0,
        ("outdial_trunk_servers", "spare", "usable"): 0,
        ("outdial_trunk_servers", "spare", "avoided"): 0,
        ("outdial_trunk_servers", "spare", "paused"): 1,
        ("outdial_trunk_up", "main"): 1,
        ("outdial_trunk_up", "spare"): 0,
        ("outdial_trunk_registered_until_timestamp_seconds", "main"): 60.0,
        ("outdial_trunk_rtt_seconds", "main"): 0.0125,
        ("outdial_callback_lag_seconds_bucket", "0.1"): 0,
        ("outdial_callback_lag_seconds_bucket", "1.0"): 1,
        ("outdial_callback_lag_seconds_bucket", "+Inf"): 1,
        ("outdial_callback_lag_seconds_count",): 1,
        ("outdial_callback_lag_seconds_sum",): 0.5,
    }


async def test_every_metric_is_in_the_reference() -> None:
    page = _REFERENCE.read_text(encoding="utf-8")
    for metric in (*_gauges(_Media()).collect(), *Figures().collect()):
        name = metric.name + ("_total" if metric.type == "counter" else "")
        assert f"`{name}" in page, name
