"""Databases of every version that was released are brought to what this one works with."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import create_engine, inspect

from outdial.clock import SystemClock
from outdial.errors import StoreUnavailable
from outdial.store import postgresql, revisions, sqlite, tables
from outdial.store.records import KeyRecord, NumberRecord, RecordingFilter
from outdial.store.store import Store

RELEASED = ["0001", "0002", "0003", "0004", "0005"]
"""The revisions that somebody's database may be at. Add each one that is released."""

Rows = dict[str, list[dict[str, Any]]]

CALL = {
    "sid": "CA" + "1" * 32, "parent_sid": "CA" + "1" * 32, "direction": "outbound",
    "from_number": "15005550100", "to_number": "15005550001", "caller_name": "Zoë",
    "state": "completed", "created_at": 10.0, "key_name": "dev", "trunk": "a", "dialled_at": 10.5,
    "ringing_at": 11.0, "answered_at": 12.0, "ended_at": 20.0, "outcome": "completed",
    "sip_code": 200, "cause": "normal-clearing", "hangup_source": "callee", "detail": "said bye",
    "recording_sid": "RE1", "request": '{"to":"15005550001"}', "media": '{"packets_sent":3}',
}  # fmt: skip
OTHER = CALL | {
    "sid": "CA" + "2" * 32, "parent_sid": "CA" + "2" * 32, "created_at": 11.0, "media": None,
    "state": "queued", "ended_at": None, "outcome": None,
}  # fmt: skip


def an_event(call: dict[str, Any], seq: int, at: float, kind: str) -> dict[str, Any]:
    return {"call_sid": call["sid"], "seq": seq, "at": at, "kind": kind, "data": '{"n":1}'}


def a_delivery(state: str, position: int) -> dict[str, Any]:
    return {
        "id": f"DE{position:032}", "call_sid": CALL["sid"], "lane": "l", "position": position,
        "event": "ringing", "url": "http://x/", "method": "POST", "params": '[["a","b"]]',
        "created_at": 1.0, "state": state, "attempts": 1, "next_at": 0.0, "last_status": 500,
        "last_error": "answered 500", "done_at": None,
    }  # fmt: skip


DATA: dict[str, Rows] = {
    "0001": {
        "calls": [CALL, OTHER],
        "events": [
            an_event(CALL, 0, 10.0, "state.queued"),
            an_event(OTHER, 0, 11.0, "state.queued"),
            an_event(CALL, 1, 12.0, "verb.started"),
            an_event(CALL, 2, 20.0, "state.completed"),
        ],
        "deliveries": [a_delivery("pending", 0), a_delivery("dead", 1), a_delivery("done", 2)],
        "ladders": [
            {
                "call_sid": CALL["sid"],
                "messages": '[[1.5,true,"127.0.0.1:5060","udp",4]]',
                "raw": b"ab\xff\x00",
            }
        ],
        "keys": [
            {
                "id": "KE1", "name": "dev", "prefix": "ok_a", "digest": "d", "created_at": 1.0,
                "revoked_at": None,
            }
        ],
        "recordings": [
            {
                "sid": "RE1", "call_sid": CALL["sid"], "path": "RE1.wav", "created_at": 12.0,
                "duration_ms": 8000, "channels": 2, "size_bytes": 44, "error": "",
            }
        ],
    }
}  # fmt: skip
"""What stands in a database of that revision, in the columns that it had."""
_STATES = [(CALL["sid"], 0), (OTHER["sid"], 0), (CALL["sid"], 2)]
DATA["0002"] = DATA["0001"] | {"feed": [{"call_sid": sid, "seq": seq} for sid, seq in _STATES]}
DATA["0003"] = DATA["0004"] = DATA["0005"] = DATA["0002"]


async def fill(url: str, revision: str) -> None:
    """Makes the database as a program of that time left it."""
    if url.startswith("sqlite"):
        made = sqlite.connect(Path(url.removeprefix("sqlite:///")))
        sqlite.migrate(made, revision)
        for table, rows in DATA[revision].items():
            for row in rows:
                places = ", ".join("?" * len(row))
                sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"
                made.execute(sql, tuple(row.values()))
        made.close()
        return
    connection = await postgresql.connect(url)
    await connection.execute(postgresql.upgrade_script(None, revision))
    for table, rows in DATA[revision].items():
        for row in rows:
            places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
            sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"
            await connection.execute(sql, *row.values())
    await connection.close()


def test_every_revision_but_the_newest_is_tried() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(revisions.config(None))
    assert script.get_heads() == [revisions.HEAD]
    assert sorted(one.revision for one in script.walk_revisions()) == [*RELEASED, revisions.HEAD]


@pytest.mark.parametrize("revision", RELEASED)
async def test_what_an_earlier_version_wrote_is_there_and_new_things_work(
    url: str, revision: str
) -> None:
    await fill(url, revision)
    stores = await asyncio.gather(*(Store.open(url, SystemClock()) for _ in range(3)))
    store, *others = stores
    for other in others:
        await other.close()
    call = await store.call(str(CALL["sid"]))
    assert call is not None and (call.caller_name, call.media) == ("Zoë", {"packets_sent": 3})
    assert (call.node, call.dialog) == ("", None)
    assert [event.kind for event in await store.events(call.sid)] == [
        "state.queued", "verb.started", "state.completed",
    ]  # fmt: skip
    assert [one.sid for one in await store.unfinished_calls()] == [OTHER["sid"]]
    pending, _ = await store.pending_deliveries(10)
    assert [(one.position, one.params, one.tries) for one in pending] == [(0, (("a", "b"),), ())]
    assert [message.raw for message in await store.ladder(call.sid)] == [b"ab\xff\x00"]
    assert await store.keys() == [KeyRecord("KE1", "dev", "ok_a", "d", 1.0)]
    assert [(one.sid, one.kind) for one in await store.recordings(call.sid)] == [("RE1", "call")]
    assert (await store.archive.page(RecordingFilter(kind="message"))).recordings == ()
    await store.numbers.add(NumberRecord("18005550100", "http://x/"))
    feed = await store.feed()
    assert [(one.event.call_sid, one.event.seq) for one in feed] == [
        (CALL["sid"], 0), (OTHER["sid"], 0), (CALL["sid"], 2),
    ]  # fmt: skip
    await store.close()


async def test_a_new_database_has_the_tables_of_the_code_and_no_others(url: str) -> None:
    store = await Store.open(url, SystemClock())
    await store.close()
    found = _sqlite_columns(url) if url.startswith("sqlite") else await _postgresql_columns(url)
    expected = {table.name: table.columns.keys() for table in tables.metadata.sorted_tables}
    if not url.startswith("sqlite"):
        expected["feed"].append("xid")
    del found["alembic_version"]
    assert found == expected


async def test_a_new_database_has_the_indices_of_the_code(url: str) -> None:
    store = await Store.open(url, SystemClock())
    await store.close()
    expected = {str(i.name) for table in tables.metadata.sorted_tables for i in table.indexes}
    if url.startswith("sqlite"):
        engine = create_engine(url)
        names = inspect(engine)
        found = {i["name"] for table in tables.metadata.tables for i in names.get_indexes(table)}
        engine.dispose()
    else:
        connection = await postgresql.connect(url)
        rows = await connection.fetch("SELECT indexname FROM pg_indexes")
        found = {row[0] for row in rows}
        await connection.close()
    assert expected <= found


async def test_a_database_of_a_newer_program_is_refused(url: str) -> None:
    store = await Store.open(url, SystemClock())
    await store.close()
    newer = "UPDATE alembic_version SET version_num = '9999'"
    if url.startswith("sqlite"):
        made = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        made.execute(newer)
        made.close()
    else:
        connection = await postgresql.connect(url)
        await connection.execute(newer)
        await connection.close()
    with pytest.raises(StoreUnavailable, match="newer Outdial"):
        await Store.open(url, SystemClock())


async def test_a_migration_that_fails_leaves_the_database_as_it_was(new_database: Any) -> None:
    url = new_database()
    await fill(url, "0001")
    connection = await postgresql.connect(url)
    await connection.execute("CREATE TABLE commands (in_the_way int)")
    with pytest.raises(StoreUnavailable, match="commands"):
        await Store.open(url, SystemClock())
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "0001"
    with pytest.raises(asyncpg.UndefinedColumnError):
        await connection.fetch("SELECT node FROM calls")
    await connection.execute("DROP TABLE commands")
    store = await Store.open(url, SystemClock())
    await store.close()
    await connection.close()


def _sqlite_columns(url: str) -> dict[str, list[str]]:
    engine = create_engine(url)
    names = inspect(engine)
    found = {
        t: [column["name"] for column in names.get_columns(t)] for t in names.get_table_names()
    }
    engine.dispose()
    return found


async def _postgresql_columns(url: str) -> dict[str, list[str]]:
    connection = await postgresql.connect(url)
    found: dict[str, list[str]] = {}
    for table, column in await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
    ):
        found.setdefault(table, []).append(column)
    await connection.close()
    return found
