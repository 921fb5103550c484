"""Bad applications on real calls, all at once: each ends in its way, with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from doubles.bad_applications import PHONE, SERVED, SETTINGS, Served
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers.observed import wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.long]


@pytest.fixture(scope="module")
def over() -> Iterator[Mapping[str, tuple[dict[str, Any], str]]]:
    """The calls and their timelines, by name."""
    with WebServer() as web, OutdialServer(SETTINGS) as outdial:
        sids = {}
        for number, bad in enumerate(SERVED):
            path = f"/bad/{number}"
            bad.build(web, path)
            params = {"timeLimit": "15", **bad.params}
            sids[bad.name] = outdial.place_call(
                to=PHONE, **{"from": "18005550100"}, url=web.url(path), **params
            )
        calls = {name: outdial.wait_until_over(sid, 40) for name, sid in sids.items()}
        timelines = {name: _timeline(outdial, sid) for name, sid in sids.items()}
        wait_until_at_rest(outdial)
        yield {name: (call, timelines[name]) for name, call in calls.items()}


def _timeline(outdial: OutdialServer, sid: str) -> str:
    """All of it, a thousand lines at a time."""
    lines: list[dict[str, Any]] = []
    while True:
        after = f"?after={lines[-1]['seq']}" if lines else ""
        more = outdial.get(f"/v1/calls/{sid}/events{after}")["events"]
        if not more:
            return json.dumps(lines)
        lines += more


@pytest.mark.parametrize("bad", SERVED, ids=[bad.name for bad in SERVED])
def test_it_ends_in_its_way(over: Mapping[str, tuple[dict[str, Any], str]], bad: Served) -> None:
    call, timeline = over[bad.name]
    assert (call["outcome"], call["cause"]) == ("completed", bad.cause)
    assert bad.says in timeline
