"""A page with a button: who gives a number there is called, and connected with an agent."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
PAGE = b"""<!doctype html><title>Call me</title>
<form method="post" action="/call">
  <label>Your number <input name="number" placeholder="12025550101"></label>
  <button>Call me now</button>
</form>"""


class ClickToCall:
    """The page. `agent` is the number that visitors are connected with."""

    def __init__(self, outdial: str, key: str, agent: str, url: str = "") -> None:
        self._outdial = outdial
        self._key = key
        self._agent = agent
        self.url = url
        self.states: dict[str, dict[str, str]] = {}
        """What became of a call, by its sid: visitor and agent."""

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The page, its form, the state of a call, and the callbacks: WSGI."""
        size = int(environ.get("CONTENT_LENGTH") or 0)
        given = parse_qs(environ["wsgi.input"].read(size).decode())
        form = {name: values[0] for name, values in given.items()}
        path = environ["PATH_INFO"]
        kind, status = "application/json", "200 OK"
        if path == "/":
            kind, body = "text/html", PAGE
        elif path == "/call":
            status, body = self._call(form.get("number", ""))
        elif path == "/events":
            self._told(form)
            body = b"{}"
        else:
            body = json.dumps(self.states.get(path.removeprefix("/calls/"), {})).encode()
        start_response(status, [("Content-Type", kind)])
        return [body]

    def _call(self, number: str) -> tuple[str, bytes]:
        """Without `url` a call is click to call: who answers is connected with `from`."""
        body = {
            "apikey": self._key,
            "to": number,
            "from": self._agent,
            "statusCallback": f"{self.url}/events",
            "statusCallbackEvent": ["ringing", "answered", "completed"],
        }
        request = urllib.request.Request(
            self._outdial + V2,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                sid = json.load(answer)["callSid"]
        except urllib.error.HTTPError as error:
            with error:
                return "400 Bad Request", error.read()
        self.states[sid] = {}
        return "200 OK", json.dumps({"call": f"/calls/{sid}"}).encode()

    def _told(self, form: dict[str, str]) -> None:
        """Both legs are told of here: that of the visitor has the sid that the post was given."""
        sid = form["ParentCallSid"]
        who = "visitor" if form["callSid"] == sid else "agent"
        state = form.get("CallOutcome") or form["CallStatus"]
        self.states.setdefault(sid, {})[who] = state


def main() -> None:
    """Serves the page."""
    url = "http://127.0.0.1:9000"
    page = ClickToCall("http://127.0.0.1:8080", "YOURSECRECTAPIKEY", "15005550014", url)
    with make_server("127.0.0.1", 9000, page.app) as server:
        print(url)
        server.serve_forever()


if __name__ == "__main__":
    main()
