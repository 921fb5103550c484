"""`[[routes]]` as they may be written, and what is said of those that may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from outdial.config import Settings, load
from outdial.errors import ConfigError

TRUNKS = """
[[trunks]]
name = "a"
address = "192.0.2.1:5060"
rates = "a.csv"
[[trunks]]
name = "b"
address = "192.0.2.2:5060"
"""


def settings(tmp_path: Path, routes: str) -> Settings:
    file = tmp_path / "outdial.toml"
    file.write_text(TRUNKS + routes)
    return load(file, environment={})


def test_names_and_tables(tmp_path: Path) -> None:
    (one, other) = settings(
        tmp_path,
        """
[[routes]]
prefixes = ["+44", "353"]
trunks = ["b", "a"]
[[routes]]
prefixes = ["447"]
trunks = [{ name = "b", cost = 0.009 }, { name = "a", cost = 0 }]
""",
    ).routes
    assert one.prefixes == ["44", "353"]
    assert [(trunk.name, trunk.cost) for trunk in one.trunks] == [("b", None), ("a", None)]
    assert not one.is_by_cost
    assert other.is_by_cost


def test_there_are_none_at_first(tmp_path: Path) -> None:
    assert settings(tmp_path, "").routes == []


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        (
            'prefixes = ["44"]\ntrunks = ["c"]',
            r"'44' names 'c', which is none of the trunks \(a, b\)",
        ),
        ('prefixes = ["44"]\ntrunks = []', "routes.0.trunks"),
        ('prefixes = []\ntrunks = ["a"]', "routes.0.prefixes"),
        ('prefixes = ["4x"]\ntrunks = ["a"]', "is not a prefix"),
        ('prefixes = ["44", "44"]\ntrunks = ["a"]', "the prefix '44' is there twice in routes"),
        ('prefixes = ["44"]\ntrunks = ["a", "a"]', "'a' is there twice in trunks"),
        ('prefixes = ["44"]\ntrunks = [{ name = "a", cost = -1 }]', "routes.0.trunks.0.cost"),
        ('prefixes = ["44"]\ntrunks = [{ name = "a", price = 1 }]', "there is no such setting"),
        ('prefixes = ["44"]\ntrunks = [{ name = "a", cost = 1 }, "b"]', "'b' has none; write"),
        ('prefixes = ["44"]\ntrunks = ["b"]\norder = "cost"', "goes by cost, and 'b' has none"),
        ('prefixes = ["44"]\ntrunks = ["b"]\norder = "random"', "routes.0.order"),
        ('trunks = ["b"]', "routes.0.prefixes: is missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, route: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        settings(tmp_path, f"[[routes]]\n{route}\n")
