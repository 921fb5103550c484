"""A real server under attack, and the judgement: what was promised of it is looked at from outside.

Three processes besides the server's: the attacker, a trunk that asks every 100 ms, and this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaos.carrier import Carrier, Script
from chaos.verdict import percentile
from doubles.memory import own_kib
from hostile.attack import TRUNK
from outdial.memory import EVERY_S
from outdial.testing.server import OutdialServer, Usage, free_port
from outdial.testing.web import WebServer

NUMBER: Final = "18005550100"
HOSTILE: Final = "12015550199"
"""Leads to the attacker."""
CALLS_A_SLICE: Final = 8
"""That the server places to the attacker while it is attacked."""
ANSWER_WITHIN_S: Final = 0.050
_SETTLED_WITHIN_S = 60.0
"""Besides the 64 T1 for which what is left of a call lingers."""
_WRITTEN_S = 1.0
"""The record may be so much behind the counters: changes wait for others to share a commit."""
_GIVEN_BACK_S = EVERY_S + 1.0
"""An idle server has given back by then what is free."""
_DOCUMENT = '<Response><Pause length="1"/><Gather timeout="1" numDigits="20"/><Hangup/></Response>'
_ANSWERS = Script("answers and hangs up", 0.01, 0.05, hangs_up_after_s=0.3)
_GAUGES = (
    *("sip_client_transactions", "sip_server_transactions", "sip_calls", "sip_dialogs"),
    *("sip_early_dialogs", "sip_timers", "sip_connections", "media_legs", "media_plays"),
    *("media_streams", "media_started", "media_recordings", "media_rooms", "media_descriptors"),
    *("callbacks_held", "callbacks_under_way", "tasks", "calls_live", "calls_queued"),
)


@dataclass(frozen=True)
class Plan:
    """How much, and how fast."""

    count: int = 10_000_000
    rate: float = 0.0
    """Messages a second; 0: as many as the server reads."""
    warm_up: int = 0
    """Messages before memory is measured; 0: a fifth. Two million fill what is bounded: a thousand
    bans, the caches of what was read, and room for the most calls that there are at once."""
    longest_s: float = 0.0
    """No more is sent after so long; 0: all is."""
    seed: int = 1
    most_growth_kib: int = 5 * 1024
    """After the warm-up."""
    t1_s: float = 0.1
    """Of the server."""
    slice: int = 20_000
    """Messages between two looks at the server."""

    @property
    def warming(self) -> int:
        """Messages of the warm-up."""
        return self.warm_up or max(4_000, self.count // 5)


@dataclass
class Report:
    """What was seen."""

    figures: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """Promises that were not kept, with what was seen instead."""
    up: int = 0
    """Calls of the attacker's that were really up."""

    def rows(self) -> list[tuple[str, str]]:
        """For a table."""
        return [*self.figures.items(), ("promises broken", str(len(self.broken)))]

    def __str__(self) -> str:
        lines = [f"{what:<60}{value}" for what, value in self.rows()]
        return "\n".join([*lines, *(f"BROKEN: {one}" for one in self.broken)])


class Siege:
    """One run. `run` gives the report."""

    def __init__(self, plan: Plan, say: Callable[[str], None] = print) -> None:
        self._plan = plan
        self._say = say
        self._report = Report()
        self._sent: dict[str, int] = {}
        self._took_s = 0.0
        self._own_kib = 0

    _server: OutdialServer
    _carrier: Carrier
    _attacker: asyncio.subprocess.Process

    async def run(self) -> Report:
        """From the start of the server to its end."""
        with tempfile.TemporaryDirectory(prefix="outdial-hostile-") as folder, WebServer() as web:
            web.serve("/app", _DOCUMENT)
            self._web = web
            self._carrier = await Carrier.start(0.5, lambda number: _ANSWERS)
            self._server = OutdialServer(self._settings(web), Path(folder), ready_within_s=60.0)
            try:
                await asyncio.to_thread(self._server.start)
                await self._whole()
            finally:
                self._carrier.close()
                await asyncio.to_thread(self._stop)
        return self._report

    def _settings(self, web: WebServer) -> dict[str, Any]:
        self._udp_port, self._hostile_port = _free_udp_ports(2)
        self._tcp_port = free_port()
        return {
            "sip": {
                "listen": [f"udp:127.0.0.1:{self._udp_port}", f"tcp:127.0.0.1:{self._tcp_port}"],
                "t1_ms": int(1000 * self._plan.t1_s),
            },
            "limits": {"destinations": ["1"], "concurrent_calls": 100},
            "log": {"level": "warning"},
            "trunks": [
                {
                    "name": "carrier",
                    "address": f"127.0.0.1:{self._carrier.port}",
                    "options_interval_s": 0,
                },
                {
                    "name": "hostile",
                    "address": f"{TRUNK}:{self._hostile_port}",
                    "options_interval_s": 0,
                    "prefixes": [HOSTILE[:4]],
                },
            ],
            "numbers": [{"number": NUMBER, "url": web.url("/app")}],
        }

    async def _whole(self) -> None:
        port = self._udp_port
        self._attacker = await self._start(
            *("attack", port, self._tcp_port, self._hostile_port, NUMBER, self._plan.seed)
        )
        assert self._attacker.stdout is not None
        await self._attacker.stdout.readline()
        try:
            await self._call("before")
            await self._attack(self._plan.warming)
            start = await self._settle(None)
            await asyncio.sleep(_GIVEN_BACK_S)
            usage = await asyncio.to_thread(self._server.usage)
            self._own_kib = own_kib(self._server.pids)
            self._say(f"warmed up: {usage}, {self._own_kib:,} KiB of its own")
            self._sent, self._took_s = {}, 0.0
            await self._besieged()
            end = await self._settle(start)
            self._judge_counters(start, end)
            await asyncio.to_thread(self._tell_stuck_calls)
            await self._call("after")
            await self._settle(start)
            await asyncio.sleep(_GIVEN_BACK_S)
            self._judge_usage(usage, await asyncio.to_thread(self._server.usage))
            self._judge_log()
        finally:
            await _end(self._attacker)

    async def _start(self, name: object, *arguments: object) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", f"hostile.{name}", *map(str, arguments)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )

    # ------------------------------------------------------------------ the attack

    async def _besieged(self) -> None:
        """The attack proper, with somebody who asks meanwhile."""
        probe = await self._start("probe", self._udp_port)
        dropped = _kernel_drops(self._udp_port)
        cpu_s = _cpu_s(self._server.pid)
        try:
            await self._attack(self._plan.count)
        finally:
            output, _ = await probe.communicate(b"")
        self._tell_attack(_kernel_drops(self._udp_port) - dropped)
        self.figures["CPU of the control process a message"] = (
            f"{1e6 * (_cpu_s(self._server.pid) - cpu_s) / max(1, self._number):,.0f} µs"
        )
        self._judge_probe(json.loads(output))

    async def _attack(self, count: int) -> None:
        plan, left = self._plan, count
        assert self._attacker.stdin is not None
        assert self._attacker.stdout is not None
        started, told = time.monotonic(), 0.0
        while left > 0:
            if plan.longest_s and time.monotonic() - started > plan.longest_s:
                self._say(f"time is up, {left:,} were not sent")
                break
            piece = min(left, plan.slice)
            self._attacker.stdin.write(f"{piece} {plan.rate}\n".encode())
            await asyncio.to_thread(self._call_the_attacker)
            line = await self._attacker.stdout.readline()
            if not line:
                self._report.broken.append("the attacker gave up: no OPTIONS is answered any more")
                break
            told_now = json.loads(line)
            for name, number in told_now["sent"].items():
                self._sent[name] = self._sent.get(name, 0) + number
            self._took_s += told_now["took_s"]
            left -= piece
            if time.monotonic() - told > 20:
                told = time.monotonic()
                kib = own_kib(self._server.pids)
                self._say(f"{self._number:,} sent in {self._took_s:.0f} s, {kib:,} KiB")

    @property
    def figures(self) -> dict[str, str]:
        """Of the report."""
        return self._report.figures

    @property
    def _number(self) -> int:
        return sum(self._sent.get(way, 0) for way in _WAYS)

    def _tell_attack(self, dropped: int) -> None:
        figures, sent = self._report.figures, self._sent
        figures["messages"] = f"{self._number:,} (seed {self._plan.seed})"
        ways = ", ".join(f"{sent.get(way, 0):,} {way}" for way in _WAYS)
        figures["from"] = ways
        figures["made of"] = ", ".join(f"{sent.get(kind, 0):,} {kind}" for kind in _KINDS)
        figures["left whole, so as to get further"] = f"{sent.get('left whole', 0):,}"
        self._report.up = sent.get("calls that were up", 0)
        figures["calls of the attacker's that were up"] = f"{self._report.up:,}"
        figures["TCP connections opened"] = f"{sent.get('TCP connections', 0):,}"
        figures["messages a second, duration"] = (
            f"{self._number / max(self._took_s, 0.001):,.0f}, {self._took_s:,.0f} s"
        )
        figures["datagrams the kernel dropped before the server read them"] = f"{dropped:,}"

    def _judge_probe(self, seen: dict[str, Any]) -> None:
        waits, late = seen["answered_s"], seen["late_s"]
        p99 = percentile(waits, 0.99)
        self.figures["OPTIONS asked, answered"] = f"{seen['asked']:,}, {len(waits):,}"
        self.figures["OPTIONS answered: p50, p99, max"] = _spread_ms(waits)
        self.figures["who asks woke up late by: p50, p99, max"] = _spread_ms(late)
        if len(waits) < seen["asked"]:
            self._report.broken.append(f"{seen['asked'] - len(waits)} OPTIONS were never answered")
        if not p99 <= ANSWER_WITHIN_S:
            self._report.broken.append(f"p99 of OPTIONS is {1000 * p99:.1f} ms")

    # ------------------------------------------------------------------ what is left

    async def _settle(self, wanted: dict[str, float] | None) -> dict[str, float]:
        """The counters once they are back, or have not come back in time."""
        deadline = time.monotonic() + 64 * self._plan.t1_s + _SETTLED_WITHIN_S
        while True:
            gauges = await asyncio.to_thread(self._server.gauges)
            held = {name: gauges[f"outdial_{name}"] for name in _GAUGES}
            clean = {**dict.fromkeys(_GAUGES, 0.0), **{n: held[n] for n in _NEVER_ZERO}}
            if held == {**clean, **(wanted or {})} or time.monotonic() > deadline:
                return held
            await asyncio.sleep(0.25)

    def _judge_counters(self, start: dict[str, float], end: dict[str, float]) -> None:
        for name, value in start.items():
            if name not in _NEVER_ZERO and value:
                self._report.broken.append(f"{name} is {value:.0f} after the warm-up")
            if end[name] != value:
                self._report.broken.append(f"{name} is {end[name]:.0f}, and was {value:.0f}")
        self.figures["counters that are not back"] = str(
            sum(end[name] != value for name, value in start.items())
        )

    def _tell_stuck_calls(self) -> None:
        """What is known of the calls that are up though nobody calls any more."""
        time.sleep(_WRITTEN_S)
        for state in ("ringing", "answered"):
            for call in self._server.get(f"/v1/calls?state={state}&limit=5")["calls"]:
                timeline = self._server.get(f"/v1/calls/{call['sid']}/events")
                self._report.broken.append(f"a call is still {state}: {call}, {timeline}")

    def _judge_usage(self, start: Usage, end: Usage) -> None:
        kib = own_kib(self._server.pids)
        grown = kib - self._own_kib
        self.figures["memory after warm-up, at the end, growth"] = (
            f"{self._own_kib:,}, {kib:,}, {grown:+,} KiB"
        )
        self.figures["processes, descriptors, threads: growth"] = (
            f"{end.processes - start.processes:+}, {end.descriptors - start.descriptors:+}, "
            f"{end.threads - start.threads:+}"
        )
        if grown > self._plan.most_growth_kib:
            self._report.broken.append(f"memory grew by {grown:,} KiB")
        if end.processes > start.processes or end.descriptors > start.descriptors + _SPARE:
            self._report.broken.append(f"{start} became {end}")

    def _judge_log(self) -> None:
        text = self._server.log_path.read_text(encoding="utf-8", errors="replace")
        wrong = [one[:2000] for one in text.split("Traceback (most")[1:]]
        wrong += [
            str(line)[:2000]
            for line in self._server.log()
            if line.get("level") in ("error", "critical") or "exception" in line
        ]
        self.figures["exceptions and errors in the log"] = f"{len(wrong):,}"
        self.figures["lines in the log"] = f"{len(text.splitlines()):,}"
        self._report.broken += [f"in the log: {one}" for one in wrong[:5]]

    async def _call(self, when: str) -> None:
        """A real call over the other trunk, which must go as calls go."""
        call = await asyncio.to_thread(self._place)
        ended = f"{call.get('outcome')}, {call.get('cause')}"
        self.figures[f"a call {when}"] = ended
        if call.get("outcome") != "completed":
            self._report.broken.append(f"the call {when} the attack: {ended}")

    def _place(self) -> dict[str, Any]:
        sid = self._server.place_call(
            **{"from": NUMBER, "to": "12025550123", "url": self._web.url("/app")}
        )
        return self._server.wait_until_over(sid)

    def _call_the_attacker(self) -> None:
        """What it answers goes on in the middle of everything else."""
        for _ in range(CALLS_A_SLICE):
            self._server.place_call(**{"from": NUMBER, "to": HOSTILE, "url": self._web.url("/app")})

    def _stop(self) -> None:
        status = self._server.stop(60.0)
        if status != 0:
            self._report.broken.append(f"the server ended with {status}")


_WAYS = ("trunk, UDP", "trunk, TCP", "strangers, UDP", "strangers, TCP")
_KINDS = (
    *("in calls that are up", "answers to the server", "outside of calls"),
    *("grammar and torture", "calls to a number"),
)
_NEVER_ZERO = ("media_descriptors", "tasks")
_SPARE = 8
"""HTTP connections that are kept for whoever needs them next."""


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


def _spread_ms(seconds: list[float]) -> str:
    p50, p99 = percentile(seconds, 0.5), percentile(seconds, 0.99)
    return f"{1000 * p50:.1f}, {1000 * p99:.1f}, {1000 * max(seconds, default=0):.1f} ms"


def _kernel_drops(port: int) -> int:
    """Datagrams for a full socket buffer on that UDP port, by proc(5)."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        columns = line.split()
        if int(columns[1].rpartition(":")[2], 16) == port:
            return int(columns[-1])
    return 0


def _free_udp_ports(count: int) -> list[int]:
    """All different, on every address."""
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(count)]
        for sock in made:
            sock.bind(("", 0))
        return [int(sock.getsockname()[1]) for sock in made]


def _cpu_s(pid: int) -> float:
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(columns[11]) + int(columns[12])) / os.sysconf("SC_CLK_TCK")
