"""A caller that requires reliable responses (RFC 3262) and never acknowledges one."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer

pytestmark = pytest.mark.system

CARRIER, NUMBER = "127.0.0.81", "18005550100"
T1_MS = 20
SDP = (
    f"v=0\r\no=- 1 1 IN IP4 {CARRIER}\r\ns=-\r\nc=IN IP4 {CARRIER}\r\nt=0 0\r\n"
    "m=audio 40000 RTP/AVP 0\r\n"
)


@pytest.fixture
def outdial() -> Iterator[OutdialServer]:
    with WebServer() as web:
        settings = {
            "numbers": [
                {
                    "number": NUMBER,
                    "url": web.serve("/app", "<Response><Say>Hello</Say></Response>"),
                }
            ],
            "sip": {"t1_ms": T1_MS},
            "trunks": [{"name": "carrier", "address": CARRIER, "options_interval_s": 0}],
        }
        with OutdialServer(settings) as server:
            yield server


def statuses(outdial: OutdialServer, body: str) -> list[int]:
    """Final and provisional responses to an INVITE, repeats left out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((CARRIER, 0))
        phone.settimeout(10)
        port = phone.getsockname()[1]
        kind = "Content-Type: application/sdp\r\n" if body else ""
        phone.sendto(
            (
                f"INVITE sip:{NUMBER}@127.0.0.1 SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {CARRIER}:{port};branch=z9hG4bKreliable\r\n"
                f"From: <sip:9@{CARRIER}>;tag=a\r\nTo: <sip:{NUMBER}@127.0.0.1>\r\n"
                f"Call-ID: reliable\r\nCSeq: 1 INVITE\r\nContact: <sip:9@{CARRIER}:{port}>\r\n"
                f"Max-Forwards: 70\r\nRequire: 100rel\r\n{kind}"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            ).encode(),
            ("127.0.0.1", outdial.sip_port),
        )
        seen: list[int] = []
        while not seen or seen[-1] < 200:
            status = int(phone.recv(65_536).split(b" ", 2)[1])
            if status not in seen:
                seen.append(status)
        return seen


@pytest.mark.parametrize("body", [SDP, ""], ids=["with an offer", "without"])
def test_its_call_is_given_up_and_over(outdial: OutdialServer, body: str) -> None:
    seen = statuses(outdial, body)
    assert [status for status in seen if status > 100] == [180, 504]
    (call,) = outdial.get(f"/v1/calls?to={NUMBER}")["calls"]
    ended = outdial.wait_until_over(call["sid"], 5)
    assert (ended["outcome"], ended["cause"], ended["sip_code"], ended["hangup_source"]) == (
        *("failed", "protocol-error", 504, "caller"),
    )
    deadline = time.monotonic() + 10
    while (left := held(outdial)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == {}


def held(outdial: OutdialServer) -> dict[str, float]:
    """What is still kept of calls."""
    names = ("calls_live", "media_legs", "media_streams", "sip_calls")
    gauges = outdial.gauges()
    return {name: gauges[f"outdial_{name}"] for name in names if gauges[f"outdial_{name}"]}
