"""CPU and memory of a process and all that descend from it, from /proc (proc(5))."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a process tree."""

    at: float
    """Monotonic clock, seconds."""
    cpu_s: float
    """User and system time of the processes that are alive, and of children they waited for."""
    rss: int
    """Resident bytes, shared pages counted in each process."""
    pss: int
    """Resident bytes, each shared page divided by its users; 0 where the kernel does not tell."""
    processes: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What lies between two readings."""

    wall_s: float
    cpu_s: float

    @property
    def cores_percent(self) -> float:
        """CPU in per cent of one core."""
        return 100 * self.cpu_s / self.wall_s


def read(pids: Iterable[int], *, memory: bool = False) -> Reading:
    """CPU of the trees below `pids`; their memory too when asked, which walks page tables."""
    tree = family(pids)
    cpu = sum(_cpu_s(pid) for pid in tree)
    at = time.monotonic()
    if not memory:
        return Reading(at, cpu, 0, 0, len(tree))
    sizes = [_sizes(pid) for pid in tree]
    return Reading(at, cpu, sum(s[0] for s in sizes), sum(s[1] for s in sizes), len(tree))


def spent(before: Reading, after: Reading) -> Spent:
    """The CPU used from one reading to the next."""
    return Spent(after.at - before.at, after.cpu_s - before.cpu_s)


def mib(size: float) -> float:
    """Bytes as MiB."""
    return size / _MIB


def family(pids: Iterable[int]) -> set[int]:
    """The processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def parent(pid: int) -> int:
    """The process that started it; 0 when there is no such process."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return []
    # The command's name may hold spaces and brackets.
    return text[text.rindex(")") + 2 :].split()


def _cpu_s(pid: int) -> float:
    fields = _stat(pid)
    # utime, stime, cutime, cstime
    return sum(int(value) for value in fields[11:15]) / _TICKS_PER_S if fields else 0.0


def _sizes(pid: int) -> tuple[int, int]:
    """RSS and PSS in bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        fields = _stat(pid)
        return (int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields else 0), 0
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return kib.get("Rss", 0) << 10, kib.get("Pss", 0) << 10
