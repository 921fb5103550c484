"""A whole server with secrets that can be recognised: they are in nothing that anybody is shown.

And its recordings are encrypted: at no moment is any of them in clear on the disk, also after a
kill in the middle of one.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outdial.cli.doctor import Finding, report
from outdial.clock import SystemClock
from outdial.config import Settings
from outdial.errors import ConfigError, StoreUnavailable
from outdial.recording_keys import new_key
from outdial.store.store import Store
from outdial.stored_file import PIECE_BYTES
from outdial.testing.server import OutdialServer, free_port
from outdial.testing.web import Received, WebServer

pytestmark = pytest.mark.system

CANARY = "canary7f3a"
KEY = f"{CANARY}-key"
PASSWORD, INBOUND = f"{CANARY}-trunk", f"{CANARY}-inbound"
SECRET_KEY = f"{CANARY}-secretkey"
TOKEN = f"{CANARY}-token"
GATEWAY = f"{CANARY}-gateway"
HOOK = "whsec_" + base64.b64encode(f"{CANARY}-webhook-secret-of-32b".encode()).decode()
STORED = new_key()
PIN = re.compile(rb"(?<![0-9A-Za-z.])1234(?![0-9A-Za-z])")
TALKS, ASKS, LISTENS = "15005550014", "15005550013", "12125550123"
MAGIC = b"OUTDIAL\x01"


@pytest.fixture(scope="module")
def carrier() -> Iterator[int]:
    """The simulated phones in a process of their own: a trunk with a password."""
    port, http = free_port(socket.SOCK_DGRAM), free_port()
    first = 2 * (free_port(socket.SOCK_DGRAM) // 2)
    ports = f"{min(first, 64000)}-{min(first, 64000) + 99}"
    command = [sys.executable, "-m", "outdial", "sim", "--listen", f"udp:127.0.0.1:{port}"]
    process = subprocess.Popen(
        [*command, "--http", f"127.0.0.1:{http}", "--media-ports", ports],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("What they heard"):
            break
    yield port
    process.stdout.close()
    process.terminate()
    process.wait(10)


def settings(carrier: int) -> dict[str, Any]:
    return {
        "log": {"level": "debug", "calls": "steps"},
        "limits": {"destinations": ["1"]},
        "keys": [{"name": "dev", "key": KEY, "previous_key": f"{CANARY}-previous"}],
        "storage": {"encryption_keys": [STORED]},
        "webhooks": {"secrets": [HOOK], "allow_private": ["127.0.0.0/8"]},
        "sms": {
            "gateway_url": "http://127.0.0.1:1/?to={to}&text={text}",
            "gateway_headers": [f"Authorization: Bearer {GATEWAY}"],
        },
        "trunks": [
            {
                "name": "carrier",
                "address": f"127.0.0.1:{carrier}",
                "username": "me",
                "password": PASSWORD,
                "inbound_username": "them",
                "inbound_password": INBOUND,
            }
        ],
    }


def asked(outdial: OutdialServer, path: str, data: bytes | None = None, **headers: str) -> bytes:
    """What is answered, whatever it is: also the headers."""
    request = urllib.request.Request(outdial.url(path), data, headers)
    with contextlib.suppress(ConnectionError):
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return bytes(answer.read()) + str(answer.headers).encode()
        except urllib.error.HTTPError as refused:
            return refused.read() + str(refused.headers).encode()
    return b""


def errors(outdial: OutdialServer) -> Iterator[bytes]:
    """Answers to requests that have secrets in the wrong places."""
    v2 = "/didforsaleapi/index.php/api/V2/CallTermination/"
    for path in (v2, "/v1/calls", "/v1/keys", f"/v1/calls/{CANARY}", f"/v1/{CANARY}"):
        yield asked(outdial, path, b"{", Authorization=f"Bearer {CANARY}-wrong")
        yield asked(outdial, path, b"{", Authorization=f"Basic {CANARY}-basic")
        yield asked(outdial, path, b'{"apikey": ["%s"]}' % CANARY.encode(), apikey=KEY)
    for url in (f"http://user:{CANARY}@example.com/", f"http://127.0.0.2:1/?t={CANARY}"):
        body = json.dumps({"to": TALKS, "from": LISTENS, "url": url, "secret_key": SECRET_KEY})
        yield asked(outdial, "/v1/calls", body.encode(), Authorization=f"Bearer {KEY}")


def is_clear(content: bytes, name: str) -> bool:
    return bool(content) and not content.startswith(MAGIC) and not name.startswith(".outdial")


def clear_files(folder: Path) -> list[str]:
    """Files of the recordings that are not encrypted."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and is_clear(path.read_bytes(), path.name):
                found.append(path.name)
    return found


def place(outdial: OutdialServer, web: WebServer, to: str, document: str, **more: Any) -> str:
    return outdial.place_call(
        to=to,
        url=web.url(f"{document}?token={TOKEN}"),
        statusCallback=web.url(f"/told?token={TOKEN}"),
        statusCallbackEvent=["answered", "completed"],
        secretKey=SECRET_KEY,
        **{"from": LISTENS, **more},
    )


def application(web: WebServer) -> None:
    """Takes a message, plays it, sends a text, and asks for a PIN."""
    web.serve("/app", '<Response><Record maxlength="2" action="/message"/></Response>')
    web.serve("/message", "<Response><Redirect>/played</Redirect></Response>")
    web.serve("/pin", "<Response/>")
    web.serve("/stay", '<Response><Pause length="60"/></Response>')
    web.collect("/told")


def answer_with_the_message(web: WebServer, request: Received) -> None:
    if request.path == "/message":
        url = request.params.get("RecordingUrl", "")
        web.serve(
            "/played",
            f'<Response><Play>{url}</Play><Sms to="{LISTENS}">code</Sms>'
            f'<Gather numDigits="4" timeout="15" method="GET" action="/pin?token={TOKEN}"/>'
            "</Response>",
        )


@pytest.mark.long
def test_secrets_are_shown_nowhere_and_recordings_are_never_in_clear(
    carrier: int, tmp_path: Path
) -> None:
    seen_clear: set[str] = set()
    web = WebServer(on_request=lambda request: answer_with_the_message(web, request))
    with web, OutdialServer(settings(carrier), tmp_path) as outdial:
        application(web)
        folder = tmp_path / "recordings"
        sids = [
            place(outdial, web, TALKS, "/app", record=True),
            place(outdial, web, ASKS, "/stay", sendDigits="1234"),
        ]
        until = time.monotonic() + 60
        while time.monotonic() < until:
            seen_clear.update(clear_files(folder))
            state = outdial.get(f"/v1/calls/{sids[0]}")
            if state["state"] == "completed":
                break
            time.sleep(0.05)
        calls = [outdial.wait_until_over(sid) for sid in sids]
        assert [call["outcome"] for call in calls] == ["completed", "failed"]
        assert calls[1]["cause"] == "authentication-failed"
        (pin,) = web.received("/pin")
        assert pin.params["Digits"] == "1234"
        told = web.wait_for("/told", 3)
        assert told[-1].params["apikey"] == SECRET_KEY  # it does arrive where it should
        assert seen_clear == set()

        # they are played to who asks, and are what was said
        listed = outdial.get("/v1/recordings")["recordings"]
        assert sorted(one["kind"] for one in listed) == ["call", "message"]
        for one in listed:
            assert (folder / f"{one['sid']}.wav").read_bytes().startswith(MAGIC)
            with wave.open(io.BytesIO(outdial.get_bytes(one["wav"]))) as sound:
                assert sound.getframerate() == 8000 and sound.getnframes() > 4000
        notes = [event["kind"] for event in outdial.get(f"/v1/calls/{sids[0]}/events")["events"]]
        assert "verb.failed" not in notes and web.received("/played")

        shown = dict(_all_that_is_shown(outdial, sids))
        for place_, content in shown.items():
            assert CANARY.encode() not in content.replace(TOKEN.encode(), b""), place_
            assert STORED.encode() not in content, place_
        for place_ in ("log", "metrics", "errors"):
            assert TOKEN.encode() not in shown[place_], place_
        for place_ in ("log", "timeline", "ladder", "sip.txt", "sip.pcap", "metrics"):
            assert PIN.search(shown[place_]) is None, place_
        _log_is_clean(outdial)

        # a kill in the middle of a recording, and the next start
        sid = place(outdial, web, LISTENS, "/stay", record=True)
        while not any(
            _size(path) > 4 * PIECE_BYTES
            for path in folder.glob("RE*.wav")
            if path.stem not in {one["sid"] for one in listed}
        ):
            assert time.monotonic() < until + 60
            time.sleep(0.05)
        outdial.kill()
        assert clear_files(folder) == []
        outdial.start()
        outdial.wait_until_over(sid)
        assert clear_files(folder) == []
        (saved,) = outdial.get(f"/v1/recordings?call_sid={sid}")["recordings"]
        with wave.open(io.BytesIO(outdial.get_bytes(saved["wav"]))) as sound:
            assert sound.getnframes() >= 4000
        assert not list(Path("/dev/shm").glob(f"outdial-{outdial.pid}-*/*"))

    _database_is_clean(tmp_path)


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_size
    return 0


def _all_that_is_shown(outdial: OutdialServer, sids: list[str]) -> Iterator[tuple[str, bytes]]:
    key = {"Authorization": f"Bearer {KEY}"}
    yield "errors", b"".join(errors(outdial))
    yield "metrics", asked(outdial, "/metrics")
    for path in ("calls", "deliveries", "recordings", "numbers", "usage", "keys", "trunks"):
        yield path, asked(outdial, f"/v1/{path}", None, **key)
    for name, end in (("timeline", "events"), ("ladder", "ladder")):
        yield name, b"".join(asked(outdial, f"/v1/calls/{sid}/{end}", None, **key) for sid in sids)
    for end in ("sip.txt", "sip.pcap"):
        yield end, b"".join(asked(outdial, f"/v1/calls/{sid}/{end}", None, **key) for sid in sids)
    for command in (("doctor",), ("trunks", "ls", "--json")):
        done = subprocess.run(
            [sys.executable, "-m", "outdial", *command, "--config", "outdial.toml"],
            cwd=outdial.folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
        yield " ".join(command), done.stdout + done.stderr
    yield "log", outdial.log_path.read_bytes()


def _log_is_clean(outdial: OutdialServer) -> None:
    """One JSON object a line, and nothing in it that a terminal would obey."""
    for line in outdial.log_path.read_text().splitlines():
        assert isinstance(json.loads(line), dict)
        assert line.isprintable()


def _database_is_clean(folder: Path) -> None:
    """`secretKey` is encrypted too; in clear is what else has to be sent again: the URLs."""
    for path in folder.glob("outdial.db*"):
        content = path.read_bytes()
        for secret in (
            KEY,
            PASSWORD,
            INBOUND,
            GATEWAY,
            HOOK,
            STORED,
            SECRET_KEY,
            f"{CANARY}-previous",
        ):
            assert secret.encode() not in content, (path.name, secret)


@pytest.mark.parametrize("url", [f"me:{CANARY}@127.0.0.1:1/db", f"me:{CANARY}@[::1/db"])
async def test_the_password_of_the_database_is_not_told(tmp_path: Path, url: str) -> None:
    with pytest.raises((ConfigError, StoreUnavailable)) as caught:
        await Store.open(f"postgresql://{url}", SystemClock())
    assert CANARY not in str(caught.value)
    if "[" in url:
        return
    settings_ = Settings.model_validate({"store": {"url": f"postgresql://{url}"}})
    findings: list[Finding] = []
    await report(settings_, findings.append)
    (store,) = [one for one in findings if one.check == "store"]
    assert not store.ok and CANARY not in repr(findings)
