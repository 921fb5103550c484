"""What API keys may do, how long they are good, and when they were last used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """From revision 0005: keys that are there may do all that they could."""
    for name in ("scopes", "callers", "destinations"):
        op.add_column("keys", sa.Column(name, sa.Text))
    for name, kind in (
        ("calls_per_second", sa.Double),
        ("concurrent_calls", sa.Integer),
        ("minutes_per_day", sa.Double),
    ):
        op.add_column("keys", sa.Column(name, kind, nullable=False, server_default="0"))
    op.add_column("keys", sa.Column("expires_at", sa.Double))
    op.add_column("keys", sa.Column("last_used_at", sa.Double))
