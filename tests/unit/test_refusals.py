"""Who is refused for a rule (403, 429) is told which rule it was."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import outdial

SOURCE = Path(outdial.__file__).parent
RULE = re.compile(
    r"\b(limits|policy|webhooks|trunks|keys|calls|sms|fax)\.[a-z_]+"  # a setting
    r"|\bsetting\b|\bscope\b|caller IDs or destinations of its own|minutes of today"
)
NO_RULES = {"TOO_MANY_STREAMS"}
"""What is a bound of the program, not a rule that somebody has set."""
TOLD_ELSEWHERE = {
    "MINUTES_USED_UP": "calls/minutes.py",
    "REFUSED_ADDRESS": "net/addresses.py",
    "KEY_DESTINATION": "calls/key_checks.py",
    "KEY_CALLER": "calls/key_checks.py",
}
"""Refusals that a function of that file puts into words."""


def refusals() -> Iterator[tuple[str, str, str]]:
    """File, name of the code, and the words of every refusal for a rule."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if not (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Name)
                    and node.func.id == "Refused"
                    and len(node.args) >= 3
                    and isinstance(node.args[0], ast.Constant)
                    and node.args[0].value in (403, 429)
                    and isinstance(node.args[1], ast.Attribute)
                ):
                    continue
                # a message may be put together before
                words = " ".join(
                    one.value
                    for part in (node.args[2], *(function.body if _is_made(node.args[2]) else ()))
                    for one in ast.walk(part)
                    if isinstance(one, ast.Constant) and isinstance(one.value, str)
                )
                yield str(path.relative_to(SOURCE)), node.args[1].attr, words


def _is_made(message: ast.expr) -> bool:
    return any(isinstance(one, ast.Name) for one in ast.walk(message))


def test_every_refusal_names_its_rule() -> None:
    found = list(refusals())
    assert len(found) >= 14
    silent = [
        (where, code)
        for where, code, words in found
        if code not in NO_RULES | set(TOLD_ELSEWHERE) and RULE.search(words) is None
    ]
    assert silent == []


def test_those_that_are_told_elsewhere_are() -> None:
    for code, name in TOLD_ELSEWHERE.items():
        assert RULE.search((SOURCE / name).read_text()), code
