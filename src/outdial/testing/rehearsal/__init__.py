"""A whole Outdial inside a test: scripted phones, virtual time, and what was said and asked.

`outdial.testing.plugin` makes pytest fixtures of it; docs/reference/test-kit.md.
"""
