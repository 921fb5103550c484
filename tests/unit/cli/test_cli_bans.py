"""`outdial bans`: what it prints and what it asks for."""

from __future__ import annotations

import json

import pytest

from doubles.command_line import run
from outdial.cli import client

BAN = {
    "address": "198.51.100.7\x1b[31m",
    "reason": "denied",
    "offences": 20,
    "since": "2026-05-04T12:00:00.000Z",
    "until": "2026-05-04T13:00:00.000Z",
}


class FakeClient:
    """One ban; keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def get(self, path: str) -> object:
        self.asked.append(("GET", path))
        return {"bans": [BAN]}

    def delete(self, path: str) -> None:
        self.asked.append(("DELETE", path))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(client, "connect", lambda config, server, key: fake)
    return fake


def test_bans_are_listed_and_escaped(fake: FakeClient) -> None:
    head, row = run("bans", "ls")
    assert head.split() == ["ADDRESS", "REASON", "OFFENCES", "SINCE", "UNTIL"]
    assert row.split()[1:3] == ["denied", "20"]
    assert "\x1b" not in row
    assert fake.asked == [("GET", "/v1/bans")]


def test_bans_as_json(fake: FakeClient) -> None:
    assert [json.loads(line) for line in run("bans", "ls", "--json")] == [BAN]


def test_a_ban_is_lifted(fake: FakeClient) -> None:
    assert run("bans", "lift", "2001:db8::/") == ["2001:db8::/  is listened to again"]
    assert fake.asked == [("DELETE", "/v1/bans/2001%3Adb8%3A%3A%2F")]
    (told,) = run("bans", "lift", "198.51.100.7", "--json")
    assert json.loads(told) == {"address": "198.51.100.7", "lifted": True}
