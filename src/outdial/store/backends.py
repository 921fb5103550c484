"""Which database a URL names, and opening it: a writer, readers, and the dialect they speak."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import Dialect

from outdial.errors import ConfigError, StoreUnavailable
from outdial.frozen import frozen
from outdial.store import sqlite
from outdial.store.rows import Row
from outdial.store.sqlite_readers import SqliteReaders
from outdial.store.sqlite_writer import SqliteTransactions
from outdial.store.statement import POSTGRESQL, SQLITE, Bound
from outdial.store.writer import Writer

if TYPE_CHECKING:
    from outdial.store.postgresql_writer import PostgresqlTransactions

_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql://", "postgres://")
_TEMPORARY_RATE = 1e6

T = TypeVar("T")


class Readers(Protocol):
    """Runs queries."""

    async def fetch(self, bound: Bound, make: Callable[[Row], T]) -> list[T]:
        """The query's rows, each made into a record. Raises StoreUnavailable."""

    async def close(self) -> None:
        """Lets running queries end and closes the connections."""


@frozen
class Backend:
    """A database that is open and has its tables."""

    dialect: Dialect
    writer: Writer
    readers: Readers
    release: Callable[[], None]
    """What is left to be done when writer and readers are closed."""
    transactions: PostgresqlTransactions | None = None
    """On PostgreSQL: the writer's, which check that this node is still what it was."""

    async def close(self) -> None:
        """Writes what is waiting, then closes every connection."""
        await self.writer.close()
        await self.readers.close()
        self.release()


def is_shared(url: str) -> bool:
    """Whether several servers may use that database at once. Raises ConfigError."""
    if url.startswith(_POSTGRESQL):
        return True
    _path(url)
    return False


async def open_backend(url: str, serving: bool) -> Backend:
    """Opens the database and brings its tables up to date.

    `serving`: it is a server that opens it; of a SQLite database there may be only one. Raises
    ConfigError for a URL that names no database and for a second server, StoreUnavailable when it
    cannot be opened.
    """
    if url.startswith(_POSTGRESQL):
        return await _open_postgresql(url)
    if url == "sqlite:///:memory:":
        return await _open_temporary()
    path = _path(url)
    return await _open_sqlite(path, sqlite.lock(path) if serving else _nothing)


async def _open_temporary() -> Backend:
    folder = Path(tempfile.mkdtemp(prefix="outdial-"))
    release = partial(shutil.rmtree, folder, ignore_errors=True)
    # a store of tests is not in the way of anything else that needs the processor
    return await _open_sqlite(folder / "outdial.db", release, rate=_TEMPORARY_RATE)


async def _open_sqlite(
    path: Path, release: Callable[[], None], rate: float | None = None
) -> Backend:
    try:
        await asyncio.to_thread(sqlite.prepare, path)
        transactions = SqliteTransactions(partial(sqlite.connect, path))
        readers = await asyncio.to_thread(SqliteReaders, partial(sqlite.connect_readonly, path))
    except (sqlite3.Error, OSError) as problem:
        release()
        raise StoreUnavailable(f"{path} cannot be opened: {problem}") from problem
    except BaseException:
        release()
        raise
    writer = Writer(transactions) if rate is None else Writer(transactions, rate=rate)
    return Backend(SQLITE, writer, readers, release)


async def _open_postgresql(url: str) -> Backend:
    # imported here: who has SQLite need not pay for it
    from outdial.store import postgresql
    from outdial.store.postgresql_readers import PostgresqlReaders
    from outdial.store.postgresql_writer import PostgresqlTransactions

    await postgresql.migrate(url)
    connect: Callable[[], Awaitable[postgresql.Connection]] = partial(postgresql.connect, url)
    transactions = PostgresqlTransactions(connect)
    return Backend(
        POSTGRESQL, Writer(transactions), PostgresqlReaders(connect), _nothing, transactions
    )


def _nothing() -> None:
    """Nothing is left to be done."""


def _path(url: str) -> Path:
    path = url.removeprefix(_SQLITE)
    if path == url or not path:
        # what stands there may be a password
        scheme = url.partition(":")[0] if "://" in url else url
        raise ConfigError(
            "store.url",
            f"{scheme!r} names no database",
            "write sqlite:///path or postgresql://user@host/database",
        )
    return Path(path)
