"""Alembic migrations. `outdial.store.sqlite.migrate` runs them on the connection it has open."""
