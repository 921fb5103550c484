"""The servers under test: started, killed in one part or in all, started again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.poster import Api
from outdial.testing.server import OutdialServer


@dataclass(slots=True)
class Kill:
    """One SIGKILL. Times are those of the wall clock."""

    kind: str
    """control, worker, all, or starting: the control process before it was ready again."""
    node: int
    at: float
    started_at: float = 0.0
    """When the next process was started, or the one after it if that was killed too."""
    ready_at: float = 0.0
    """When that took calls; of a media worker: when another one was there."""


def settings(
    folder: Path,
    carrier_port: int,
    *,
    store_url: str = "",
    t1_s: float = 0.5,
    drain_s: float = 30.0,
    workers: int = 0,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Of a server without limits that matter, with the carrier as its only trunk."""
    tree: dict[str, Any] = {
        "sip": {"t1_ms": int(1000 * t1_s)},
        "media": {"workers": workers},
        "storage": {"recordings": str(folder / "recordings"), "cache": str(folder / "cache")},
        "limits": {
            "calls_per_second": 100_000,
            "concurrent_calls": 100_000,
            "queued_calls": 100_000,
            "destinations": ["1"],
        },
        "calls": {"drain_s": drain_s},
        "webhooks": {"timeout_s": 3},
        "log": {"level": "warning"},
        "trunks": [
            {
                "name": "carrier",
                "address": f"127.0.0.1:{carrier_port}",
                "options_interval_s": 0,
            }
        ],
    }
    if store_url:
        tree["store"] = {"url": store_url}
    for name, section in (more or {}).items():
        known = tree.get(name)
        merged = isinstance(known, dict) and isinstance(section, Mapping)
        tree[name] = {**known, **section} if merged and isinstance(known, dict) else section
    return tree


class Node:
    """One server. All methods are called on the event loop; what blocks runs in a thread."""

    def __init__(self, number: int, folder: Path, tree: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.number = number
        self.server = OutdialServer(tree, folder, ready_within_s=60.0)
        self.sip_address = ("127.0.0.1", self.server.sip_port)

    @property
    def api(self) -> Api:
        """Where to post."""
        return Api(self.server.http_port, self.server.key)

    @property
    def store_url(self) -> str:
        """Where its record is."""
        return str(self.server.settings["store"]["url"])

    async def start(self) -> None:
        """Returns once it takes calls. Raises RuntimeError with its last words."""
        await asyncio.to_thread(self.server.start)

    async def stop(self) -> int:
        """Orderly; the exit status."""
        return await asyncio.to_thread(self.server.stop)

    async def kill(self, kind: str, chance: random.Random) -> Kill:
        """Kills, starts again what does not do so by itself, and returns once all is there."""
        kill = Kill(kind, self.number, time.time())
        if kind == "worker":
            await self._kill_worker(kill, chance)
            return kill
        if kind == "all":
            for pid in self.server.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.server.kill)
        kill.started_at = time.time()
        if kind == "starting":
            await self._kill_while_starting(chance.uniform(0.05, 1.0))
            kill.started_at = time.time()
        await self.start()
        kill.ready_at = time.time()
        return kill

    async def _kill_while_starting(self, after_s: float) -> None:
        starting = asyncio.create_task(self.start())
        await asyncio.sleep(after_s)
        with suppress(ProcessLookupError):
            os.kill(self.server.pid, signal.SIGKILL)
        with suppress(RuntimeError):
            await starting
        await asyncio.to_thread(self.server.kill)

    async def _kill_worker(self, kill: Kill, chance: random.Random) -> None:
        workers = self.worker_pids()
        if not workers:  # another one is just being started
            return
        victim = chance.choice(workers)
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        kill.started_at = time.time()
        while len(set(self.worker_pids()) - {victim}) < len(workers):
            if time.time() - kill.at > 20:
                raise RuntimeError(f"no new media worker within 20 s:\n{self.server.tail()}")
            await asyncio.sleep(0.02)
        kill.ready_at = time.time()

    def worker_pids(self) -> list[int]:
        """Its media workers."""
        return [pid for pid in self.server.pids if b"outdial.media.worker" in _command_line(pid)]

    def errors(self) -> list[str]:
        """What it logged as an error, but for the workers that were killed on purpose."""
        found = [
            str(line)
            for line in self.server.log()
            if line.get("level") in ("error", "critical")
            and line.get("event") not in ("media worker lost", "media worker not restarted")
        ]
        text = self.server.log_path.read_text(encoding="utf-8", errors="replace")
        return found + [part[:2000] for part in text.split("Traceback (most")[1:]]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
