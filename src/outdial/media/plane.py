"""The control side of the media workers: fulfils `legs.MediaPlane`.

Every worker binds ports ahead and announces them, so that `open` asks nobody.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import Any, cast

from outdial.clock import Clock
from outdial.config import Media
from outdial.errors import ConfigError
from outdial.legs import MediaLeg, MediaListener, Room
from outdial.media import wire
from outdial.media.leg import Leg
from outdial.media.process import COUNTERS, Worker
from outdial.media.rooms import WorkerRoom

_STATES = wire.Report._fields[: -len(COUNTERS)]


class WorkerPool:
    """All media workers; fulfils `legs.MediaPlane`. Made by `start`, ended by `stop`."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers

    @classmethod
    async def start(
        cls,
        settings: Media,
        clock: Clock,
        *,
        encrypts: bool = False,
        sealed: bool = False,
        codecs: Iterable[str] = (),
    ) -> WorkerPool:
        """Starts the workers; with SRTP loaded beforehand (`encrypts`), and what seals recordings
        (`sealed`), and the `codecs` of trunks besides those of the settings.

        Raises ConfigError for the settings, else MediaUnavailable.
        """
        ports = parse_ports(settings.ports)
        more = ["srtp"] * encrypts + ["sealed"] * sealed + sorted({*settings.codecs, *codecs})
        pool = cls([Worker(n, settings, ports, clock, more) for n in range(worker_count(settings))])
        try:
            await asyncio.gather(*(worker.start() for worker in pool._workers))
        except BaseException:
            await pool.stop()
            raise
        return pool

    def open(self, leg_id: str, listener: MediaListener, near: MediaLeg | None = None) -> MediaLeg:
        """As `legs.MediaPlane.open`. Takes the worker with the fewest streams."""
        if near is not None:
            worker = cast(Leg, near).worker
        else:
            worker = min(self._workers, key=_load)
        return cast(MediaLeg, worker.open(leg_id, listener))

    def room(self, room_id: str, listener: MediaListener) -> Room:
        """As `legs.MediaPlane.room`."""
        return WorkerRoom(room_id, listener)

    @property
    def pids(self) -> list[int]:
        """The processes, for metrics."""
        return [worker.pid for worker in self._workers if worker.alive and worker.pid is not None]

    async def stats(self) -> dict[str, Any]:
        """Sums of the workers' reports (`wire.Report`), and what the control side counts.

        `COUNTERS` never fall: a worker that is dead or does not answer adds what it last said.
        """
        reports = await asyncio.gather(*(worker.report() for worker in self._workers))
        totals: dict[str, Any] = dict.fromkeys(wire.Report._fields, 0)
        for report in reports:
            if report is not None:
                for name in _STATES:
                    totals[name] += getattr(report, name)
        for name in COUNTERS:
            totals[name] = sum(worker.counted(name) for worker in self._workers)
        totals["workers"] = sum(report is not None for report in reports)
        totals["legs"] = sum(len(worker.legs) for worker in self._workers)
        totals["rooms"] = sum(len(worker.rooms) for worker in self._workers)
        totals["plays"] = sum(
            len(leg.plays) for worker in self._workers for leg in worker.legs.values()
        )
        totals["restarts"] = sum(worker.restarts for worker in self._workers)
        return totals

    async def stop(self) -> None:
        """Closes every leg and ends the workers. Idempotent."""
        await asyncio.gather(*(worker.stop() for worker in self._workers))


def _load(worker: Worker) -> tuple[bool, int]:
    return not (worker.alive and worker.free_ports), len(worker.legs)


def worker_count(settings: Media) -> int:
    """How many processes: as set, else one a core less the control process's."""
    return settings.workers or max(1, len(os.sched_getaffinity(0)) - 1)


def parse_ports(text: str) -> tuple[int, int]:
    """``first-last``. Raises ConfigError."""
    first, _, last = text.partition("-")
    if not (first.strip().isdecimal() and last.strip().isdecimal()):
        raise ConfigError("media.ports", f"{text!r} is not a range", "for example 20000-29999")
    low, high = int(first), int(last)
    if not 1024 <= low < high <= 65535 or high - low < 3:
        raise ConfigError(
            "media.ports", f"{text!r} has no room", "first < last, both from 1024 to 65535"
        )
    return low, high
