"""Reminds of an appointment, takes the answer by key, and calls again who could not be reached."""

from __future__ import annotations

import json
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server

V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
ANSWERS = {"1": "confirmed", "2": "cancelled"}
REPLIES = {
    "confirmed": "Thank you. We look forward to seeing you.",
    "cancelled": "Your appointment is cancelled. Goodbye.",
}


@dataclass
class Appointment:
    """An appointment, and what the customer says to it."""

    number: str
    when: str
    answer: str = "open"
    """open, confirmed, cancelled, or unreached."""
    attempts: int = 0


class Reminders:
    """Calls customers. `url` is where `app` is served, as Outdial sees it."""

    attempts = 3

    def __init__(self, outdial: str, key: str, url: str = "", again_after_s: float = 600) -> None:
        self._outdial = outdial
        self._key = key
        self._again_after_s = again_after_s
        self.url = url
        self.appointments: list[Appointment] = []

    def remind(self, number: str, when: str) -> Appointment:
        """Calls the number about an appointment."""
        appointment = Appointment(number, when)
        self.appointments.append(appointment)
        self._call(len(self.appointments) - 1)
        return appointment

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """What Outdial asks: WSGI. Paths are /ask/0, /answer/0 and /done/0."""
        _, what, place = environ["PATH_INFO"].split("/", 2)
        size = int(environ.get("CONTENT_LENGTH") or 0)
        form = parse_qs(environ["wsgi.input"].read(size).decode())
        document = ""
        if what == "ask":
            document = self._question(int(place))
        elif what == "answer":
            document = self._take(int(place), form["Digits"][0])
        elif what == "done":
            self._is_over(int(place))
        start_response("200 OK", [("Content-Type", "text/xml")])
        return [document.encode()]

    def _question(self, place: int) -> str:
        when = self.appointments[place].when
        return f"""<Response>
  <Gather action="/answer/{place}" numDigits="1" tries="2" timeout="8">
    <Say>You have an appointment {when}. To confirm it, press 1. To cancel it, press 2.</Say>
  </Gather>
  <Say>We will call again. Goodbye.</Say>
</Response>"""

    def _take(self, place: int, digit: str) -> str:
        answer = ANSWERS.get(digit)
        if answer is None:
            return f"<Response><Redirect>/ask/{place}</Redirect></Response>"
        self.appointments[place].answer = answer
        return f"<Response><Say>{REPLIES[answer]}</Say></Response>"

    def _is_over(self, place: int) -> None:
        appointment = self.appointments[place]
        if appointment.answer != "open":
            return
        if appointment.attempts >= self.attempts:
            appointment.answer = "unreached"
        elif self._again_after_s:
            threading.Timer(self._again_after_s, self._call, (place,)).start()
        else:
            self._call(place)

    def _call(self, place: int) -> None:
        appointment = self.appointments[place]
        appointment.attempts += 1
        body = {
            "apikey": self._key,
            "to": appointment.number,
            "from": "18005550100",
            "url": f"{self.url}/ask/{place}",
            "statusCallback": f"{self.url}/done/{place}",
            "timeout": 25,
        }
        request = urllib.request.Request(
            self._outdial + V2,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()


def main(number: str, when: str) -> None:
    """Serves the application, and reminds the number."""
    url = "http://127.0.0.1:9000"
    reminders = Reminders("http://127.0.0.1:8080", "YOURSECRECTAPIKEY", url, again_after_s=5)
    with make_server("127.0.0.1", 9000, reminders.app) as server:
        appointment = reminders.remind(number, when)
        while appointment.answer == "open":
            server.handle_request()
    print(f"{number}: {appointment.answer} after {appointment.attempts} call(s)")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "15005550014", "tomorrow at ten")
