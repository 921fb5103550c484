"""Short messages that calls send."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From revision 0003."""
    op.create_table(
        "messages",
        sa.Column("sid", sa.Text, primary_key=True),
        sa.Column("call_sid", sa.Text, nullable=False),
        sa.Column("from_number", sa.Text, nullable=False),
        sa.Column("to_number", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("ended_at", sa.Double),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("status_callback", sa.Text, nullable=False),
        sa.Column("status_callback_method", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("messages_of_call", "messages", ["call_sid"])
    where = sa.text("ended_at IS NULL")
    op.create_index(
        "messages_unfinished",
        "messages",
        ["created_at"],
        sqlite_where=where,
        postgresql_where=where,
    )
