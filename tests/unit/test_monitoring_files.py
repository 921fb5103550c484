"""The dashboard and the alert rules of docs/monitoring: they load, and name only what there is."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from outdial.api.metrics import Metrics
from outdial.calls.figures import Figures
from outdial.clock import SystemClock
from outdial.gauges import Gauges, Kept
from outdial.histogram import Histogram
from outdial.nodes.metrics import NodeGauges
from outdial.sip.core.agent import Agent
from outdial.sip.core.bans import Bans
from outdial.sip.sentry import Sentry
from outdial.tls.gauges import CertificateGauges
from outdial.tls.watch import CertificateWatch
from outdial.trunk_state import FAILURES, TrunkServers, TrunkState

yaml: Any = importlib.import_module("yaml")  # it has no types

FOLDER = Path(__file__).parents[2] / "docs/monitoring"
GUIDE = FOLDER.parent / "guides/monitoring.md"
RULES = FOLDER / "alerts.yml"
BOARD: dict[str, Any] = json.loads((FOLDER / "outdial-dashboard.json").read_text())
ALERTS: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
TESTS: dict[str, Any] = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())
PANELS: list[dict[str, Any]] = [one for one in BOARD["panels"] if one["type"] != "row"]
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
_NAME = re.compile(r"\b(?:outdial|process)_[a-z_]+\b")
_SELECTOR = re.compile(r"\{([^{}]*)\}")
_MATCHER = re.compile(r'([a-z]+)(=|!=|=~|!~)"[^"]*"')
LABELS = {
    "instance", "job", "trunk", "outcome", "cause", "result", "reason", "door", "status", "le",
    "section", "state",
}  # fmt: skip
"""Those of our metrics, and the two that Prometheus adds."""


async def exposed() -> set[str]:
    """The names of everything that `/metrics` of a server has."""
    calls = SimpleNamespace(
        ended=lambda: {("failed", "busy"): 1},
        health=lambda: {"live": 1, "queued": 0, "ready": True},
        conferences=[],
        queues=[],
    )
    deliverer = SimpleNamespace(held=0, under_way=0, tally={"dead": 1}, lag=Histogram((1.0,)))
    gauges = Gauges(
        Agent(token=lambda: "0123456789abcdef", name="Outdial"),
        Sentry(Bans(1, 60.0), SystemClock(), lambda: 1.0, lambda host: False, lambda host: False),
        cast(Any, SimpleNamespace()),
        cast(Any, deliverer),
        Kept(lambda: {"idle": 1}, lambda: 1, lambda: 1),
        cast(
            Any,
            SimpleNamespace(
                trunk_states=lambda: [TrunkState("main", "up", rtt_ms=1.0)],
                trunk_servers=lambda: [TrunkServers("main", 1, 0, 0, dict.fromkeys(FAILURES, 0))],
            ),
        ),
    )
    member = SimpleNamespace(holds_lease=True, takeovers=0, claimed=0)
    certificates = CertificateGauges(CertificateWatch(), SystemClock(), lambda: {"ok": 1})
    collectors = (gauges, Figures(), NodeGauges(cast(Any, member)), certificates)
    text = Metrics(cast(Any, calls), collectors).exposition().decode()
    return {
        family.name + suffix
        for family in text_string_to_metric_families(text)
        for suffix in SUFFIXES[family.type]
    }


def expressions() -> Iterator[tuple[str, str]]:
    """Where each stands, and what it is."""
    for rule in ALERTS:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def names_of(expression: str) -> set[str]:
    return set(_NAME.findall(_SELECTOR.sub("", expression)))


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    return asyncio.run(exposed())


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_metric_that_is_asked_for_exists(
    where: str, expression: str, metrics: set[str]
) -> None:
    names = names_of(expression)
    assert names or "up{" in expression, where
    assert names - metrics == set()


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_expression_is_whole(where: str, expression: str) -> None:
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing), where
    for selector in _SELECTOR.findall(expression):
        matchers = _MATCHER.findall(selector)
        assert len(matchers) == len([part for part in selector.split(",") if part.strip()])
        assert {label for label, _ in matchers} <= LABELS
    for labels in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= LABELS
    for name in names_of(expression):
        if name.endswith(("_total", "_bucket", "_sum", "_count")):
            assert re.search(rf"(rate|increase)\({name}\b", expression), f"{name} only grows"


def test_every_alert_says_what_is_wrong_and_stands_in_the_guide() -> None:
    guide = GUIDE.read_text()
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names) > 10
    for rule in ALERTS:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
        assert f"`{rule['alert']}`" in guide
    assert set(re.findall(r"`(Outdial[A-Z]\w+)`", guide)) == set(names)


def test_the_guide_scrapes_under_the_name_that_the_rules_look_for() -> None:
    (settings,) = re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text(), re.M | re.S)
    read = yaml.safe_load(settings)
    assert read["rule_files"] == [RULES.name]
    assert [one["job_name"] for one in read["scrape_configs"]] == ["outdial"]
    asked = re.findall(r'job="(\w+)"', RULES.read_text())
    assert set(asked) == {"outdial"}


def test_every_threshold_of_a_bucket_is_a_bucket() -> None:
    """A bucket that does not exist is no error to Prometheus: the alert would never come."""
    figures = Figures()
    figures.take(cast(Any, SimpleNamespace(
        trunk="main", dialled_at=1.0, ringing_at=2.0, answered_at=2.0,
        media={"ticks_late": 0, "sound_after_ms": 1.0, "mos": 4.0, "packets_received": 1,
               "packets_lost": 0, "jitter_ms": 1.0},
    )))  # fmt: skip
    buckets = {
        (sample.name, sample.labels["le"])
        for metric in figures.collect()
        for sample in metric.samples
        if "le" in sample.labels
    }
    asked = {
        found
        for _, expression in expressions()
        for found in re.findall(r'(\w+_bucket)\{le="([^"]+)"', expression)
    }
    assert asked
    assert asked <= buckets


def test_the_dashboard_has_what_grafana_needs() -> None:
    assert BOARD["title"] == "Outdial" and BOARD["uid"] and BOARD["schemaVersion"] >= 30
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {one["name"] for one in BOARD["templating"]["list"]}
    assert variables == {"datasource", "instance", "trunk"}
    for panel in PANELS:
        assert panel["title"] and panel["description"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(panel)))
        assert used <= variables | {"__rate_interval"}, panel["title"]


def test_no_panel_lies_on_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_alert_is_tried_both_ways() -> None:
    """That it comes, and that it does not: before its time, or for those that are well."""
    tried: dict[str, set[bool]] = {}
    for test in TESTS["tests"]:
        for case in test["alert_rule_test"]:
            tried.setdefault(case["alertname"], set()).add(bool(case.get("exp_alerts")))
    assert TESTS["rule_files"] == [RULES.name]
    assert tried == {rule["alert"]: {True, False} for rule in ALERTS}


def test_what_is_tried_is_what_a_server_has(metrics: set[str]) -> None:
    for test in TESTS["tests"]:
        for series in test["input_series"]:
            name, _, labels = series["series"].partition("{")
            assert name in metrics | {"up"}
            assert set(re.findall(r"(\w+)=", labels)) <= LABELS


def promtool(*words: str | Path) -> None:
    """Prometheus's own reader of such files has nothing to say against them."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed; `make test-programs` installs it")
    told = subprocess.run(
        [program, *map(str, words)], cwd=FOLDER, capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, told.stdout + told.stderr


def test_promtool_takes_the_rules() -> None:
    promtool("check", "rules", RULES)


def test_each_alert_comes_when_it_should_and_not_otherwise() -> None:
    promtool("test", "rules", FOLDER / "alerts_test.yml")


def test_promtool_takes_what_the_panels_ask_for(tmp_path: Path) -> None:
    """As rules that record it, with something in the place of Grafana's variables."""
    asked = [
        re.sub(r"\$\w+", "x", target["expr"].replace("$__rate_interval", "1m"))
        for panel in PANELS
        for target in panel["targets"]
    ]
    rules = [
        {"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(asked)
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", path)
