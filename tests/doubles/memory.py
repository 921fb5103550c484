"""How much memory processes have that nobody else has.

The proportional set size that `Usage` tells moves when other processes that share their libraries
begin and end: for growth over minutes only what is anonymous counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def own_kib(pids: Iterable[int]) -> int:
    """Anonymous and shared memory, KiB; 0 of a process that is gone."""
    return sum(_own_kib(pid) for pid in pids)


def _own_kib(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    rows = (line.split() for line in rollup.splitlines())
    return sum(int(row[1]) for row in rows if row[0] in ("Pss_Anon:", "Pss_Shmem:"))
