"""A whole server with a trunk: posts that would cost money are refused, and no INVITE leaves."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

from outdial.testing.server import API_KEY, OutdialServer

V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
DENIED = ("19005550111", "12125550111", "870773123456", "8823456789012", "252612345678")
ALLOWED = "12025550123"


def _answer(outdial: OutdialServer, path: str, body: dict[str, str]) -> int:
    request = urllib.request.Request(
        outdial.url(path),
        data=json.dumps(body).encode(),
        headers={
            "apikey": API_KEY,
            "Authorization": f"Bearer {API_KEY}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_no_invite_leaves_for_a_number_that_may_not_be_dialled() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as carrier:
        carrier.bind(("127.0.0.1", 0))
        carrier.settimeout(10)
        settings: dict[str, Any] = {
            "limits": {"destinations": ["1202"]},
            "trunks": [
                {
                    "name": "carrier",
                    "address": f"127.0.0.1:{carrier.getsockname()[1]}",
                    "options_interval_s": 0,
                }
            ],
        }
        with OutdialServer(settings) as outdial:
            for number in DENIED:
                for written in (
                    number,
                    f"+{number}",
                    f"00{number}",
                    f"011{number}",
                    f"tel:{number}",
                ):
                    for path in (V2, "/v1/calls"):
                        url = {"url": "https://example.com/app"}
                        post = {"to": written, "from": ALLOWED, **url}
                        assert _answer(outdial, path, post) in (400, 403, 422), post
                        click_to_call = {"to": ALLOWED, "from": written}
                        assert _answer(outdial, path, click_to_call) in (400, 403, 422)
            # the first that the carrier hears of us is the one call that is allowed
            assert _answer(outdial, V2, {"to": ALLOWED, "from": ALLOWED}) == 200
            message = carrier.recv(65_535)
            assert message.startswith(f"INVITE sip:{ALLOWED}@".encode())
