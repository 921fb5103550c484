"""`outdial calls`: what it asks for, what it prints, and how it follows a call."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from outdial.calls.capture import HEAD
from outdial.cli import client, exits
from outdial.cli.client import ApiError, Broken, Client
from outdial.cli.follow import PATIENCE, tail, whole_timeline
from outdial.cli.new_file import FileProblem
from outdial.cli.program import app

SID = "CA" + "1" * 32
CALL: dict[str, Any] = {
    "sid": SID,
    "state": "answered",
    "outcome": None,
    "queue_position": None,
    "recording_sid": None,
}
ENDED = CALL | {
    "state": "completed",
    "outcome": "completed",
    "duration_s": 3,
    "sip_code": 200,
    "cause": "normal-clearing",
    "hangup_source": "caller",
    "detail": "hung up through the API",
}


def event(seq: int, kind: str = "verb.started") -> dict[str, Any]:
    return {"seq": seq, "at": "2027-01-15T08:00:00.000Z", "kind": kind, "data": {"verb": "Say"}}


class FakeClient:
    """Takes everything, and keeps it."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, Any]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answer = CALL
        self.status = 200

    def get(self, path: str, **params: str | int) -> Any:
        self.asked.append((path, params))
        return {"calls": []}

    def post(self, path: str, body: Any) -> Any:
        self.posted.append((path, body))
        return self.answer


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    made = FakeClient()
    monkeypatch.setattr(client, "connect", lambda *_: made)
    return made


def run(*arguments: str, typed: str = "") -> str:
    done = CliRunner().invoke(app, ["calls", *arguments], input=typed)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (("hangup", SID), {"hangup": True}),
        (("redirect", SID, "--url", "https://x/y"), {"url": "https://x/y"}),
        (
            ("redirect", SID, "--url", "https://x/y", "--method", "get", "--fallback-url", "z"),
            {"url": "https://x/y", "method": "GET", "fallback_url": "z"},
        ),
        (("digits", SID, "12#"), {"send_digits": "12#"}),
        (("mute", SID), {"muted": True}),
        (("unmute", SID), {"muted": False}),
        (("record", SID, "pause"), {"recording": "pause"}),
    ],
)
def test_each_command_asks_for_one_change(
    fake: FakeClient, arguments: tuple[str, ...], wanted: dict[str, Any]
) -> None:
    assert run(*arguments) == f"{SID}  answered\n"
    assert fake.posted == [(f"/v1/calls/{SID}", wanted)]
    assert json.loads(run(*arguments, "--json")) == CALL


def test_several_calls_are_hung_up(fake: FakeClient) -> None:
    fake.answer = ENDED
    said = run("hangup", SID, "CA/2")
    assert [path for path, _ in fake.posted] == [f"/v1/calls/{SID}", "/v1/calls/CA%2F2"]
    assert said.splitlines()[0].startswith(f"{SID}  completed, 3 s, SIP 200, normal-clearing")


def test_a_document_comes_from_a_file_or_from_standard_input(
    fake: FakeClient, tmp_path: Path
) -> None:
    file = tmp_path / "next.xml"
    file.write_text("<Response/>")
    run("redirect", SID, "--document", str(file))
    run("redirect", SID, "--document", "-", typed="<Response><Hangup/></Response>")
    assert [body for _, body in fake.posted] == [
        {"document": "<Response/>"},
        {"document": "<Response><Hangup/></Response>"},
    ]


def test_digits_may_come_from_standard_input(fake: FakeClient) -> None:
    run("digits", SID, "-", typed="4711#\n")
    assert fake.posted[0][1] == {"send_digits": "4711#"}


def test_what_was_only_passed_on_says_so_and_a_recording_is_named(fake: FakeClient) -> None:
    fake.status = 202
    fake.answer = CALL | {"recording_sid": "RE1"}
    assert run("record", SID, "start") == (
        f"{SID}  answered  recording RE1  (asked for; see outdial calls tail)\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("redirect", SID),
        ("redirect", SID, "--url", "u", "--document", "d"),
        ("redirect", SID, "--document", "/nowhere/at/all"),
        ("record", SID, "rewind"),
        ("hangup",),
    ],
)
def test_a_wrong_command_line_asks_for_nothing(
    fake: FakeClient, arguments: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(app, ["calls", *arguments])
    assert done.exit_code == 2
    assert fake.posted == []


def test_the_list_is_filtered(fake: FakeClient) -> None:
    run(
        "ls",
        "--direction",
        "inbound",
        "--from",
        "1800",
        "--parent",
        SID,
        "--since",
        "T",
        "--until",
        "U",
    )
    assert fake.asked == [
        (
            "/v1/calls",
            {
                "direction": "inbound",
                "from": "1800",
                "parent_sid": SID,
                "created_after": "T",
                "created_before": "U",
                "limit": 20,
            },
        )
    ]


# ------------------------------------------------------------------ capture files


@pytest.fixture
def captured(fake: FakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bytes]:
    """What the server's capture file consists of."""
    parts = [HEAD, b"and packets"]

    def download(path: str, write: Callable[[bytes], object]) -> int:
        assert path == f"/v1/calls/{SID}/sip.pcap"
        return sum(1 for part in parts if write(part) is None)

    monkeypatch.setattr(fake, "download", download, raising=False)
    monkeypatch.chdir(tmp_path)
    return parts


def test_a_capture_goes_into_a_file_or_to_standard_output(
    captured: list[bytes], tmp_path: Path
) -> None:
    size = len(HEAD) + 11
    assert run("pcap", SID) == f"{SID}.pcap  {size} bytes\n"
    assert json.loads(run("pcap", SID, "-o", "x", "--json")) == {"file": "x", "size_bytes": size}
    done = CliRunner().invoke(app, ["calls", "pcap", SID, "-o", "-"])
    whole = HEAD + b"and packets"
    assert (tmp_path / f"{SID}.pcap").read_bytes() == (tmp_path / "x").read_bytes() == whole
    assert done.stdout_bytes == whole


def test_no_file_is_written_over_or_made_for_nothing(captured: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = CliRunner().invoke(app, ["calls", "pcap", SID, "-o", "mine"])
    assert isinstance(done.exception, FileProblem)
    assert (tmp_path / "mine").read_text() == "precious"
    captured[:] = [HEAD]
    done = CliRunner().invoke(app, ["calls", "pcap", SID])
    assert isinstance(done.exception, ApiError)
    assert "no SIP messages" in str(done.exception)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


# ------------------------------------------------------------------ following


class Scripted:
    """A server whose streams and answers are given in advance."""

    def __init__(self, *streams: list[Any], calls: tuple[dict[str, Any], ...] = (ENDED,)) -> None:
        self.streams = list(streams)
        self.calls = list(calls)
        self.last_ids: list[int] = []

    def follow(self, path: str, after: int) -> Iterator[Any]:
        self.last_ids.append(after)
        for one in self.streams.pop(0):
            if isinstance(one, Exception):
                raise one
            yield one

    def get(self, path: str, **params: int) -> Any:
        return self.calls.pop(0)


def followed(server: Scripted, after: int = -1, *, as_json: bool = False) -> list[str]:
    said: list[str] = []
    naps: list[float] = []
    tail(server, SID, after, said.append, as_json=as_json, sleep=naps.append)  # type: ignore[arg-type]
    return said


def test_a_call_is_followed_to_its_end() -> None:
    said = followed(Scripted([event(0, "state.queued"), event(1), event(2, "state.completed")]))
    assert [line.split()[1] for line in said[:3]] == [
        "state.queued",
        "verb.started",
        "state.completed",
    ]
    assert said[3].startswith("completed, 3 s")
    in_json = followed(Scripted([event(0), event(1, "state.completed")]), as_json=True)
    assert [json.loads(line)["seq"] for line in in_json] == [0, 1]


def test_a_stream_that_breaks_is_gone_on_with() -> None:
    server = Scripted(
        [event(5), Broken("cut")],
        [Broken("refused")],
        [event(6)],  # the server was stopped, and ended it
        [event(7, "state.completed")],
        calls=(CALL, ENDED),
    )
    assert len(followed(server, 4)) == 4
    assert server.last_ids == [4, 5, 5, 6]


def test_a_server_that_stays_away_is_given_up() -> None:
    server = Scripted(*[[Broken("refused")] for _ in range(PATIENCE)])
    with pytest.raises(Broken, match="refused"):
        followed(server)
    assert server.streams == []


def test_leaving_leaves_the_call_alone(fake: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("outdial.cli.follow.tail", interrupted)
    assert CliRunner().invoke(app, ["calls", "tail", SID]).exit_code == exits.INTERRUPTED
    assert fake.posted == []


def test_a_long_timeline_is_read_page_by_page() -> None:
    class Pages:
        def get(self, path: str, after: int) -> Any:
            last = min(after + 1000, 2_499)
            return {"events": [event(seq) for seq in range(after + 1, last + 1)]}

    found = whole_timeline(Pages(), "/v1/calls/x")  # type: ignore[arg-type]
    assert [one["seq"] for one in found] == list(range(2_500))


# ------------------------------------------------------------------ the stream itself


Serve = Callable[[int, bytes], Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes a server that answers everything with that, and a client of it."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def made(status: int, body: bytes) -> Client:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.headers["Accept"] == "text/event-stream"
                assert self.headers["Last-Event-ID"] == "7"
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return Client(f"http://127.0.0.1:{server.server_address[1]}", "key")

    yield made
    for server in servers:
        server.shutdown()
        server.server_close()


def test_comments_and_other_fields_are_no_events(serve: Serve) -> None:
    text = b'retry: 1000\n\n: still here\n\nid: 8\ndata: {"seq":8}\n\nid: 9\ndata: {"seq":9}\n\n'
    asked = serve(200, text)
    assert list(asked.follow("/v1/calls/x/events", 7)) == [{"seq": 8}, {"seq": 9}]
    assert asked.status == 200


def test_a_refusal_and_a_broken_stream_are_told_apart(serve: Serve) -> None:
    problem = json.dumps({"detail": "There is no call with this sid"}).encode()
    with pytest.raises(ApiError, match="There is no call") as refused:
        list(serve(404, problem).follow("/v1/calls/x/events", 7))
    assert not isinstance(refused.value, Broken)
    with pytest.raises(Broken):
        list(serve(200, b"data: {half").follow("/v1/calls/x/events", 7))
    with pytest.raises(Broken):
        list(Client("http://127.0.0.1:1", "key").follow("/", 7))
