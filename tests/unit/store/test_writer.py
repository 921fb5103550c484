"""When the writer writes, in virtual time and with a disk that takes 2 ms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from outdial.store.groups import Operation
from outdial.store.writer import Writer
from outdial.testing.rehearsal.virtual_time import VirtualTimeLoop

DISK_S = 0.002


class Disk:
    """Fulfils `groups.Transactions`."""

    def __init__(self) -> None:
        self.written = 0
        self.begun: list[tuple[float, int]] = []
        """When a transaction began, and of how many operations."""

    def start(self, settled: Callable[[], None]) -> None:
        self._settled = settled

    def write(self, group: list[Operation]) -> None:
        loop = asyncio.get_running_loop()
        self.begun.append((loop.time(), len(group)))
        self.written += 1
        loop.call_later(DISK_S, self._settled)

    async def close(self) -> None:
        pass


def in_virtual_time(work: Callable[[Writer, Disk], Awaitable[None]]) -> Disk:
    """Runs it with a writer; gives the disk."""
    loop, disk = VirtualTimeLoop(), Disk()

    async def run() -> None:
        writer = Writer(disk)
        await work(writer, disk)
        await writer.close()

    loop.running += 1
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return disk


async def stream(writer: Writer, per_s: float, seconds: float) -> list[float]:
    """Submits so many a second, each of which somebody waits for; how long each waited."""
    loop = asyncio.get_running_loop()
    waits: list[float] = []

    async def one() -> None:
        began = loop.time()
        await writer.submit([])
        waits.append(loop.time() - began)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(round(per_s * seconds)):
            tasks.create_task(one())
            await asyncio.sleep(1 / per_s)
    return waits


def test_a_lone_operation_waits_for_the_disk_only() -> None:
    async def work(writer: Writer, _: Disk) -> None:
        waits = await stream(writer, 5, 4)
        assert max(waits) < DISK_S + 1e-6

    assert [count for _, count in in_virtual_time(work).begun[:20]] == [1] * 20


def test_a_busy_writer_lets_many_share_and_nobody_waits_for_long() -> None:
    async def work(writer: Writer, disk: Disk) -> None:
        waits = await stream(writer, 780, 10)
        assert len(waits) == 7800
        assert max(waits) < 0.065
        settled = [count for at, count in disk.begun if 5 < at < 9]
        assert 70 <= len(settled) <= 85  # 52 ms apart; at the rate alone it would be 200
        assert min(settled) >= 38

    in_virtual_time(work)


def test_the_haste_of_a_burst_is_not_held_against_it() -> None:
    async def work(writer: Writer, _: Disk) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(writer.submit([]) for _ in range(200)))
        assert loop.time() - began < DISK_S + 1e-6

    assert in_virtual_time(work).begun[0][1] == 200
