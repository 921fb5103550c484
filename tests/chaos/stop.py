"""Orderly stops under load: SIGTERM, a second one in a hurry, and what is left of the calls."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field, replace

from chaos.nodes import Node
from chaos.stage import Setting, Stage
from chaos.verdict import Verdict

HURRY_S = 2.0
"""A second SIGTERM ends it within."""
_LAST_WORDS_S = 10.0
"""Besides the draining: BYEs, callbacks, connections, helpers."""


@dataclass(frozen=True)
class Plan:
    """How much."""

    patient: int = 3
    """Stops by one SIGTERM."""
    hurried: int = 3
    """Stops by two of them."""
    load_s: float = 5.0
    """Before each."""
    drain_s: float = 1.5
    """Shorter than many of the calls, so that some end by themselves and some are hung up."""
    setting: Setting = field(default_factory=Setting)


async def run(plan: Plan) -> Verdict:
    """Stops and starts under load, then judges."""
    took: dict[bool, list[float]] = {False: [], True: []}
    faults: list[str] = []
    async with Stage(replace(plan.setting, drain_s=plan.drain_s)) as stage:
        stage.start_posting()
        for number in range(plan.patient + plan.hurried):
            hurried = number >= plan.patient
            await asyncio.sleep(plan.load_s)
            node = stage.nodes[number % len(stage.nodes)]
            seconds, fault = await _stop(node, hurried=hurried, drain_s=plan.drain_s)
            took[hurried].append(seconds)
            up = [one for one in stage.carrier.up() if one.source == node.sip_address]
            stage.say(
                f"{number + 1:>4} {'hurried' if hurried else 'patient'} stop after {seconds:.2f} s,"
                f" {len(up)} calls up at the carrier {fault}"
            )
            if fault:
                faults.append(fault)
            if up and not hurried:
                faults.append(f"{len(up)} calls were left behind, e.g. {up[0].call_id}")
            await node.start()
        verdict = await stage.verdict(30.0 + 64 * plan.setting.t1_s + 15.0)
        refused = [post for post in stage.poster.posts if post.outcome.startswith("refused")]
        verdict.figures["seconds of a stop, of a hurried one"] = (
            f"{_listed(took[False])}; {_listed(took[True])}"
        )
        verdict.faults["stops not as promised"] = faults
        verdict.faults["refusals but 503 with Retry-After"] = [
            f"{post.number}: {post.outcome}"
            for post in refused
            if post.outcome != "refused 503" or not post.retry_after
        ]
        if not refused:
            verdict.faults["stops not as promised"].append("no post was refused meanwhile")
    return verdict


def short(setting: Setting) -> Plan:
    """One stop of each kind, for `make test`."""
    return Plan(1, 1, 3.0, 1.5, replace(setting, rate=25.0, t1_s=0.1))


async def _stop(node: Node, *, hurried: bool, drain_s: float) -> tuple[float, str]:
    """How long it took from the last signal on, and what was wrong with it."""
    os.kill(node.server.pid, signal.SIGTERM)
    if hurried:
        await asyncio.sleep(0.5)
        os.kill(node.server.pid, signal.SIGTERM)
    began = time.monotonic()
    patience_s = HURRY_S + 1.0 if hurried else drain_s + _LAST_WORDS_S
    try:
        status = await asyncio.to_thread(node.server.wait, patience_s)
    except TimeoutError as late:
        node.server.kill()
        return patience_s, str(late)
    seconds = time.monotonic() - began
    if hurried and seconds > HURRY_S + 0.5:
        return seconds, f"{seconds:.2f} s after the second SIGTERM"
    if not hurried and status != 0:
        return seconds, f"exit status {status}"
    return seconds, ""


def _listed(seconds: list[float]) -> str:
    return ", ".join(f"{one:.2f}" for one in seconds)
