"""``python -m soak``; exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chaos.__main__ import write
from soak.run import Plan, Soak, enter_namespace


def main() -> int:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=Plan.minutes)
    parser.add_argument("--calls", type=int, default=Plan.calls, help="at once")
    parser.add_argument("--loss", type=float, default=Plan.loss, help="of each way, 0.02 is 2 %%")
    parser.add_argument("--call-seconds", type=int, default=Plan.call_s)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--write", type=Path, help="a page whose table of figures is replaced")
    options = parser.parse_args()
    enter_namespace()
    plan = Plan(options.minutes, options.calls, options.loss, options.call_seconds, options.seed)
    report = Soak(plan).run()
    print(f"\n{report}")
    if options.write:
        write(options.write, "soak", report)
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
