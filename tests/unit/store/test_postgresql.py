"""What is particular to the record in PostgreSQL: its feed, its trouble, and its repair."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from doubles.records import a_call, an_event
from outdial.clock import SystemClock
from outdial.errors import ConfigError, StoreUnavailable
from outdial.store import postgresql
from outdial.store.groups import Operation
from outdial.store.postgresql_writer import PostgresqlTransactions, batches
from outdial.store.queries import Queries
from outdial.store.records import Change
from outdial.store.statement import POSTGRESQL
from outdial.store.store import Store
from outdial.testing.postgresql import NoPostgresql, PostgresqlServer


@pytest.fixture
async def store(new_database: Callable[[], str]) -> AsyncIterator[Store]:
    opened = await Store.open(new_database(), SystemClock())
    yield opened
    await opened.close()


@pytest.fixture
def server() -> Iterator[PostgresqlServer]:
    """A server that the test may hurt."""
    try:
        made = PostgresqlServer()
    except NoPostgresql as reason:
        pytest.skip(str(reason))
    with made:
        yield made


async def _until_written(store: Store, sid: str, within_s: float = 10.0) -> float:
    """Creates that call, as a client that tries again would; how long it took."""
    started = time.monotonic()
    while True:
        try:
            await store.create_call(a_call(sid))
        except StoreUnavailable:
            assert time.monotonic() - started < within_s
            await asyncio.sleep(0.05)
        else:
            return time.monotonic() - started


# --------------------------------------------------------------------------- opening


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:secret@127.0.0.1:1/db", "postgresql://127.0.0.1:1/db cannot be opened"),
        ("postgresql://u@nowhere.invalid/db", "nowhere.invalid"),
    ],
)
async def test_a_server_that_is_not_there_is_named_without_its_password(
    url: str, says: str
) -> None:
    with pytest.raises(StoreUnavailable, match=says) as problem:
        await Store.open(url, SystemClock())
    assert "secret" not in str(problem.value)


async def test_a_database_that_is_not_there_is_named(new_database: Callable[[], str]) -> None:
    url = new_database().rpartition("/")[0] + "/nothing_of_the_kind"
    with pytest.raises(StoreUnavailable, match='"nothing_of_the_kind" does not exist'):
        await Store.open(url, SystemClock())


async def test_a_url_that_cannot_be_read_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"store\.url"):
        await Store.open("postgresql://u@h:port/db", SystemClock())


# --------------------------------------------------------------------------- the feed


async def test_the_feed_waits_for_a_transaction_that_is_still_running(
    store: Store, new_database: Callable[[], str]
) -> None:
    """Its events may have smaller numbers; a reader that had gone on would never see them."""
    slow, quick = a_call(), a_call()
    other = await postgresql.connect(_url_of(store))
    await store.create_call(slow)
    await store.create_call(quick)
    begun = other.transaction()
    await begun.start()
    await other.execute("INSERT INTO events VALUES ($1, 0, 1.0, 'state.queued', '{}')", slow.sid)
    await other.execute("INSERT INTO feed (call_sid, seq) VALUES ($1, 0)", slow.sid)
    await store.commit(Change(quick.sid, events=(an_event(quick.sid, 0, "state.queued"),)))
    assert await store.feed() == []
    await begun.commit()
    await other.close()
    found = await store.feed()
    assert [one.event.call_sid for one in found] == [slow.sid, quick.sid]
    assert [one.event.call_sid for one in await store.feed(found[0].cursor)] == [quick.sid]
    assert await store.feed(found[1].cursor) == []


async def test_nobody_who_reads_the_feed_misses_anything_of_many_writers(
    new_database: Callable[[], str],
) -> None:
    url = new_database()
    stores = [await Store.open(url, SystemClock()) for _ in range(3)]
    seen: list[str] = []
    done = asyncio.Event()

    async def write(store: Store) -> None:
        for _ in range(60):
            call = a_call()
            await store.create_call(call, [an_event(call.sid, 0, "state.queued")])

    async def read() -> None:
        cursor, last = "", False
        while True:
            page = await stores[0].feed(cursor, 7)
            seen.extend(one.event.call_sid for one in page)
            if page:
                cursor = page[-1].cursor
            elif last:
                return
            else:
                last = done.is_set()

    reading = asyncio.ensure_future(read())
    await asyncio.gather(*map(write, stores))
    done.set()
    await reading
    everything = {call.sid for call in (await stores[0].calls(limit=1000)).calls}
    assert len(seen) == len(everything) == 180
    assert set(seen) == everything
    for store in stores:
        await store.close()


@pytest.mark.parametrize("cursor", ["1", "x", "1-", "-1", "1-2-3", "²-1", f"{10**20}-1"])
async def test_a_cursor_of_the_feed_that_nobody_gave_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        await store.feed(cursor)


# --------------------------------------------------------------------------- few round trips


def test_changes_of_different_calls_share_a_statement_and_those_of_one_keep_their_order() -> None:
    queries = Queries(POSTGRESQL)
    ring, answer = queries.update_call(["state"]), queries.update_call(["state", "answered_at"])
    begin = queries.update_call(["state"], ["state"])
    group = [
        Operation([(ring, ("ringing", "CA1"))], None),
        Operation([(answer, ("answered", 1.0, "CA2"))], None),
        Operation([(ring, ("ringing", "CA3"))], None),
        Operation([(answer, ("answered", 1.0, "CA1"))], None),
        Operation([(ring, ("again", "CA2"))], None),
        Operation([(begin, ("dialling", "CA4", "queued"))], None),
        Operation([(begin, ("dialling", "CA5", "queued"))], None),
    ]
    assert batches(group) == [
        (ring, [("ringing", "CA1"), ("ringing", "CA3")]),
        (answer, [("answered", 1.0, "CA2"), ("answered", 1.0, "CA1")]),
        (ring, [("again", "CA2")]),
        (begin, [("dialling", "CA4", "queued")]),
        (begin, [("dialling", "CA5", "queued")]),
    ]


# --------------------------------------------------------------------------- trouble


async def test_a_server_that_restarts_is_found_again(server: PostgresqlServer) -> None:
    store = await Store.open(server.new_database(), SystemClock())
    await store.create_call(a_call("CA1"))
    server.kill()
    store.note(an_event("CA1", 0))
    with pytest.raises(StoreUnavailable):
        await store.create_call(a_call("CA2"))
    with pytest.raises(StoreUnavailable):
        await store.calls()
    await asyncio.to_thread(server.start)
    assert await _until_written(store, "CA3") < 5.0
    await asyncio.sleep(1.2)
    await store.flush()
    assert {call.sid for call in (await store.calls()).calls} >= {"CA1", "CA3"}
    assert [event.seq for event in await store.events("CA1")] == [0]  # the note was kept
    await store.close()


async def test_a_server_that_says_nothing_keeps_nobody_waiting_for_long(
    server: PostgresqlServer,
) -> None:
    store = await Store.open(server.new_database(), SystemClock())
    await store.create_call(a_call("CA1"))
    server.pause()
    started = time.monotonic()
    results = await asyncio.gather(
        *(store.create_call(a_call()) for _ in range(20)),
        store.calls(),
        store.call("CA1"),
        return_exceptions=True,
    )
    assert {type(result) for result in results} == {StoreUnavailable}
    assert time.monotonic() - started < 8.0
    started = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.create_call(a_call())
    assert time.monotonic() - started < 5.0
    server.resume()
    await _until_written(store, "CA2")
    assert [call.sid for call in await store.unfinished_calls()][:1] == ["CA1"]
    await store.close()


@pytest.mark.parametrize("committed", [True, False])
async def test_when_the_connection_breaks_at_commit_the_server_is_asked_what_became_of_it(
    store: Store, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    await store.create_call(a_call("CA1"))
    transactions = store._writer._transactions
    assert isinstance(transactions, PostgresqlTransactions)
    real: Any = transactions._connection

    class Breaking:
        """The connection as it is when the network takes the answer, or the question."""

        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        async def execute(self, sql: str, *values: object) -> str:
            if sql == "COMMIT":
                if committed:
                    await real.execute(sql)
                real.terminate()
                raise ConnectionResetError("cut off")
            status: str = await real.execute(sql, *values)
            return status

    transactions._connection = Breaking()
    if committed:
        await store.create_call(a_call("CA2"))
    else:
        with pytest.raises(StoreUnavailable, match="cut off"):
            await store.create_call(a_call("CA2"))
    assert (await store.call("CA2") is not None) == committed
    await store.create_call(a_call("CA3"))


async def test_a_lock_that_another_holds_ends_in_an_error_and_not_in_waiting(
    store: Store,
) -> None:
    call = a_call()
    await store.create_call(call)
    other = await postgresql.connect(_url_of(store))
    begun = other.transaction()
    await begun.start()
    await other.execute("UPDATE calls SET state = 'x' WHERE sid = $1", call.sid)
    change = Change(call.sid, {"state": "ringing"})
    with pytest.raises(StoreUnavailable, match="lock timeout"):
        await store.commit(change)
    await begun.rollback()
    await other.close()
    await store.commit(change)
    assert await store.call(call.sid) == replace(call, state="ringing")


async def test_a_store_closes_while_its_server_says_nothing(server: PostgresqlServer) -> None:
    store = await Store.open(server.new_database(), SystemClock())
    await store.create_call(a_call("CA1"))
    server.pause()
    store.note(an_event("CA1", 0))
    started = time.monotonic()
    await store.close()
    assert time.monotonic() - started < 12.0
    server.resume()


def _url_of(store: Store) -> str:
    transactions = store._writer._transactions
    assert isinstance(transactions, PostgresqlTransactions)
    url = transactions._connect.args[0]  # type: ignore[attr-defined]
    assert isinstance(url, str)
    return url
