"""`outdial recordings`: what it prints, asks for and writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outdial.cli import client
from outdial.cli.client import ApiError
from outdial.cli.new_file import FileProblem
from outdial.cli.program import app

SID = "RE" + "1" * 32
RECORDING = {
    "sid": SID,
    "call_sid": "CA1",
    "kind": "message",
    "created_at": "2027-01-15T08:00:00.000Z",
    "duration_ms": 1540,
    "channels": 1,
    "size_bytes": 24_684,
    "error": "the disk is full\x1b[31m",
}
UNFINISHED = RECORDING | {"duration_ms": None, "size_bytes": None, "error": ""}


class FakeClient:
    """Has two recordings; keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, object]] = []
        self.failure: Exception | None = None

    def get(self, path: str, **params: str | int) -> object:
        self.asked.append(("GET", path, params))
        return {"recordings": [RECORDING, UNFINISHED], "next_cursor": ""}

    def download(self, path: str, write: Callable[[bytes], Any]) -> int:
        self.asked.append(("GET", path, None))
        write(b"RIFF")
        if self.failure is not None:
            raise self.failure
        write(b" and so on")
        return 14

    def delete(self, path: str) -> None:
        self.asked.append(("DELETE", path, None))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(client, "connect", lambda config, server, key: fake)
    monkeypatch.chdir(tmp_path)
    return fake


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["recordings", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_recordings_are_listed_and_escaped(fake: FakeClient) -> None:
    words = ("--call", "CA1", "--kind", "message", "--since", "2027-01-01T00:00:00Z")
    head, first, second = run("ls", *words, "--limit", "5").splitlines()
    assert head.split() == ["SID", "BEGAN", "KIND", "SECONDS", "BYTES", "CALL", "ERROR"]
    assert first.split()[:6] == [SID, "2027-01-15T08:00:00.000Z", "message", "1.5", "24684", "CA1"]
    assert "the disk is full" in first and "\x1b" not in first
    assert second.split() == [SID, "2027-01-15T08:00:00.000Z", "message", "CA1"]
    wanted = {
        "call_sid": "CA1",
        "kind": "message",
        "created_after": "2027-01-01T00:00:00Z",
        "limit": 5,
    }
    assert fake.asked == [("GET", "/v1/recordings", wanted)]
    assert [json.loads(line)["sid"] for line in run("ls", "--json").splitlines()] == [SID, SID]


@pytest.mark.parametrize(
    ("words", "ending", "name"),
    [((), "wav", f"{SID}.wav"), (("--mp3",), "mp3", f"{SID}.mp3"), (("-o", "a.b"), "wav", "a.b")],
)
def test_a_sound_is_fetched_into_a_file(
    fake: FakeClient, tmp_path: Path, words: tuple[str, ...], ending: str, name: str
) -> None:
    assert run("get", SID, *words) == f"{name}  14 bytes\n"
    assert fake.asked == [("GET", f"/v1/recordings/{SID}.{ending}", None)]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"RIFF and so on"


def test_a_sound_goes_to_standard_output(fake: FakeClient, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recordings", "get", SID, "-o", "-"])
    assert result.stdout_bytes == b"RIFF and so on"
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_written_over(fake: FakeClient, tmp_path: Path) -> None:
    (tmp_path / f"{SID}.wav").write_bytes(b"precious")
    with pytest.raises(FileProblem, match="File exists"):
        run("get", SID)
    assert (tmp_path / f"{SID}.wav").read_bytes() == b"precious"
    assert fake.asked == []


def test_half_a_sound_is_none(fake: FakeClient, tmp_path: Path) -> None:
    fake.failure = ApiError("the server closed the connection")
    with pytest.raises(ApiError):
        run("get", SID)
    fake.failure = OSError(28, "No space left on device")
    with pytest.raises(FileProblem, match="No space left"):
        run("get", SID)
    assert list(tmp_path.iterdir()) == []


def test_a_name_from_outside_leads_nowhere_else(fake: FakeClient, tmp_path: Path) -> None:
    run("get", "../../x")
    assert fake.asked == [("GET", "/v1/recordings/..%2F..%2Fx.wav", None)]
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]


def test_a_recording_is_deleted(fake: FakeClient) -> None:
    assert run("rm", SID) == f"{SID}  deleted\n"
    assert json.loads(run("rm", SID, "--json")) == {"sid": SID, "deleted": True}
    assert fake.asked == [("DELETE", f"/v1/recordings/{SID}", None)] * 2
