"""Limits of keys and in all, places in the queue, usage and retention on a whole server."""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.request
from typing import Any

from outdial.testing.server import API_KEY, OutdialServer

RINGS_FOR_EVER = "15005550003"
BUSY = "15005550002"
V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
SETTINGS: dict[str, Any] = {
    "sim": {"enabled": True},
    "limits": {"concurrent_calls": 3, "calls_per_second": 100, "queue_timeout_s": 600},
    "keys": [
        {"name": "test", "key": API_KEY, "concurrent_calls": 1},
        {"name": "other", "key": "OTHERKEY"},
    ],
}


def _place(outdial: OutdialServer, to: str, key: str = API_KEY) -> str:
    body = {"to": to, "from": "18005797676", "url": "http://127.0.0.1:9/never"}
    request = urllib.request.Request(
        outdial.url(V2),
        data=json.dumps(body).encode(),
        headers={"apikey": key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["callSid"])


def _standing(outdial: OutdialServer, sids: list[str]) -> list[tuple[str, int | None]]:
    calls = [outdial.get(f"/v1/calls/{sid}") for sid in sids]
    early = {"dialling": "started", "ringing": "started"}
    return [(early.get(one["state"], one["state"]), one["queue_position"]) for one in calls]


def test_a_key_waits_for_itself_and_everybody_for_the_server() -> None:
    with OutdialServer(SETTINGS) as outdial:
        own = [_place(outdial, RINGS_FOR_EVER) for _ in range(3)]
        others = [_place(outdial, RINGS_FOR_EVER, "OTHERKEY") for _ in range(3)]
        assert _standing(outdial, own) == [("started", None), ("queued", 2), ("queued", 3)]
        assert _standing(outdial, others) == [("started", None), ("started", None), ("queued", 2)]
        usage = outdial.get("/v1/usage")
        assert (usage["total"]["live"], usage["total"]["queued"]) == (3, 3)
        keys = {one["name"]: (one["live"], one["queued"]) for one in usage["keys"]}
        assert keys == {"test": (1, 2), "other": (2, 1)}
        assert sum(row["calls"] for row in usage["calls"]) == 6

        outdial.post(f"/v1/calls/{others[0]}", {"hangup": True})
        outdial.wait_until_over(others[0])
        assert _standing(outdial, [others[2]]) == [("started", None)]
        assert _standing(outdial, own[1:]) == [("queued", 1), ("queued", 2)]
        for sid in (*own, *others[1:]):
            outdial.post(f"/v1/calls/{sid}", {"hangup": True})
            outdial.wait_until_over(sid)
        total = outdial.get("/v1/usage")["total"]
        assert (total["live"], total["queued"]) == (0, 0)


def test_a_call_that_waits_too_long_is_told_so() -> None:
    limits = {"concurrent_calls": 1, "queue_timeout_s": 0.5}
    with OutdialServer({"sim": {"enabled": True}, "limits": limits}) as outdial:
        first, second = _place(outdial, RINGS_FOR_EVER), _place(outdial, BUSY)
        call = outdial.wait_until_over(second)
        assert (call["outcome"], call["cause"]) == ("failed", "expired-in-queue")
        assert call["dialled_at"] is None
        outdial.post(f"/v1/calls/{first}", {"hangup": True})
        outdial.wait_until_over(first)


def test_what_is_old_is_deleted_while_the_server_runs() -> None:
    retention = {"calls_days": 1}
    with OutdialServer({"sim": {"enabled": True}, "retention": retention}) as outdial:
        old, young = [_place(outdial, BUSY) for _ in range(2)]
        for sid in (old, young):
            outdial.wait_until_over(sid)
        assert outdial.stop() == 0
        with sqlite3.connect(outdial.folder / "outdial.db") as record:
            record.execute(
                "UPDATE calls SET created_at = created_at - 90000, ended_at = ended_at - 90000 "
                "WHERE sid = ?",
                (old,),
            )
        record.close()
        outdial.start()
        for _ in range(100):
            if len(calls := outdial.get("/v1/calls")["calls"]) == 1:
                break
            time.sleep(0.1)
        assert [call["sid"] for call in calls] == [young]
        assert outdial.get(f"/v1/calls/{young}/events")["events"]
