"""A company's number: opening hours, the office, and a message when nobody is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

MENU = """<Response>
  <Gather action="/chosen" numDigits="1" tries="3" timeout="5">
    <Say>Welcome. For our opening hours, press 1. To speak to somebody, press 2.</Say>
  </Gather>
  <Redirect>/voicemail</Redirect>
</Response>"""
HOURS = """<Response>
  <Say>We are open from nine to five, Monday to Friday.</Say>
  <Redirect>/menu</Redirect>
</Response>"""
OFFICE = """<Response>
  <Say>One moment, please.</Say>
  <Dial action="/dialled" timeout="20">{office}</Dial>
</Response>"""
VOICEMAIL = """<Response>
  <Say>Please leave a message after the beep, and press a key when you are done.</Say>
  <Record action="/recorded" maxlength="120" timeout="5" confirmrecording="off"/>
  <Say>We heard nothing. Goodbye.</Say>
</Response>"""
THANKS = "<Response><Say>Thank you. We will call you back.</Say></Response>"
BYE = "<Response><Hangup/></Response>"


@dataclass
class Message:
    """What a caller left."""

    caller: str
    seconds: int
    url: str
    """Where the recording is, with an API key."""


class Company:
    """The application. `office` is the number that callers are connected with."""

    def __init__(self, office: str) -> None:
        self._office = office
        self.messages: list[Message] = []

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """What Outdial asks: WSGI. ``/messages`` is for people."""
        size = int(environ.get("CONTENT_LENGTH") or 0)
        given = parse_qs(environ["wsgi.input"].read(size).decode())
        form = {name: values[0] for name, values in given.items()}
        path = environ["PATH_INFO"]
        if path == "/messages":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps([asdict(message) for message in self.messages]).encode()]
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [self._document(path, form).encode()]

    def _document(self, path: str, form: dict[str, str]) -> str:
        if path == "/chosen":
            return {"1": HOURS, "2": OFFICE.format(office=self._office)}.get(form["Digits"], MENU)
        if path == "/dialled":
            return BYE if form["DialCallStatus"] == "completed" else VOICEMAIL
        if path == "/voicemail":
            return VOICEMAIL
        if path == "/recorded":
            seconds = int(form["RecordingDuration"])
            self.messages.append(Message(form["callerid"], seconds, form["RecordingUrl"]))
            return THANKS
        return MENU


def main() -> None:
    """Serves the application."""
    company = Company(office="15005550003")
    with make_server("127.0.0.1", 9000, company.app) as server:
        print("the menu: http://127.0.0.1:9000/menu, messages: http://127.0.0.1:9000/messages")
        server.serve_forever()


if __name__ == "__main__":
    main()
