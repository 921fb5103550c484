"""The state diagrams are those of the tables."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_diagrams_were_drawn_from_todays_tables() -> None:
    spec = importlib.util.spec_from_file_location(
        "state_diagrams", ROOT / "tools/state_diagrams.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    drawn = (ROOT / "docs/design/states.md").read_text()
    assert drawn == module.page(), "run: python tools/state_diagrams.py"
