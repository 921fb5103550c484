"""The loop of a rehearsal in a thread of its own, and the server that runs on it.

The loop answers requests all the time. In virtual time its clock moves only while a test waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import structlog

from outdial.clock import Clock, SystemClock
from outdial.config import Settings
from outdial.store import sqlite
from outdial.testing.carrier.fault import Fault
from outdial.testing.rehearsal.carriers import CarrierStage
from outdial.testing.rehearsal.stage import RealStage, Stage, VirtualStage
from outdial.testing.rehearsal.virtual_time import VirtualClock, VirtualTimeLoop

START_S = 60.0
STUCK_S = 120.0
"""Real seconds after which a wait in virtual time is given up: something outside never ends."""

T = TypeVar("T")

_log_lock = threading.Lock()


class Stuck(RuntimeError):
    """What was waited for did not come in real time: something outside of Outdial hangs."""


class Backstage:
    """Use `start` and `stop`; everything in between from any thread but the loop's."""

    def __init__(
        self, settings: Settings, folder: Path, *, real_time: bool, faults: Sequence[Fault] = ()
    ) -> None:
        """`faults` are those of the carriers that stand, in virtual time, in the phones' place."""
        self._settings = settings
        self._faults = faults
        self._folder = folder
        self._is_real = real_time
        self._loop: asyncio.AbstractEventLoop = (
            asyncio.SelectorEventLoop() if real_time else VirtualTimeLoop()
        )
        self.clock: Clock = SystemClock() if real_time else VirtualClock(self._loop.time)
        self._thread = threading.Thread(target=self._run, name="rehearsal", daemon=True)
        self.stage: Stage
        self._quiet = contextlib.ExitStack()

    def start(self) -> None:
        """Starts everything. Raises ConfigError."""
        self._quiet.enter_context(_quiet_log())
        self._thread.start()
        try:
            self.run(self._begin(), passing=True, patience_s=START_S)
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """Ends every call, and then everything."""
        try:
            self.run(self._stop(), passing=True, patience_s=START_S)
        finally:
            self._end()

    def run(
        self, work: Coroutine[Any, Any, T], *, passing: bool = False, patience_s: float = STUCK_S
    ) -> T:
        """What the work gives, done on the loop; `passing`: time may pass meanwhile.

        Raises what it raises, and Stuck after so many real seconds.
        """
        future: Future[T] = asyncio.run_coroutine_threadsafe(
            self._passing(work) if passing else work, self._loop
        )
        try:
            return future.result(patience_s)
        except NotInTime:
            if future.done():
                raise  # the work's own
            future.cancel()
            raise Stuck(f"nothing came of it within {patience_s:g} real seconds") from None

    async def _passing(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if not isinstance(loop, VirtualTimeLoop):
            return await work
        loop.running += 1
        try:
            return await work
        finally:
            loop.running -= 1

    async def _begin(self) -> None:
        stage = self._new_stage()
        await stage.begin()
        self.stage = stage

    def _new_stage(self) -> Stage:
        settings, loop, clock, folder = self._settings, self._loop, self.clock, self._folder
        if not isinstance(loop, VirtualTimeLoop):
            return RealStage(settings, clock, folder)
        if self._faults:
            return CarrierStage(settings, loop, clock, folder, self._faults)
        return VirtualStage(settings, loop, clock, folder)

    async def _stop(self) -> None:
        hurry = asyncio.Event()
        hurry.set()
        await self.stage.stop(0.0, hurry)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._quiet.close()


@contextlib.contextmanager
def _quiet_log() -> Iterator[None]:
    """Warnings and errors of the server go to standard error, unless the test has its own way."""
    with _log_lock:
        is_ours = not structlog.is_configured()
        if is_ours:
            structlog.configure(
                wrapper_class=structlog.make_filtering_bound_logger(30),
                logger_factory=_to_stderr,
                cache_logger_on_first_use=False,
            )
    try:
        yield
    finally:
        if is_ours:
            structlog.reset_defaults()


def _to_stderr(*_: Any) -> Any:
    """Anew for each line: pytest exchanges the file for each test."""
    import sys

    return structlog.PrintLogger(sys.stderr)


_EMPTY_STORE: list[TemporaryDirectory[str]] = []
_store_lock = threading.Lock()


def new_store(path: Path) -> None:
    """A database with its tables; they are made once a process, which takes a quarter second."""
    with _store_lock:
        if not _EMPTY_STORE:
            folder: TemporaryDirectory[str] = TemporaryDirectory(prefix="outdial-empty-")
            sqlite.prepare(Path(folder.name) / "empty.db")
            _EMPTY_STORE.append(folder)
    shutil.copy(Path(_EMPTY_STORE[0].name) / "empty.db", path)
