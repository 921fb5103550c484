"""Numbers that the API manages, and what each recording is of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From revision 0002."""
    op.create_table(
        "numbers",
        sa.Column("number", sa.Text, primary_key=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("fallback_url", sa.Text, nullable=False),
        sa.Column("status_callback", sa.Text, nullable=False),
        sa.Column("status_callback_events", sa.Text, nullable=False),
        sa.Column("record", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
    )
    op.add_column("recordings", sa.Column("kind", sa.Text, nullable=False, server_default="call"))
    # those of conferences had one channel too, and cannot be told from messages any more
    op.execute("UPDATE recordings SET kind = 'message' WHERE channels = 1")
