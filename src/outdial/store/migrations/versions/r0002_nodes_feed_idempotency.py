"""What recovery, several nodes, the feed of events and repeated posts need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None


def _number() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column("number", kind, primary_key=True, autoincrement=True)


def upgrade() -> None:
    """From revision 0001."""
    op.add_column("calls", sa.Column("node", sa.Text, nullable=False, server_default=""))
    op.add_column("calls", sa.Column("dialog", sa.Text))
    op.add_column("deliveries", sa.Column("event_id", sa.Text, nullable=False, server_default=""))
    op.add_column("deliveries", sa.Column("node", sa.Text, nullable=False, server_default=""))
    op.add_column("deliveries", sa.Column("tries", sa.Text, nullable=False, server_default="[]"))
    # 2 us a call: with few caller IDs and outcomes, what is new comes to a few ends of them
    op.create_index("calls_from", "calls", ["from_number", "created_at", "sid"])
    where = sa.text("outcome IS NOT NULL")
    columns = ["outcome", "created_at", "sid"]
    op.create_index("calls_outcome", "calls", columns, sqlite_where=where, postgresql_where=where)
    where = sa.text("state = 'dead'")
    op.create_index(
        "deliveries_dead", "deliveries", ["number"], sqlite_where=where, postgresql_where=where
    )
    op.create_table(
        "feed",
        _number(),
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
    )
    if op.get_context().dialect.name == "postgresql":
        # what has a larger number may be visible sooner there: see `queries._feed`
        op.execute("ALTER TABLE feed ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id()")
        op.execute("CREATE INDEX feed_order ON feed (xid, number)")
    op.create_table(
        "idempotency",
        sa.Column("key_name", sa.Text, primary_key=True),
        sa.Column("token", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    op.create_index("idempotency_age", "idempotency", ["created_at"])
    op.create_index("recordings_age", "recordings", ["created_at"])
    op.create_table(
        "nodes",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.Column("taken_by", sa.Text, nullable=False),
    )
    op.create_table(
        "commands",
        _number(),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
    )
    # the history of before is in the feed too, in the order of its times
    op.execute(
        "INSERT INTO feed (call_sid, seq) SELECT call_sid, seq FROM events "
        "WHERE kind LIKE 'state.%' ORDER BY at, call_sid, seq"
    )
