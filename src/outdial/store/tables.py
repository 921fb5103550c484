"""The tables, in SQLAlchemy Core, for SQLite and PostgreSQL.

Columns stand in the order of the fields of `records`, which `rows` relies on. JSON is compact
text on both databases: nothing is ever searched inside it. `number` counts rows in the order they
were written and is only there to read them back in that order.

There are no foreign keys: the one writer puts a call and what belongs to it into one transaction,
and checking would double the work of each row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()


def _number() -> Column[int]:
    # SQLite only counts by itself in a column declared INTEGER
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column("number", kind, primary_key=True, autoincrement=True)


calls = Table(
    "calls",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("parent_sid", Text, nullable=False),
    Column("direction", Text, nullable=False),
    Column("from_number", Text, nullable=False),
    Column("to_number", Text, nullable=False),
    Column("caller_name", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("key_name", Text, nullable=False),
    Column("trunk", Text, nullable=False),
    Column("dialled_at", Double),
    Column("ringing_at", Double),
    Column("answered_at", Double),
    Column("ended_at", Double),
    Column("outcome", Text),
    Column("sip_code", Integer),
    Column("cause", Text),
    Column("hangup_source", Text),
    Column("detail", Text),
    Column("recording_sid", Text),
    Column("request", Text, nullable=False),
    Column("media", Text),
    Column("node", Text, nullable=False, server_default=""),
    Column("dialog", Text),
)
Index("calls_newest", calls.c.created_at, calls.c.sid)
Index("calls_to", calls.c.to_number, calls.c.created_at, calls.c.sid)
Index("calls_from", calls.c.from_number, calls.c.created_at, calls.c.sid)
Index(
    "calls_outcome",
    calls.c.outcome,
    calls.c.created_at,
    calls.c.sid,
    sqlite_where=calls.c.outcome.is_not(None),
    postgresql_where=calls.c.outcome.is_not(None),
)
Index(
    "calls_children",
    calls.c.parent_sid,
    sqlite_where=calls.c.parent_sid != calls.c.sid,
    postgresql_where=calls.c.parent_sid != calls.c.sid,
)
Index(
    "calls_unfinished",
    calls.c.created_at,
    sqlite_where=calls.c.ended_at.is_(None),
    postgresql_where=calls.c.ended_at.is_(None),
)

events = Table(
    "events",
    metadata,
    Column("call_sid", Text, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)

deliveries = Table(
    "deliveries",
    metadata,
    _number(),
    Column("id", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("event", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Double, nullable=False),
    Column("last_status", Integer),
    Column("last_error", Text, nullable=False),
    Column("done_at", Double),
    Column("event_id", Text, nullable=False, server_default=""),
    Column("node", Text, nullable=False, server_default=""),
    Column("tries", Text, nullable=False, server_default="[]"),
)
Index("deliveries_of_call", deliveries.c.call_sid)
Index(
    "deliveries_pending",
    deliveries.c.number,
    sqlite_where=deliveries.c.state == "pending",
    postgresql_where=deliveries.c.state == "pending",
)

Index(
    "deliveries_dead",
    deliveries.c.number,
    sqlite_where=deliveries.c.state == "dead",
    postgresql_where=deliveries.c.state == "dead",
)

feed = Table(
    "feed",
    metadata,
    _number(),
    Column("call_sid", Text, nullable=False),
    Column("seq", Integer, nullable=False),
)
"""Which events changed a call's state, in the order in which they became durable.

On PostgreSQL there is a column `xid` besides, the number of the transaction that wrote the row."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_name", Text, primary_key=True),
    Column("token", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

Index("idempotency_age", idempotency.c.created_at)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("taken_by", Text, nullable=False),
)
"""Servers on this database. A server's calls and callbacks are its own while its lease lasts."""

commands = Table(
    "commands",
    metadata,
    _number(),
    Column("node", Text, nullable=False),
    Column("call_sid", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)
"""What one node asks of another about a call that the other holds."""

ladders = Table(
    "ladders",
    metadata,
    Column("call_sid", Text, primary_key=True),
    Column("messages", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
)

messages = Table(
    "messages",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("call_sid", Text, nullable=False),
    Column("from_number", Text, nullable=False),
    Column("to_number", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("via", Text, nullable=False),
    Column("status", Integer),
    Column("error", Text, nullable=False),
    Column("status_callback", Text, nullable=False),
    Column("status_callback_method", Text, nullable=False),
    Column("node", Text, nullable=False, server_default=""),
)
Index("messages_of_call", messages.c.call_sid)
Index(
    "messages_unfinished",
    messages.c.created_at,
    sqlite_where=messages.c.ended_at.is_(None),
    postgresql_where=messages.c.ended_at.is_(None),
)

faxes = Table(
    "faxes",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("call_sid", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("status", Text, nullable=False),
    Column("pages", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("sender", Text, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("error", Text, nullable=False),
)
Index("faxes_of_call", faxes.c.call_sid)
Index("faxes_age", faxes.c.created_at)

keys = Table(
    "keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("scopes", Text),
    Column("callers", Text),
    Column("destinations", Text),
    Column("calls_per_second", Double, nullable=False, server_default="0"),
    Column("concurrent_calls", Integer, nullable=False, server_default="0"),
    Column("minutes_per_day", Double, nullable=False, server_default="0"),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    UniqueConstraint("digest", name="keys_once"),
)

recordings = Table(
    "recordings",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("call_sid", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("duration_ms", Integer),
    Column("channels", Integer, nullable=False),
    Column("size_bytes", Integer),
    Column("error", Text, nullable=False),
    Column("kind", Text, nullable=False, server_default="call"),
)
Index("recordings_of_call", recordings.c.call_sid)
Index("recordings_age", recordings.c.created_at)

numbers = Table(
    "numbers",
    metadata,
    Column("number", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("fallback_url", Text, nullable=False),
    Column("status_callback", Text, nullable=False),
    Column("status_callback_events", Text, nullable=False),
    Column("record", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)
"""Numbers of ours that the API manages; those of the settings are not here."""
