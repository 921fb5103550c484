"""SQLite: reading in a few threads with connections of their own; a long list delays nobody."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from outdial.errors import StoreUnavailable
from outdial.store.rows import Row
from outdial.store.statement import Bound

_THREADS = 2

T = TypeVar("T")


class SqliteReaders:
    """Fulfils `backends.Readers`. `connect` opens a connection that one thread at a time may use.

    The connections are all there from the start: a descriptor that is opened once is told from one
    that leaks. Raises sqlite3.Error when one cannot be opened.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._free: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._open: list[sqlite3.Connection] = []
        try:
            for _ in range(_THREADS):
                connection = connect()
                self._open.append(connection)
                self._free.put(connection)
                # SQLite opens the file, and its log, when it first reads
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            self._close()
            raise
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="store-reader")

    async def fetch(self, bound: Bound, make: Callable[[Row], T]) -> list[T]:
        """See `backends.Readers`."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._fetch, bound, make)
        except (sqlite3.Error, RuntimeError) as problem:  # RuntimeError: the pool is shut down
            raise StoreUnavailable(f"the record cannot be read: {problem}") from None

    async def close(self) -> None:
        """Lets running queries end and closes the connections."""
        await asyncio.to_thread(self._pool.shutdown)
        self._close()

    def _close(self) -> None:
        for connection in self._open:
            connection.close()
        self._open.clear()

    def _fetch(self, bound: Bound, make: Callable[[Row], Any]) -> list[Any]:
        connection = self._free.get()  # there are as many as threads: it never waits
        try:
            return [make(row) for row in connection.execute(*bound)]
        finally:
            self._free.put(connection)
