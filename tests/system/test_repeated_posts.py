"""One Idempotency-Key, one call: against a whole server, across its ends."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from outdial.testing.server import API_KEY, OutdialServer

BUSY = "15005550002"
V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
Answer = tuple[int, bytes]


def _post(outdial: OutdialServer, path: str, token: str) -> Answer:
    request = urllib.request.Request(
        outdial.url(path),
        data=json.dumps({"to": BUSY, "from": "18005797676"}).encode(),
        headers={
            "Authorization": f"Bearer {API_KEY}",
            "Content-Type": "application/json",
            "Idempotency-Key": token,
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.read()


def test_parallel_and_later_posts_have_one_call_across_restarts() -> None:
    with OutdialServer({"sim": {"enabled": True}}) as outdial, ThreadPoolExecutor(50) as people:

        def posts(path: str, token: str, count: int = 100) -> set[Answer]:
            return set(people.map(lambda _: _post(outdial, path, token), range(count)))

        (old,) = posts(V2, "one")
        (native,) = posts("/v1/calls", "two")
        assert [old[0], native[0]] == [200, 201]
        sids = {json.loads(old[1])["callSid"], json.loads(native[1])["sid"]}
        assert {call["sid"] for call in outdial.get("/v1/calls")["calls"]} == sids
        for sid in sids:
            assert outdial.wait_until_over(sid)["outcome"] == "busy"

        assert outdial.stop() == 0
        outdial.start()
        assert posts(V2, "one", 20) == {old}
        outdial.kill()
        outdial.start()
        assert posts("/v1/calls", "two", 20) == {native}
        assert {call["sid"] for call in outdial.get("/v1/calls")["calls"]} == sids
