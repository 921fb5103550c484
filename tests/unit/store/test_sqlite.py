"""What is particular to the record in a SQLite file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from doubles.records import a_call, an_event
from outdial.clock import SystemClock
from outdial.errors import ConfigError, StoreUnavailable
from outdial.store import sqlite, tables
from outdial.store.records import Change
from outdial.store.sqlite_writer import SqliteTransactions
from outdial.store.store import Store


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/a.db"


def the_connection(store: Store) -> sqlite3.Connection:
    """The one that writes."""
    transactions = store._writer._transactions
    assert isinstance(transactions, SqliteTransactions)
    connection = transactions._connection
    assert connection is not None
    return connection


def test_migrations_and_tables_do_not_differ(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    connection = sqlite.connect(tmp_path / "a.db")
    sqlite.migrate(connection)
    connection.close()
    engine = create_engine(f"sqlite:///{tmp_path}/a.db")
    with engine.connect() as opened:
        assert compare_metadata(MigrationContext.configure(opened), tables.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("url", ["mysql://u:secret@x", "sqlite:///", "outdial.db"])
async def test_a_url_without_a_database_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"store\.url") as problem:
        await Store.open(url, SystemClock())
    assert "secret" not in str(problem.value)


async def test_a_missing_folder_and_a_file_that_is_no_database_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="no folder"):
        await Store.open(f"sqlite:///{tmp_path}/none/a.db", SystemClock())
    (tmp_path / "a.db").write_bytes(b"not a database, certainly not" * 100)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await Store.open(f"sqlite:///{tmp_path}/a.db", SystemClock())


async def test_the_store_in_memory_leaves_nothing_behind() -> None:
    store = await Store.open("sqlite:///:memory:", SystemClock())
    ((_, _, path),) = the_connection(store).execute("PRAGMA database_list").fetchall()
    folder = Path(path).parent
    assert folder.is_dir()
    await store.create_call(a_call())
    await store.close()
    await store.close()
    assert not folder.exists()


async def test_the_pending_ones_are_found_by_their_index(store: Store, tmp_path: Path) -> None:
    sql, values = store._queries.pending_deliveries.bind(after=0, most=10, node="")
    with sqlite3.connect(tmp_path / "a.db") as other:
        plan = str(other.execute("EXPLAIN QUERY PLAN " + sql, values).fetchall())
    other.close()
    assert "deliveries_pending" in plan


async def test_while_another_holds_the_database_writes_fail_and_then_work(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = the_connection(store)
    connection.execute("PRAGMA busy_timeout=10")
    other = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    call = a_call()
    store.note(an_event(call.sid, 0))
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.check()
    with pytest.raises(StoreUnavailable, match="locked"):
        await store.create_call(call)
    assert await store.call(call.sid) is None  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    await store.create_call(call)
    await store.check()
    assert await store.call(call.sid) == call
    assert await store.events(call.sid) == [an_event(call.sid, 0)]  # the note was kept


async def test_a_full_disk_is_survived(store: Store) -> None:
    connection = the_connection(store)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count={pages}")
    big = Change("CA1", events=tuple(an_event("CA1", i, text="x" * 4000) for i in range(10)))
    with pytest.raises(StoreUnavailable, match="full"):
        await store.commit(big)
    await store.commit(big)  # the writer opened a new connection, without the limit
    assert len(await store.events("CA1")) == 10


_SERVER = """
import asyncio, sys
from outdial.clock import SystemClock
from outdial.store.store import Store

async def main():
    await Store.open(sys.argv[1], SystemClock(), serving=True)
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_second_server_is_refused_until_the_first_is_gone_however_it_went(
    url: str, tmp_path: Path
) -> None:
    server = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", _SERVER, url], stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    server.stdout.readline()
    with pytest.raises(ConfigError, match=f"store.url: .*in use.*process {server.pid}"):
        await Store.open(url, SystemClock(), serving=True)
    beside = await Store.open(url, SystemClock())  # as `outdial keys add` does
    await beside.create_call(a_call())
    await beside.close()
    server.kill()
    server.communicate()
    for _ in range(2):  # and an orderly end lets go of it too
        after = await Store.open(url, SystemClock(), serving=True)
        await after.close()


async def test_while_another_makes_the_tables_opening_waits_for_longer_than_a_writer_would(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_S", 0.01)
    busy = sqlite3.connect(tmp_path / "a.db", isolation_level=None, check_same_thread=False)
    busy.execute("BEGIN EXCLUSIVE")
    threading.Timer(0.3, busy.rollback).start()
    store = await Store.open(url, SystemClock())
    await store.close()
    busy.close()
    monkeypatch.setattr(sqlite, "_MIGRATION_S", 0.1)
    busy = sqlite3.connect(tmp_path / "b.db", isolation_level=None)
    busy.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match="locked"):
        await Store.open(f"sqlite:///{tmp_path}/b.db", SystemClock())
    busy.close()


def test_a_connection_that_cannot_be_set_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.db").write_bytes(b"no database, but long enough to be taken for one" * 20)
    made: list[sqlite3.Connection] = []
    plain = sqlite3.connect

    def noting(*arguments: Any, **options: Any) -> sqlite3.Connection:
        made.append(plain(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", noting)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        sqlite.connect(tmp_path / "a.db")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        made[0].execute("SELECT 1")
