"""A whole call in opus between the server and a simulated phone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from outdial.testing import audio
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers.observed import wait_until_at_rest

pytestmark = pytest.mark.system

MENU = "15005550009"
"""Who wants 101."""
PROMPT = "Good morning."


@pytest.fixture(scope="module")
def server() -> Iterator[OutdialServer]:
    with OutdialServer({"sim": {"enabled": True}, "media": {"codecs": ["opus"]}}) as server:
        yield server


def test_speech_arrives_and_digits_are_understood(server: OutdialServer) -> None:
    with WebServer() as web:
        url = web.serve("/say.xml", f"<Response><Pause length='2'/><Say>{PROMPT}</Say></Response>")
        sid = server.place_call(
            to=MENU, **{"from": "18005550100"}, url=url, sendDigits="101", record="true"
        )
        call: dict[str, Any] = server.wait_until_over(sid)
    assert (call["outcome"], call["media"]["codec"]) == ("completed", "opus")
    assert (call["media"]["packets_refused"], call["media"]["packets_lost"]) == (0, 0)
    heard = server.get(f"/sim/phones/{MENU}/heard?format=json")
    assert heard["digits"] == "101"
    told = audio.read_mono(server.get_bytes(f"/sim/phones/{MENU}/heard?format=wav"))
    assert -30 < audio.level_dbfs(told) < -10, "as loud as telephone speech is"
    said, _ = audio.read_wav(server.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav"))
    assert audio.active_s(said) > 1.0, "the menu was heard, too"
    wait_until_at_rest(server)
