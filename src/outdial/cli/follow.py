"""`outdial call` and `outdial calls tail`: what happens on a call, until it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from outdial.cli import exits, lines
from outdial.cli.client import Broken, Client
from outdial.log import escape

POLL_S = 0.2
AGAIN_S = 1.0
"""A stream that broke is asked for again after so long."""
PATIENCE = 30
_PAGE = 1000


def place_and_follow(
    client: Client,
    wanted: dict[str, Any],
    say: Callable[[str], None],
    *,
    as_json: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """The exit status. An interrupt hangs up; a second one leaves. Raises ApiError."""
    call = client.post("/v1/calls", wanted)
    if not as_json:
        say(f"{escape(call['sid'])}  {escape(call['from'])} calls {escape(call['to'])}")
    try:
        call = _follow(client, call["sid"], say, as_json, sleep, -1)
    except KeyboardInterrupt:
        client.post(f"/v1/calls/{call['sid']}", {"hangup": True})
        call = _follow(client, call["sid"], say, as_json, sleep, None)
    say(json.dumps(call) if as_json else lines.ending(call))
    return exits.BY_OUTCOME.get(call["outcome"], exits.FAILED)


def tail(
    client: Client,
    sid: str,
    after: int,
    say: Callable[[str], None],
    *,
    as_json: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """The timeline as it comes; a stream that breaks is gone on with. Raises ApiError when the
    server cannot be reached for `PATIENCE` times."""
    path = f"/v1/calls/{quote(sid, safe='')}"
    failed = 0
    while True:
        try:
            for event in client.follow(f"{path}/events", after):
                failed = 0
                after = event["seq"]
                say(json.dumps(event) if as_json else lines.event_line(event))
        except Broken:
            failed += 1
            if failed >= PATIENCE:
                raise
        else:
            call = client.get(path)
            if call["outcome"] is not None:
                if not as_json:
                    say(lines.ending(call))
                return
        sleep(AGAIN_S)


def whole_timeline(client: Client, path: str) -> list[dict[str, Any]]:
    """All events of the call at the path, page by page."""
    events: list[dict[str, Any]] = []
    while page := client.get(f"{path}/events", after=events[-1]["seq"] if events else -1)["events"]:
        events += page
        if len(page) < _PAGE:
            break
    return events


def _follow(
    client: Client,
    sid: str,
    say: Callable[[str], None],
    as_json: bool,
    sleep: Callable[[float], None],
    after: int | None,
) -> dict[str, Any]:
    """Shows events behind `after` (None: from now on) until the call is over."""
    path = f"/v1/calls/{sid}"
    if after is None:
        known = whole_timeline(client, path)
        after = known[-1]["seq"] if known else -1
    stood = ""
    while True:
        # asked before the events: when it says that the call is over, the events are complete
        call: dict[str, Any] = client.get(path)
        for event in client.get(f"{path}/events", after=after)["events"]:
            after = event["seq"]
            say(json.dumps(event) if as_json else lines.event_line(event))
        if call.get("queue_position") and not as_json and stood != lines.standing(call):
            stood = lines.standing(call)
            say(stood)
        if call["state"] == "completed":
            return call
        sleep(POLL_S)
