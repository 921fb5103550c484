"""`outdial numbers`: what it prints and what it asks for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from doubles.command_line import run
from outdial.cli import client


def a_number(number: str, **fields: Any) -> dict[str, Any]:
    return {
        "number": number,
        "source": "api",
        "url": "https://example.com/\x1b[31mapp",
        "method": "POST",
        "record": False,
        **fields,
    }


class FakeClient:
    """Two pages of numbers; keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object]] = []

    def get(self, path: str, **params: str | int) -> object:
        self.asked.append(("GET", path, params))
        if not params["cursor"]:
            return {"numbers": [a_number("1", source="settings")], "next_cursor": "1"}
        return {"numbers": [a_number("2", record=True)], "next_cursor": ""}

    def post(self, path: str, body: object) -> object:
        self.asked.append(("POST", path, body))
        return a_number("18005550101", url="https://example.com/app")

    def delete(self, path: str) -> None:
        self.asked.append(("DELETE", path, None))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(client, "connect", lambda config, server, key: fake)
    return fake


def test_all_pages_are_listed_and_escaped(fake: FakeClient) -> None:
    head, *rows = run("numbers", "ls")
    assert head.split() == ["NUMBER", "FROM", "RECORDED", "METHOD", "URL"]
    assert [row.split()[:2] for row in rows] == [["1", "settings"], ["2", "api"]]
    assert "yes" in rows[1]
    assert not any("\x1b" in row for row in rows)
    assert [params for _, _, params in fake.asked] == [
        {"limit": 100, "cursor": ""},
        {"limit": 100, "cursor": "1"},
    ]


def test_a_number_is_added_with_what_was_said(fake: FakeClient) -> None:
    words = ("--method", "get", "--events", "Answered, completed", "--record")
    said = run("numbers", "add", "8005550101", "--url", "https://example.com/app", *words)
    assert said == ["18005550101 is taken by https://example.com/app"]
    assert fake.asked == [
        (
            "POST",
            "/v1/numbers",
            {
                "number": "8005550101",
                "url": "https://example.com/app",
                "method": "GET",
                "fallback_url": "",
                "status_callback": "",
                "status_callback_events": ["answered", "completed"],
                "record": True,
            },
        )
    ]


def test_a_number_is_removed(fake: FakeClient) -> None:
    assert run("numbers", "rm", "+1 800") == ["+1 800  removed"]
    assert fake.asked == [("DELETE", "/v1/numbers/%2B1%20800", None)]


def test_everything_is_json_when_asked_for(fake: FakeClient) -> None:
    assert [json.loads(line)["number"] for line in run("numbers", "ls", "--json")] == ["1", "2"]
    (line,) = run("numbers", "add", "1", "--url", "https://example.com/", "--json")
    assert json.loads(line)["number"] == "18005550101"
    (line,) = run("numbers", "rm", "1", "--json")
    assert json.loads(line) == {"number": "1", "removed": True}
