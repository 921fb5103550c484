"""`outdial conferences` and `outdial queues`: what they print and what they ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from outdial.cli import client
from outdial.cli.client import ApiError
from outdial.cli.program import app

CONFERENCE: dict[str, Any] = {
    "sid": "CF1",
    "name": "Sales\x1b[31m room",
    "created_at": "2027-01-15T08:00:00.000Z",
    "began_at": None,
    "recording_sid": None,
    "members": [
        {
            "call_sid": sid,
            "from": "18005797676",
            "to": "19499300360",
            "muted": muted,
            "waiting": waiting,
            "joined_at": "2027-01-15T08:00:00.000Z",
        }
        for sid, muted, waiting in (
            ("CA1", False, True),
            ("CA2", True, False),
            ("CA3", False, False),
        )
    ],
}
QUEUE: dict[str, Any] = {
    "sid": "QU1",
    "name": "support",
    "size": 1,
    "longest_wait_s": 12.34,
    "agents": 0,
    "members": [
        {
            "call_sid": "CA1",
            "from": "18005797676",
            "to": "19499300360",
            "queued_at": "2027-01-15T08:00:00.000Z",
            "waited_s": 12.34,
        }
    ],
}


class FakeClient:
    """Answers by path and keeps what was posted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, object]] = []

    def get(self, path: str, **params: str | int) -> object:
        return {
            "/v1/conferences": {"conferences": [CONFERENCE]},
            "/v1/conferences/Sales%20room": CONFERENCE,
            "/v1/queues": {"queues": [QUEUE]},
            "/v1/queues/support": QUEUE,
        }[path]

    def post(self, path: str, body: object) -> object:
        self.posted.append((path, body))
        return CONFERENCE


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(client, "connect", lambda config, server, key: fake)
    return fake


def run(*words: str) -> list[str]:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_conferences_in_a_table(fake: FakeClient) -> None:
    assert run("conferences", "ls") == [
        "SID  SINCE                     BEGAN  MEMBERS  NAME",
        "CF1  2027-01-15T08:00:00.000Z  waits  3        Sales\\u001b[31m room",
    ]


def test_members_in_a_table(fake: FakeClient) -> None:
    lines = run("conferences", "show", "Sales room")
    assert lines[0].split() == ["CALL", "JOINED", "STATE", "FROM", "TO"]
    assert [line.split()[2] for line in lines[1:]] == ["waits", "muted", "speaks"]


@pytest.mark.parametrize(
    ("word", "body"),
    [("mute", {"muted": True}), ("unmute", {"muted": False}), ("remove", {"remove": True})],
)
def test_members_are_changed(fake: FakeClient, word: str, body: object) -> None:
    assert len(run("conferences", word, "Sales room", "CA1")) == 4
    assert fake.posted == [("/v1/conferences/Sales%20room/members/CA1", body)]


def test_queues_in_a_table(fake: FakeClient) -> None:
    assert run("queues", "ls") == [
        "SID  WAITING  LONGEST  AGENTS  NAME",
        "QU1  1        12 s     0       support",
    ]
    assert run("queues", "show", "support")[1].split()[:3] == [
        "CA1",
        "2027-01-15T08:00:00.000Z",
        "12",
    ]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("conferences", "ls"), CONFERENCE),
        (("conferences", "show", "Sales room"), CONFERENCE),
        (("conferences", "mute", "Sales room", "CA1"), CONFERENCE),
        (("queues", "ls"), QUEUE),
        (("queues", "show", "support"), QUEUE),
    ],
)
def test_json_is_the_answer(
    fake: FakeClient, words: tuple[str, ...], shown: dict[str, Any]
) -> None:
    (line,) = run(*words, "--json")
    assert json.loads(line) == shown


def test_what_is_refused_is_an_error(fake: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, **params: str | int) -> object:
        raise ApiError("No conference with this name or sid goes on")

    monkeypatch.setattr(fake, "get", refuse)
    assert CliRunner().invoke(app, ["conferences", "show", "x"]).exit_code != 0
