"""SQLite: reading in a few threads with connections of their own; a long list delays nobody."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from outdial.errors import StoreUnavailable
from outdial.store.queries import Bound
from outdial.store.rows import Row

_THREADS = 2

T = TypeVar("T")


class SqliteReaders:
    """Fulfils `backends.Readers`. `connect` opens a connection in the thread that will use it."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._own = threading.local()
        self._open: list[sqlite3.Connection] = []
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
        for connection in self._open:
            connection.close()
        self._open.clear()

    def _fetch(self, bound: Bound, make: Callable[[Row], Any]) -> list[Any]:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._connect()
            self._open.append(connection)
        return [make(row) for row in connection.execute(*bound)]
