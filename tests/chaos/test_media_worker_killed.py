"""A media worker is killed: its own calls end, no others, and another one takes its place."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.carrier import Script
from chaos.poster import Connection
from chaos.stage import Setting, Stage

pytestmark = [pytest.mark.system, pytest.mark.chaos]

_ANSWERS = Script("answers", 0.01, 0.05)
_SETTING = Setting(
    t1_s=0.1,
    workers=2,
    failures_per_call=0,
    script_of=lambda number: _ANSWERS,
    poster={"kinds": ("long",), "time_limit_s": 4},
)


async def test_a_killed_worker_ends_its_own_calls_and_is_replaced() -> None:
    async with Stage(_SETTING) as stage:
        node, connection = stage.nodes[0], Connection()
        for _ in range(8):
            await stage.poster.send(connection, node.api, stage.poster.draw())
        await _until(lambda: len(stage.carrier.up()) == 8)
        await asyncio.sleep(0.3)  # the answers are stored
        victim, spared = node.worker_pids()
        lost = {one.number for one in stage.carrier.up() if _holds(victim, one.audio_port)}
        kept = {one.number for one in stage.carrier.up() if _holds(spared, one.audio_port)}
        assert len(lost) == len(kept) == 4

        os.kill(victim, signal.SIGKILL)
        await _until(lambda: {one.number for one in stage.carrier.up()} == kept)
        ended = [one for one in stage.carrier.taken if one.ended_at]
        assert {one.ended_by for one in ended} == {"outdial"}, "each got its BYE"
        await _until(lambda: len(node.worker_pids()) == 2)
        assert spared in node.worker_pids()
        assert {one.number for one in stage.carrier.up()} == kept

        later = stage.poster.draw()
        await stage.poster.send(connection, node.api, later)
        connection.close()
        verdict = await stage.verdict(15.0)
        assert not verdict.broken, str(verdict)
        told = {call.to_number: call.cause for call in stage.calls.values()}
        assert {told[number] for number in lost} == {"media-failure"}
        # the longest that the poster lets a call last
        assert {told[number] for number in kept | {later.number}} == {"time-limit"}


async def _until(what: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def _holds(pid: int, port: int) -> bool:
    """Whether the UDP port is one of the process's sockets."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port}
    links = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    return any(f"socket:[{inode}]" in links for inode in inodes)
