"""Calls a customer and tells a PIN, as often as the customer wants to hear it."""

from __future__ import annotations

import json
import secrets
import sys
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"


@dataclass
class PinCall:
    """One PIN on its way to a customer."""

    pin: str
    reached: bool | None = None
    """None: the call goes on."""


class PinCalls:
    """Sends PINs. `url` is where `app` is served, as Outdial sees it."""

    def __init__(self, outdial: str, key: str, url: str = "") -> None:
        self._outdial = outdial
        self._key = key
        self.url = url
        self.calls: dict[str, PinCall] = {}
        """By a token that nobody can guess: the PIN itself is in no address and no log."""

    def send(self, number: str) -> PinCall:
        """Calls the number with a new PIN."""
        token = secrets.token_urlsafe(16)
        call = self.calls[token] = PinCall(f"{secrets.randbelow(10_000):04}")
        self._post(
            {
                "to": number,
                "from": "18005550100",
                "url": f"{self.url}/pin/{token}",
                "statusCallback": f"{self.url}/done/{token}",
                "timeout": 30,
            }
        )
        return call

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """What Outdial asks: WSGI."""
        _, what, token = environ["PATH_INFO"].split("/", 2)
        size = int(environ.get("CONTENT_LENGTH") or 0)
        form = parse_qs(environ["wsgi.input"].read(size).decode())
        call = self.calls.get(token)
        if call is None:
            start_response("404 Not Found", [])
            return []
        if what == "done":
            call.reached = form["CallOutcome"] == ["completed"]
            start_response("204 No Content", [])
            return []
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [self._document(call, token).encode()]

    def _document(self, call: PinCall, token: str) -> str:
        digits = ", ".join(call.pin)
        return f"""<Response>
  <Gather action="/pin/{token}" numDigits="1" tries="2" timeout="6">
    <Say>Your pin is {digits}.</Say>
    <Pause length="1"/>
    <Say>Again: {digits}. To hear it once more, press 1.</Say>
  </Gather>
  <Say>Goodbye.</Say>
</Response>"""

    def _post(self, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            self._outdial + V2,
            json.dumps({"apikey": self._key, **body}).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()


def main(number: str) -> None:
    """Serves the application, and calls the number."""
    calls = PinCalls("http://127.0.0.1:8080", "YOURSECRECTAPIKEY", "http://127.0.0.1:9000")
    with make_server("127.0.0.1", 9000, calls.app) as server:
        call = calls.send(number)
        while call.reached is None:
            server.handle_request()
    print("told" if call.reached else "not reached", f"{number}: the PIN is {call.pin}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "15005550001")
