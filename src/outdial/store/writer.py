"""The one writer: a thread that puts everything waiting into one transaction, again and again.

While one transaction waits for the disk the next operations gather, so a disk that takes 0.3 ms to
sync serves one call in half a millisecond and a thousand at once with a few syncs.

What goes wrong with one operation harms only that one: a transaction that fails is rolled back and
its operations are tried one by one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain
from queue import SimpleQueue
from threading import Thread

from outdial import log
from outdial.errors import StoreUnavailable
from outdial.store.queries import CHANGES_CALL, Write, chunks
from outdial.store.rows import Row

_MOST_AT_ONCE = 512
"""Operations in one transaction: bounds how long the first of them waits for the last."""
_RETRY_S = 1.0

_log = log.get("store")

Rows = list[tuple[Write, Row]]


class Operation:
    """Rows that are written together or not at all, and who waits for them (None: nobody)."""

    __slots__ = ("error", "future", "rows")

    def __init__(self, rows: Rows, future: asyncio.Future[None] | None) -> None:
        self.rows = rows
        self.future = future
        self.error: Exception | None = None


class Writer:
    """Owns the writing connection. All methods are called on the event loop's thread.

    `connect` opens the connection, again after trouble. At most `most_waiting` operations may be
    under way; rows nobody waits for are gathered for `linger_s` unless something else is written
    earlier.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        most_waiting: int = 20_000,
        linger_s: float = 0.05,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._most_waiting = most_waiting
        self._linger_s = linger_s
        self._queue: SimpleQueue[Operation | None] = SimpleQueue()
        self._under_way = 0
        self._lingering: list[Operation] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._connection: sqlite3.Connection | None = connect()
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()
        self.transactions = 0
        self.lost = 0
        """Rows nobody waited for that could not be written."""

    def submit(self, rows: Rows) -> asyncio.Future[None]:
        """Writes the rows together; the future is done when they are on the disk.

        The future raises StoreUnavailable when they could not be written. Raises StoreUnavailable
        at once when too many operations are waiting.
        """
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._under_way >= self._most_waiting:
            raise StoreUnavailable(f"{self._under_way} writes are waiting for the disk already")
        future = self._loop.create_future()
        self._release()
        self._under_way += 1
        self._queue.put(Operation(rows, future))
        return future

    def linger(self, write: Write, row: Row) -> None:
        """Writes the row with whatever is written next, at the latest after `linger_s`."""
        if self._closed or self._under_way + len(self._lingering) >= self._most_waiting:
            self._lose([Operation([(write, row)], None)], "too much is waiting to be written")
            return
        self._lingering.append(Operation([(write, row)], None))
        if self._timer is None:
            self._timer = self._loop.call_later(self._linger_s, self._release)

    async def close(self) -> None:
        """Writes what is waiting and closes the connection. Idempotent."""
        if not self._closed:
            self._closed = True
            self._release()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lingering:
            self._under_way += len(self._lingering)
            for operation in self._lingering:
                self._queue.put(operation)
            self._lingering = []

    def _settle(self, group: Sequence[Operation]) -> None:
        """Back on the loop: tells who waits, and keeps for later what nobody waits for."""
        self._under_way -= len(group)
        for operation in group:
            future, error = operation.future, operation.error
            if future is not None:
                if future.done():
                    continue
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(StoreUnavailable(f"the record cannot be written: {error}"))
            elif error is not None:
                self._later(operation, error)

    def _later(self, operation: Operation, error: Exception) -> None:
        temporary = isinstance(error, sqlite3.OperationalError)
        waiting = self._under_way + len(self._lingering)
        if not temporary or self._closed or waiting >= self._most_waiting:
            self._lose([operation], str(error))
            return
        operation.error = None
        self._lingering.append(operation)
        if self._timer is None:
            self._timer = self._loop.call_later(_RETRY_S, self._release)

    def _lose(self, operations: Sequence[Operation], reason: str) -> None:
        self.lost += len(operations)
        for operation in operations:
            names = [write.name for write, _ in operation.rows]
            _log.error("not written", statements=names, reason=reason, lost=self.lost)

    # ------------------------------------------------------------------ on the writer's thread

    def _run(self) -> None:
        more = True
        while more:
            first = self._queue.get()
            if first is None:
                break
            group = [first]
            for _ in range(min(self._queue.qsize(), _MOST_AT_ONCE)):
                operation = self._queue.get_nowait()
                if operation is None:
                    more = False
                    break
                group.append(operation)
            self._write(group)
            try:
                self._loop.call_soon_threadsafe(self._settle, group)
            except RuntimeError:  # the loop is closed: nobody is left to be told
                break
        if self._connection is not None:
            self._connection.close()

    def _write(self, group: list[Operation]) -> None:
        try:
            self._transact(group)
        except Exception as problem:  # whatever it is must reach those who wait
            if len(group) == 1 or _is_locked(problem):
                for operation in group:
                    operation.error = problem
                return
            for operation in group:
                self._write([operation])

    def _transact(self, group: list[Operation]) -> None:
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write, rows in _by_statement(group):
                _execute(connection, write, rows)
            connection.execute("COMMIT")
        except BaseException as problem:
            self._recover(connection, problem)
            raise
        self.transactions += 1

    def _recover(self, connection: sqlite3.Connection, problem: BaseException) -> None:
        """Leaves either a connection without a transaction or none at all."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not isinstance(problem, sqlite3.OperationalError) or _is_locked(problem):
                return
        except sqlite3.Error:
            pass
        # after an error of the disk a new connection is the safe one
        self._connection = None
        try:
            connection.close()
        except sqlite3.Error:
            pass


def _by_statement(group: list[Operation]) -> list[tuple[Write, list[Row]]]:
    """Rows of the same statement together, rows made before rows changed.

    Changes of calls stay in the order they were asked for: two statements may change one call.
    """
    made: dict[Write, list[Row]] = {}
    changes: list[tuple[Write, list[Row]]] = []
    for operation in group:
        for write, row in operation.rows:
            if write.rank == CHANGES_CALL:
                changes.append((write, [row]))
            elif write in made:
                made[write].append(row)
            else:
                made[write] = [row]
    ordered = [*made.items(), *changes]
    if len(ordered) > 1:
        ordered.sort(key=_rank)
    return ordered


def _rank(item: tuple[Write, list[Row]]) -> int:
    return item[0].rank


def _execute(connection: sqlite3.Connection, write: Write, rows: list[Row]) -> None:
    if len(rows) == 1:
        connection.execute(write.sql, rows[0])
    elif not write.several:
        connection.executemany(write.sql, rows)
    else:
        # one statement for many rows: sqlite3 hands over the GIL on each statement
        start = 0
        for count in chunks(len(rows)):
            part = rows[start : start + count]
            connection.execute(write.several[count], tuple(chain.from_iterable(part)))
            start += count


def _is_locked(problem: BaseException) -> bool:
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
