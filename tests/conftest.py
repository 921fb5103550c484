"""What the tests of several folders share: a PostgreSQL server for the whole run.

It is made and started when the first test asks for it, unless OUTDIAL_TEST_POSTGRESQL names one
that is there already; its user must be allowed to make databases.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from outdial.testing.postgresql import NoPostgresql, PostgresqlServer

NewDatabase = Callable[[], str]


@pytest.fixture(scope="session")
def new_database() -> Iterator[NewDatabase]:
    """Makes an empty PostgreSQL database each time it is called; gives its URL."""
    given = os.environ.get("OUTDIAL_TEST_POSTGRESQL", "")
    if given:
        made: list[str] = []
        yield lambda: _make_database(given, made)
        for name in made:
            _execute(given, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        return
    try:
        server = PostgresqlServer()
    except NoPostgresql as reason:
        pytest.skip(f"{reason}; OUTDIAL_TEST_POSTGRESQL can name a server")
    with server:
        yield server.new_database


def _make_database(given: str, made: list[str]) -> str:
    name = f"outdial_test_{int(time.time())}_{secrets.token_hex(4)}"
    _execute(given, f"CREATE DATABASE {name}")
    made.append(name)
    return urlsplit(given)._replace(path=f"/{name}").geturl()


def _execute(url: str, sql: str) -> None:
    """In a thread, because the test that asks for it may run a loop in this one."""

    async def execute() -> None:
        import asyncpg

        connection = await asyncpg.connect(url)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(execute())).result()
