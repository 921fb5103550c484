"""The record is away for a while: posts are refused honestly, live calls go on, nothing is lost."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from outdial.testing.postgresql import NoPostgresql, PostgresqlServer
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer

pytestmark = [pytest.mark.system, pytest.mark.long]

AWAY_S = [7.0, pytest.param(60.0, marks=pytest.mark.soak)]
"""How long the record is away."""
SLOWEST_REFUSAL_S = 8.0
SPEECH = "<Response>" + "<Say>Still here, and still talking to you.</Say>" * 90 + "</Response>"
SHORT = "<Response><Say>Good bye.</Say></Response>"


class Caller:
    """Posts calls all the time and keeps the answers."""

    def __init__(self, outdial: OutdialServer, web: WebServer) -> None:
        self._outdial = outdial
        self._body = {
            "apikey": outdial.key,
            "from": "18005797676",
            "to": "15005550001",
            "url": web.url("/short.xml"),
            "statusCallback": web.url("/callbacks"),
            "statusCallbackEvent": "initiated,completed",
        }
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(3)]
        self.answers: list[tuple[float, float, int, str, str]] = []
        """When it was posted, how long it took, the status, Retry-After, and the sid."""

    def __enter__(self) -> Caller:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        while not self._stopped.is_set():
            at = time.time()
            status, retry_after, sid = self._post()
            self.answers.append((at, time.time() - at, status, retry_after, sid))
            self._stopped.wait(0.2)

    def _post(self) -> tuple[int, str, str]:
        request = urllib.request.Request(
            self._outdial.url("/didforsaleapi/index.php/api/V2/CallTermination/"),
            json.dumps(self._body).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, "", str(json.load(answer)["callSid"])
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers.get("Retry-After", ""), ""

    @property
    def acknowledged(self) -> list[str]:
        return [sid for *_, status, _, sid in self.answers if status == 200]

    def refused(self, since: float, until: float) -> Counter[int]:
        return Counter(status for at, _, status, _, _ in self.answers if since <= at <= until)


class Record:
    """Where the record is, and how it is taken away and brought back."""

    url: str

    def away(self) -> None:
        raise AssertionError("each kind has its own")

    def back(self) -> None:
        raise AssertionError("each kind has its own")


class Postgresql(Record):
    def __init__(self, server: PostgresqlServer, kind: str) -> None:
        self.server = server
        self.kind = kind
        self.url = server.new_database()

    def away(self) -> None:
        {"stopped": self.server.pause, "killed": self.server.kill, "ended": self.server.stop}[
            self.kind
        ]()

    def back(self) -> None:
        {"stopped": self.server.resume}.get(self.kind, self.server.start)()


class LockedSqlite(Record):
    def __init__(self, folder: Path) -> None:
        self.path = folder / "locked.db"
        self.url = f"sqlite:///{self.path}"

    def away(self) -> None:
        self.other = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self.other.execute("PRAGMA busy_timeout=10000")
        self.other.execute("BEGIN IMMEDIATE")

    def back(self) -> None:
        self.other.execute("ROLLBACK")
        self.other.close()


class FullSqlite(Record):
    """On a disk of its own that is filled to the last byte."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'full.db'}"

    def away(self) -> None:
        fill(self.folder)

    def back(self) -> None:
        (self.folder / "filler").unlink()


def fill(folder: Path) -> None:
    """Until nothing more goes in."""
    with (folder / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"\0" * 4096)
    with (folder / "filler").open("ab", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"\0")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    command = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk could be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(
    params=[
        *("stopped", "killed", "locked", "full"),
        pytest.param("ended", marks=pytest.mark.soak),
    ]
)
def record(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Record]:
    match request.param:
        case "locked":
            yield LockedSqlite(tmp_path)
        case "full":
            yield FullSqlite(request.getfixturevalue("disk"))
        case kind:
            try:
                made = PostgresqlServer()
            except NoPostgresql as reason:
                pytest.skip(str(reason))
            with made:
                yield Postgresql(made, kind)


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        server.serve("/speech.xml", SPEECH)
        server.serve("/short.xml", SHORT)
        server.collect("/callbacks")
        yield server


def started(record_url: str, **more: Any) -> OutdialServer:
    settings = {
        "sim": {"enabled": True},
        "store": {"url": record_url},
        "limits": {"calls_per_second": 1000},
        **more,
    }
    return OutdialServer(settings)


def all_calls(outdial: OutdialServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = outdial.get(f"/v1/calls?limit=100&cursor={cursor}")
        found += page["calls"]
        cursor = page["next_cursor"]
        if not cursor:
            return found


def until(condition: Callable[[], bool], what: str, within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.parametrize("away_s", AWAY_S)
def test_while_the_record_is_away(record: Record, web: WebServer, away_s: float) -> None:
    with started(record.url) as outdial:
        live = outdial.place_call(
            **{"from": "18005797676"}, to="15005550011", url=web.url("/speech.xml")
        )
        until(lambda: outdial.get(f"/v1/calls/{live}")["state"] == "answered", "not answered")
        with Caller(outdial, web) as caller:
            time.sleep(2)
            away_at = time.time()
            record.away()
            time.sleep(away_s)
            record.back()
            back_at = time.time()
            until(lambda: caller.answers[-1][2] == 200, "posts are still refused")
            took_s = time.time() - back_at
            time.sleep(2)
        told = caller.refused(away_at + 1.0, back_at - SLOWEST_REFUSAL_S)
        everything = Counter(status for _, _, status, _, _ in caller.answers)
        assert set(everything) == {200, 503}, everything
        assert set(told) <= {503}, "acknowledged while there was no record"
        assert everything[503] >= 3
        assert all(answer[3] for answer in caller.answers if answer[2] == 503), "no Retry-After"
        slowest = max(took for _, took, *_ in caller.answers)
        assert slowest < SLOWEST_REFUSAL_S
        assert took_s < 8.0

        call = outdial.get(f"/v1/calls/{live}")
        assert call["state"] == "answered"
        outdial.post(f"/v1/calls/{live}", {"hangup": True})
        call = outdial.wait_until_over(live)
        assert call["cause"] == "normal-clearing"
        talked_s = call["duration_s"]
        assert talked_s > away_s
        assert call["media"]["packets_sent"] > talked_s * 50 * 0.9  # it went on talking

        for sid in caller.acknowledged:
            outdial.wait_until_over(sid)
        until(lambda: not outdial.get("/readyz")["live"], "calls are left over")
        untold = set(caller.acknowledged)

        def all_told() -> bool:
            untold.difference_update(
                request.params["callSid"]
                for request in web.received("/callbacks")
                if request.params["CallStatus"] == "completed"
            )
            return not untold

        until(all_told, "acknowledged calls whose end was never told", 30.0)
        assert outdial.get("/readyz")["checks"]["journal_held_back"] == 0
        # what was refused was not dialled
        known = {live, *caller.acknowledged}
        refused = [one for one in all_calls(outdial) if one["sid"] not in known]
        assert all(one["cause"] == "not-acknowledged" for one in refused), refused
        assert len(refused) <= 3


def test_a_post_that_is_being_stored_when_the_server_is_stopped(
    tmp_path: Path, web: WebServer
) -> None:
    """SIGTERM finds nothing but a commit under way: the call it makes is ended like any other."""
    record = LockedSqlite(tmp_path)
    outdial = started(record.url, calls={"drain_s": 3.0})
    with outdial, ThreadPoolExecutor() as pool:
        record.away()
        asked = {"from": "18005797676", "to": "15005550011", "url": web.url("/speech.xml")}
        post = pool.submit(outdial.place_call, **asked)
        time.sleep(0.5)
        os.kill(outdial.pid, signal.SIGTERM)
        time.sleep(0.5)
        record.back()
        sid = post.result()
        assert outdial.wait(10.0) == 0
    with contextlib.closing(sqlite3.connect(record.path)) as store:
        (told,) = store.execute("SELECT sid, outcome, cause, detail FROM calls")
    assert told == (sid, "completed", "server-shutdown", "Outdial was stopped")


@pytest.mark.parametrize("kind", ["full", "read-only"])
def test_a_recording_that_cannot_be_written_says_so_and_the_call_goes_on(
    kind: str, disk: Path, tmp_path: Path, web: WebServer
) -> None:
    with started(
        f"sqlite:///{tmp_path / 'outdial.db'}", storage={"recordings": str(disk)}
    ) as outdial:
        if kind == "full":
            fill(disk)
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        sid = outdial.place_call(
            to="15005550001",
            url=web.url("/speech.xml"),
            record="true",
            statusCallback=web.url("/callbacks"),
            **{"from": "18005797676"},
        )
        until(lambda: outdial.get(f"/v1/calls/{sid}")["state"] == "answered", "not answered")
        time.sleep(3)
        outdial.post(f"/v1/calls/{sid}", {"hangup": True})
        call = outdial.wait_until_over(sid)
        assert (call["outcome"], call["cause"]) == ("completed", "normal-clearing")
        assert call["duration_s"] >= 2
        assert call["media"]["packets_sent"] > 100
        (request,) = web.wait_for("/callbacks")
        assert "RecordingURL" not in request.params
        wanted = "space" if kind == "full" else "ead-only"
        assert wanted in request.params["RecordingError"]
        events = outdial.get(f"/v1/calls/{sid}/events")["events"]
        (failed,) = (event for event in events if event["kind"] == "recording.failed")
        assert wanted in failed["data"]["error"]
