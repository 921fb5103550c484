"""The reference pages have every code, parameter, path and command that there is."""

from __future__ import annotations

from pathlib import Path

import typer.main

from contract.conftest import Door
from outdial.api.v2 import SPELLING
from outdial.calls import codes
from outdial.calls.checks import FIELDS
from outdial.cli.program import app

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_every_code_is_explained() -> None:
    text = page("errors.md")
    known = [value for name, value in vars(codes).items() if name.isupper()]
    assert len(known) == len(set(known)) > 20
    assert [code for code in known if f"| {code} |" not in text] == []


def test_every_parameter_is_there() -> None:
    text = page("api.md")
    assert [name for name in SPELLING.values() if f"| `{name}` |" not in text] == []
    assert [name for name in FIELDS if f"`{name}`" not in text] == []


async def test_every_path_is_there(door: Door) -> None:
    text = page("api.md")
    _, document = await door.get("/openapi.json")
    assert [path for path in document["paths"] if path not in text] == []


def test_every_command_is_there() -> None:
    text = page("cli.md")
    group = typer.main.get_command(app)
    commands = [
        f"outdial {name} {below}".rstrip()
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        for below in getattr(command, "commands", {"": None})
    ]
    assert len(commands) > 8
    assert [command for command in commands if f"`{command}" not in text] == []
