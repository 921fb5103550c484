"""SQLite: the thread that writes.

Running the statements on the event loop and only the sync in a thread would be a little cheaper,
but a disk that hangs would then stop signalling.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from itertools import chain
from queue import SimpleQueue
from threading import Thread

from outdial.errors import StoreConflict, StoreUnavailable
from outdial.store.groups import CHANGED, Operation, by_statement
from outdial.store.rows import Row
from outdial.store.sqlite import is_locked
from outdial.store.statement import Write, chunks


class SqliteTransactions:
    """Fulfils `groups.Transactions`. `connect` opens the connection, again after trouble."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._connection: sqlite3.Connection | None = connect()
        self._queue: SimpleQueue[list[Operation] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)
        self.written = 0

    def start(self, settled: Callable[[], None]) -> None:
        """See `groups.Transactions`."""
        self._settled = settled
        self._thread.start()

    def write(self, group: list[Operation]) -> None:
        """See `groups.Transactions`."""
        self._queue.put(group)

    async def close(self) -> None:
        """See `groups.Transactions`."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # ------------------------------------------------------------------ on the writer's thread

    def _run(self) -> None:
        while (group := self._queue.get()) is not None:
            self._write(group)
            try:
                self._loop.call_soon_threadsafe(self._settled)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                break
        if self._connection is not None:
            self._connection.close()

    def _write(self, group: list[Operation]) -> None:
        try:
            self._transact(group)
        except Exception as problem:  # whatever it is must reach those who wait
            if len(group) == 1 or is_locked(problem):
                for operation in group:
                    operation.error = _told(problem)
                return
            # the halves by themselves, until each one that fails is alone
            middle = len(group) // 2
            self._write(group[:middle])
            self._write(group[middle:])

    def _transact(self, group: list[Operation]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write, rows in by_statement(group):
                _execute(connection, write, rows)
            connection.execute("COMMIT")
        except BaseException as problem:
            self._recover(connection, problem)
            raise
        self.written += 1

    def _recover(self, connection: sqlite3.Connection, problem: BaseException) -> None:
        """Leaves either a connection without a transaction or none at all."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not isinstance(problem, sqlite3.OperationalError) or is_locked(problem):
                return
        except sqlite3.Error:
            pass
        # after an error of the disk a new connection is the safe one
        self._connection = None
        try:
            connection.close()
        except sqlite3.Error:
            pass


def _told(problem: Exception) -> Exception:
    """What the writer is told: see `groups.Transactions`."""
    if isinstance(problem, sqlite3.IntegrityError):
        return StoreConflict(str(problem))
    if isinstance(problem, sqlite3.OperationalError):
        return StoreUnavailable(str(problem))
    return problem


def _execute(connection: sqlite3.Connection, write: Write, rows: list[Row]) -> None:
    if len(rows) == 1:
        changed = connection.execute(write.sql, rows[0]).rowcount
        if write.guarded and changed != 1:
            raise StoreConflict(CHANGED)
    elif not write.several:
        connection.executemany(write.sql, rows)
    else:
        # one statement for many rows: sqlite3 hands over the GIL on each statement
        start = 0
        for count in chunks(len(rows)):
            part = rows[start : start + count]
            connection.execute(write.several[count], tuple(chain.from_iterable(part)))
            start += count
