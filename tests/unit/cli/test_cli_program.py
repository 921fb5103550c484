"""The program as people run it: exit statuses, one clear line for every error, nothing left."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outdial import __version__

SID = "CA" + "0" * 32


def outdial(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: v for name, v in os.environ.items() if not name.startswith("OUTDIAL_")}
    return subprocess.run(
        [sys.executable, "-m", "outdial", *arguments],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What it said on standard error, which must be one line and no traceback."""
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


class FakeServer:
    """Answers like the API about one call that ends as told."""

    def __init__(self) -> None:
        self.outcome = "completed"
        self.asked: list[tuple[str, str, str, Any]] = []
        self.status = 201
        self.shown = 0
        self.place: int | None = None
        self.queued = 0
        """So many times the call is said to be queued, one place further each time."""
        self.hangs_up = False
        """Whether connections that should be kept are closed without a word."""
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200, owner.get(self.path))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                key = self.headers["Authorization"]
                owner.asked.append(("POST", self.path, key, body))
                self._answer(owner.status, owner.call("queued"))

            def _answer(self, status: int, answer: object) -> None:
                if status >= 400:
                    answer = {"detail": "to is too short\x1b[31m"}
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                self.close_connection = owner.hangs_up

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def get(self, path: str) -> object:
        if "/events" in path:
            after = int(path.partition("after=")[2] or -1)
            kinds = ["state.queued", "state.ringing", "state.completed"][: self.shown + 1]
            events = [
                {"seq": seq, "at": "2027-01-15T08:00:00.000Z", "kind": kind, "data": {}}
                for seq, kind in enumerate(kinds)
            ]
            return {"events": events[after + 1 :]}
        if path.endswith("/ladder"):
            return {"messages": []}
        if path.startswith("/v1/deliveries?"):
            return {"deliveries": []}
        if path.startswith("/v1/calls?"):
            return {"calls": [self.call("completed")], "next_cursor": ""}
        if self.queued:
            self.place, self.queued = self.queued // 2 + 1, self.queued - 1
            return self.call("queued")
        self.shown += 1
        return self.call("completed" if self.shown >= 2 else "ringing")

    def call(self, state: str) -> dict[str, Any]:
        over = state == "completed"
        return {
            "sid": SID,
            "parent_sid": SID,
            "direction": "outbound",
            "from": "18005797676",
            "to": "19499300360",
            "created_at": "2027-01-15T08:00:00.000Z",
            "key_name": "dev",
            "state": state,
            "queue_position": self.place if state == "queued" else None,
            "outcome": self.outcome if over else None,
            "duration_s": 2 if over else None,
            "sip_code": None,
            "cause": None,
            "hangup_source": None,
            "detail": None,
            "request": {},
        }


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    fake = FakeServer()
    thread = threading.Thread(target=fake.server.serve_forever, args=(0.01,))
    thread.start()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("outcome", "status"),
    [("completed", 0), ("busy", 2), ("no-answer", 3), ("failed", 4), ("canceled", 5)],
)
def test_call_follows_to_the_end(
    tmp_path: Path, fake: FakeServer, outcome: str, status: int
) -> None:
    fake.outcome = outcome
    done = outdial(
        tmp_path,
        *("call", "19499300360", "--from", "18005797676", "--url", "http://a/"),
        *("--events", "ringing, Answered"),
        OUTDIAL_URL=fake.url,
        OUTDIAL_KEY="secret",
    )
    assert done.returncode == status, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{SID}  18005797676 calls 19499300360"
    assert [line.split()[1] for line in lines[1:4]] == [
        "state.queued",
        "state.ringing",
        "state.completed",
    ]
    assert lines[4].startswith(outcome)
    method, path, key, body = fake.asked[0]
    assert (method, path, key) == ("POST", "/v1/calls", "Bearer secret")
    assert body["status_callback_event"] == ["ringing", "answered"]


def test_call_tells_its_place_in_the_queue_when_that_changes(
    tmp_path: Path, fake: FakeServer
) -> None:
    fake.queued = 4
    done = outdial(
        tmp_path, "call", "19499300360", "--from", "1", "--server", fake.url, "--key", "k"
    )
    told = [line for line in done.stdout.splitlines() if line.startswith("queued")]
    assert told == ["queued, place 3", "queued, place 2", "queued, place 1"]


def test_a_connection_that_was_kept_and_is_closed_is_made_again(
    tmp_path: Path, fake: FakeServer
) -> None:
    fake.hangs_up = True
    done = outdial(
        tmp_path,
        "call",
        "1",
        "--from",
        "2",
        "--url",
        "http://x",
        "--server",
        fake.url,
        "--key",
        "k",
    )
    assert done.returncode == 0, done.stderr
    assert len(fake.asked) == 1


def test_call_as_json(tmp_path: Path, fake: FakeServer) -> None:
    options = ("--server", fake.url, "--key", "k", "--json")
    done = outdial(tmp_path, "call", "19499300360", "--from", "18005797676", *options)
    printed = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one.get("kind") for one in printed[:3]] == [
        "state.queued",
        "state.ringing",
        "state.completed",
    ]
    assert printed[3]["outcome"] == "completed"


def test_a_refused_call_is_one_line_and_harmless_to_terminals(
    tmp_path: Path, fake: FakeServer
) -> None:
    fake.status = 422
    done = outdial(tmp_path, "call", "911", "--from", "1", OUTDIAL_URL=fake.url, OUTDIAL_KEY="k")
    assert done.returncode == 1
    assert one_line(done) == "outdial: to is too short\\u001b[31m"


def test_listing_and_showing(tmp_path: Path, fake: FakeServer) -> None:
    where = {"OUTDIAL_URL": fake.url, "OUTDIAL_KEY": "k"}
    done = outdial(tmp_path, "calls", "ls", **where)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split() == [
        *(SID, "2027-01-15T08:00:00.000Z", "18005797676", "19499300360"),
        *("completed", "completed", "2"),
    ]
    for options in ((), ("--sip",)):
        done = outdial(tmp_path, "calls", "show", SID, *options, **where)
        assert done.returncode == 0, done.stderr
    done = outdial(tmp_path, "calls", "show", SID, "--json", **where)
    assert set(json.loads(done.stdout)) == {"call", "events", "messages", "deliveries"}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("calls", "ls", "--server", "http://127.0.0.1:1", "--key", "k"), 1, "outdial serve"),
        (("calls", "ls", "--server", "nonsense", "--key", "k"), 1, "http://127.0.0.1:8080"),
        (("calls", "ls", "--server", "http://h:x", "--key", "k"), 1, "port"),
        (("serve", "--config", "missing.toml"), 1, "missing.toml"),
        (("doctor", "--config", "missing.toml"), 1, "missing.toml"),
        (("keys", "revoke", "nobody"), 1, "outdial keys ls"),
    ],
)
def test_errors_are_one_clear_line(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = outdial(tmp_path, *arguments)
    assert done.returncode == status
    assert said in one_line(done)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("call", "1"), ("calls", "ls", "--x")])
def test_a_wrong_command_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = outdial(tmp_path, *arguments)
    assert done.returncode == 64
    assert "Usage" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_a_demo_that_has_no_folder_says_so(tmp_path: Path) -> None:
    refused = outdial(tmp_path, "demo", "--folder", "/proc/demo")
    assert refused.returncode == 1
    line = one_line(refused)
    assert "--folder" in line and "/proc/demo cannot be written" in line


def test_the_version_is_told(tmp_path: Path) -> None:
    told = outdial(tmp_path, "--version")
    assert (told.returncode, told.stdout, told.stderr) == (0, f"outdial {__version__}\n", "")


def test_unknown_settings_are_named(tmp_path: Path) -> None:
    (tmp_path / "outdial.toml").write_text('[http]\nlisten_on = "x"\n')
    done = outdial(tmp_path, "serve")
    assert done.returncode == 1
    assert "http.listen_on" in done.stderr
    assert "Traceback" not in done.stderr


def test_keys_are_shown_once_and_revoked(tmp_path: Path) -> None:
    key = outdial(tmp_path, "keys", "add", "dev").stdout.strip()
    assert len(key) > 20
    assert outdial(tmp_path, "keys", "add", "dev").returncode == 1
    listed = json.loads(outdial(tmp_path, "keys", "ls", "--json").stdout)
    assert (listed["name"], listed["revoked_at"]) == ("dev", None)
    assert key.startswith(listed["prefix"])
    assert key not in json.dumps(listed)
    assert key.encode() not in (tmp_path / "outdial.db").read_bytes()
    assert outdial(tmp_path, "keys", "revoke", "dev").returncode == 0
    listed = json.loads(outdial(tmp_path, "keys", "ls", "--json").stdout)
    assert listed["revoked_at"]


def test_keys_have_rules_an_end_and_a_successor(tmp_path: Path) -> None:
    options = ("--scope", "call", "--scope", "read", "--from", "1800*", "--from", "+19495550100")
    more = ("--destination", "1949,44", "--calls-per-second", "2", "--concurrent-calls", "5")
    made = json.loads(
        outdial(
            tmp_path, "keys", "add", "crm", *options, *more, "--minutes-per-day", "30",
            "--expires", "2099-01-31", "--json",
        ).stdout
    )  # fmt: skip
    assert (made["scopes"], made["from"]) == (["call", "read"], ["1800*", "19495550100"])
    assert (made["destinations"], made["calls_per_second"]) == (["1949", "44"], 2.0)
    assert (made["concurrent_calls"], made["minutes_per_day"]) == (5, 30.0)
    assert made["expires_at"] == "2099-01-31T00:00:00.000Z"
    second = json.loads(
        outdial(tmp_path, "keys", "rotate", "crm", "--grace", "30m", "--json").stdout
    )
    assert second["key"] != made["key"] and second["destinations"] == made["destinations"]
    shown = outdial(tmp_path, "keys", "ls").stdout
    assert "from 1800* 19495550100, destinations 1949 44" in shown
    assert "2 calls/s, 5 at once, 30 minutes/day" in shown
    assert "LAST USED" in shown and made["key"] not in shown + json.dumps(second["id"])
    old, new = map(json.loads, outdial(tmp_path, "keys", "ls", "--json").stdout.splitlines())
    assert old["revoked_at"] and new["revoked_at"] is None


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("add", "a", "--scope", "all"), 64, "call, read, admin"),
        (("add", "a", "--from", "mum"), 64, "1800*"),
        (("add", "a", "--destination", "+x"), 64, "e.g. 1 or 4420"),
        (("add", "a", "--expires", "soon"), 64, "90d"),
        (("add", "a", "--expires", "2001-01-01"), 1, "expired already"),
        (("rotate", "a", "--grace", "1 day"), 64, "7d"),
        (("rotate", "a"), 1, "outdial keys ls"),
    ],
)
def test_what_a_key_cannot_have_is_named(
    tmp_path: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    done = outdial(tmp_path, "keys", *arguments)
    assert done.returncode == status, done.stderr
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_doctor_finds_a_port_in_use_and_a_trunk_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as taken, socket.socket(type=socket.SOCK_DGRAM) as silent:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        silent.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        (tmp_path / "outdial.toml").write_text(
            f'[http]\nlisten = "127.0.0.1:{port}"\n'
            '[sip]\nlisten = ["udp:127.0.0.1:0"]\n'
            f'[[trunks]]\nname = "carrier"\naddress = "127.0.0.1:{silent.getsockname()[1]}"\n'
        )
        done = outdial(tmp_path, "doctor", "--json")
    assert done.returncode == 1, done.stderr
    findings = {one["check"]: one for one in map(json.loads, done.stdout.splitlines())}
    bad = {check for check, one in findings.items() if not one["ok"]}
    assert bad == {"http", "trunk carrier", "destinations"}
    assert str(port) in findings["http"]["detail"]
    assert all(findings[check]["remedy"] for check in bad)
    assert [path.name for path in tmp_path.iterdir()] == ["outdial.toml"]
