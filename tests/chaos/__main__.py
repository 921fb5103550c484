"""``python -m chaos kill|stop|dial``; exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Protocol

import uvloop

from chaos import dial, kill, stop
from chaos.stage import Setting


def main() -> int:
    """Runs what the arguments say."""
    options = _options()
    verdict = uvloop.run(_RUNS[options.what](options))
    print(f"\n{verdict}")
    if options.write:
        write(options.write, options.figures or options.what, verdict)
    return 1 if verdict.broken else 0


_RUNS = {
    "kill": lambda options: kill.run(
        kill.Plan(
            options.kills or 120,
            options.posts,
            options.longest_s or 1080.0,
            replace(_setting(options), failures_per_call=2),
        )
    ),
    "dial": lambda options: dial.run(
        dial.Plan(
            options.kills or 2_000,
            longest_s=options.longest_s or 1500.0,
            setting=_setting(options),
        )
    ),
    "stop": lambda options: stop.run(stop.Plan(setting=_setting(options))),
}


def _setting(options: argparse.Namespace) -> Setting:
    return Setting(
        rate=options.rate,
        nodes=options.nodes,
        store_url=options.store_url,
        seed=options.seed,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("what", choices=sorted(_RUNS))
    parser.add_argument("--kills", type=int, default=0, help="120, dial: 2,000")
    parser.add_argument("--posts", type=int, default=40_000, help="at least so many acknowledged")
    parser.add_argument("--rate", type=float, default=70.0, help="posts a second")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument(
        "--store-url", default="", help="default: a SQLite file; postgresql: a server"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest-s", type=float, default=0.0)
    parser.add_argument("--write", type=Path, help="a page whose table of figures is replaced")
    parser.add_argument("--figures", default="", help="the table's name; default: what was run")
    options = parser.parse_args()
    if options.nodes > 1 and not options.store_url.startswith("postgresql"):
        parser.error("several nodes share a PostgreSQL database: add --store-url postgresql")
    return options


class Figures(Protocol):
    """What was measured."""

    def rows(self) -> Iterable[tuple[str, str]]:
        """What, and how much."""


def write(page: Path, name: str, verdict: Figures) -> None:
    """Puts the figures between the page's ``NAME measured: begin`` and ``end``."""
    rows = "\n".join(f"| {what} | {value} |" for what, value in verdict.rows())
    when = f"Measured {date.today()} on {os.cpu_count()} cores, Python {platform.python_version()}."
    table = f"{when}\n\n| what | measured |\n|---|---|\n{rows}"
    marks = re.compile(
        rf"(<!-- {name} measured: begin -->\n).*?(<!-- {name} measured: end -->)", re.S
    )
    text, count = marks.subn(lambda found: f"{found[1]}\n{table}\n\n{found[2]}", page.read_text())
    if count != 1:
        raise SystemExit(f"{page} has no place for the figures of {name}")
    page.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
