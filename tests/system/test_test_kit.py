"""The server that users of `outdial.testing` start: its own keys, and what it says it holds."""

from __future__ import annotations

import pytest

from outdial.testing.server import OutdialServer

pytestmark = pytest.mark.system

RINGS_FOR_EVER = "15005550003"


def test_usage_counts_live_calls_asked_for_with_the_first_key_of_the_settings() -> None:
    keys = [{"name": "own", "key": "a key of my own"}, {"name": "other", "key": "another"}]
    with OutdialServer({"sim": {"enabled": True}, "keys": keys}) as outdial:
        before = outdial.usage()
        assert before.live_calls == 0
        sid = outdial.place_call(
            to=RINGS_FOR_EVER, **{"from": "18005550100"}, url="http://127.0.0.1:9/"
        )
        assert outdial.usage().live_calls == 1
        assert outdial.get(f"/v1/calls/{sid}")["key_name"] == "own"
        outdial.post(f"/v1/calls/{sid}", {"hangup": True})
        assert outdial.wait_until_over(sid)["outcome"] == "canceled"
        assert outdial.wait_until_back_at(before, spare=4).live_calls == 0
