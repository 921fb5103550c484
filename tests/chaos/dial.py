"""Kills around one instant: between the durable `dialling` and the INVITE.

Some calls are posted at once and the server is killed: within 25 ms, or within 2 ms of the first
answer to a post, or of the first INVITE that arrives. This again and again on the same store, so
that each start is also the recovery of what the kill before left. There is room for some
of the calls only: the others are stored as `queued`, and dialled by a later server or expired.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from chaos.carrier import Script, Taken
from chaos.nodes import Kill
from chaos.nursery import Nursery
from chaos.poster import Connection, NoAnswer, Post
from chaos.stage import Setting, Stage
from chaos.verdict import Verdict
from outdial.testing.server import toml

_WINDOW_S = 0.025
"""Of a fresh server: its first answers take longer than later ones."""
_AFTER_CUE_S = 0.002
_READY_WITHIN_S = 30.0
_BUSY = Script("busy", None, 0.02, "486 Busy Here")
_ANSWERS = Script("answers", 0.002, 0.01)


@dataclass(frozen=True)
class Plan:
    """How much."""

    kills: int = 2_000
    posts_each: int = 5
    room: int = 3
    """Calls that may be up at once."""
    longest_s: float = 1500.0
    setting: Setting = field(default_factory=Setting)


def script_of(number: str) -> Script:
    """Four in five are busy, so that the next calls have their turn."""
    return _ANSWERS if int(number[-1]) < 2 else _BUSY


async def run(plan: Plan) -> Verdict:
    """Kills until there were enough kills, then judges."""
    setting = Setting(
        seed=plan.setting.seed,
        t1_s=plan.setting.t1_s,
        store_url=plan.setting.store_url,
        script_of=script_of,
        more={"limits": {"concurrent_calls": plan.room}, "media": {"workers": 1}},
        poster={"callbacks": False, "kinds": ("pause",)},
    )
    async with Stage(setting) as stage, AsyncExitStack() as stack:
        await stage.nodes[0].stop()  # it has made the store; from now on it is the nursery's
        config = stage.folder / "node1" / "outdial.toml"
        config.write_text(toml(stage.nodes[0].server.settings))
        nursery = await Nursery.start(config, stage.nodes[0].server.log_path)
        stack.push_async_callback(nursery.close)
        began = time.monotonic()
        while len(stage.kills) < plan.kills and time.monotonic() - began < plan.longest_s:
            await _cycle(plan, stage, nursery)
            if len(stage.kills) % 50 == 0:
                stage.say(_line(plan, stage, time.monotonic() - began))
        seconds = time.monotonic() - began
        await nursery.close()
        stage.kills[-1].started_at = time.time()
        await stage.nodes[0].start()
        stage.kills[-1].ready_at = time.time()
        verdict = await stage.verdict(30.0 + 64 * setting.t1_s)
        verdict.figures["what the kills left"] = _left(stage)
        verdict.figures["duration"] = f"{seconds:.0f} s"
    return verdict


async def _cycle(plan: Plan, stage: Stage, nursery: Nursery) -> None:
    started_at = time.time()
    await nursery.serve()
    await _ready(stage, nursery)
    if stage.kills:
        stage.kills[-1].started_at, stage.kills[-1].ready_at = started_at, time.time()
    sign = asyncio.Event()
    cue = stage.chance.choice(("time", "answer", "invite"))
    stage.carrier.on_invite = sign.set if cue == "invite" else _nothing
    posting = [
        asyncio.create_task(_post(stage, sign.set if cue == "answer" else _nothing))
        for _ in range(plan.posts_each)
    ]
    if cue == "time":
        await asyncio.sleep(stage.chance.uniform(0.0, _WINDOW_S))
    else:
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await sign.wait()
        await asyncio.sleep(stage.chance.uniform(0.0, _AFTER_CUE_S))
    stage.kills.append(Kill("dial", 0, time.time()))
    await nursery.end(signal.SIGKILL)
    await asyncio.wait(posting)


async def _post(stage: Stage, answered: Callable[[], None]) -> Post:
    post, connection = stage.poster.draw(), Connection()
    try:
        await stage.poster.send(connection, stage.nodes[0].api, post)
    finally:
        connection.close()
    answered()
    return post


def _nothing() -> None:
    """Not the cue this time."""


async def _ready(stage: Stage, nursery: Nursery) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    connection = Connection()
    try:
        while time.monotonic() < deadline:
            try:
                status, _, _ = await connection.request(
                    stage.nodes[0].api.port, "GET /readyz HTTP/1.1\r\n", b""
                )
            except (NoAnswer, OSError):
                status = 0
            if status == 200:
                return
            await asyncio.sleep(0.004)
    finally:
        connection.close()
    raise RuntimeError(f"{nursery.pid} is not ready:\n{stage.nodes[0].server.tail()}")


def _left(stage: Stage) -> str:
    """How near the kills were to the instant."""
    left: Counter[str] = Counter()
    kills = [kill.at for kill in stage.kills]
    by_number: dict[str, Taken] = {one.number: one for one in stage.carrier.taken}
    for call in stage.calls.values():
        invite = by_number.get(call.to_number)
        killed_at = next((at for at in kills if at >= call.created_at), float("inf"))
        if call.dialled_at is None:
            left["never dialled"] += 1
        elif call.dialled_at > killed_at:
            left["dialled after the restart"] += 1
        elif invite is None:
            left["dialling, without an INVITE"] += 1
        else:
            left["INVITE sent"] += 1
    left["not stored"] = len(stage.poster.posts) - len(stage.calls)
    return ", ".join(f"{number:,} {what}" for what, number in sorted(left.items()))


def _line(plan: Plan, stage: Stage, seconds: float) -> str:
    second = len(stage.carrier.second_invites())
    return json.dumps(
        {
            "kills": f"{len(stage.kills)}/{plan.kills}",
            "seconds": round(seconds),
            "acknowledged": stage.poster.acknowledged,
            "invites": len(stage.carrier.taken),
            "second_invites": second,
        }
    )
