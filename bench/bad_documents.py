"""What each bad document costs the event loop: the longest turn of it while its call is up.

    PYTHONPATH=tests python -m bench.bad_documents          all of them, some minutes
    PYTHONPATH=tests python -m bench.bad_documents bomb     those with a word of these in their name

A whole server with simulated phones runs in this process, on a loop that measures the CPU time of
every callback. Exit status 1 when one took longer than `MOST_MS`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from doubles.bad_applications import PHONE, SERVED, SETTINGS
from doubles.bad_documents import PARSED, Bad
from outdial import log
from outdial.app import GC_THRESHOLD, Server
from outdial.config import Settings
from outdial.testing.server import free_port
from outdial.testing.web import Answer, WebServer

MOST_MS = 50.0
_KEY = "bench-key"
_SHOWN = 10
_POST = "/didforsaleapi/index.php/api/V2/CallTermination/"


class Meter:
    """The longest turn of the loop since it was last asked."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._what = ""
        run = asyncio.Handle._run  # type: ignore[attr-defined]

        def measured(handle: Any) -> None:
            began = time.thread_time()
            run(handle)
            took = time.thread_time() - began
            if took > self._longest_s and (what := _name(handle)) != measure.__qualname__:
                self._longest_s, self._what = took, what

        asyncio.Handle._run = measured  # type: ignore[attr-defined]

    def take(self) -> tuple[float, str]:
        """Milliseconds, and which callback it was."""
        longest, what = self._longest_s * 1000, self._what
        self._longest_s, self._what = 0.0, ""
        return longest, what


def _name(handle: Any) -> str:
    """What the callback is, or which task it wakes."""
    task = getattr(handle._callback, "__self__", None)
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else handle._callback
    return str(getattr(coroutine, "__qualname__", coroutine))


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one document."""

    name: str
    longest_ms: float
    callback: str
    cause: str


def _served_as_document(bad: Bad) -> Callable[[WebServer, str], None]:
    answer = Answer(body=bad.body, content_type=bad.content_type)
    return lambda web, path: web.script(path, answer)


async def measure(wanted: tuple[str, ...]) -> list[Cost]:
    """The documents with one of those words, one after another, each on a call of its own."""
    applications = [(bad.name, _served_as_document(bad), {}) for bad in PARSED]
    applications += [(bad.name, bad.build, dict(bad.params)) for bad in SERVED]
    meter = Meter()
    costs = []
    with WebServer() as web:
        server = await Server.start(_settings())
        # as the server does that is started by `outdial serve`
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 20)
        try:
            for number, (name, build, params) in enumerate(applications):
                if not any(word in name for word in wanted):
                    continue
                path = f"/bad/{number}"
                build(web, path)
                meter.take()
                cause = await asyncio.to_thread(_call, server.url, web.url(path), params)
                costs.append(Cost(name, *meter.take(), cause))
                print(f"{costs[-1].longest_ms:7.1f} ms  {name}: {cause}", flush=True)
        finally:
            await server.stop(0)
    return costs


def _settings() -> Settings:
    first = 21_000 + os.getpid() % 400 * 100
    return Settings.model_validate(
        {
            **SETTINGS,
            "http": {"listen": f"127.0.0.1:{free_port()}"},
            "sip": {"listen": ["udp:127.0.0.1:0"]},
            "media": {"ports": f"{first}-{first + 99}"},
            "keys": [{"name": "bench", "key": _KEY}],
            "webhooks": {"allow_private": ["127.0.0.0/8"]},
        }
    )


def _call(server: str, url: str, params: dict[str, str]) -> str:
    """Places a call, waits until it is over, and gives its cause."""
    body = {"timeLimit": "5", **params, "to": PHONE, "from": "18005550100", "url": url}
    placed = _ask(f"{server}{_POST}", json.dumps(body).encode())
    for _ in range(600):
        call = _ask(f"{server}/v1/calls/{placed['callSid']}")
        if call["ended_at"]:
            return str(call["cause"])
        time.sleep(0.05)
    return "never over"


def _ask(url: str, body: bytes | None = None) -> Any:
    headers = {"Authorization": f"Bearer {_KEY}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def main() -> None:
    """Measures, and says which cost most."""
    log.configure("error", json=False)
    wanted = tuple(sys.argv[1:]) or ("",)
    with tempfile.TemporaryDirectory(prefix="outdial-bad-") as folder, suppress(KeyboardInterrupt):
        os.chdir(folder)
        costs = asyncio.run(measure(wanted))
        os.chdir("/")
    dearest = sorted(costs, key=lambda cost: -cost.longest_ms)[:_SHOWN]
    print(f"\n{len(costs)} documents; the dearest:")
    for cost in dearest:
        print(f"{cost.longest_ms:7.1f} ms  {cost.name}: {cost.callback[:150]}")
    sys.exit(any(cost.longest_ms > MOST_MS for cost in costs))


if __name__ == "__main__":
    main()
