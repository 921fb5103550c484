"""The tables of the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def _number() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("number", kind, primary_key=True, autoincrement=True)


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "calls",
        sa.Column("sid", sa.Text, primary_key=True),
        sa.Column("parent_sid", sa.Text, nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("from_number", sa.Text, nullable=False),
        sa.Column("to_number", sa.Text, nullable=False),
        sa.Column("caller_name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("key_name", sa.Text, nullable=False),
        sa.Column("trunk", sa.Text, nullable=False),
        sa.Column("dialled_at", sa.Double),
        sa.Column("ringing_at", sa.Double),
        sa.Column("answered_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("outcome", sa.Text),
        sa.Column("sip_code", sa.Integer),
        sa.Column("cause", sa.Text),
        sa.Column("hangup_source", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("recording_sid", sa.Text),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("media", sa.Text),
    )
    op.create_index("calls_newest", "calls", ["created_at", "sid"])
    op.create_index("calls_to", "calls", ["to_number", "created_at", "sid"])
    _partial_index("calls_children", "calls", ["parent_sid"], "parent_sid != sid")
    _partial_index("calls_unfinished", "calls", ["created_at"], "ended_at IS NULL")
    op.create_table(
        "events",
        sa.Column("call_sid", sa.Text, primary_key=True),
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "deliveries",
        _number(),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("done_at", sa.Double),
    )
    op.create_index("deliveries_of_call", "deliveries", ["call_sid"])
    _partial_index("deliveries_pending", "deliveries", ["number"], "state = 'pending'")
    op.create_table(
        "ladders",
        sa.Column("call_sid", sa.Text, primary_key=True),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("raw", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("revoked_at", sa.Double),
        sa.UniqueConstraint("digest", name="keys_once"),
    )
    op.create_table(
        "recordings",
        sa.Column("sid", sa.Text, primary_key=True),
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("duration_ms", sa.Integer),
        sa.Column("channels", sa.Integer, nullable=False),
        sa.Column("size_bytes", sa.Integer),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("recordings_of_call", "recordings", ["call_sid"])


def _partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
