"""The commands as a person types them, beside a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from outdial.testing.server import API_KEY, OutdialServer, free_port, toml
from outdial.testing.web import WebServer

pytestmark = pytest.mark.system

FROM = ("--from", "18005550100")


class Command:
    """One command that has ended."""

    def __init__(self, folder: Path, *words: str, **variables: str) -> None:
        clean = {name: value for name, value in os.environ.items() if "OUTDIAL_" not in name}
        done = subprocess.run(
            [sys.executable, "-m", "outdial", *words],
            cwd=folder,
            capture_output=True,
            timeout=60,
            env=clean | variables,
        )
        self.status = done.returncode
        self.shown = done.stdout.decode()
        self.complaints = done.stderr.decode()
        assert "Traceback" not in self.complaints

    @property
    def objects(self) -> list[Any]:
        """What `--json` printed."""
        return [json.loads(line) for line in self.shown.splitlines()]

    def refused(self, *expected: str) -> None:
        """It said in one line what is wrong, and nothing else."""
        assert self.status == 1
        assert self.shown == ""
        (line,) = self.complaints.splitlines()
        assert line.startswith("outdial: ")
        for text in expected:
            assert text in line


@pytest.fixture(scope="module")
def outdial() -> Iterator[OutdialServer]:
    with OutdialServer({"sim": {"enabled": True}}) as server:
        yield server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with WebServer() as web:
        yield web.serve("/hello.xml", "<Response><Say>Hello</Say></Response>")


# ---------------------------------------------------------------------------- call


@pytest.mark.parametrize(
    ("number", "options", "status", "outcome"),
    [
        ("15005550001", [], 0, "completed"),
        ("15005550002", [], 2, "busy"),
        ("15005550003", ["--timeout", "1"], 3, "no-answer"),
        ("15005550005", [], 4, "failed"),
    ],
)
def test_call_follows_the_call_and_tells_its_outcome(
    outdial: OutdialServer, url: str, number: str, options: list[str], status: int, outcome: str
) -> None:
    command = Command(outdial.folder, "call", number, *FROM, "--url", url, *options)
    assert (command.status, command.complaints) == (status, "")
    first, *events, last = command.shown.splitlines()
    assert re.match(rf"CA[0-9a-f]{{32}}  18005550100 calls {number}$", first)
    assert "state.queued" in events[0]
    assert "state.completed" in events[-1]
    # a short word is over within half a second, or on a busy machine within one
    assert re.match(rf"{outcome}, (1 s, )?SIP ", last)


def test_call_in_json_gives_events_and_then_the_call(outdial: OutdialServer, url: str) -> None:
    command = Command(outdial.folder, "call", "15005550010", *FROM, "--url", url, "--json")
    *events, call = command.objects
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert events[-1]["kind"] == "state.completed"
    assert call["outcome"] == "completed"
    assert outdial.get(f"/v1/calls/{call['sid']}") == call


def test_call_passes_all_that_was_asked_for(outdial: OutdialServer, url: str) -> None:
    with WebServer() as web:
        command = Command(
            *(outdial.folder, "call", "15005550009", *FROM, "--url", url, "--method", "get"),
            *("--send-digits", "W101", "--time-limit", "5", "--record", "--caller-name", "Ada"),
            *("--status-callback", web.collect("/events"), "--events", "ringing,completed"),
            "--json",
        )
        told = [request.params["CallStatus"] for request in web.wait_for("/events", 2)]
    call = command.objects[-1]
    assert told == ["ringing", "completed"]
    assert call["recording_sid"]
    assert call["caller_name"] == "Ada"
    assert call["request"]["method"] == "GET"
    assert call["request"]["send_digits"] == "W101"
    assert call["request"]["time_limit"] == 5


def test_interrupting_a_call_hangs_it_up(outdial: OutdialServer, url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "outdial", "call", "15005550003", *FROM, "--url", url],
        cwd=outdial.folder,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        sid = process.stdout.readline().split()[0]
        while "state.ringing" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 5
    assert rest.splitlines()[-1].startswith("canceled, ")
    assert outdial.get(f"/v1/calls/{sid}")["outcome"] == "canceled"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["12", *FROM], ["to", "too short"]),
        (["15005550001", "--from", "abc"], ["from"]),
        (["15005550001", *FROM, "--key", "wrong"], ["API key", "--key, OUTDIAL_KEY"]),
        (["15005550001", *FROM, "--trunk", "nope"], ["no trunk named 'nope'", "sim"]),
        (
            ["15005550001", *FROM, "--url", "http://10.1.2.3/app"],
            ["url", "10.1.2.3 is a private address", "webhooks.allow_private"],
        ),
        (["15005550001", *FROM, "--url", "ftp://h/app"], ["url", "http"]),
        (["15005550001", *FROM, "--send-digits", "12x"], ["send_digits", "0-9*#A-DwW"]),
        (["15005550001", *FROM, "--events", "lunch"], ["status_callback_event", "'ringing'"]),
        (["15005550001", *FROM, "--server", "http://127.0.0.1:9"], ["no server answers"]),
        (["15005550001", *FROM, "--server", "nonsense"], ["nonsense is not the URL of a server"]),
        (["15005550001", *FROM, "--config", "none.toml"], ["none.toml", "cannot be read"]),
    ],
)
def test_what_cannot_be_called_is_refused_in_one_line(
    outdial: OutdialServer, words: list[str], expected: list[str]
) -> None:
    count = len(outdial.get("/v1/calls?limit=100")["calls"])
    Command(outdial.folder, "call", *words).refused(*expected)
    assert len(outdial.get("/v1/calls?limit=100")["calls"]) == count


@pytest.mark.parametrize(
    "words", [["call", "15005550001"], ["cal"], ["calls", "show"], ["serve", "--simulated"], []]
)
def test_a_wrong_command_line_is_64_with_what_is_wrong(tmp_path: Path, words: list[str]) -> None:
    command = Command(tmp_path, *words)
    assert (command.status, command.shown) == (64, "")
    assert "Usage: outdial" in command.complaints


# ---------------------------------------------------------------------------- calls


def test_calls_are_listed_and_shown(outdial: OutdialServer, url: str) -> None:
    sid = outdial.place_call(to="15005550002", **{"from": "18005550100"}, url=url)
    outdial.wait_until_over(sid)
    listed = Command(outdial.folder, "calls", "ls", "--outcome", "busy", "--limit", "3")
    heading, row = listed.shown.splitlines()[:2]
    assert heading.split() == ["SID", "CREATED", "FROM", "TO", "STATE", "OUTCOME", "SECONDS"]
    assert row.split()[0] == sid
    assert row.split()[2:] == ["18005550100", "15005550002", "completed", "busy", "0"]
    assert Command(outdial.folder, "calls", "ls", "--limit", "1", "--json").objects == [
        outdial.get(f"/v1/calls/{sid}")
    ]

    shown = Command(outdial.folder, "calls", "show", sid).shown
    for expected in ("busy, SIP 486", "state.dialling", "|INVITE sip:15005550002@", "486 Busy"):
        assert expected in shown
    (whole,) = Command(outdial.folder, "calls", "show", sid, "--json").objects
    assert whole["call"]["sid"] == sid
    assert whole["messages"][0]["start_line"].startswith("INVITE ")
    Command(outdial.folder, "calls", "show", "CA" + "0" * 32).refused("no call with this sid")
    Command(outdial.folder, "calls", "ls", "--state", "lunch").refused("state", "'ringing'")


# ---------------------------------------------------------------------------- keys


def test_a_key_opens_a_running_server_until_it_is_revoked(outdial: OutdialServer) -> None:
    (made,) = Command(outdial.folder, "keys", "add", "shop", "--json").objects
    key = made["key"]
    _until(outdial, key, 200)
    Command(outdial.folder, "keys", "add", "shop").refused("a key named 'shop' already")

    rows = Command(outdial.folder, "keys", "ls", "--json").objects
    (row,) = [row for row in rows if row["name"] == "shop"]
    assert key.startswith(row["prefix"])
    assert row["revoked_at"] is None
    everything = b"".join(path.read_bytes() for path in outdial.folder.glob("outdial.db*"))
    assert key.encode() not in everything, "only its hash is stored"
    assert key not in Command(outdial.folder, "keys", "ls").shown

    assert "revoked" in Command(outdial.folder, "keys", "revoke", "shop").shown
    _until(outdial, key, 401)
    Command(outdial.folder, "keys", "revoke", "shop").refused("no valid key", "'shop'")
    Command(outdial.folder, "keys", "revoke", "test").refused("stands in the configuration")


def _until(outdial: OutdialServer, key: str, status: int) -> None:
    """Waits until the running server answers the key so: it looks at the store every second."""
    deadline = time.monotonic() + 5
    while (answered := _status(outdial, key)) != status:
        assert time.monotonic() < deadline, f"{answered} instead of {status}"
        time.sleep(0.1)


def _status(outdial: OutdialServer, key: str) -> int:
    request = urllib.request.Request(
        outdial.url("/v1/calls"), headers={"Authorization": f"Bearer {key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


# ---------------------------------------------------------------------------- doctor


def test_the_doctor_finds_a_running_server_well(outdial: OutdialServer) -> None:
    command = Command(outdial.folder, "doctor", "--json")
    assert command.status == 0
    found = {finding["check"]: finding for finding in command.objects}
    assert all(finding["ok"] for finding in found.values())
    assert "running Outdial" in found["http"]["detail"]
    assert "Outdial is running" in found["sip"]["detail"]
    assert "can be written" in found["store"]["detail"]
    assert "made with 1 of " in found["signatures"]["detail"]
    assert "besides those the running Outdial holds" in found["media ports"]["detail"]


def test_the_doctor_alone_leaves_nothing_behind(tmp_path: Path) -> None:
    command = Command(tmp_path, "doctor", "--sim", **_anywhere())
    assert command.status == 0, command.shown
    assert "simulated phones answer every number" in command.shown
    assert "outdial.db will be made" in command.shown
    assert "outdial-webhooks.secret will be made" in command.shown
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))  # takes OPTIONS and never answers
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = {
            "http": {"listen": f"127.0.0.1:{free_port()}"},
            "sip": {"listen": [f"udp:127.0.0.1:{silent.getsockname()[1]}"]},
            "speech": {"default_language": "klingon"},
            "storage": {"recordings": "/proc/recordings"},
            "store": {"url": "sqlite:////proc/outdial.db"},
            "trunks": [{"name": "carrier", "address": address}],
        }
        (tmp_path / "outdial.toml").write_text(toml(settings))
        (tmp_path / "outdial-webhooks.secret").write_text("whsec_nonsense")
        command = Command(tmp_path, "doctor", "--json")
    assert command.status == 1
    assert "nonsense" not in command.shown
    found = {finding["check"]: finding for finding in command.objects}
    wrong = {check for check, finding in found.items() if not finding["ok"]}
    assert wrong == {
        *("destinations", "sip", "trunk carrier", "speech", "store", "recordings", "signatures")
    }
    for check, remedy in (
        ("destinations", "destinations"),
        ("sip", "sip.listen"),
        ("trunk carrier", address),
        ("speech", "speech.default_language"),
        ("store", "store.url"),
        ("recordings", "storage.recordings"),
        ("signatures", "outdial deliveries secret rotate"),
    ):
        assert remedy in found[check]["remedy"]
    plain = Command(tmp_path, "doctor", "--config", "none.toml")
    plain.refused("none.toml", "cannot be read")


def test_the_doctor_names_the_settings_that_keep_a_trunk_out_of_reach(tmp_path: Path) -> None:
    settings = {
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "sip": {"listen": ["udp:127.0.0.1:0"]},
        "media": {"ports": "29990-29995"},
        "limits": {"destinations": ["1"], "concurrent_calls": 5},
        "trunks": [{"name": "carrier", "address": "203.0.113.5"}],
    }
    (tmp_path / "outdial.toml").write_text(toml(settings))
    command = Command(tmp_path, "doctor", "--json")
    assert command.status == 1
    found = {finding["check"]: finding for finding in command.objects}
    assert "203.0.113.5 cannot be reached" in found["trunk carrier"]["detail"]
    assert "sip.listen" in found["trunk carrier"]["remedy"]
    assert "trunk carrier cannot send audio to 127.0.0.1" in found["media"]["detail"]
    assert "media.address" in found["media"]["remedy"]
    assert "limits.concurrent_calls is 5" in found["media ports"]["detail"]
    assert "media.ports" in found["media ports"]["remedy"]
    with_phones = Command(tmp_path, "doctor", "--sim", "--json", OUTDIAL_MEDIA__PORTS="20000-29999")
    assert with_phones.status == 0, with_phones.shown
    assert "trunk carrier" not in with_phones.shown


def test_the_doctor_names_an_address_of_another_machine_once(tmp_path: Path) -> None:
    settings = {
        "http": {"listen": f"127.0.0.1:{free_port()}"},
        "sip": {"listen": ["udp:203.0.113.10:5060"]},
        "media": {"address": "203.0.113.10"},
        "limits": {"destinations": ["1"]},
        "trunks": [{"name": "carrier", "address": "203.0.113.5"}],
    }
    (tmp_path / "outdial.toml").write_text(toml(settings))
    command = Command(tmp_path, "doctor", "--json")
    assert command.status == 1
    found = {finding["check"]: finding for finding in command.objects}
    for check, key in (("sip", "sip.listen"), ("media", "media.address")):
        assert "203.0.113.10" in found[check]["detail"]
        assert found[check]["remedy"].startswith(f"in {key}, name an address of this machine")
    assert found["trunk carrier"]["remedy"] == "see sip above"
    assert "media ports" not in found


def _anywhere() -> dict[str, str]:
    """Variables that let a server or the doctor take free ports."""
    return {
        "OUTDIAL_HTTP__LISTEN": f"127.0.0.1:{free_port()}",
        "OUTDIAL_SIP__LISTEN": f"udp:127.0.0.1:{free_port(socket.SOCK_DGRAM)}",
    }


# ---------------------------------------------------------------------------- help, trunks


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--help"], ["serve", "call", "calls", "doctor", "keys", "trunks", "sim", "demo"]),
        (["serve", "--help"], ["--config", "--sim"]),
        (["call", "--help"], ["--url", "--send-digits", "--timeout", "2 busy", "5 canceled"]),
        (["calls", "ls", "--help"], ["--state", "--outcome", "--limit", "--json"]),
        (["keys", "revoke", "--help"], ["Name or id"]),
        (["doctor", "--help"], ["--sim", "--config"]),
        (["sim", "--help"], ["--listen", "--media-ports", "--allow"]),
    ],
)
def test_help_names_the_options(tmp_path: Path, words: list[str], expected: list[str]) -> None:
    command = Command(tmp_path, *words)
    assert (command.status, command.complaints) == (0, "")
    for text in expected:
        assert text in command.shown


def test_trunks_are_listed_without_their_passwords(tmp_path: Path) -> None:
    trunk = {"name": "a", "address": "sip.example.com", "username": "u", "password": "hunter2"}
    (tmp_path / "outdial.toml").write_text(toml({"trunks": [trunk]}))
    assert "sip.example.com" in Command(tmp_path, "trunks", "ls").shown
    (shown,) = Command(tmp_path, "trunks", "ls", "--json").objects
    assert "password" not in shown


# ---------------------------------------------------------------------------- serve


def test_stopping_a_server_lets_calls_end_and_takes_no_new_ones(url: str) -> None:
    """SIGTERM to every process, as systemd sends it; the call has its audio to its end."""
    with WebServer() as web:
        app = web.serve("/long.xml", '<Response><Pause length="3"/><Say>Bye</Say></Response>')
        with OutdialServer({"sim": {"enabled": True}}) as outdial:
            events = web.collect("/events")
            outdial.place_call(
                to="15005550001", **{"from": "18005550100"}, url=app, statusCallback=events
            )
            web.wait_for("/long.xml")
            for pid in outdial.pids:
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.3)
            with pytest.raises(urllib.error.HTTPError) as refusal:
                outdial.post("/v1/calls", {"to": "15005550001", "from": "18005550100"})
            assert refusal.value.code == 503
            assert refusal.value.headers["Retry-After"]
            refusal.value.close()
            (end,) = web.wait_for("/events")
            assert outdial.stop() == 0
    assert end.params["CallOutcome"] == "completed"
    assert (end.params["HangupCause"], end.params["HangupSource"]) == (
        "normal-clearing",
        "application",
    )
    assert int(end.params["CallDuration"]) >= 3


def test_who_follows_a_call_sees_its_end_although_the_server_stops() -> None:
    with WebServer() as web:
        app = web.serve("/long.xml", '<Response><Pause length="2"/></Response>')
        with (
            OutdialServer({"sim": {"enabled": True}}) as outdial,
            subprocess.Popen(
                [sys.executable, "-m", "outdial", "call", "15005550001", *FROM, "--url", app],
                cwd=outdial.folder,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as process,
        ):
            web.wait_for("/long.xml")
            assert outdial.stop() == 0
            shown, complaints = process.communicate(timeout=30)
    assert (process.returncode, complaints) == (0, "")
    assert shown.splitlines()[-1].startswith("completed, ")


def test_the_environment_is_enough_to_serve(tmp_path: Path) -> None:
    variables = _anywhere() | {"OUTDIAL_KEYS__0__NAME": "env", "OUTDIAL_KEYS__0__KEY": API_KEY}
    with subprocess.Popen(
        [sys.executable, "-m", "outdial", "serve", "--sim"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    ) as server:
        assert server.stderr is not None
        ready = next(line for line in map(json.loads, server.stderr) if line["event"] == "ready")
        assert ready["simulated"] is True
        command = Command(tmp_path, "call", "15005550002", *FROM, **variables)
        server.send_signal(signal.SIGINT)
        lines = [json.loads(line) for line in server.stderr.read().splitlines()]
    assert command.status == 2
    assert server.returncode == 0
    assert lines[-1]["event"] == "stopped"
    assert all(line["level"] == "info" for line in lines)
