"""Stores that are full: databases of both kinds, filled as fast as they take rows."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from bench import rows
from outdial.clock import SystemClock
from outdial.store import expiry
from outdial.store.records import CallRecord
from outdial.store.rows import delivery_record
from outdial.store.store import Store

CHUNK = 5_000
"""Calls made and written at a time."""
UNFINISHED = 200
"""Calls that wait in the queue, and callbacks that are due: in every store the same."""

Tell = Callable[[str], None]


class Full:
    """A store with `calls` calls, the last of them `UNFINISHED` ones that wait."""

    def __init__(self, name: str, store: Store, calls: int, began_at: float) -> None:
        self.name = name
        self.store = store
        self.calls = calls
        self.began_at = began_at

    def unhurried(self) -> None:
        """Takes away what waits for others to share a transaction: it would hide the cost."""
        self.store._backend.writer._rate = 1e6
        expiry._WITHIN_S = 0.0

    def sid(self, number: int) -> str:
        """Of a call."""
        return rows.sid(number, self.began_at)

    def at(self, number: int) -> float:
        """When it was made."""
        return self.began_at + number * rows.STEP_S


@contextlib.asynccontextmanager
async def sqlite(name: str, calls: int, folder: Path | None, tell: Tell) -> AsyncIterator[Full]:
    """In a file of its own, deleted at the end."""
    own = Path(tempfile.mkdtemp(prefix="outdial-bench-", dir=folder))
    try:
        path = own / "outdial.db"
        await (await Store.open(f"sqlite:///{path}", SystemClock())).close()
        connection = sqlite3.connect(path)
        # nobody needs what a crash would leave of it
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("PRAGMA cache_size=-400000")
        began_at = SystemClock.now() - calls * rows.STEP_S
        for count, made in _chunks(calls, began_at):
            for table, columns, values in made.by_table():
                places = ", ".join("?" * len(columns))
                connection.executemany(
                    f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})",
                    values,
                )
            connection.commit()
            _tell(tell, name, count, calls)
        connection.close()
        store = await Store.open(f"sqlite:///{path}", SystemClock())
        async with _unfinished(Full(name, store, calls, began_at)) as full:
            tell(f"{name}: {calls} calls, {path.stat().st_size / 1e9:.2f} GB")
            yield full
    finally:
        shutil.rmtree(own, ignore_errors=True)


@contextlib.asynccontextmanager
async def postgresql(name: str, calls: int, server: str, tell: Tell) -> AsyncIterator[Full]:
    """In a new database of the server, dropped at the end."""
    database = f"outdial_bench_{secrets.token_hex(4)}"
    url = urlsplit(server)._replace(path=f"/{database}").geturl()
    owner = await asyncpg.connect(server)
    await owner.execute(f"CREATE DATABASE {database}")
    try:
        await (await Store.open(url, SystemClock())).close()
        connection = await asyncpg.connect(url)
        began_at = SystemClock.now() - calls * rows.STEP_S
        for count, made in _chunks(calls, began_at):
            for table, columns, values in made.by_table():
                await connection.copy_records_to_table(table, columns=columns, records=values)
            _tell(tell, name, count, calls)
        await connection.execute("VACUUM ANALYZE")  # as the daemon of a server that runs does
        size = await connection.fetchval("SELECT pg_database_size($1)", database)
        await connection.close()
        store = await Store.open(url, SystemClock())
        async with _unfinished(Full(name, store, calls, began_at)) as full:
            tell(f"{name}: {calls} calls, {size / 1e9:.2f} GB")
            yield full
    finally:
        await owner.execute(f"DROP DATABASE {database} WITH (FORCE)")
        await owner.close()


@contextlib.asynccontextmanager
async def _unfinished(full: Full) -> AsyncIterator[Full]:
    """With calls that wait, whose callbacks are due."""
    store = full.store
    try:
        for number in range(full.calls, full.calls + UNFINISHED):
            sid, at = full.sid(number), full.at(number)
            call = CallRecord(sid, sid, "outbound", "18005797676", "12025550123", "", "queued", at)
            due = delivery_record(rows.delivery(sid, 1, "initiated", at, "pending"))
            await store.create_call(call, (), (due,))
        yield full
    finally:
        await store.close()


def _chunks(calls: int, began_at: float) -> Iterator[tuple[int, rows.Rows]]:
    """Rows of calls, `CHUNK` at a time, and how many there are with them."""
    for first in range(0, calls, CHUNK):
        last = min(calls, first + CHUNK)
        yield last, rows.finished(first, last, calls, began_at)


def _tell(tell: Tell, name: str, made: int, calls: int) -> None:
    if made % 100_000 == 0 and made < calls:
        tell(f"{name}: {made} of {calls} calls")
