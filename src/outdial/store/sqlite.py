"""SQLite: opening a database, and bringing its tables up to date."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from outdial.errors import ConfigError, StoreUnavailable
from outdial.store import revisions

_BUSY_S = 2.0
"""How long to wait for another process that is writing, e.g. `outdial keys add`."""
_MIGRATION_S = 30.0
"""How long to wait for another process that makes or changes the tables."""
_AGAIN_S = 0.05
_STATEMENTS_KEPT = 256


def connect(path: Path) -> sqlite3.Connection:
    """A connection that writes: WAL, and every commit is on the disk when it returns.

    Raises sqlite3.Error.
    """
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS_KEPT,
    )
    return _opened(connection, "PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL")


def connect_readonly(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for one thread at a time. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS_KEPT,
    )
    return _opened(connection, "PRAGMA query_only=ON")


def _opened(connection: sqlite3.Connection, *pragmas: str) -> sqlite3.Connection:
    """The connection so set; it is closed when that fails."""
    try:
        for pragma in pragmas:
            connection.execute(pragma)
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(path: Path) -> None:
    """Makes the database if it is not there, and brings its tables to `revisions.HEAD`.

    Several processes may do that at once. Raises StoreUnavailable when there is no folder for it or
    when it belongs to a newer program, sqlite3.Error otherwise.
    """
    if not path.parent.is_dir():
        raise StoreUnavailable(f"{path} cannot be opened: there is no folder {path.parent}")
    deadline = time.monotonic() + _MIGRATION_S
    while True:
        try:
            connection = connect(path)
            try:
                migrate(connection)
            finally:
                connection.close()
        except sqlite3.OperationalError as problem:
            # The change to WAL does not wait for another process, and a migration holds the
            # database for longer than a writer would wait.
            if not is_locked(problem) or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)
        else:
            return


def lock(path: Path) -> Callable[[], None]:
    """Keeps other servers away from the database, until the process ends or the result is called.

    Raises ConfigError when there is one already, StoreUnavailable when that cannot be found out.
    Other processes (`outdial keys add`) may write beside a server, but a second server would dial
    the first one's calls once more.
    """
    if not path.parent.is_dir():
        raise StoreUnavailable(f"{path} cannot be opened: there is no folder {path.parent}")
    if path.is_dir():
        raise StoreUnavailable(f"{path} cannot be opened: it is a folder")
    beside = path.with_name(path.name + ".lock")
    try:
        opened = os.open(beside, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as problem:
        raise StoreUnavailable(f"{path} cannot be opened: {problem}") from problem
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(opened, 20, 0).decode("ascii", "replace").strip()
        os.close(opened)
        raise ConfigError(
            "store.url",
            f"{path} is in use by another Outdial server" + (f", process {holder}" * bool(holder)),
            "stop that one, or give each server a database of its own; "
            "several servers can share a PostgreSQL database",
        ) from None
    os.ftruncate(opened, 0)
    os.pwrite(opened, str(os.getpid()).encode(), 0)
    return partial(os.close, opened)


def migrate(connection: sqlite3.Connection, wanted: str = revisions.HEAD) -> None:
    """Brings the tables to that revision in one transaction; several processes may try at once.

    Raises StoreUnavailable when the database belongs to a newer program, sqlite3.Error otherwise.
    """
    if _revision(connection) == wanted:
        return
    from alembic import command

    with revisions.LOCK:
        config = revisions.config(_revision(connection))
        # the pool never closes the connection: it is lent
        engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
        event.listen(engine, "begin", _begin)
        with engine.begin() as lent:
            config.attributes["connection"] = lent
            command.upgrade(config, wanted)


def is_locked(problem: BaseException) -> bool:
    """Whether another process holds the database."""
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _begin(connection: Connection) -> None:
    # sqlite3 itself would commit before each CREATE TABLE
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _revision(connection: sqlite3.Connection) -> str | None:
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as problem:
        if "no such table" in str(problem):
            return None
        raise
    return None if row is None else str(row[0])
