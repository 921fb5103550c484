"""SECURITY.md names only tests that exist, and what it says of settings and commands is there."""

from __future__ import annotations

import ast
import re

import pytest

from docs.pages import ROOT
from outdial import config

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "our rule" not in line]


def names_in(path: str) -> set[str]:
    """The test functions of a module."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    }


@pytest.mark.parametrize(("path", "name"), sorted(set(NAMED)))
def test_a_named_test_exists(path: str, name: str) -> None:
    assert (ROOT / path).is_file(), path
    found = names_in(path)
    assert name in found if name else found


def test_every_class_of_attack_has_a_rule_and_a_test() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        attack, rule, shown = row.strip("| ").split(" | ")
        assert attack
        assert rule
        assert "`tests/" in shown, attack


def test_its_settings_exist() -> None:
    for section, key in re.findall(r"`(sip|limits|media)\.(\w+)`", PAGE):
        model = config.Settings.model_fields[section].annotation
        assert key in model.model_fields, f"{section}.{key}"  # type: ignore[union-attr]
