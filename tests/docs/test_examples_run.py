"""What the pages ask people to type and to write, done against a real server."""

from __future__ import annotations

import json
import shlex
import threading
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from docs.pages import Block, blocks
from outdial.didml.parse import parse
from outdial.testing.server import API_KEY, OutdialServer
from outdial.testing.web import WebServer

V2 = "/didforsaleapi/index.php/api/V2/CallTermination/"

pytestmark = pytest.mark.system


def posts() -> list[tuple[str, list[tuple[str, str]]]]:
    """Every curl command that places a call: where it stands, and its parameters."""
    found = []
    for block in blocks("sh"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["curl"] and any(word.endswith(V2) for word in words):
                given = [words[at + 1] for at, word in enumerate(words) if word == "-d"]
                pairs = [text.partition("=")[::2] for text in given]
                found.append((str(block), pairs))
    return found


def tutorial() -> list[Block]:
    return [b for b in blocks("toml", "xml", "sh") if b.page.name == "tutorial.md"]


def programs(word: str) -> list[Block]:
    """The tutorial's programs in which the word stands."""
    return [b for b in blocks("python") if b.page.name == "tutorial.md" and word in b.text]


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


@pytest.fixture(scope="module")
def outdial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutdialServer]:
    """A server with the tutorial's settings file."""
    (settings,) = (
        tomllib.loads(block.text.split("TOML'\n")[1].split("\nTOML\n")[0])
        for block in tutorial()
        if "cat > outdial.toml" in block.text
    )
    assert settings["sim"] == {"enabled": True}
    settings["keys"].append({"name": "test", "key": API_KEY})
    with OutdialServer(settings, tmp_path_factory.mktemp("server")) as running:
        yield running


def test_there_are_examples() -> None:
    assert {Path(where.split(":")[0]).name for where, _ in posts()} >= {"README.md", "tutorial.md"}


@pytest.mark.parametrize(("where", "pairs"), posts(), ids=lambda value: str(value)[:40])
def test_the_call_of_an_example_is_placed_and_completed(
    where: str, pairs: list[tuple[str, str]], outdial: OutdialServer, web: WebServer
) -> None:
    asked = dict(pairs)
    events_path = ""
    web.serve("/app.xml", "<Response><Say>Hello.</Say></Response>")
    fitted = []
    for name, value in pairs:
        if name == "url":
            value = web.url("/app.xml")
        elif name == "statusCallback":
            events_path = f"/events/{urllib.parse.quote(where, safe='')}"
            value = web.collect(events_path)
        # Numbers that are the reader's to fill in.
        fitted.append((name, "15005550010" if set(value) == {"1", "X"} else value))

    body = urllib.parse.urlencode(fitted).encode()
    with urllib.request.urlopen(outdial.url(V2), body, timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)
    assert told["status"] is True
    if "url" not in asked:
        # Two phones that listen to each other talk until somebody ends it.
        outdial.post(f"/v1/calls/{told['callSid']}", {"hangup": True})
    call = outdial.wait_until_over(told["callSid"])
    assert call["outcome"] in ("completed", "canceled")
    if events_path:
        wanted = asked["statusCallbackEvent"].split(",")
        received = web.wait_for(events_path, len(wanted))
        assert [one.params["CallStatus"] for one in received] == wanted


def test_the_documents_of_the_tutorial_are_well_formed() -> None:
    (written,) = (b.text for b in tutorial() if "cat > pin.xml" in b.text)
    text = written.split("XML'\n")[1].split("\nXML\n")[0]
    document = parse(text.encode(), "text/xml", "http://127.0.0.1:9000/pin.xml")
    assert [type(verb).__name__ for verb in document.verbs] == ["Say", "Pause", "Say"]
    assert document.warnings == ()


def test_the_receiver_of_the_tutorial_receives() -> None:
    (block,) = programs("class Receiver")
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(block.text, str(block), "exec"), names)
    with HTTPServer(("127.0.0.1", 0), names["Receiver"]) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/events"
        with urllib.request.urlopen(url, b"CallStatus=ringing", timeout=5) as answer:
            assert answer.status == 204
        thread.join()


def test_the_menu_of_the_tutorial_gets_digits_and_messages(outdial: OutdialServer) -> None:
    (block,) = programs("class Menu")
    names: dict[str, Any] = {"__name__": "menu"}
    exec(compile(block.text, str(block), "exec"), names)
    with ThreadingHTTPServer(("127.0.0.1", 0), names["Menu"]) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            who = {"to": "15005550014", "from": "18005797676"}
            sids = {path: outdial.place_call(**who, url=url + path) for path in ("", "message")}
            for sid in sids.values():
                outdial.wait_until_over(sid, timeout_s=60)
        finally:
            server.shutdown()

    def said(path: str) -> list[str]:
        events = outdial.get(f"/v1/calls/{sids[path]}/events")["events"]
        return [e["data"]["text"] for e in events if e["kind"] == "verb.started"]

    assert said("")[-1] == "Order 1 2 3 4 is on its way."
    assert said("message")[-1] == "Thank you. Goodbye."


def test_the_test_of_the_test_kit_passes() -> None:
    (block,) = (b for b in blocks("python") if b.page.name == "test-kit.md")
    names: dict[str, Any] = {}
    exec(compile(block.text, str(block), "exec"), names)
    names["test_the_customer_hears_the_pin"]()


async def test_the_phones_of_the_reader_can_be_started() -> None:
    (block,) = (b for b in blocks("python") if b.page.name == "simulated-phones.md")
    text = block.text.replace("127.0.0.1:5090", "127.0.0.1:0")
    assert text != block.text
    names: dict[str, Any] = {}
    exec(compile(text, str(block), "exec"), names)
    await names["carrier_with_a_slow_phone"]()
