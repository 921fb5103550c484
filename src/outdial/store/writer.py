"""The one writer: a thread that puts everything waiting into one transaction, again and again.

A transaction costs as much CPU as thirty rows, so few transactions are wanted. Operations gather
while the one before waits for the disk; whoever is in no hurry says so and is taken along by the
next one; and in the long run there are `rate` transactions a second at most, in a burst `_BURST`,
so that a lone call never waits and many calls share.

What goes wrong with one operation harms only that one: a transaction that fails is rolled back and
its operations are tried one by one.
"""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Callable
from itertools import chain
from queue import SimpleQueue
from threading import Thread

from outdial import log
from outdial.errors import StoreConflict, StoreUnavailable
from outdial.store.queries import CHANGES_CALL, Write, chunks
from outdial.store.rows import Row

_MOST_AT_ONCE = 512
"""Operations in one transaction: bounds how long the first of them waits for the last."""
_RETRY_S = 1.0
_BURST = 16.0

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
    under way, and `rate` transactions a second are run in the long run.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        *,
        rate: float = 50.0,
        most_waiting: int = 20_000,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._rate = rate
        self._most_waiting = most_waiting
        self._waiting: list[Operation] = []
        self._group: list[Operation] = []  # what the thread is writing
        self._due = math.inf  # when `_waiting` is to be written, on the loop's clock
        self._timer: asyncio.Handle | None = None
        self._tokens = _BURST
        self._tokens_at = self._loop.time()
        self._closed = False
        self._connection: sqlite3.Connection | None = connect()
        self._queue: SimpleQueue[list[Operation] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()
        self.transactions = 0
        self.lost = 0
        """Operations nobody waited for that could not be written."""

    def submit(self, rows: Rows, within_s: float = 0.0) -> asyncio.Future[None]:
        """Writes the rows together; the future is done when they are on the disk.

        Writing begins after `within_s` at the latest. The future raises StoreUnavailable when it
        failed, StoreConflict when a row is there already or is not as a guarded write expects.
        Raises StoreUnavailable at once when too many operations are waiting.
        """
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._full():
            raise StoreUnavailable(f"{self._most_waiting} writes are waiting for the disk already")
        return self._append(rows, within_s)

    def add(self, write: Write, row: Row, within_s: float) -> None:
        """As `submit`, for a row nobody waits for. It is tried again when the disk is in trouble.

        What cannot be written is logged and counted in `lost`.
        """
        operation = Operation([(write, row)], None)
        if self._closed or self._full():
            self._lose(operation, "the store is closed" if self._closed else "too much is waiting")
            return
        self._waiting.append(operation)
        self._plan(within_s)

    async def close(self) -> None:
        """Writes what is waiting and closes the connection. Idempotent."""
        if not self._closed:
            self._closed = True
            try:
                await self._append([], 0.0)
            except StoreUnavailable:
                pass  # logged where it was lost
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _full(self) -> bool:
        return len(self._waiting) + len(self._group) >= self._most_waiting

    def _append(self, rows: Rows, within_s: float) -> asyncio.Future[None]:
        future = self._loop.create_future()
        self._waiting.append(Operation(rows, future))
        self._plan(within_s)
        return future

    def _plan(self, within_s: float) -> None:
        """Sees to it that `_waiting` is handed over in time, or else as soon as the rate allows.

        At the earliest at the end of this turn of the loop, so that its operations stay together.
        """
        now = self._loop.time()
        due = now + within_s
        if due >= self._due:
            return
        self._due = due
        if self._group:
            return  # planned again when the thread is free
        if self._timer is not None:
            self._timer.cancel()
        self._tokens = min(_BURST, self._tokens + (now - self._tokens_at) * self._rate)
        self._tokens_at = now
        delay = max(within_s, (1.0 - self._tokens) / self._rate)
        if delay > 0.0:
            self._timer = self._loop.call_later(delay, self._hand_over)
        else:
            self._timer = self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._timer = None
        self._tokens -= 1.0
        self._group = self._waiting[:_MOST_AT_ONCE]
        self._waiting = self._waiting[_MOST_AT_ONCE:]
        self._due = self._loop.time() if self._waiting else math.inf
        self._queue.put(self._group)

    def _settle(self) -> None:
        """Back on the loop: tells who waits, and keeps for later what nobody waits for."""
        group, self._group = self._group, []
        due, self._due = self._due, math.inf
        if due < math.inf:
            self._plan(max(0.0, due - self._loop.time()))
        for operation in group:
            if _tell(operation):
                continue
            if self._closed or self._full() or not _is_temporary(operation.error):
                self._lose(operation, str(operation.error))
            else:
                operation.error = None
                self._waiting.append(operation)
                self._plan(_RETRY_S)

    def _lose(self, operation: Operation, reason: str) -> None:
        self.lost += 1
        names = [write.name for write, _ in operation.rows]
        _log.error("not written", statements=names, reason=reason, lost=self.lost)

    # ------------------------------------------------------------------ on the writer's thread

    def _run(self) -> None:
        while (group := self._queue.get()) is not None:
            self._write(group)
            try:
                self._loop.call_soon_threadsafe(self._settle)
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


def _tell(operation: Operation) -> bool:
    """Resolves the future; False when it failed and there is nobody to be told."""
    future, error = operation.future, operation.error
    if future is None:
        return error is None
    if not future.done():  # it may have been cancelled
        if error is None:
            future.set_result(None)
        elif isinstance(error, StoreConflict | sqlite3.IntegrityError):
            future.set_exception(StoreConflict(str(error)))
        else:
            future.set_exception(StoreUnavailable(f"the record cannot be written: {error}"))
    return True


def _is_temporary(error: Exception | None) -> bool:
    return isinstance(error, sqlite3.OperationalError)


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
        changed = connection.execute(write.sql, rows[0]).rowcount
        if write.guarded and changed != 1:
            raise StoreConflict("the call is no longer as it was thought to be")
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
