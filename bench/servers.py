"""The servers that are measured: Outdial, and what people would build instead.

The peer is a folder of one's own with `asterisk/start.sh`, which runs Asterisk in the foreground,
and `peers/ari_peer.sh`, an ARI application with the same call API on port 8095 that dials
127.0.0.1:5080. Both are started with the environment of the benchmark.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import asyncpg

from bench import processes
from outdial.testing.server import API_KEY, OutdialServer, free_port

_PEER_API_PORT = 8095
_PEER_ARI_PORT = 8088
_PEER_TRUNK_PORT = 5080


class Server(Protocol):
    """A server under measurement, as a context manager."""

    name: str
    api_port: int
    key: str
    far_sip_port: int
    """Where it sends its calls."""

    @property
    def pids(self) -> list[int]:
        """Its processes, or their ancestors."""

    @property
    def database_pids(self) -> list[int]:
        """Those of a database server that only it uses; their CPU is told apart."""

    def __enter__(self) -> Server: ...

    def __exit__(self, *_: object) -> None: ...


class Outdial:
    """`outdial serve` with its durable store in the folder and no limits."""

    name = "outdial"
    key = API_KEY

    def __init__(self, folder: Path, settings: Mapping[str, object] | None = None) -> None:
        self.far_sip_port = free_port(socket.SOCK_DGRAM)
        every: dict[str, object] = {
            "media": {"ports": "10000-19999"},
            "storage": {
                "recordings": str(folder / "recordings"),
                # A cache of its own: text said in an earlier run would not be new.
                "cache": str(folder / "cache"),
            },
            "limits": {
                "calls_per_second": 1_000_000,
                "concurrent_calls": 1_000_000,
                "destinations": ["91"],
            },
            "log": {"level": "warning"},
            "trunks": [
                {
                    "name": "far",
                    "address": f"127.0.0.1:{self.far_sip_port}",
                    "options_interval_s": 0,
                }
            ],
        }
        self._server = OutdialServer(every | dict(settings or {}), folder)
        self.api_port = self._server.http_port

    @property
    def pids(self) -> list[int]:
        """The control process; the others descend from it."""
        return [self._server.pid]

    @property
    def database_pids(self) -> list[int]:
        """None: SQLite is part of the process."""
        return []

    def __enter__(self) -> Outdial:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()


class OutdialOnPostgresql(Outdial):
    """The same with its store in a PostgreSQL that nobody else uses meanwhile."""

    name = "outdial on postgresql"

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, {"store": {"url": url}})
        self._postmaster = asyncio.run(_postmaster(url))

    @property
    def database_pids(self) -> list[int]:
        """The postmaster, from which every process of the database descends."""
        return [self._postmaster]


class Peer:
    """Asterisk and its ARI application."""

    name = "asterisk"
    key = "unused"
    api_port = _PEER_API_PORT
    far_sip_port = _PEER_TRUNK_PORT

    def __init__(self, folder: Path) -> None:
        self._programs = (folder / "asterisk" / "start.sh", folder / "peers" / "ari_peer.sh")
        for program in self._programs:
            if not program.is_file():
                raise SystemExit(f"the peer's folder has no {program.relative_to(folder)}")
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def pids(self) -> list[int]:
        """Both programs become what they start (exec)."""
        return [process.pid for process in self._processes]

    @property
    def database_pids(self) -> list[int]:
        """None: it keeps no record."""
        return []

    def __enter__(self) -> Peer:
        for program, port, settle_s in zip(
            self._programs, (_PEER_ARI_PORT, _PEER_API_PORT), (3.0, 1.0), strict=True
        ):
            self._start(program, port, settle_s)
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes = []

    def _start(self, program: Path, port: int, settle_s: float) -> None:
        if _listens(port):
            raise SystemExit(f"port {port} of the peer is taken; is another copy running?")
        process = subprocess.Popen(
            [str(program)],
            cwd=program.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        deadline = time.monotonic() + 30
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise SystemExit(f"{program.name} did not come up on port {port}")
            time.sleep(0.2)
        time.sleep(settle_s)  # modules and the event connection follow the listening port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _postmaster(url: str) -> int:
    """The pid of the server behind the URL, which must be on this machine."""
    connection = await asyncpg.connect(url)
    try:
        parent = processes.parent(await connection.fetchval("SELECT pg_backend_pid()"))
    finally:
        await connection.close()
    if not parent:
        raise SystemExit("the PostgreSQL that is measured must run on this machine")
    return parent
