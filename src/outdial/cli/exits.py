"""What the program's exit status says; docs/reference/cli.md has the same table."""

from __future__ import annotations

OK = 0
REFUSED = 1
"""Refused, unreachable, a wrong setting, or a failed check."""
BUSY = 2
NO_ANSWER = 3
FAILED = 4
CANCELED = 5
USAGE = 64
"""A wrong command line (EX_USAGE of sysexits.h: 2 is taken by busy)."""
INTERRUPTED = 130

BY_OUTCOME = {
    "completed": OK,
    "busy": BUSY,
    "no-answer": NO_ANSWER,
    "failed": FAILED,
    "canceled": CANCELED,
}
