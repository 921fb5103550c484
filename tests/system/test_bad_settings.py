"""Settings that cannot work: one line that names the setting and what would be right, and no more.

What is wrong inside the file alone is shown in tests/unit/test_config.py; here it is the machine
that does not go along, and what a process leaves behind that could not start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from outdial.testing.server import OutdialServer, free_port, toml

pytestmark = pytest.mark.system

SOMEBODY_ELSES = "192.0.2.77"
"""RFC 5737: no machine has it."""


class Attempt:
    """`outdial serve` with these settings, in a folder of its own."""

    def __init__(self, folder: Path, text: str) -> None:
        config = folder / "outdial.toml"
        config.write_text(text, encoding="utf-8")
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "outdial", "serve"],
            cwd=folder,
            capture_output=True,
            timeout=30,
            env={k: v for k, v in os.environ.items() if not k.startswith("OUTDIAL_")},
        )
        self.took_s = time.monotonic() - began
        self.status = done.returncode
        self.lines = done.stderr.decode().splitlines()
        self.printed = done.stdout.decode()
        self.left = sorted(path.name for path in folder.iterdir() if path != config)
        self.processes = _processes_in(folder)

    def refused(self, *expected: str) -> None:
        """It ended with one line that has all this in it, and nothing is left of it."""
        assert self.status == 1, self.lines
        (line,) = self.lines
        assert line.startswith("outdial: ")
        for text in expected:
            assert text in line
        assert self.printed == ""
        assert not self.processes


def _processes_in(folder: Path) -> set[str]:
    """Whoever works in the folder: media workers and speech helpers do where the server did."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.resolve() == folder:
                found.add(path.parent.name)
        except OSError:
            continue  # not ours to look at, or gone
    return found


def settings(**sections: Mapping[str, Any] | list[dict[str, Any]]) -> str:
    """Settings that work, with these sections over them."""
    whole: dict[str, Any] = {
        "http": {"listen": "127.0.0.1:0"},
        "sip": {"listen": ["udp:127.0.0.1:0"]},
    }
    return toml(whole | sections)


@pytest.fixture
def taken() -> Iterator[dict[str, int]]:
    """A TCP and a UDP port that somebody listens on."""
    with ExitStack() as stack:
        ports = {}
        for name, kind in (("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)):
            holder = stack.enter_context(socket.socket(socket.AF_INET, kind))
            holder.bind(("127.0.0.1", 0))
            if kind == socket.SOCK_STREAM:
                holder.listen()
            ports[name] = int(holder.getsockname()[1])
        yield ports


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[http\n", ["outdial.toml", "is not valid TOML", "line 1"]),
        ('[htttp]\nlisten = "x"\n', ["htttp", "there is no such setting", "did you mean http?"]),
        ("[http]\nlisten = 8080\n", ["http.listen", "not 8080"]),
        ('[limits]\ncalls_per_second = "many"\n', ["limits.calls_per_second", "not 'many'"]),
        (
            '[[trunks]]\nname = "a"\naddress = "127.0.0.1"\ntransport = "tcp"\n',
            ["the trunk 'a' speaks tcp", "sip.listen has no tcp listener"],
        ),
        ('[media]\nports = "20000-20000"\n', ["media.ports", "20000-20000"]),
    ],
)
def test_a_file_that_is_wrong_is_refused_before_anything_is_made(
    tmp_path: Path, text: str, expected: list[str]
) -> None:
    attempt = Attempt(tmp_path, text)
    attempt.refused(*expected)
    assert attempt.left == []
    assert attempt.took_s < 5


def test_an_http_port_in_use(tmp_path: Path, taken: dict[str, int]) -> None:
    attempt = Attempt(tmp_path, settings(http={"listen": f"127.0.0.1:{taken['tcp']}"}))
    attempt.refused("http.listen", str(taken["tcp"]), "in use", "choose a free port")
    assert attempt.left == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_sip_port_in_use(tmp_path: Path, taken: dict[str, int], transport: str) -> None:
    listener = f"{transport}:127.0.0.1:{taken[transport]}"
    attempt = Attempt(tmp_path, settings(sip={"listen": [listener]}))
    attempt.refused("sip.listen", str(taken[transport]), "in use", "choose a free port")
    assert attempt.left == []


@pytest.mark.parametrize(
    ("key", "sections"),
    [
        ("http.listen", {"http": {"listen": f"{SOMEBODY_ELSES}:0"}}),
        ("sip.listen", {"sip": {"listen": [f"udp:{SOMEBODY_ELSES}:0"]}}),
        ("media.address", {"media": {"address": SOMEBODY_ELSES}}),
    ],
)
def test_an_address_of_another_machine(tmp_path: Path, key: str, sections: dict[str, Any]) -> None:
    attempt = Attempt(tmp_path, settings(**sections))
    attempt.refused(key, SOMEBODY_ELSES, "name an address of this machine")
    assert attempt.left == []


def test_a_media_range_too_small(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, settings(media={"ports": "20000-20002"}))
    attempt.refused("media.ports", "'20000-20002' has no room")
    assert attempt.left == []


def test_a_media_range_in_use(tmp_path: Path) -> None:
    with ExitStack() as stack:
        first = _hold_four_ports(stack)
        attempt = Attempt(tmp_path, settings(media={"ports": f"{first}-{first + 3}"}))
    attempt.refused("media.ports", f"{first}-{first + 3}", "name a range that is free")
    assert attempt.left == []


@pytest.mark.parametrize("folder", ["outdial.toml", "/proc/recordings"])
def test_recordings_that_cannot_be_written(tmp_path: Path, folder: str) -> None:
    attempt = Attempt(tmp_path, settings(storage={"recordings": folder}))
    attempt.refused("storage.recordings", folder, "name a folder that this user may write to")
    assert attempt.left == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////proc/none/outdial.db", "there is no folder /proc/none"),
        ("sqlite:///recordings", "recordings"),
        ("mysql://localhost/x", "sqlite:///path"),
        ("postgresql://user:hunter2@127.0.0.1:1/x", "postgresql://127.0.0.1:1/x cannot be opened"),
    ],
)
def test_a_store_that_cannot_be(tmp_path: Path, url: str, expected: str) -> None:
    attempt = Attempt(tmp_path, settings(store={"url": url}))
    attempt.refused("store.url", expected)
    assert attempt.left == ["recordings"]


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes.db"
    notes.write_text("What I must not forget: " * 100)
    attempt = Attempt(tmp_path, settings(store={"url": "sqlite:///notes.db"}))
    attempt.refused("store.url", "notes.db", "not a database")
    assert notes.read_text() == "What I must not forget: " * 100


def test_a_second_server_of_the_same_settings_leaves_the_first_alone(tmp_path: Path) -> None:
    with OutdialServer(folder=tmp_path) as first:
        again = tmp_path / "again"
        again.mkdir()
        second = Attempt(again, toml(first.settings))
        second.refused("http.listen", str(first.http_port), "in use")
        assert first.get("/readyz")["ready"] is True


def _hold_four_ports(stack: ExitStack) -> int:
    """Four UDP ports in a row that are held from now on; the first, which is even."""
    for _ in range(100):
        first = free_port(socket.SOCK_DGRAM) & ~1
        with ExitStack() as attempt:
            try:
                for number in range(first, first + 4):
                    holder = attempt.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    holder.bind(("127.0.0.1", number))
            except OSError:
                continue
            stack.enter_context(attempt.pop_all())
            return first
    raise RuntimeError("no four free ports in a row")
