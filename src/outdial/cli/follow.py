"""`outdial call`: places a call and shows what happens until it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from outdial.cli import exits, lines
from outdial.cli.client import Client
from outdial.log import escape

POLL_S = 0.2


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
        known = client.get(f"{path}/events")["events"]
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
