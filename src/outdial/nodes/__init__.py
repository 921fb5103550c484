"""Several servers on one database: see docs/design/nodes.md."""
