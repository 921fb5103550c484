"""Carrier, web server, servers and poster together, from the first call to the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from chaos import carrier, ledger, nodes
from chaos.carrier import Carrier
from chaos.nodes import Kill, Node
from chaos.poster import Poster
from chaos.sink import Sink
from chaos.verdict import Evidence, Verdict, judge
from outdial.testing.postgresql import PostgresqlServer


@dataclass(frozen=True)
class Setting:
    """How a run is set up."""

    rate: float = 60.0
    """Posts a second."""
    nodes: int = 1
    store_url: str = ""
    """"": a SQLite file of its own, "postgresql": a PostgreSQL server of its own, which several
    nodes need, or a postgresql:// URL of an empty database."""
    t1_s: float = 0.5
    """Of the carrier and of the servers."""
    seed: int = 0
    """0: another one each time."""
    drain_s: float = 30.0
    workers: int = 0
    repeats: bool = True
    """Posts without an answer are repeated with their Idempotency-Key."""
    failures_per_call: int = 1
    more: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the servers."""
    script_of: Callable[[str], carrier.Script] = carrier.script_of
    poster: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of the poster."""


class Stage:
    """Use it as an asynchronous context manager; the servers run inside."""

    def __init__(self, setting: Setting, say: Callable[[str], None] = print) -> None:
        self.setting = setting
        self.say = say
        self._store_url = setting.store_url
        self._stack = contextlib.ExitStack()
        self.seed = setting.seed or random.SystemRandom().randrange(1, 1_000_000)
        self.chance = random.Random(self.seed)
        self.kills: list[Kill] = []
        self.folder = Path(tempfile.mkdtemp(prefix="outdial-chaos-"))
        self.keep = False
        """Whether the folder stays: something was wrong."""
        self._posting: asyncio.Task[None] | None = None

    carrier: Carrier
    sink: Sink
    nodes: list[Node]
    poster: Poster
    calls: dict[str, ledger.Call]
    """As stored, once there is a verdict."""

    async def __aenter__(self) -> Stage:
        setting = self.setting
        self.say(f"seed {self.seed}, {self.folder}")
        if self._store_url == "postgresql":
            server = self._stack.enter_context(PostgresqlServer())
            self._store_url = server.new_database()
        self.carrier = await Carrier.start(setting.t1_s, setting.script_of)
        self.sink = await Sink.start(self.seed, failures_per_call=setting.failures_per_call)
        self.nodes = [self._node(number) for number in range(setting.nodes)]
        for node in self.nodes:
            await node.start()
        self.poster = Poster(
            [node.api for node in self.nodes],
            self.sink.base,
            setting.rate,
            self.seed,
            repeats=setting.repeats,
            **setting.poster,
        )
        return self

    def _node(self, number: int) -> Node:
        setting, folder = self.setting, self.folder / f"node{number + 1}"
        tree = nodes.settings(
            folder,
            self.carrier.port,
            store_url=self._store_url,
            t1_s=setting.t1_s,
            drain_s=setting.drain_s,
            workers=setting.workers,
            more=setting.more,
        )
        return Node(number, folder, tree)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop_posting()
        for node in self.nodes:
            with contextlib.suppress(RuntimeError):
                await node.stop()
        self.carrier.close()
        self.sink.close()
        await asyncio.to_thread(self._stack.close)
        if error is None and not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------ the acts

    def start_posting(self) -> None:
        """Calls are made from now on."""
        self._posting = asyncio.create_task(self.poster.run())

    async def stop_posting(self) -> None:
        """No more calls."""
        task, self._posting = self._posting, None
        if task is not None:
            if task.done():
                task.result()
            task.cancel()
            await asyncio.wait([task])

    async def kill(self, kind: str) -> Kill:
        """One kill of a node taken at random; it is up again on return."""
        kill = await self.chance.choice(self.nodes).kill(kind, self.chance)
        self.kills.append(kill)
        return kill

    async def settle(self, within_s: float) -> None:
        """Waits, for so long at most, until nothing is left to be done."""
        self.sink.behave()
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            work = await ledger.open_work(self.nodes[0].store_url)
            if work == (0, 0) and not self.carrier.up() and not self.carrier.ringing():
                return
            await asyncio.sleep(0.25)
        self.say(f"not settled: {work[0]} calls, {work[1]} callbacks")

    async def verdict(self, settle_within_s: float) -> Verdict:
        """Ends everything in order and judges it."""
        await self.stop_posting()
        await self.settle(settle_within_s)
        endings = [await node.stop() for node in self.nodes]
        self.calls = await ledger.read(self.nodes[0].store_url)
        verdict = judge(
            Evidence(
                posts=self.poster.posts,
                calls=self.calls,
                taken=self.carrier.taken,
                arrivals=self.sink.arrivals,
                kills=self.kills,
                nodes=len(self.nodes),
                complaints=self.carrier.misfits,
            )
        )
        verdict.faults["orderly stops that failed"] = [
            f"node {number + 1} ended with {status}"
            for number, status in enumerate(endings)
            if status != 0
        ]
        verdict.faults["errors in the log"] = [e for node in self.nodes for e in node.errors()]
        self.keep = bool(verdict.broken)
        return verdict
