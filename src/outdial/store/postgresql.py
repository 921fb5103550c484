"""PostgreSQL: connections, bringing the tables up to date, and what its errors mean to us."""

from __future__ import annotations

import asyncio
import io
from typing import TypeAlias
from urllib.parse import urlsplit

import asyncpg

from outdial.errors import ConfigError, StoreConflict, StoreUnavailable
from outdial.store import revisions

Connection: TypeAlias = asyncpg.Connection

CONNECT_S = 4.0
COMMAND_S = 5.0
"""A statement that is not answered within is given up, and its connection with it."""
_CLOSE_S = 1.0
_MIGRATION_S = 600.0
_OLDEST = (13, 0)
"""xid8 and pg_xact_status as they are used here are there from this version on."""
_STATEMENTS_KEPT = 256
_MIGRATING = 0x6F757464
"""The advisory lock of whoever changes the tables."""

_SETTINGS = {
    "application_name": "outdial",
    # The server gives up before we do, so that what is given up is over there as well.
    "statement_timeout": "4000",
    "lock_timeout": "2000",
    # A process that is stopped in the middle of a transaction must not keep its locks.
    "idle_in_transaction_session_timeout": "3000",
}

TROUBLE = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What asyncpg raises when the server refuses, is away, or does not answer."""


async def connect(url: str) -> Connection:
    """A connection that waits for nothing without end. Raises `TROUBLE`."""
    return await asyncpg.connect(
        url,
        timeout=CONNECT_S,
        command_timeout=COMMAND_S,
        statement_cache_size=_STATEMENTS_KEPT,
        max_cached_statement_lifetime=0,
        server_settings=_SETTINGS,
    )


def told(problem: Exception) -> Exception:
    """What whoever asked is told: StoreConflict, StoreUnavailable, or else it will never work."""
    if isinstance(problem, asyncpg.IntegrityConstraintViolationError):
        return StoreConflict(str(problem))
    if isinstance(problem, TROUBLE) and not isinstance(problem, asyncpg.DataError):
        return StoreUnavailable(_says(problem))
    return problem


def shown(url: str) -> str:
    """The URL without a password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _says(problem: Exception) -> str:
    if isinstance(problem, TimeoutError):
        return "PostgreSQL does not answer"
    return " ".join(str(problem).split()) or type(problem).__name__


async def migrate(url: str) -> None:
    """Brings the tables to `revisions.HEAD` in one transaction; several processes may try at once.

    Raises ConfigError for a URL that is none, StoreUnavailable when the server is away or too old,
    or when the database belongs to a newer program.
    """
    try:
        connection = await connect(url)
    except ValueError as problem:  # asyncpg's errors of a URL are such
        raise ConfigError(
            "store.url",
            f"is no PostgreSQL URL: {problem}",
            "write postgresql://user@host/database",
        ) from None
    except TROUBLE as problem:
        raise StoreUnavailable(f"{shown(url)} cannot be opened: {_says(problem)}") from problem
    try:
        version = connection.get_server_version()
        if version[:2] < _OLDEST:
            raise StoreUnavailable(
                f"{shown(url)} is PostgreSQL {version.major}; Outdial needs {_OLDEST[0]} or later"
            )
        if await _revision(connection) != revisions.HEAD:
            await _upgrade(connection)
    except TROUBLE as problem:
        raise StoreUnavailable(f"{shown(url)} cannot be used: {_says(problem)}") from problem
    finally:
        connection.terminate()


async def _upgrade(connection: Connection) -> None:
    await connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
    # Held until the connection is closed. Not within the transaction, which would go on believing
    # what it knew of the tables when it began.
    await connection.execute(f"SELECT pg_advisory_lock({_MIGRATING})", timeout=_MIGRATION_S)
    async with connection.transaction():
        found = await _revision(connection)
        if found == revisions.HEAD:
            return  # another process was faster
        script = await asyncio.to_thread(upgrade_script, found)
        await connection.execute(script, timeout=_MIGRATION_S)


async def _revision(connection: Connection) -> str | None:
    there = await connection.fetchval("SELECT to_regclass('alembic_version') IS NOT NULL")
    if not there:
        return None
    found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    return found


def upgrade_script(found: str | None, wanted: str = revisions.HEAD) -> str:
    """The SQL from one revision (None: from nothing) to another.

    As text, because Alembic speaks to a server only through a second driver. Raises
    StoreUnavailable when the revision is unknown.
    """
    from alembic import command

    written = io.StringIO()
    with revisions.LOCK:  # one Alembic at a time, its state is global
        config = revisions.config(found)
        config.output_buffer = written
        config.attributes["dialect"] = "postgresql"
        command.upgrade(config, f"{found}:{wanted}" if found else wanted, sql=True)
    return written.getvalue()


async def close(connection: Connection) -> None:
    """Says goodbye, but not for long."""
    try:
        await connection.close(timeout=_CLOSE_S)
    except TROUBLE:
        connection.terminate()
