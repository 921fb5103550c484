"""SQLite: opening a database, and bringing its tables up to date."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import create_engine, event
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from outdial.errors import StoreUnavailable

HEAD = "0002"
"""The revision of migrations/versions that this program works with."""

_BUSY_S = 2.0
"""How long to wait for another process that is writing, e.g. `outdial keys add`."""
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
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def connect_readonly(path: Path) -> sqlite3.Connection:
    """A connection that cannot write, for one thread at a time. Raises sqlite3.Error."""
    connection = sqlite3.connect(
        path,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS_KEPT,
    )
    connection.execute("PRAGMA query_only=ON")
    return connection


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the tables to `HEAD` in one transaction; several processes may try at once.

    Raises StoreUnavailable when the database belongs to a newer program, sqlite3.Error otherwise.
    """
    if _revision(connection) == HEAD:
        return  # spares the import of Alembic
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    found = _revision(connection)
    if found is not None and found not in known:
        raise StoreUnavailable(
            f"the database is at revision {found}, which this version does not know: "
            "it was made by a newer Outdial"
        )
    # the pool never closes the connection: it is lent
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    event.listen(engine, "begin", _begin)
    with engine.begin() as lent:
        config.attributes["connection"] = lent
        command.upgrade(config, "head")


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
