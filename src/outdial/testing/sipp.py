"""Runs SIPp scenarios as the other side of a call, and reads how they went::

    with Sipp("answer.xml", calls=1) as phone:
        ...                                  # call 127.0.0.1:phone.port
        result = phone.wait()
    assert result.successful == 1, result.complaints

Needs the program `sipp` (Debian: sip-tester).
"""

from __future__ import annotations

import contextlib
import csv
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from outdial.frozen import frozen
from outdial.testing.server import free_port


@frozen
class SippResult:
    """How a run of SIPp ended."""

    exit_code: int
    """0: every call went as the scenario says; 1: at least one did not; 255: it could not start."""
    successful: int
    failed: int
    complaints: str
    """The unexpected messages, from SIPp's error file."""
    messages: str
    """Every SIP message with its time, when asked for by `trace_messages`."""


class Sipp:
    """One SIPp process. Without `target` it waits for calls, with it it makes them."""

    def __init__(
        self,
        scenario: str | Path,
        *,
        target: str = "",
        host: str = "127.0.0.1",
        port: int = 0,
        calls: int = 1,
        rate: float = 10.0,
        transport: str = "u1",
        keys: Mapping[str, str] | None = None,
        trace_messages: bool = False,
        timeout_s: float = 60.0,
        options: Sequence[str] = (),
    ) -> None:
        """`scenario`: a file, or the XML itself. `keys`: values for `[name]` in the scenario.

        `host`: the address it binds, of all of 127.0.0.0/8. `port` 0: a free one.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="outdial-sipp-"))
        self.host = host
        self.port = port or free_port()
        self.media_port = _free_media_ports()
        self._timeout_s = timeout_s
        self._calls_out = bool(target)
        self._command = [
            *_program(),
            *([target] if target else []),
            *("-sf", str(self._scenario_file(scenario))),
            *("-i", host, "-p", str(self.port), "-bind_local"),
            *("-mi", host, "-mp", str(self.media_port)),
            *("-m", str(calls), "-r", str(rate), "-t", transport),
            *("-timeout", f"{timeout_s:.0f}s", "-timeout_error"),
            *("-nostdin", "-trace_err", "-trace_stat", "-fd", "1s"),
            *("-error_file", str(self.folder / "errors"), "-stf", str(self.folder / "stat.csv")),
        ]
        for name, value in (keys or {}).items():
            self._command += ["-key", name, value]
        if trace_messages:
            self._command += ["-trace_msg", "-message_file", str(self.folder / "messages")]
        self._command += options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Sipp:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Starts it; returns once it listens. Raises RuntimeError when it does not come up."""
        with (self.folder / "screen").open("wb") as screen:
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program, our own arguments
                self._command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 5
        while not _listens(self.host, self.port):
            if self._process.poll() is not None:
                if self._calls_out:
                    return  # through already: a scenario that calls may be quicker than this look
                raise RuntimeError(f"sipp ended at once: {self._text('errors')}")
            if time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"sipp did not start: {self._text('screen')}")
            time.sleep(0.02)

    def wait(self, timeout_s: float | None = None) -> SippResult:
        """Until all its calls are over. Raises TimeoutError with what it complained of."""
        process = self._running()
        try:
            process.wait(self._timeout_s + 5 if timeout_s is None else timeout_s)
        except subprocess.TimeoutExpired:
            self.stop()
            raise TimeoutError(f"sipp is not done:\n{self._text('errors')}") from None
        return self.result()

    def stop(self) -> None:
        """Ends it, whatever it does."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def result(self) -> SippResult:
        """How it ended, once it has."""
        successful, failed = _counts(self.folder / "stat.csv")
        return SippResult(
            exit_code=self._running().returncode,
            successful=successful,
            failed=failed,
            complaints=self._text("errors"),
            messages=self._text("messages"),
        )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("sipp was not started")
        return self._process

    def _scenario_file(self, scenario: str | Path) -> Path:
        if isinstance(scenario, Path) or not scenario.lstrip().startswith("<"):
            return Path(scenario).resolve()
        path = self.folder / "scenario.xml"
        # SIPp checks the declaration only when it starts the file.
        path.write_text(scenario.lstrip(), encoding="utf-8")
        return path

    def _text(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def is_installed() -> bool:
    """Whether the program is there: `pytest.mark.skipif(not sipp.is_installed(), ...)`."""
    return shutil.which("sipp") is not None


def _free_media_ports() -> int:
    """The first of four ports in a row, even: SIPp takes RTP and RTCP for audio and for video.

    Below the ports that the system gives out by itself, so that no neighbour gets one of them.
    """
    for _ in range(100):
        first = random.randrange(10_000, 19_000, 2)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + 4):
                    probe = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise RuntimeError("no four free ports in a row between 10000 and 19000")


def _program() -> list[str]:
    path = shutil.which("sipp")
    if path is None:
        raise RuntimeError("the program sipp is not installed (Debian: apt install sip-tester)")
    return [path]


def _listens(host: str, port: int) -> bool:
    """Whether a UDP or TCP socket of this machine is bound to the address."""
    (address,) = struct.unpack("=I", socket.inet_aton(host))
    wanted = f"{address:08X}:{port:04X}"
    for table in ("udp", "tcp"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            if line.split()[1] == wanted:
                return True
    return False


def _counts(path: Path) -> tuple[int, int]:
    """Successful and failed calls from the last row of SIPp's statistics."""
    if not path.exists():
        return 0, 0
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    if not rows:
        return 0, 0
    last = rows[-1]
    return int(last["SuccessfulCall(C)"] or 0), int(last["FailedCall(C)"] or 0)
