"""`outdial deliveries`: what it prints, what it refuses, and the listener."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outdial import config
from outdial.cli import listen
from outdial.cli.callback_lines import delivery_lines
from outdial.cli.listen import Listener
from outdial.cli.program import app
from outdial.clock import SystemClock
from outdial.errors import ConfigError
from outdial.webhooks.secret_file import Signing, read
from outdial.webhooks.sign import new_secret

SECRET = new_secret(bytes(30))

DELIVERY: dict[str, Any] = {
    "id": "DE1",
    "call_sid": "CA1",
    "event": "completed",
    "event_id": "EV1",
    "url": "http://app/events",
    "method": "POST",
    "state": "dead",
    "attempts": 1,
    "created_at": "2027-01-15T08:00:00.000Z",
    "next_at": None,
    "done_at": "2027-01-15T08:00:01.000Z",
    "request": {
        "method": "POST",
        "url": "http://app/events",
        "headers": {"Host": "app", "webhook-id": "EV1"},
        "body": "CallStatus=completed&token=a%1Bb",
    },
    "tries": [
        {
            "at": "2027-01-15T08:00:00.100Z",
            "ms": 3.5,
            "status": 410,
            "error": "answered 410",
            "peer": "127.0.0.1:80",
            "timestamp": 1800000000,
            "signature": "v1,abc",
            "response_head": "HTTP/1.1 410 Gone\nserver: x\x1b[31m",
        }
    ],
}


def test_a_delivery_in_full() -> None:
    assert list(delivery_lines(DELIVERY)) == [
        "DE1  completed of CA1",
        "2027-01-15T08:00:00.000Z  event EV1",
        "dead at 2027-01-15T08:00:01.000Z, 1 attempts",
        "",
        "POST http://app/events",
        "Host: app",
        "webhook-id: EV1",
        "",
        "  CallStatus = completed",
        "  token = a\\u001bb",
        "",
        "attempt 1  2027-01-15T08:00:00.100Z  3.5 ms  127.0.0.1:80  answered 410",
        "  webhook-timestamp: 1800000000",
        "  webhook-signature: v1,abc",
        "  < HTTP/1.1 410 Gone",
        "  < server: x\\u001b[31m",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["replay"],
        ["replay", "DE1", "--dead"],
        ["replay", "DE1", "--call", "CA1"],
        ["listen", "--status", "99"],
    ],
)
def test_a_wrong_command_line(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["deliveries", *words])
    assert done.exit_code == 2


def test_secrets_are_shown_and_rotated(tmp_path: Path) -> None:
    path = tmp_path / "s.secret"
    settings = tmp_path / "outdial.toml"
    settings.write_text(f'[webhooks]\nsecret_file = "{path}"\n')
    run = CliRunner()
    options = ["--config", str(settings)]
    first = run.invoke(app, ["deliveries", "secret", "rotate", *options]).stdout.split()
    assert len(first) == 1 and read(path) == first
    second = run.invoke(app, ["deliveries", "secret", "rotate", "--json", *options]).stdout
    newest, before = map(json.loads, second.splitlines())
    assert newest["newest"] and before == {"secret": first[0], "newest": False}
    shown = run.invoke(app, ["deliveries", "secret", "show", *options]).stdout.split()
    assert shown == read(path) == [newest["secret"], first[0]]
    settings.write_text(f'[webhooks]\nsecrets = ["{SECRET}"]\nsecret_file = "{path}"\n')
    for word in ("show", "rotate"):
        done = run.invoke(app, ["deliveries", "secret", word, *options])
        assert isinstance(done.exception, ConfigError) and SECRET not in str(done.exception)
    assert read(path) == shown


def test_where_the_listeners_secrets_come_from(tmp_path: Path) -> None:
    assert listen.secrets_of(None, [SECRET]) == [SECRET]
    with pytest.raises(ConfigError, match="--secret: is not a secret"):
        listen.secrets_of(None, ["whsec_x"])
    given = config.Webhooks.model_validate({"secrets": [SECRET]})
    assert listen.secrets_of(given, ()) == [SECRET]
    of_file = config.Webhooks(secret_file=str(tmp_path / "none"))
    assert listen.secrets_of(of_file, ()) == []


class Listening:
    def __init__(self, listener: Listener, said: list[str]) -> None:
        self.url = f"http://127.0.0.1:{listener.port}"
        self.port = listener.port
        self.said = said


@pytest.fixture
def listening(request: pytest.FixtureRequest) -> Iterator[Listening]:
    options = {"status": 200, "secrets": [SECRET]} | getattr(request, "param", {})
    said: list[str] = []
    listener = Listener("127.0.0.1", 0, options["secrets"], options["status"], said.append, count=3)
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield Listening(listener, said)
    listener.shutdown()
    thread.join()
    listener.server_close()


def send(url: str, payload: bytes | None, signed: bytes | None = None) -> int:
    query = url.partition("?")[2].encode()
    what = (payload if payload is not None else query) if signed is None else signed
    timestamp, signature = Signing(SystemClock(), [SECRET]).sign("EV1", what)
    headers = {
        "webhook-id": "EV1",
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature,
    }
    asked = urllib.request.Request(url, payload, headers)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_it_prints_each_and_whether_it_is_signed(listening: Listening) -> None:
    body = b"CallStatus=ringing&callSid=CA1&x=%1B"
    assert send(listening.url + "/cb", body) == 200
    assert send(listening.url + "/cb?CallStatus=answered", None) == 200
    assert send(listening.url + "/cb", body, signed=b"other") == 200
    first, second, third = (listening.said[n] for n in (0, 5, 8))
    assert "  ringing CA1  POST /cb -> 200" in first
    assert listening.said[1] == "  webhook-id EV1, signature right"
    assert listening.said[2:5] == ["  CallStatus = ringing", "  callSid = CA1", "  x = \\u001b"]
    assert "answered  GET /cb -> 200" in second and "signature right" in listening.said[6]
    assert "ringing CA1" in third and "signature WRONG: no signature fits" in listening.said[9]


@pytest.mark.parametrize("listening", [{"status": 503, "secrets": []}], indirect=True)
def test_it_can_refuse_and_says_when_it_knows_no_secret(listening: Listening) -> None:
    assert send(listening.url, b"a=1") == 503
    assert "not verified: no secret is known here" in listening.said[1]


def test_what_is_too_large_is_refused_unread(listening: Listening) -> None:
    for length, status in ((b"99999999", b" 413 "), (b"-1", b" 413 "), (b"", b" 411 ")):
        with socket.create_connection(("127.0.0.1", listening.port), timeout=5) as peer:
            field = b"Content-Length: " + length + b"\r\n" if length else b""
            peer.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + field + b"\r\n")
            answer = peer.recv(1000)
            assert status in answer.split(b"\r\n")[0]
            assert peer.recv(1000) == b""
    assert listening.said == []


def test_a_port_that_is_taken_is_named(listening: Listening) -> None:
    with pytest.raises(ConfigError, match="cannot be listened on: Address already in use"):
        Listener("127.0.0.1", listening.port, [], 200, print)
    with pytest.raises(ConfigError, match="cannot be listened on"):
        Listener("127.0.0.1", 99999, [], 200, print)
