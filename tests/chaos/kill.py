"""Random kills, with calls being posted, ringing, talking and reporting at any time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from chaos.nodes import Kill
from chaos.stage import Setting, Stage
from chaos.verdict import Verdict

_KINDS = ("control", "all", "starting", "worker")
_WEIGHTS = (55, 15, 5, 25)


@dataclass(frozen=True)
class Plan:
    """How much."""

    kills: int = 120
    posts: int = 40_000
    """Acknowledged ones."""
    longest_s: float = 1080.0
    """No kill after that; then everything is judged."""
    setting: Setting = field(default_factory=Setting)


async def run(plan: Plan) -> Verdict:
    """Kills until there were enough kills and posts, then judges."""
    setting = plan.setting
    async with Stage(setting) as stage:
        began = time.monotonic()
        stage.start_posting()
        while not _enough(plan, stage) and time.monotonic() - began < plan.longest_s:
            await asyncio.sleep(_pause_s(plan, stage))
            kill = await stage.kill(stage.chance.choices(_KINDS, _WEIGHTS)[0])
            stage.say(_line(plan, stage, kill))
        # 64*T1 for answers that nobody acknowledges, half a minute for a call that rings so long
        verdict = await stage.verdict(30.0 + 64 * setting.t1_s + 15.0)
        verdict.figures["posts a second, duration"] = (
            f"{setting.rate:g}, {time.monotonic() - began:.0f} s"
        )
    return verdict


def short(setting: Setting) -> Plan:
    """A quarter of a minute for `make test`."""
    return Plan(kills=6, posts=200, longest_s=20.0, setting=replace(setting, rate=25.0, t1_s=0.2))


def _enough(plan: Plan, stage: Stage) -> bool:
    return len(stage.kills) >= plan.kills and stage.poster.acknowledged >= plan.posts


def _pause_s(plan: Plan, stage: Stage) -> float:
    """Until the next kill: at random, but such that kills and posts come to their end together."""
    left = max(1, plan.kills - len(stage.kills))
    posts_left = max(0, plan.posts - stage.poster.acknowledged)
    mean_s = posts_left / stage.poster.rate / left
    return stage.chance.uniform(0.05, max(0.5, 2 * mean_s))


def _line(plan: Plan, stage: Stage, kill: Kill) -> str:
    return (
        f"{len(stage.kills):>4}/{plan.kills} {kill.kind:<9} node {kill.node + 1}"
        f"  back after {kill.ready_at - kill.at:5.2f} s"
        f"  {stage.poster.acknowledged:>6,} posts acknowledged"
        f"  {len(stage.carrier.up()):>4} calls up at the carrier"
    )
