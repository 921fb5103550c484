"""Figures as a table: on the terminal, as JSON lines, and in docs/benchmarks.md."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    title: str
    unit: str
    floor: float | None = None
    """Outdial / Asterisk that must be reached; None: the row has no budget of that kind."""
    goal: float | None = None
    more_is_better: bool = False
    limit: float | None = None
    """A budget that needs no peer, in the figure's unit."""


FIGURES = (
    Figure("call_cpu_ms", "CPU of a whole call ({call_rate:g}/s)", "ms", 0.45, 0.33),
    Figure("call_database_ms", "CPU of the database server for it", "ms"),
    Figure("held_rate", "whole calls a second held", "/s", 1.5, 2, more_is_better=True),
    Figure("held_rate_cpu_ms", "CPU of a whole call at that rate", "ms"),
    Figure("prompts_cpu_percent", "CPU per 100 prompts ({prompts:g} up)", "% core", 0.45, 0.33),
    Figure("bridges_cpu_percent", "CPU per 100 bridges ({bridges:g} up)", "% core", 0.6, 0.4),
    Figure("held_prompts", "prompts at once held", "", 1.5, 2, more_is_better=True),
    Figure("held_prompts_p99_ms", "pacing error p99 with those", "ms"),
    Figure("pacing_p99_ms", "pacing error p99 ({prompts:g} prompts)", "ms"),
    Figure("pacing_max_ms", "pacing error, largest", "ms"),
    Figure("packets_lost", "packets lost", ""),
    Figure("call_rss_kib", "memory a live call, RSS", "KiB", 0.4, 0.25, limit=60),
    Figure("call_pss_kib", "memory a live call, PSS", "KiB"),
    Figure("idle_rss_mib", "idle process tree, RSS", "MiB"),
    Figure("idle_pss_mib", "idle process tree, PSS", "MiB", limit=250),
    Figure("invite_ms_p50", "POST to INVITE at 20/s, p50", "ms", 2, 1.3),
    Figure("invite_ms_p99", "POST to INVITE at 20/s, p99", "ms", 2.5, 1.6),
    Figure("sound_ms_p50", "answer to first prompt packet, p50", "ms", 1.3, 1),
    Figure("sound_ms_p99", "answer to first prompt packet, p99", "ms", 2, 1.3),
    Figure("say_new_ms_p50", "Say of new text to first sound, p50", "ms", limit=100),
    Figure("say_new_ms_p99", "Say of new text to first sound, p99", "ms"),
    Figure("say_again_ms_p50", "Say of known text to first sound, p50", "ms"),
    Figure("say_again_ms_p99", "Say of known text to first sound, p99", "ms"),
)
SERVERS = ("outdial", "outdial on postgresql", "asterisk")
_FAILED = ("call_failed", "latency_failed", "prompts_failed", "bridges_failed")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of all servers."""

    title: str
    unit: str
    ours: str
    with_postgresql: str
    peer: str
    ratio: str
    budget: str
    verdict: str


def rows(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The table of one run's records: medians over its rounds."""
    kept = list(records)
    ours, on_postgresql, peer = (
        _medians([r["figures"] for r in kept if r["server"] == name]) for name in SERVERS
    )
    table = []
    for figure in FIGURES:
        if any(figure.name in figures for figures in (ours, on_postgresql, peer)):
            table.append(_row(figure, ours, on_postgresql, peer))
    return table


def failures(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Measurements in which calls failed: their figures are not to be trusted."""
    return [
        f"{record['server']}, round {record['round']}: {name.removesuffix('_failed')}: "
        f"{record['figures'][name]:g} calls failed"
        for record in records
        for name in _FAILED
        if record["figures"].get(name)
    ]


def _medians(figures: list[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in figures for name in one)
    medians = {}
    for name in names:
        values = [one[name] for one in figures if name in one and not math.isnan(one[name])]
        if values:
            medians[name] = statistics.median(values)
    return medians


def _row(
    figure: Figure,
    ours: Mapping[str, float],
    on_postgresql: Mapping[str, float],
    peer: Mapping[str, float],
) -> Row:
    mine, theirs = ours.get(figure.name), peer.get(figure.name)
    sizes = {"call_rate": 0.0, "prompts": 0.0, "bridges": 0.0, **peer, **ours}
    ratio = mine / theirs if mine is not None and theirs else None
    return Row(
        figure.title.format(**sizes),
        figure.unit,
        _text(mine),
        _text(on_postgresql.get(figure.name)),
        _text(theirs),
        "" if ratio is None else f"{ratio:.2f}",
        _budget(figure),
        _verdict(figure, mine, ratio),
    )


def _budget(figure: Figure) -> str:
    parts = []
    if figure.floor is not None:
        parts.append(f"{figure.floor:g} / {figure.goal:g}")
    if figure.limit is not None:
        parts.append(f"≤ {figure.limit:g} {figure.unit}")
    return ", ".join(parts)


def _verdict(figure: Figure, mine: float | None, ratio: float | None) -> str:
    """Where the figure stands against its budgets, the worst first."""
    if mine is not None and figure.limit is not None and mine > figure.limit:
        return "over the limit"
    if ratio is None or figure.floor is None or figure.goal is None:
        return "within the limit" if mine is not None and figure.limit is not None else ""
    sign = -1 if figure.more_is_better else 1
    if sign * ratio <= sign * figure.goal:
        return "goal"
    return "floor" if sign * ratio <= sign * figure.floor else "short of the floor"


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return {
        "processor": f"{os.cpu_count()} x {model}",
        "memory": f"{memory:.0f} GiB",
        "system": f"Linux {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def show(records: list[Mapping[str, Any]], console: Console) -> None:
    """Prints the table."""
    _, with_postgresql, with_peer = (
        any(record["server"] == name for record in records) for name in SERVERS
    )
    headings = ["figure", "unit", "Outdial"]
    if with_postgresql:
        headings.append("with PostgreSQL")
    if with_peer:
        headings += ["Asterisk", "ratio"]
    table = Table(*headings, "budget (floor / goal)" if with_peer else "budget", "")
    for row in rows(records):
        middle = [row.with_postgresql] if with_postgresql else []
        middle += [row.peer, row.ratio] if with_peer else []
        table.add_row(row.title, row.unit, row.ours, *middle, row.budget, row.verdict)
    console.print(table)
    for line in failures(records):
        console.print(line, style="red")


def markdown(records: list[Mapping[str, Any]]) -> str:
    """The part of docs/benchmarks.md that is measured."""
    first = records[0]
    rounds = max(record["round"] for record in records)
    on = first["machine"]
    lines = [
        BEGIN,
        "",
        f"Measured {first['run'][:10]} on {on['processor']}, {on['memory']}, {on['system']}, "
        f"Python {on['python']}; medians of {rounds} round{'s' if rounds > 1 else ''}, "
        f"windows of {first['plan']['seconds']:g} s.",
        "",
        "| figure | unit | Outdial | with PostgreSQL | Asterisk | ratio | budget: floor / goal "
        "| reached |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows(records):
        measured = (row.ours, row.with_postgresql, row.peer)
        cells = (row.title, row.unit, *measured, row.ratio, row.budget, row.verdict)
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"- {line}" for line in failures(records))]
    return "\n".join([*lines, END])


def fill(page: Path, records: list[Mapping[str, Any]]) -> None:
    """Replaces the measured part of the page. Raises ValueError when it has no place for it."""
    replace_part(page, BEGIN, END, markdown(records))


def replace_part(page: Path, first: str, last: str, part: str) -> None:
    """Replaces what stands between two lines, and them. Raises ValueError when they do not."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{page} lacks the lines {first} and {last}")
    page.write_text(before + part + after, encoding="utf-8")


def last_run(path: Path) -> list[Mapping[str, Any]]:
    """The records of the newest run in a results file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    records: list[Mapping[str, Any]] = [json.loads(line) for line in lines]
    return [record for record in records if record["run"] == records[-1]["run"]]
