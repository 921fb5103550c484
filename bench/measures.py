"""The measurements. Each takes a bench and returns its figures by name (see `report.FIGURES`)."""

from __future__ import annotations

import asyncio
import itertools
import math
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.caller import Caller
from bench.capture import Capture, Stream
from bench.far_end import FarEnd
from bench.servers import Server
from bench.sink import Sink

Figures = dict[str, float]
_PROMPT_S = 2.0
_MAX_FAILED = 0.001
_RAMP_PER_S = 40.0
_words = itertools.count(int(time.time()))


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    seconds: float
    """Length of each window."""
    rate: float
    """Whole calls a second at which CPU per call is measured."""
    rates: tuple[float, ...]
    """Steps towards the most calls a second; the first that fails ends them."""
    streams: int
    """Simultaneous prompts for CPU and memory."""
    bridges: int
    """Simultaneous bridged calls."""
    held: tuple[int, ...]
    """Steps towards the most simultaneous prompts."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A running server, the web server of its calls, and a folder."""

    server: Server
    sink: Sink
    folder: Path
    plan: Plan
    say: Callable[[str], None]
    """Takes one line for the person who waits."""

    def far_end(self, *, talk: bool = False, second_leg_s: float = 30.0) -> FarEnd:
        """The phones of the server's trunk."""
        return FarEnd(self.folder, self.server.far_sip_port, talk=talk, second_leg_s=second_leg_s)

    def caller(self) -> Caller:
        """A client of the server's API."""
        return Caller(self.sink, "127.0.0.1", self.server.api_port, self.server.key)

    def read(self, *, memory: bool = False) -> processes.Reading:
        """CPU, and memory when asked, of the server."""
        return processes.read(self.server.pids, memory=memory)

    def read_database(self) -> processes.Reading:
        """CPU of the database server beside it."""
        return processes.read(self.server.database_pids)

    async def warm(self, caller: Caller) -> None:
        """Makes connections and the prompt: what only the first call pays."""
        await caller.load(f"play/{_PROMPT_S:g}", 10, 10)
        await caller.drain(10)
        faults = caller.faults(_PROMPT_S)
        if faults.total() == 10:
            raise SystemExit(f"{self.server.name}: no call works: {dict(faults)}")
        caller.forget()


async def idle(bench: Bench) -> Figures:
    """The process tree before any call."""
    await asyncio.sleep(1)
    reading = bench.read(memory=True)
    return {
        "idle_rss_mib": processes.mib(reading.rss),
        "idle_pss_mib": processes.mib(reading.pss),
        "idle_processes": reading.processes,
    }


async def calls(bench: Bench) -> Figures:
    """CPU of one whole call, at a rate every server holds."""
    with bench.far_end():
        caller = bench.caller()
        await bench.warm(caller)
        figures, _ = await _rate(bench, caller, bench.plan.rate)
        caller.close()
    return {
        "call_cpu_ms": figures["cpu_ms"],
        **({"call_database_ms": figures["database_ms"]} if bench.server.database_pids else {}),
        "call_failed": figures["failed"],
        "call_rate": bench.plan.rate,
    }


async def rate(bench: Bench) -> Figures:
    """The most whole calls a second."""
    best: Figures = {"held_rate": 0.0}
    for step in bench.plan.rates:
        with bench.far_end():
            caller = bench.caller()
            await bench.warm(caller)
            figures, held = await _rate(bench, caller, step)
            caller.close()
        if not held:
            break
        best = {"held_rate": step, "held_rate_cpu_ms": figures["cpu_ms"]}
    return best


async def _rate(bench: Bench, caller: Caller, per_s: float) -> tuple[Figures, bool]:
    """Calls at a rate for the plan's seconds; CPU from second 4, when as many end as begin."""
    lead_s = 4.0
    load = asyncio.create_task(
        caller.load(f"play/{_PROMPT_S:g}", per_s, int(per_s * (lead_s + bench.plan.seconds)))
    )
    await asyncio.sleep(lead_s)
    before, began_before, ended_before = bench.read(), len(caller.calls), _ended(caller)
    database = bench.read_database()
    await load
    after, began, ended = bench.read(), len(caller.calls), _ended(caller)
    in_database = processes.spent(database, bench.read_database())
    await caller.drain(12)
    spent = processes.spent(before, after)
    began, ended = began - began_before, ended - ended_before
    faults = caller.faults(_PROMPT_S)
    held = faults.total() <= _MAX_FAILED * len(caller.calls) and ended >= 0.97 * began
    share = max(1.0, (began + ended) / 2)
    cpu_ms = 1000 * spent.cpu_s / share
    database_ms = 1000 * in_database.cpu_s / share
    bench.say(
        f"{per_s:g} calls/s: {cpu_ms:.2f} ms a call, {spent.cores_percent:.0f} % of a core, "
        f"{faults.total()} of {len(caller.calls)} failed {dict(faults) or ''}"
    )
    caller.forget()
    return {"cpu_ms": cpu_ms, "database_ms": database_ms, "failed": faults.total()}, held


def _ended(caller: Caller) -> int:
    return sum(1 for call in caller.calls.values() if call.over)


async def latency(bench: Bench) -> Figures:
    """POST to INVITE and answer to the first packet of the prompt, 20 calls a second."""
    count = int(20 * max(5.0, bench.plan.seconds))
    with bench.far_end() as far:
        caller = bench.caller()
        await bench.warm(caller)
        ports = f"udp and (port {far.sip_port} or dst port {far.rtp_port})"
        with Capture(bench.folder, ports) as capture:
            await caller.load(f"play/{_PROMPT_S:g}", 20, count)
            await caller.drain(12)
        legs = capture.legs(far.sip_port, far.rtp_port)
        faults = caller.faults(_PROMPT_S)
        invites = [
            1000 * (leg.invite - call.posted)
            for cid, call in caller.calls.items()
            if (leg := legs.get(cid)) and leg.invite
        ]
        caller.close()
    sounds = [1000 * (leg.first_sound - leg.answer) for leg in legs.values() if leg.first_sound]
    bench.say(f"{count} calls at 20/s, {faults.total()} failed {dict(faults) or ''}")
    return {
        **_quantiles("invite_ms", invites),
        **_quantiles("sound_ms", sounds),
        "latency_failed": faults.total(),
    }


async def prompts(bench: Bench) -> Figures:
    """CPU, pacing and memory with many prompts at once."""
    figures, _ = await _hold_prompts(bench, bench.plan.streams)
    return {
        "prompts": bench.plan.streams,
        "prompts_cpu_percent": figures["cpu_percent"],
        "call_rss_kib": figures["rss_kib"],
        "call_pss_kib": figures["pss_kib"],
        "pacing_p99_ms": figures["pacing_p99_ms"],
        "pacing_max_ms": figures["pacing_max_ms"],
        "packets_lost": figures["lost"],
        "prompts_failed": figures["failed"],
    }


async def held(bench: Bench) -> Figures:
    """The most simultaneous prompts: no packet lost, pacing error p99 under 5 ms."""
    best: Figures = {"held_prompts": 0.0}
    for count in bench.plan.held:
        figures, good = await _hold_prompts(bench, count)
        if not good:
            break
        best = {"held_prompts": count, "held_prompts_p99_ms": figures["pacing_p99_ms"]}
    return best


async def _hold_prompts(bench: Bench, count: int) -> tuple[Figures, bool]:
    length_s = math.ceil(count / _RAMP_PER_S + bench.plan.seconds + 12)
    with bench.far_end() as far:
        caller = bench.caller()
        await bench.warm(caller)
        await asyncio.sleep(1)
        empty = bench.read(memory=True)
        figures, streams, dropped = await _steady(bench, caller, far, f"play/{length_s}", count)
        full = bench.read(memory=True)
        await caller.drain(length_s)
        faults = caller.faults(length_s)
        caller.close()
    figures |= _pacing(streams)
    figures["failed"] = faults.total()
    figures["rss_kib"] = (full.rss - empty.rss) / 1024 / count
    figures["pss_kib"] = (full.pss - empty.pss) / 1024 / count
    bench.say(
        f"{count} prompts: {figures['cpu_percent']:.1f} % of a core per 100, pacing error p99 "
        f"{figures['pacing_p99_ms']:.2f} ms, {figures['lost']:.0f} packets lost, "
        f"{faults.total()} failed {dict(faults) or ''}"
        + (f"; the capture itself missed {dropped}" if dropped else "")
    )
    good = (
        faults.total() <= _MAX_FAILED * count
        and bool(streams)
        and figures["lost"] == 0
        and figures["pacing_p99_ms"] < 5
    )
    return figures, good


async def bridges(bench: Bench) -> Figures:
    """CPU with many bridged calls, both sides talking."""
    count = bench.plan.bridges
    length_s = math.ceil(count / _RAMP_PER_S + bench.plan.seconds + 12)
    with bench.far_end(talk=True, second_leg_s=length_s) as far:
        caller = bench.caller()
        figures, streams, _ = await _steady(bench, caller, far, "dial", count)
        await caller.drain(length_s + 5)
        faults = caller.faults(length_s)
        caller.close()
    bench.say(
        f"{count} bridges: {figures['cpu_percent']:.1f} % of a core per 100, "
        f"{len(streams)} streams heard, {faults.total()} failed {dict(faults) or ''}"
    )
    return {
        "bridges": count,
        "bridges_cpu_percent": figures["cpu_percent"],
        "bridges_failed": faults.total(),
    }


async def _steady(
    bench: Bench, caller: Caller, far: FarEnd, document: str, count: int
) -> tuple[Figures, list[Stream], int]:
    """Brings the calls up, then measures: CPU first, and without it a capture of the packets."""
    await caller.load(document, _RAMP_PER_S, count)
    await asyncio.sleep(2)
    before = bench.read()
    await asyncio.sleep(bench.plan.seconds)
    spent = processes.spent(before, bench.read())
    # Of many streams a sixteenth or so, by the server's port: a full capture would be a load.
    sample = "" if count <= 200 else " and udp[0:2] & 0x1e = 0x0a"
    with Capture(bench.folder, f"udp and dst port {far.rtp_port}{sample}", 64) as capture:
        await asyncio.sleep(4)
    figures = {"cpu_percent": spent.cores_percent * 100 / count}
    return figures, await asyncio.to_thread(capture.streams, far.rtp_port), capture.dropped


def _pacing(streams: list[Stream]) -> Figures:
    errors = [1000 * error for stream in streams for error in stream.errors]
    return {**_quantiles("pacing_ms", errors), "lost": sum(stream.lost for stream in streams)} | {
        "pacing_p99_ms": _quantile(errors, 0.99),
        "pacing_max_ms": max(errors, default=math.nan),
    }


async def say(bench: Bench) -> Figures:
    """From the document with a Say to the first sound: text never said before, then the same."""
    count = 20
    texts = [_sentence() for _ in range(count)]
    figures: Figures = {}
    with bench.far_end() as far:
        caller = bench.caller()
        await caller.load("say/first", 5, 3, [_sentence() for _ in range(3)])
        await caller.drain(30)
        for name in ("say_new_ms", "say_again_ms"):
            caller.forget()
            ports = f"udp and (port {far.sip_port} or dst port {far.rtp_port})"
            with Capture(bench.folder, ports) as capture:
                await caller.load("say/text", 5, count, texts)
                await caller.drain(30)
            legs = capture.legs(far.sip_port, far.rtp_port)
            waits = [
                1000 * (leg.first_sound - call.document)
                for cid, call in caller.calls.items()
                if (leg := legs.get(cid)) and leg.first_sound and call.document
            ]
            bench.say(f"Say, {name}: {len(waits)} of {count} heard")
            figures |= _quantiles(name, waits)
        caller.close()
    return figures


def _sentence() -> str:
    number = next(_words)
    return f"Your order {number % 100_000} has left our house and will be with you at noon."


def _quantiles(name: str, values: list[float]) -> Figures:
    return {f"{name}_p50": _quantile(values, 0.5), f"{name}_p99": _quantile(values, 0.99)}


def _quantile(values: list[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; nan of none."""
    if not values:
        return math.nan
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


MEASURES: dict[str, Callable[[Bench], Awaitable[Figures]]] = {
    "idle": idle,
    "prompts": prompts,
    "latency": latency,
    "calls": calls,
    "bridges": bridges,
    "say": say,
    "rate": rate,
    "held": held,
}
"""In the order in which they run.

`prompts` follows `idle`: memory that earlier calls left to the allocator would hide what its calls
take. What strains a server comes last.
"""
OURS_ONLY = frozenset(("say",))
OF_A_STORE = frozenset(("calls", "rate", "latency"))
"""What is measured again with another database: all else never touches it."""


async def measure(
    server: Server, names: list[str], plan: Plan, tell: Callable[[str], None]
) -> Figures:
    """Runs the measures on a server that is already up."""
    sink = Sink()
    await sink.start()
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="outdial-bench-") as folder:
        for name in names:
            if name in OURS_ONLY and server.name != "outdial":
                continue
            if server.database_pids and name not in OF_A_STORE:
                continue

            def line(text: str, name: str = name) -> None:
                tell(f"{server.name} {name}: {text}")

            bench = Bench(server, sink, Path(folder), plan, line)
            figures |= await MEASURES[name](bench)
            await asyncio.sleep(0.5)
    sink.close()
    return figures
