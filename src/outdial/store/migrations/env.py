"""Run by Alembic: migrates over the connection it was given, inside that one's transaction."""

from __future__ import annotations

from alembic import context

from outdial.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
