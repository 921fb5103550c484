"""The pure parts import nothing that waits, reads a clock, opens a socket or rolls dice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src/outdial"
IMPURE = {"asyncio", "socket", "time", "random", "select", "threading", "subprocess", "selectors"}
PURE = [
    *sorted(SRC.glob("sip/core/*.py")),
    *sorted(SRC.glob("sdp/*.py")),
    *sorted(SRC.glob("media/core/*.py")),
    *sorted(SRC.glob("didml/*.py")),
    *sorted(SRC.glob("didml/verbs/*.py")),
    *(SRC / f"webhooks/{name}.py" for name in ("payloads", "schedule", "sign", "turns")),
    *(
        SRC / f"calls/{name}.py"
        for name in (
            "states",
            "endings",
            "routes",
            "rates",
            "admission",
            "quota",
            "channels",
            "standing",
            "sip_hosts",
            "allowance",
            "policy",
            "frequency",
            "key_checks",
        )
    ),
    *(SRC / f"calls/{name}.py" for name in ("commands", "capture", "drawing", "figures", "steps")),
    *(SRC / f"tls/{name}.py" for name in ("certificate", "names", "trouble", "layer")),
    SRC / "trunk_check/diagnoses.py",
    SRC / "api/following.py",
    SRC / "net/overrides.py",
    SRC / "net/form.py",
    SRC / "store/pace.py",
    SRC / "template.py",
    *(SRC / f"fax/{name}.py" for name in ("document", "intake")),
    SRC / "messages.py",
    SRC / "histogram.py",
    SRC / "trunk_state.py",
    SRC / "key_rules.py",
]
NOT_PURE = {SRC / "didml/interpreter.py"}


def imported(path: Path) -> Iterator[str]:
    """Every module that the file imports, wherever the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "path", [path for path in PURE if path not in NOT_PURE], ids=lambda p: str(p.relative_to(SRC))
)
def test_a_pure_part_imports_nothing_impure(path: Path) -> None:
    assert not {name for name in imported(path) if name.split(".")[0] in IMPURE}


RANKS = {
    # a part sees only parts of a lower rank
    "frozen": -1, "word": -1,
    "errors": 0, "clock": 0, "ids": 0, "log": 0, "legs": 0, "messages": 1, "template": 1,
    "histogram": 0, "trunk_state": 1, "file_watch": 1, "private_file": 0,
    "key_rules": 1, "stored_file": 1, "recording_keys": 3,
    "config": 2, "tls": 2, "sdp": 3, "net": 3, "store": 3,
    "keys": 4, "sip": 4, "media": 4, "speech": 4, "didml": 4, "webhooks": 4,
    "key_keeper": 5,
    "fax": 5, "nodes": 6, "testing": 6, "calls": 6, "gauges": 6, "api": 7, "console": 7, "sim": 8,
    "preflight": 8, "trunk_check": 8,
    "traces": 7, "observers": 8, "app": 9, "demo": 10, "rehearsal": 10, "cli": 11,
}  # fmt: skip
REHEARSAL = ("testing.rehearsal", "testing.plugin")
"""The part of the test kit that is a whole server: nothing but tests stands on it."""


def part_of(dotted: str) -> str:
    """Which part a module below outdial belongs to."""
    return "rehearsal" if dotted.startswith(REHEARSAL) else dotted.split(".")[0]


@pytest.mark.parametrize("path", sorted(SRC.rglob("*.py")), ids=lambda p: str(p.relative_to(SRC)))
def test_no_import_runs_back_up(path: Path) -> None:
    part = part_of(".".join(path.relative_to(SRC).with_suffix("").parts))
    if part in ("__init__", "__main__"):
        return
    for name in imported(path):
        if name.startswith("outdial."):
            other = part_of(name.removeprefix("outdial."))
            if other in RANKS and other != part:
                assert RANKS[other] < RANKS[part], f"{part} imports {name}"


def test_api_and_console_know_neither_sip_nor_media() -> None:
    for folder in ("api", "console"):
        for path in (SRC / folder).rglob("*.py"):
            names = set(imported(path))
            assert not {n for n in names if n.startswith(("outdial.sip", "outdial.media"))}, path
