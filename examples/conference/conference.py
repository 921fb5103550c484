"""A conference room behind a PIN: guests wait for the host, who opens and closes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

ASK = """<Response>
  <Gather action="/pin" numDigits="4" tries="3" timeout="6">
    <Say>Welcome to the conference. Please enter your pin.</Say>
  </Gather>
  <Say>Goodbye.</Say>
</Response>"""
WRONG = """<Response>
  <Say>That is not a pin of ours.</Say>
  <Redirect>/answer</Redirect>
</Response>"""
HOST = """<Response>
  <Say>You are the host. The conference begins.</Say>
  <Dial action="/after">
    <Conference endConferenceOnExit="on" record="on">{room}</Conference>
  </Dial>
</Response>"""
GUEST = """<Response>
  <Say>You will be connected as soon as the host is there.</Say>
  <Dial action="/after"><Conference startConferenceOnEnter="off">{room}</Conference></Dial>
</Response>"""
AFTER = "<Response><Say>The conference is over.</Say></Response>"


class ConferenceRooms:
    """The application: rooms by the PINs of hosts and of guests."""

    def __init__(self, hosts: dict[str, str], guests: dict[str, str]) -> None:
        self._hosts = hosts
        self._guests = guests
        self.recordings: list[str] = []
        """Where recordings are, with an API key."""

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """What Outdial asks: WSGI."""
        size = int(environ.get("CONTENT_LENGTH") or 0)
        given = parse_qs(environ["wsgi.input"].read(size).decode())
        form = {name: values[0] for name, values in given.items()}
        document = {"/pin": self._enter, "/after": self._leave}.get(
            environ["PATH_INFO"], lambda _: ASK
        )(form)
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [document.encode()]

    def _enter(self, form: dict[str, str]) -> str:
        pin = form["Digits"]
        if pin in self._hosts:
            return HOST.format(room=self._hosts[pin])
        if pin in self._guests:
            return GUEST.format(room=self._guests[pin])
        return WRONG

    def _leave(self, form: dict[str, str]) -> str:
        if recording := form.get("RecordingUrl"):
            self.recordings.append(recording)
        return AFTER


def main() -> None:
    """Serves the application."""
    rooms = ConferenceRooms(hosts={"1234": "weekly"}, guests={"1111": "weekly"})
    with make_server("127.0.0.1", 9000, rooms.app) as server:
        print("http://127.0.0.1:9000/answer, the host's PIN is 1234, that of guests 1111")
        server.serve_forever()


if __name__ == "__main__":
    main()
