"""Whole calls over what `sip.listen` and `media.address` may say, to simulated phones beside it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from outdial.testing.server import OutdialServer, free_port
from outdial.testing.web import WebServer
from system.peers.observed import leg_of, wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.long]


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.mark.parametrize(
    ("listen", "media"),
    [("udp:[::1]", "::1"), ("tcp:127.0.0.1", "127.0.0.1"), ("udp:0.0.0.0", "127.0.0.1")],
)
def test_calls_are_heard_both_ways(web: WebServer, listen: str, media: str) -> None:
    port = free_port(socket.SOCK_STREAM if listen.startswith("tcp") else socket.SOCK_DGRAM)
    settings = {
        "sim": {"enabled": True},
        "sip": {"listen": [f"{listen}:{port}"]},
        "media": {"address": media},
    }
    with OutdialServer(settings) as outdial:
        told = outdial.place_call(
            to="15005550001",
            **{"from": "18005550100"},
            url=web.serve("/say", "<Response><Say>Can you hear me?</Say></Response>"),
        )
        joined = outdial.place_call(to="15005550014", **{"from": "15005550010"})
        call = outdial.wait_until_over(told)
        assert (call["outcome"], call["hangup_source"]) == ("completed", "application")
        assert call["media"]["packets_received"] > 0
        assert outdial.get("/sim/phones/15005550001/heard?format=json")["sound_s"] > 0.5
        assert outdial.wait_until_over(joined)["outcome"] == "completed"
        assert leg_of(outdial, joined)["hangup_source"] == "callee"
        wait_until_at_rest(outdial)
