"""The worker as a process, spoken to without the plane."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from outdial.media import wire

COMMAND = [sys.executable, "-m", "outdial.media.worker"]


@pytest.fixture
def worker() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [*COMMAND, str(theirs.fileno()), "127.0.0.1", "30000", "39999", "us"],
        pass_fds=(theirs.fileno(),),
    )
    theirs.close()
    ours.settimeout(10)
    opcode, stream, _ = next(wire.Deframer().feed(ours.recv(65536)))
    assert (opcode, stream) == (wire.PORTS, 0)
    yield process, ours
    ours.close()
    process.kill()
    process.wait()


def test_it_ends_when_the_control_process_is_gone(
    worker: tuple[subprocess.Popen[bytes], socket.socket],
) -> None:
    process, ours = worker
    ours.close()
    assert process.wait(5) == 0


def test_control_c_is_not_for_it(worker: tuple[subprocess.Popen[bytes], socket.socket]) -> None:
    process, ours = worker
    process.send_signal(signal.SIGINT)
    ours.sendall(wire.frame(wire.REPORT, 0))
    opcode, _, payload = next(wire.Deframer().feed(ours.recv(65536)))
    assert opcode == wire.REPORTED
    report = wire.unpack_report(payload)
    assert (report.streams, report.open_clips) == (0, 0)
    assert report.ports_ready > 0


def test_it_is_small(worker: tuple[subprocess.Popen[bytes], socket.socket]) -> None:
    process, _ = worker
    with open(f"/proc/{process.pid}/status") as status:
        resident = next(line for line in status if line.startswith("VmRSS"))
    assert int(resident.split()[1]) < 20 * 1024


def test_it_needs_nothing_heavy() -> None:
    code = (
        "import sys, outdial.media.worker.loop;"
        "print(*{'asyncio', 'numpy', 'pydantic', 'structlog'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.split() == []
