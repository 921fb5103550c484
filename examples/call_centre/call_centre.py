"""A call centre: callers wait in a queue, agents who are logged in take one after the other."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
CALLER = """<Response>
  <Say>All our agents are talking. Please stay on the line.</Say>
  <Enqueue waitUrl="/waiting">support</Enqueue>
  <Say>Thank you for calling. Goodbye.</Say>
</Response>"""
WAITING = """<Response>
  <Pause length="20"/>
  <Say>You will be connected with the next free agent.</Say>
</Response>"""
NEXT = """<Response>
  <Dial action="/agent/after" timeout="300"><Queue url="/connecting">support</Queue></Dial>
</Response>"""
CONNECTING = "<Response><Say>You are connected now.</Say></Response>"
LOGGED_OUT = (
    "<Response><Say>Nobody has called for five minutes. You are logged out.</Say></Response>"
)


class CallCentre:
    """The application. Agents log in by ``POST /agents`` with their number, and are called."""

    def __init__(self, outdial: str, key: str, url: str = "") -> None:
        self._outdial = outdial
        self._key = key
        self.url = url
        self.served: list[str] = []
        """The calls that agents took, by sid, in order."""

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """What Outdial asks, and agents: WSGI."""
        size = int(environ.get("CONTENT_LENGTH") or 0)
        given = parse_qs(environ["wsgi.input"].read(size).decode())
        form = {name: values[0] for name, values in given.items()}
        path = environ["PATH_INFO"]
        if path == "/agents":
            self._log_in(form["number"])
            start_response("204 No Content", [])
            return []
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [self._document(path, form).encode()]

    def _document(self, path: str, form: dict[str, str]) -> str:
        if path == "/agent/after":
            if form["DialCallStatus"] != "completed":
                return LOGGED_OUT
            self.served.append(form["DialCallSid"])
            return NEXT
        return {
            "/caller": CALLER,
            "/waiting": WAITING,
            "/agent": NEXT,
            "/connecting": CONNECTING,
        }.get(path, "")

    def _log_in(self, number: str) -> None:
        body = {
            "apikey": self._key,
            "to": number,
            "from": "18005550100",
            "url": f"{self.url}/agent",
        }
        request = urllib.request.Request(
            self._outdial + V2,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()


def main() -> None:
    """Serves the application."""
    url = "http://127.0.0.1:9000"
    centre = CallCentre("http://127.0.0.1:8080", "YOURSECRECTAPIKEY", url)
    with make_server("127.0.0.1", 9000, centre.app) as server:
        print(f"callers: {url}/caller, agents log in: POST {url}/agents number=…")
        server.serve_forever()


if __name__ == "__main__":
    main()
