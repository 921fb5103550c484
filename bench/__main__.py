"""Measures Outdial on this machine, and beside it Asterisk where that is installed.

python -m bench                           everything, some minutes
python -m bench --quick                   everything, shorter and smaller: a first look
python -m bench --only calls,latency      some of it
python -m bench --peer DIR --markdown     against Asterisk, three rounds, and into the docs
python -m bench --postgresql URL          once more with another store
python -m bench --only tables             the store with a million calls in it, some minutes
python -m bench --report --markdown       the last run once more, without measuring
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from bench import measures, report, tables
from bench.servers import Outdial, OutdialOnPostgresql, Peer, Server

_ROOT = Path(__file__).resolve().parent.parent
_RESULTS = _ROOT / "bench-results" / "results.jsonl"
_PAGE = _ROOT / "docs" / "benchmarks.md"
_TABLES = "tables"
_PLAN = measures.Plan(
    seconds=15,
    rate=60,
    rates=(100, 150, 200, 250, 300, 350, 400, 450, 500),
    streams=200,
    bridges=100,
    held=(500, 1000, 1500, 2000),
)
_QUICK = measures.Plan(
    seconds=5, rate=60, rates=(100, 200, 300), streams=100, bridges=40, held=(300, 600)
)


def main() -> None:
    """Reads the command line, measures, reports."""
    options = _options()
    console = Console(width=None if os.isatty(1) else 132)
    if options.only == [_TABLES]:
        _measure_tables(options, console)
        return
    if not options.report:
        _raise_descriptor_limit()
        # Ended from outside it must not leave servers behind: the exit unwinds what started them.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        _run(options, console)
    records = report.last_run(_RESULTS)
    if not records:
        raise SystemExit(f"{_RESULTS} holds no results yet")
    report.show(records, console)
    if options.markdown:
        report.fill(_PAGE, records)
        console.print(f"written: {_PAGE.relative_to(_ROOT)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", default=",".join(measures.MEASURES), metavar="A,B", type=_names,
        help="some of " + ", ".join(measures.MEASURES) + f"; or {_TABLES}, alone")  # fmt: skip
    add("--quick", action="store_true", help="shorter windows, fewer calls")
    add("--seconds", type=float, help="length of each window")
    add("--rate", type=float, help="calls a second at which CPU per call is measured")
    add("--rates", type=_numbers, metavar="N,N", help="steps towards the most calls a second")
    add("--streams", type=int, help="simultaneous prompts")
    add("--bridges", type=int, help="simultaneous bridges")
    add("--held", type=_numbers, metavar="N,N", help="steps towards the most prompts at once")
    add("--rounds", type=int, help="how often; medians are reported (1, with a peer 3)")
    add("--peer", type=Path, default=os.environ.get("OUTDIAL_PEERLAB") or None, metavar="DIR",
        help="folder of the Asterisk peer (environment: OUTDIAL_PEERLAB)")  # fmt: skip
    add("--postgresql", metavar="URL",
        help="measure once more with the store in this empty database")  # fmt: skip
    add("--calls", type=int, default=tables.MANY, help=f"with {_TABLES}: calls in the full store")
    add("--folder", type=Path, metavar="DIR",
        help=f"with {_TABLES}: where to make it, 6 GB for a million calls; else /tmp")  # fmt: skip
    add("--report", action="store_true", help="show the last run again, measure nothing")
    add("--markdown", action="store_true", help="fill docs/benchmarks.md")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if names == [_TABLES]:
        return names
    for name in names:
        if name not in measures.MEASURES:
            known = ", ".join(measures.MEASURES)
            raise argparse.ArgumentTypeError(f"{name!r} is none of {known}; {_TABLES} goes alone")
    return [name for name in measures.MEASURES if name in names]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _plan(options: argparse.Namespace) -> measures.Plan:
    plan = asdict(_QUICK if options.quick else _PLAN)
    given = {name: getattr(options, name) for name in plan}
    return measures.Plan(**{name: given[name] or value for name, value in plan.items()})


def _measure_tables(options: argparse.Namespace, console: Console) -> None:
    """The store by itself: nothing of the rest is running."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    measured = tables.run(options.calls, options.postgresql, options.folder, console)
    if options.markdown:
        tables.fill_page(_PAGE, measured, options.calls)
        console.print(f"written: {_PAGE.relative_to(_ROOT)}")


def _run(options: argparse.Namespace, console: Console) -> None:
    """Measures server after server, round after round; appends each to the results at once."""
    plan = _plan(options)
    rounds = options.rounds or (3 if options.peer else 1)
    shared: dict[str, Any] = {
        "run": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "machine": report.machine(),
        "plan": asdict(plan),
    }
    _RESULTS.parent.mkdir(exist_ok=True)
    wanted = {
        "asterisk": options.peer,
        "outdial": True,
        OutdialOnPostgresql.name: options.postgresql,
    }
    names = [name for name, is_wanted in wanted.items() if is_wanted]
    for number in range(1, rounds + 1):
        for name in names:
            with tempfile.TemporaryDirectory(prefix="outdial-bench-") as folder:
                server = _server(name, Path(folder), options)
                figures = _measure(server, options.only, plan, console)
            record = {**shared, "round": number, "server": server.name, "figures": figures}
            with _RESULTS.open("a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")


def _server(name: str, folder: Path, options: argparse.Namespace) -> Server:
    if name == Peer.name:
        return Peer(options.peer)
    if name == OutdialOnPostgresql.name:
        return OutdialOnPostgresql(folder, options.postgresql)
    return Outdial(folder)


def _measure(
    server: Server, names: list[str], plan: measures.Plan, console: Console
) -> measures.Figures:
    def tell(line: str) -> None:
        console.print(line, style="dim", markup=False, highlight=False)

    with server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measures.measure(server, names, plan, tell))


def _raise_descriptor_limit() -> None:
    """A thousand calls are several thousand sockets; servers inherit the limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    main()
