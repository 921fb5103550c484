"""PostgreSQL: groups of operations over one connection, with few round trips.

BEGIN, one statement that asks whether this node is still what it was, one for each kind of row,
COMMIT. When the connection breaks at COMMIT nobody knows whether that happened; the writer then
asks the server, as soon as there is one, what became of that transaction, and says nothing before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from outdial import log
from outdial.errors import StoreConflict, StoreUnavailable
from outdial.store import postgresql
from outdial.store.groups import CHANGED, Operation, Rows, by_statement
from outdial.store.postgresql import Connection
from outdial.store.queries import CHANGES_CALL
from outdial.store.rows import Row
from outdial.store.statement import Write

_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 2.0
_ASK_AGAIN_S = 0.2
_CLOSE_S = 2.0

_ANYBODY = "SELECT pg_current_xact_id()::text"
_HOLDER = "SELECT pg_current_xact_id()::text FROM nodes WHERE id = $1 AND taken_by = '' FOR SHARE"
"""Whoever takes a node over changes its row, and waits for the transactions that hold it."""

_log = log.get("store")


class PostgresqlTransactions:
    """Fulfils `groups.Transactions`. `connect` opens the connection, again after trouble."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect = connect
        self._connection: Connection | None = None
        self._backoff_s = 0.0
        self._not_before = 0.0
        self._trouble = ""
        self._task: asyncio.Task[None] | None = None
        self._fence = ""
        self._on_taken: Callable[[], None] = lambda: None
        self.written = 0

    def start(self, settled: Callable[[], None]) -> None:
        """See `groups.Transactions`."""
        self._settled = settled

    def write(self, group: list[Operation]) -> None:
        """See `groups.Transactions`."""
        self._task = self._loop.create_task(self._run(group))

    def fence(self, node: str, on_taken: Callable[[], None]) -> None:
        """From now on nothing is written unless this node is still its own.

        `on_taken` is called when another one has taken it over.
        """
        self._fence = node
        self._on_taken = on_taken

    async def close(self) -> None:
        """See `groups.Transactions`. A group that gets no answer is given up after 2 s."""
        if self._task is not None and not self._task.done():
            await asyncio.wait((self._task,), timeout=_CLOSE_S)
            self._task.cancel()
            await asyncio.wait((self._task,))
        connection, self._connection = self._connection, None
        if connection is not None:
            await postgresql.close(connection)

    # ------------------------------------------------------------------ one group

    async def _run(self, group: list[Operation]) -> None:
        try:
            await self._write(group)
        except asyncio.CancelledError:
            for operation in group:
                operation.error = StoreUnavailable("the store is closed")
        self._settled()

    async def _write(self, group: list[Operation]) -> None:
        try:
            await self._transact(group)
        except Exception as problem:  # whatever it is must reach those who wait
            error = postgresql.told(problem)
            if isinstance(error, StoreUnavailable):
                # that is not the fault of one of them
                for operation in group:
                    operation.error = error
            elif len(group) > 1:
                # the halves by themselves, until each one that fails is alone
                middle = len(group) // 2
                await self._write(group[:middle])
                await self._write(group[middle:])
            elif isinstance(error, asyncpg.DataError) and _is_repaired(group[0]):
                await self._write(group)
            else:
                group[0].error = error

    async def _transact(self, group: list[Operation]) -> None:
        connection = await self._connected()
        try:
            await connection.execute("BEGIN")
            number = await self._begin(connection)
            for write, rows in batches(group):
                await _execute(connection, write, rows)
        except BaseException as problem:
            await self._abandon(connection, problem)
            raise
        try:
            await connection.execute("COMMIT")
        except postgresql.TROUBLE as problem:
            self._drop(connection)
            await self._learn_outcome(number, problem)
        except BaseException:
            self._drop(connection)
            raise
        self.written += 1

    async def _begin(self, connection: Connection) -> str:
        """The transaction's number; locks this node's row, if it has one, until the end of it."""
        if not self._fence:
            return str(await connection.fetchval(_ANYBODY))
        number = await connection.fetchval(_HOLDER, self._fence)
        if number is None:
            self._on_taken()
            raise StoreUnavailable("another node has taken over what this one had")
        return str(number)

    async def _abandon(self, connection: Connection, problem: BaseException) -> None:
        """Leaves either a connection without a transaction or none at all."""
        if isinstance(problem, asyncpg.PostgresError | StoreConflict | StoreUnavailable):
            try:
                await connection.execute("ROLLBACK")
            except postgresql.TROUBLE:
                self._drop(connection)
        else:
            self._drop(connection)

    async def _learn_outcome(self, number: str, problem: Exception) -> None:
        """Returns when the transaction was committed after all, else raises StoreUnavailable."""
        _log.warning("store.outcome_unknown", transaction=number, reason=str(problem))
        while True:
            try:
                connection = await self._connected()
                status = await connection.fetchval("SELECT pg_xact_status($1::text::xid8)", number)
            except postgresql.TROUBLE:
                if self._connection is not None:
                    self._drop(self._connection)
            except StoreUnavailable:
                pass  # it is too early to try
            else:
                if status != "in progress":
                    _log.warning("store.outcome", transaction=number, status=status)
                if status == "committed":
                    return
                if status != "in progress":
                    raise StoreUnavailable(str(problem) or "the connection was lost")
            await asyncio.sleep(_ASK_AGAIN_S)

    # ------------------------------------------------------------------ the connection

    async def _connected(self) -> Connection:
        """The connection; when one could not be had a moment ago it is not tried again yet."""
        if self._connection is not None and not self._connection.is_closed():
            return self._connection
        if self._loop.time() < self._not_before:
            raise StoreUnavailable(self._trouble)
        try:
            self._connection = await self._connect()
        except postgresql.TROUBLE as problem:
            longer_s = max(_FIRST_BACKOFF_S, self._backoff_s * 2)
            self._backoff_s = min(_LONGEST_BACKOFF_S, longer_s)
            self._not_before = self._loop.time() + self._backoff_s
            self._trouble = str(postgresql.told(problem))
            raise
        self._backoff_s = 0.0
        return self._connection

    def _drop(self, connection: Connection) -> None:
        connection.terminate()
        self._connection = None


def batches(group: list[Operation]) -> list[tuple[Write, list[Row]]]:
    """The group's statements with their rows, as few as keep the changes of each call in order.

    Changes of different calls may change places, so that all calls that ring share a statement.
    """
    merged: list[tuple[Write, list[Row]]] = []
    newest: dict[Write, int] = {}  # where in `merged` the statement was used last
    touched: dict[Any, int] = {}  # where the call was changed last
    for write, rows in by_statement(group):
        if write.rank != CHANGES_CALL:
            merged.append((write, rows))
            continue
        sid = rows[0][write.key_at]
        place = newest.get(write, -1)
        if write.guarded or place < touched.get(sid, 0):
            place = newest[write] = len(merged)
            merged.append((write, []))
        merged[place][1].extend(rows)
        touched[sid] = place
    return merged


async def _execute(connection: Connection, write: Write, rows: list[Row]) -> None:
    if len(rows) > 1:
        await connection.executemany(write.sql, rows)  # one round trip
        return
    status = await connection.execute(write.sql, *rows[0])
    if write.guarded and not status.endswith(" 1"):
        raise StoreConflict(CHANGED)


def _is_repaired(operation: Operation) -> bool:
    """Takes out what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    repaired: Rows = [(write, tuple(map(_storable, row))) for write, row in operation.rows]
    if repaired == operation.rows:
        return False
    operation.rows = repaired
    return True


def _storable(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
