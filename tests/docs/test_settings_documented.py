"""The settings reference has every setting, with its default."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import SecretStr

from outdial import config

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "reference" / "settings.md"


def _generator() -> ModuleType:
    path = ROOT / "tools" / "settings_reference.py"
    spec = importlib.util.spec_from_file_location("settings_reference", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_program_says() -> None:
    made = _generator().page()
    assert PAGE.read_text() == made, "run: python tools/settings_reference.py"


def test_every_setting_stands_in_its_section_with_its_default() -> None:
    sections = PAGE.read_text().split("\n## ")
    for name in config.Settings.model_fields:
        (section,) = (s for s in sections if s.startswith((f"`[{name}]`", f"`[[{name}]]`")))
        annotation: Any = config.Settings.model_fields[name].annotation
        model = getattr(annotation, "__args__", (annotation,))[0]
        for key, field in model.model_fields.items():
            (row,) = (
                r for r in section.splitlines() if r.startswith(f"| `{field.alias or key}` |")
            )
            default = field.default
            if isinstance(default, SecretStr):
                default = default.get_secret_value()
            if field.is_required():
                assert "| required |" in row
            elif default is not None:
                assert f"| `{json.dumps(default)}` |" in row
            assert not row.endswith("|  |"), f"{name}.{key} says nothing"
