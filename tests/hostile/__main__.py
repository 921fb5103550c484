"""``python -m hostile``; exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import uvloop

from chaos.__main__ import write
from hostile.siege import Plan, Siege


def main() -> int:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(prog="hostile", description=__doc__)
    parser.add_argument("--messages", type=int, default=Plan.count)
    parser.add_argument("--rate", type=float, default=0.0, help="a second; 0: as many as are read")
    parser.add_argument("--minutes", type=float, default=0.0, help="no more are sent after so long")
    parser.add_argument("--warm-up", type=int, default=0, help="messages; default: a fifth")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="a page whose table of figures is replaced")
    options = parser.parse_args()
    plan = Plan(
        count=options.messages,
        rate=options.rate,
        warm_up=options.warm_up,
        longest_s=60 * options.minutes,
        seed=options.seed,
    )
    report = uvloop.run(Siege(plan).run())
    print(f"\n{report}")
    if options.write:
        write(options.write, "hostile", report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
