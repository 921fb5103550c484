"""Run by Alembic: over the connection it was given and inside that one's transaction, or, given a
dialect instead, as SQL text."""

from __future__ import annotations

from alembic import context

from outdial.store.tables import metadata

given = context.config.attributes
if "connection" in given:
    context.configure(
        connection=given["connection"], target_metadata=metadata, transactional_ddl=True
    )
else:
    context.configure(
        dialect_name=given["dialect"],
        target_metadata=metadata,
        transactional_ddl=True,
        literal_binds=True,
    )
context.run_migrations()
