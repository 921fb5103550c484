"""A dnsmasq on a free port: a name server that is nobody's double."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType

from outdial.testing.server import free_port

_ADDRESS_IN_USE = 2
"""dnsmasq(8), exit codes."""
_MOST_PORTS = 5
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"


def program() -> str | None:
    """Where it is; None: it is not installed."""
    return shutil.which("dnsmasq", path=_PATH)


class Dnsmasq:
    """Knows what its options say, and nothing else. Use it as a context manager."""

    def __init__(self, records: Sequence[str]) -> None:
        """`records` are options such as ``--host-record=a.test,127.0.0.1``."""
        self.port = 0
        """Where it listens, once it does."""
        self._records = records
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """host:port"""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Dnsmasq:
        for _ in range(_MOST_PORTS):
            self.port = _free_port()
            process = self._process = self._started()
            if self._listens(process):
                return self
            if process.wait() != _ADDRESS_IN_USE:
                break
        raise RuntimeError(f"dnsmasq ended with {process.returncode}")

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                program() or "dnsmasq",
                *("--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-hosts"),
                *("--no-resolv", "--bind-interfaces", "--listen-address=127.0.0.1"),
                *(f"--port={self.port}", "--local=/test/", "--local-ttl=60"),
                *self._records,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _listens(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether it does, once it does or has ended."""
        for _ in range(500):
            if process.poll() is not None:
                return False
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.01)
        raise RuntimeError("dnsmasq does not listen")


def _free_port() -> int:
    """One that nobody has on UDP nor on TCP now; somebody may be faster than dnsmasq."""
    while True:
        port = free_port(socket.SOCK_DGRAM)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
