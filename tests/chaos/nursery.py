"""Starts servers in a quarter of the usual time: ``python -m chaos.nursery CONFIG``.

A process that has imported everything and forks a server for each line on its standard input; the
answer is the server's process id. It starts no thread and no event loop, so that a fork is as good
as a fresh interpreter.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NoReturn


def main(config: Path) -> None:
    """Until the standard input ends."""
    # Here, because who only asks for `Nursery` does not need them; the first is imported late.
    import pydantic.v1  # noqa: F401

    from outdial import app
    from outdial.calls.numbers import normalise
    from outdial.config import load

    normalise("12025550100", "")  # loads the number plans

    settings = load(config, environment={})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel forgets those that were killed

    def serve() -> NoReturn:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        try:
            app.run(settings)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)

    while sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            serve()
        print(pid, flush=True)


class Nursery:
    """The other side: asks for servers and ends them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = 0
        """The server that runs now; 0: none."""

    @classmethod
    async def start(cls, config: Path, log: Path) -> Nursery:
        """Imports everything; the servers write their errors to the log."""
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "chaos.nursery", str(config)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                # what numpy would start for itself
                env={**environment, "OPENBLAS_NUM_THREADS": "1"},
                cwd=config.parent,
            )
        return cls(process)

    async def serve(self) -> None:
        """Forks a server; it does not answer yet."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the nursery has no pipes")
        self._process.stdin.write(b"serve\n")
        self.pid = int(await self._process.stdout.readline())

    async def end(self, number: signal.Signals, within_s: float = 20.0) -> None:
        """Signals the server and returns once it is gone."""
        deadline = time.monotonic() + within_s
        os.kill(self.pid, number)
        with suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.kill(self.pid, 0)
                await asyncio.sleep(0.002)
            raise TimeoutError(f"{self.pid} still runs {within_s} s after {number.name}")
        self.pid = 0

    async def close(self) -> None:
        """Ends the nursery, and the server if there is one."""
        if self.pid:
            with suppress(ProcessLookupError):
                await self.end(signal.SIGKILL)
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
