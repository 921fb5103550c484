"""The helper processes that compute for the control process: started as needed, never trusted.

A helper that does not answer in time or dies is killed with all it started and replaced; only the
job it had fails (or is tried once more, where that is safe). One helper is kept free of sound
files, so that a long MP3 does not keep speech waiting.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from outdial import log
from outdial.errors import OutdialError
from outdial.speech import frames

_log = log.get("speech")

JOB_TIMEOUT_S = 20.0
MAX_WAITING = 1000
"""Jobs that may wait for a helper; more fail at once."""
_MAX_REPLY_BYTES = frames.MAX_HEAD_BYTES
_PIECE_BYTES = 1 << 18


class HelperLost(OutdialError):
    """The helper died or did not answer; the job may not have been its fault."""


class JobRefused(OutdialError):
    """The helper said why the job cannot be done."""


class _Helper:
    """One process and the turn-taking with it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    @classmethod
    async def start(cls, program: str) -> _Helper:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-W", "ignore::DeprecationWarning", "-m", program),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise HelperLost(f"no helper process could be started: {error.strerror}") from None
        return cls(process)

    async def ask(self, head: frames.Head, body: bytes) -> tuple[frames.Head, bytes]:
        """The reply. Raises OSError or EOFError when the process is gone."""
        writer, reader = self._process.stdin, self._process.stdout
        # uvloop raises RuntimeError for writing to a pipe whose other end went away meanwhile
        if writer is None or reader is None or writer.transport.is_closing():
            raise EOFError
        writer.write(frames.encode_head(head, len(body)))
        view = memoryview(body)
        for at in range(0, len(view), _PIECE_BYTES):  # 10 MB at once would hold up the event loop
            writer.write(view[at : at + _PIECE_BYTES])
            await writer.drain()
        await writer.drain()
        prefix = await reader.readexactly(frames.LENGTH.size)
        (size,) = frames.LENGTH.unpack(prefix)
        if size > _MAX_REPLY_BYTES:
            raise EOFError
        reply = frames.decode_head(await reader.readexactly(size))
        size = reply.get("body_size", 0)
        if not isinstance(size, int) or not 0 <= size <= _MAX_REPLY_BYTES:
            raise EOFError
        return reply, await reader.readexactly(size)

    async def kill(self) -> None:
        """Ends the process and what it started, and waits until it is gone."""
        if self._process.returncode is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        await self._close()

    async def end(self) -> None:
        """Lets the process end by itself; kills it when it does not within a second."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(1.0):
                await self._close()
        except TimeoutError:
            await self.kill()

    async def _close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()


class HelperPool:
    """Runs jobs on up to `size` helpers; `size` 0: one a core, at least two.

    `program` is the module that they run.

    `start` is not needed before `run`, which starts what it needs.
    """

    def __init__(self, size: int = 0, program: str = "outdial.speech.helper") -> None:
        self._program = program
        self._size = size or max(2, os.cpu_count() or 1)
        self._idle: list[_Helper] = []
        self._busy: set[_Helper] = set()
        self._slots = asyncio.Semaphore(self._size)
        self._sound_slots = asyncio.Semaphore(max(1, self._size - 1))
        self._waiting = 0
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [helper.pid for helper in (*self._idle, *self._busy)]

    @property
    def is_working(self) -> bool:
        """Whether a job runs or waits."""
        return self._waiting > 0

    async def run(
        self,
        head: frames.Head,
        body: bytes = b"",
        *,
        timeout_s: float = JOB_TIMEOUT_S,
        retry: bool = False,
    ) -> frames.Head:
        """One job's reply. `retry`: once more on a fresh helper when the first one is lost.

        Raises JobRefused with the helper's own words, HelperLost for everything else.
        """
        reply, _ = await self._run(head, body, timeout_s, retry, is_sound=bool(body))
        return reply

    async def fetch(
        self, head: frames.Head, *, timeout_s: float = JOB_TIMEOUT_S, retry: bool = False
    ) -> bytes:
        """The sound that one job makes, as `run` in all else."""
        _, made = await self._run(head, b"", timeout_s, retry, is_sound=True)
        return made

    async def _run(
        self, head: frames.Head, body: bytes, timeout_s: float, retry: bool, *, is_sound: bool
    ) -> tuple[frames.Head, bytes]:
        if self._waiting >= MAX_WAITING:
            raise HelperLost("too much is waiting to be spoken or decoded")
        self._waiting += 1
        try:
            if is_sound:
                async with self._sound_slots:
                    return await self._run_slot(head, body, timeout_s, retry)
            return await self._run_slot(head, body, timeout_s, retry)
        finally:
            self._waiting -= 1

    async def stop(self) -> None:
        """Ends every helper; jobs that run fail."""
        self._closed = True
        busy, self._busy = self._busy, set()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(h.kill() for h in busy), *(h.end() for h in idle))

    async def _run_slot(
        self, head: frames.Head, body: bytes, timeout_s: float, retry: bool
    ) -> tuple[frames.Head, bytes]:
        async with self._slots:
            try:
                return await self._run_once(head, body, timeout_s)
            except HelperLost:
                if not retry or self._closed:
                    raise
                return await self._run_once(head, body, timeout_s)

    async def _run_once(
        self, head: frames.Head, body: bytes, timeout_s: float
    ) -> tuple[frames.Head, bytes]:
        if self._closed:
            raise HelperLost("speech is shutting down")
        helper = self._idle.pop() if self._idle else await _Helper.start(self._program)
        self._busy.add(helper)
        reply = None
        reason = "died"
        try:
            async with asyncio.timeout(timeout_s):
                reply = await helper.ask(head, body)
        except TimeoutError:
            reason = f"did not answer within {timeout_s:g} s"
        except (OSError, EOFError, ValueError):
            pass
        finally:
            self._busy.discard(helper)
            if reply is not None and not self._closed:
                self._idle.append(helper)
            else:
                await helper.kill()
        if reply is None:
            _log.warning("helper-lost", pid=helper.pid, job=head.get("job"), reason=reason)
            raise HelperLost(f"the helper process {reason}")
        if "error" in reply[0]:
            raise JobRefused(reply[0]["error"])
        return reply
