"""The command line. `main` is the program `outdial`."""

from __future__ import annotations

from outdial.cli.program import main

__all__ = ["main"]
