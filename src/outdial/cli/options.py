"""Options that several commands share, and how lines are printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings file; else ./outdial.toml if there.")
]
Server = Annotated[str, typer.Option(help="URL of the server; else OUTDIAL_URL, else http.listen.")]
Key = Annotated[
    str, typer.Option(help="API key; else OUTDIAL_KEY, else the first in the settings.")
]
Sim = Annotated[
    bool, typer.Option("--sim", help="Simulated phones answer every number; no trunk is used.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def print_line(text: str, *, error: bool = False) -> None:
    """A line of output, at once: others may be waiting for it at the end of a pipe."""
    print(text, file=sys.stderr if error else sys.stdout, flush=True)
