"""PostgreSQL: reading over a few connections of its own; a long list delays nobody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar, cast

import asyncpg

from outdial.errors import StoreUnavailable
from outdial.store import postgresql
from outdial.store.postgresql import Connection
from outdial.store.rows import Row
from outdial.store.statement import Bound

_MOST = 4
_PATIENCE_S = 6.0
"""How long a query may take with everything: waiting for a connection, opening one, the answer."""

T = TypeVar("T")


class PostgresqlReaders:
    """Fulfils `backends.Readers`. `connect` opens a connection; at most four are open.

    Not asyncpg's pool, which sends a query of its own after each of ours.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._idle: list[Connection] = []
        self._room = asyncio.Semaphore(_MOST)
        self._closed = False

    async def fetch(self, bound: Bound, make: Callable[[Row], T]) -> list[T]:
        """See `backends.Readers`."""
        sql, values = bound
        try:
            async with asyncio.timeout(_PATIENCE_S), self._room, self._lent() as connection:
                found = await connection.fetch(sql, *values)
        except postgresql.TROUBLE as problem:
            reason = postgresql.told(problem)
            raise StoreUnavailable(f"the record cannot be read: {reason}") from None
        return [make(cast(Row, row)) for row in found]

    @contextlib.asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        """A connection, which is used again unless something other than a refusal happens."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        connection = None
        while self._idle and (connection is None or connection.is_closed()):
            connection = self._idle.pop()
        if connection is None or connection.is_closed():
            connection = await self._connect()
        try:
            yield connection
        except asyncpg.PostgresError:
            self._give_back(connection)
            raise
        except BaseException:
            connection.terminate()
            raise
        self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        if self._closed:
            connection.terminate()
        else:
            self._idle.append(connection)

    async def close(self) -> None:
        """See `backends.Readers`."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await postgresql.close(connection)
