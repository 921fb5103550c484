"""Commands, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner

from outdial.cli.program import app


def run(*words: str) -> list[str]:
    """The lines that the command prints; it must succeed."""
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output.splitlines()
