"""Keys that the command line makes, narrows, rotates and revokes while a server runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from outdial.calls import codes
from outdial.testing.server import OutdialServer

pytestmark = pytest.mark.system

V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
BUSY, CALLER, OTHER = "15005550002", "18005550100", "12125550123"
MOST = 3


def keys(outdial: OutdialServer, *arguments: str) -> Any:
    """What `outdial keys` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "outdial", "keys", *arguments, "--json"],
        cwd=outdial.folder,
        capture_output=True,
        timeout=60,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def ask(outdial: OutdialServer, key: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """A post, or a get without a body."""
    request = urllib.request.Request(
        outdial.url(path),
        json.dumps(body).encode() if body else None,
        {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def wait_until(outdial: OutdialServer, key: str, status: int) -> None:
    """A server follows the store twice a second."""
    deadline = time.monotonic() + 15
    while (found := ask(outdial, key, "/v1/usage")[0]) != status:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


@pytest.mark.long
def test_a_key_may_what_it_was_made_for_and_no_more_than_so_much_at_once() -> None:
    settings = {"sim": {"enabled": True}, "limits": {"calls_per_second": 1000}}
    with OutdialServer(settings) as outdial:
        (made,) = keys(
            outdial, "add", "crm", "--scope", "call,read", "--from", "1800*",
            "--destination", "1500", "--concurrent-calls", str(MOST), "--expires", "1h",
        )  # fmt: skip
        key = made["key"]
        wait_until(outdial, key, 200)

        # the rule that refuses is named, at both doors
        for to, from_, code in (
            (OTHER, CALLER, codes.KEY_DESTINATION),
            (BUSY, OTHER, codes.KEY_CALLER),
        ):
            for path in (V2, "/v1/calls"):
                call = {"to": to, "from": from_, "url": "https://example.com/"}
                status, answer = ask(outdial, key, path, **call)
                assert (status, answer["code"]) == (403, code)
        status, answer = ask(outdial, key, "/v1/keys")
        assert (status, answer["code"]) == (403, codes.WRONG_SCOPE)

        # a hundred posts at once: never more than so many calls of it
        def place(_: int) -> str:
            call = {"to": BUSY, "from": CALLER, "url": "https://example.com/"}
            status, answer = ask(outdial, key, "/v1/calls", **call)
            assert status == 201, answer
            return str(answer["sid"])

        with ThreadPoolExecutor(100) as people:
            sids = list(people.map(place, range(100)))
        ended = [outdial.wait_until_over(sid, 60) for sid in sids]
        assert {call["outcome"] for call in ended} == {"busy"}
        times = [(call["dialled_at"], call["ended_at"]) for call in ended]
        for began, _ in times:
            assert sum(one <= began < other for one, other in times) <= MOST

        # a new secret; the old one goes on, and ends with the key
        (second,) = keys(outdial, "rotate", "crm", "--grace", "10m")
        wait_until(outdial, second["key"], 200)
        assert ask(outdial, key, "/v1/usage")[0] == 200
        keys(outdial, "revoke", "crm")
        wait_until(outdial, second["key"], 401)
        assert ask(outdial, key, "/v1/usage")[0] == 401
        listed = [one for one in outdial.get("/v1/keys")["keys"] if one["name"] == "crm"]
        assert [one["destinations"] for one in listed] == [["1500"]] * 2
