"""`outdial trunks`: what it prints and what it asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from outdial.cli import client
from outdial.cli.program import app

TRUNK = {
    "name": "carrier-a",
    "address": "sip.carrier.example",
    "transport": "udp",
    "prefixes": ["", "44"],
    "state": "rejected",
    "since": "2026-05-04T12:00:00.000Z",
    "detail": "403 Forbidden\x1b[31m",
    "last_code": 403,
    "last_reason": "Forbidden",
    "rtt_ms": 12.3,
    "target": "udp:198.51.100.7:5060",
    "checked_at": "2026-05-04T12:00:05.000Z",
    "registers": True,
    "registered_until": None,
    "live": 3,
    "queued": 2,
    "concurrent_calls": 30,
    "calls_per_second": None,
    "minutes_per_day": None,
}


class FakeClient:
    """One trunk; keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, path: str) -> object:
        self.asked.append(path)
        return {"trunks": [TRUNK]} if path == "/v1/trunks" else TRUNK


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(client, "connect", lambda config, server, key: fake)
    return fake


def run(*words: str) -> list[str]:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_trunks_are_listed_and_escaped(fake: FakeClient) -> None:
    head, row = run("trunks", "ls")
    assert head.split() == [
        "NAME", "ADDRESS", "TRANSPORT", "PREFIXES", "STATE", "SINCE", "CALLS", "DETAIL"
    ]  # fmt: skip
    assert "(all), 44  rejected  2026-05-04T12:00:00.000Z  3 of 30  403 Forbidden" in row
    assert "\x1b" not in row
    assert fake.asked == ["/v1/trunks"]


def test_trunks_as_json(fake: FakeClient) -> None:
    assert [json.loads(line) for line in run("trunks", "ls", "--json")] == [TRUNK]
    (line,) = run("trunks", "show", "carrier-a", "--json")
    assert json.loads(line) == TRUNK


def test_one_trunk_in_full(fake: FakeClient) -> None:
    lines = run("trunks", "show", "a/b")
    assert fake.asked == ["/v1/trunks/a%2Fb"]
    assert lines[0] == "carrier-a  rejected since 2026-05-04T12:00:00.000Z"
    assert "  address: sip.carrier.example over udp" in lines
    assert (
        "  last answer: 403 Forbidden after 12.3 ms from udp:198.51.100.7:5060, "
        "2026-05-04T12:00:05.000Z" in lines
    )
    assert "  calls: 3 of 30, 2 wait" in lines
    assert not any("\x1b" in line for line in lines)


def test_a_trunk_that_nobody_asked(fake: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNK, "checked_at", None)
    assert not any("last answer" in line for line in run("trunks", "show", "carrier-a"))


def test_a_trunk_that_never_answered(fake: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNK, "last_code", None)
    lines = run("trunks", "show", "carrier-a")
    assert "  last answer: none from udp:198.51.100.7:5060, 2026-05-04T12:00:05.000Z" in lines


@pytest.fixture
def settings(tmp_path: Path) -> str:
    """Those of a server that does not run."""
    path = tmp_path / "outdial.toml"
    path.write_text(
        '[http]\nlisten = "127.0.0.1:1"\n'
        '[[trunks]]\nname = "a"\naddress = "sip.example.com"\n'
        'username = "u"\npassword = "hunter2"\n'
    )
    return str(path)


def test_without_a_server_the_settings_are_shown(settings: str) -> None:
    result = CliRunner().invoke(app, ["trunks", "ls", "--json", "-c", settings])
    assert result.exit_code == 0
    (shown,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (shown["name"], shown["state"]) == ("a", "unknown")
    assert "hunter2" not in result.output
    assert "is `outdial serve` running there?" in result.stderr


def test_a_server_that_was_named_must_be_there(settings: str) -> None:
    words = ["trunks", "ls", "-c", settings, "--server", "http://127.0.0.1:1"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, client.Unreachable)
