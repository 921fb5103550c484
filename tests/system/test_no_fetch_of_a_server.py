"""A real server, told to go inside by everything that it fetches: nobody there hears a byte.

The application is at the one address that is allowed, a listener at all others of this machine.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import urllib.error
import urllib.parse
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

import pytest

from doubles.inside import table
from outdial.errors import FetchError
from outdial.net.addresses import AddressPolicy, check_url
from outdial.testing.server import OutdialServer
from outdial.testing.web import Answer, WebServer

pytestmark = pytest.mark.system

ALLOWED = "127.0.0.3"
FROM = "18005550100"
ANSWERS, BUSY, TALKS = "15005550001", "15005550002", "15005550014"
REFUSED = ("webhooks.allow_private", "webhooks.allow_ports", "address in its usual form")
"""What is said of each URL: the setting that would allow it, or how to write it."""


class Listener:
    """Keeps what anybody says to it, on every IPv4 address of the machine."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("0.0.0.0", 0))
        self.port = int(self._socket.getsockname()[1])
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:
                return
            with one:
                one.settimeout(1)
                try:
                    self.heard.append(one.recv(65536))
                except OSError:
                    self.heard.append(b"")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer(host=ALLOWED) as server:
        yield server


@pytest.fixture(scope="module")
def outdial() -> Iterator[OutdialServer]:
    settings = {
        "sim": {"enabled": True},
        "fax": {"concurrent": 0},  # a fax that nobody sends takes long to fail
        "webhooks": {"allow_private": [f"{ALLOWED}/32"], "attempts": 1},
    }
    with OutdialServer(settings, ready_within_s=60) as server:
        yield server


def without_names(port: int) -> list[str]:
    """Of the table those that no name server has to be asked for."""
    policy, found = AddressPolicy(), []
    for url in table(port):
        try:
            check_url(url, policy)
        except FetchError as error:
            if error.kind == "refused-address" and "\t" not in url:
                found.append(url)
    return found


def test_every_url_is_refused_at_the_post(outdial: OutdialServer, listener: Listener) -> None:
    for url in without_names(listener.port):
        body = {"to": ANSWERS, "from": FROM, "url": url, "status_callback": url}
        with pytest.raises(urllib.error.HTTPError) as refused:
            outdial.post("/v1/calls", body)
        with refused.value as answer:
            told = json.load(answer)
            assert (answer.code, told["field"]) == (403, "url"), url
    assert listener.heard == []


def documents(inside: str, urls: list[str]) -> dict[str, tuple[str, str]]:
    """By a name: who is called, and what is done there."""
    plays = "".join(f"<Play>{escape(url)}</Play>" for url in urls)
    return {
        "redirect": (ANSWERS, f"<Redirect>{inside}/redirect</Redirect>"),
        "talks": (
            TALKS,
            f'{plays}<Say action="{inside}/said">Hello</Say>'
            f'<Gather numDigits="1" timeout="20" action="{inside}/keyed"/>',
        ),
        "record": (TALKS, f'<Record timeout="20" action="{inside}/recorded"/>'),
        "dial": (ANSWERS, f'<Dial action="{inside}/dialled">{BUSY}</Dial>'),
        "whisper": (
            ANSWERS,
            f'<Dial><Number url="{inside}/whisper">{ANSWERS}</Number></Dial>',
        ),
        "queue": (ANSWERS, f'<Enqueue waitUrl="{inside}/wait">support</Enqueue>'),
        "room": (
            ANSWERS,
            f'<Dial><Conference startConferenceOnEnter="false" waitUrl="{inside}/hold">room'
            "</Conference></Dial>",
        ),
        "text": (ANSWERS, f'<Sms to="{ANSWERS}" action="{inside}/texted">Hello</Sms>'),
        "fax": (ANSWERS, f'<Fax action="{inside}/faxed"/>'),
    }


def test_no_verb_gets_inside(outdial: OutdialServer, web: WebServer, listener: Listener) -> None:
    inside, urls = f"http://127.0.0.1:{listener.port}", without_names(listener.port)
    placed: dict[str, str] = {}
    for name, (to, document) in documents(inside, urls).items():
        url = web.serve(f"/{name}.xml", f"<Response>{document}</Response>")
        placed[name] = outdial.post("/v1/calls", {"to": to, "from": FROM, "url": url})["sid"]
    refusals = dict.fromkeys(placed, 1) | {"talks": len(urls) + 2}
    left = dict(placed)
    deadline = time.monotonic() + 40
    while left:
        late = time.monotonic() > deadline
        assert not late, {name: told(outdial, sid) for name, sid in left.items()}
        for name, sid in list(left.items()):
            if refused(outdial, sid) >= refusals[name]:
                del left[name]
                if outdial.get(f"/v1/calls/{sid}")["outcome"] is None:
                    outdial.post(f"/v1/calls/{sid}", {"hangup": True})
        time.sleep(0.1)
    assert listener.heard == []


def told(outdial: OutdialServer, sid: str) -> list[dict[str, Any]]:
    """The timeline of the call, then those of its legs."""
    events: list[dict[str, Any]] = outdial.get(f"/v1/calls/{sid}/events")["events"]
    legs = outdial.get(f"/v1/calls?parent_sid={sid}")["calls"]
    for leg in legs:
        if leg["sid"] != sid:
            events += outdial.get(f"/v1/calls/{leg['sid']}/events")["events"]
    return events


def refused(outdial: OutdialServer, sid: str) -> int:
    """How many URLs the timeline of the call and of its legs says were refused."""
    return sum(is_refused(event) for event in told(outdial, sid))


def is_refused(event: dict[str, Any]) -> bool:
    """Whether it says so."""
    words = json.dumps(event)
    return any(why in words for why in REFUSED)


def test_no_callback_gets_inside(
    outdial: OutdialServer, web: WebServer, listener: Listener
) -> None:
    inside = f"http://127.0.0.1:{listener.port}"
    url = web.serve(
        "/told.xml",
        f"<Response><Postcall>{inside}/postcall</Postcall>"
        f'<Sms to="{ANSWERS}" statusCallback="{inside}/text">Hello</Sms>'
        f'<Dial><Number statusCallback="{inside}/leg">{BUSY}</Number></Dial></Response>',
    )
    sid = outdial.post("/v1/calls", {"to": ANSWERS, "from": FROM, "url": url})["sid"]
    outdial.wait_until_over(sid)
    deadline = time.monotonic() + 20
    dead: dict[str, Any] = {}
    while set(dead) != {"/postcall", "/text", "/leg"}:
        assert time.monotonic() < deadline, dead
        for one in outdial.get("/v1/deliveries?state=dead")["deliveries"]:
            dead[urllib.parse.urlsplit(one["url"]).path] = one
        time.sleep(0.05)
    assert all(map(is_refused, dead.values()))
    assert listener.heard == []


def test_no_redirect_leads_inside(
    outdial: OutdialServer, web: WebServer, listener: Listener
) -> None:
    """Of a document it is not followed, of a sound it is, and judged."""
    inside = f"http://127.0.0.1:{listener.port}/moved"
    web.script("/moved", Answer(status=302, headers={"Location": inside}))
    sound = f"<Response><Play>{web.url('/moved')}</Play></Response>"
    document, played = (
        outdial.post("/v1/calls", {"to": ANSWERS, "from": FROM, "url": url})["sid"]
        for url in (web.url("/moved"), web.serve("/sound.xml", sound))
    )
    assert outdial.wait_until_over(document)["cause"] == "application-error"
    outdial.wait_until_over(played)
    assert refused(outdial, played) == 1
    assert len(web.received("/moved")) == 2
    assert listener.heard == []
