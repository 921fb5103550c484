"""What `make fuzz` guides, unguided: its seeds, everything that it ever found, and what hypothesis
makes of those."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.guided import FINDS
from fuzz.seeds import SEEDS
from fuzz.targets import TARGETS

KEPT = [(path.parent.name, path) for path in sorted(FINDS.glob("*/*"))]
SLOW = ("sound",)
NASTY = st.sampled_from(
    (
        b"",
        b"\0",
        b"\xff",
        b"\r\n",
        b'"',
        b"\\",
        b"<",
        b";",
        b",",
        b"=",
        b"%",
        b"&#0;",
        b"]]>",
        b"9" * 25,
    )
)


def test_every_target_has_seeds() -> None:
    assert set(SEEDS) == set(TARGETS)
    assert {name for name, _ in KEPT} <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_break_nothing(name: str) -> None:
    seeds = SEEDS[name]()
    assert len(seeds) > 2
    for data in (b"", *seeds):
        TARGETS[name](data)


@pytest.mark.parametrize(("name", "path"), KEPT, ids=lambda value: getattr(value, "name", value))
def test_what_was_found_once_is_never_found_again(name: str, path: Path) -> None:
    TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_neither_do_altered_seeds(name: str) -> None:
    seeds = SEEDS[name]()

    @settings(max_examples=40 if name in SLOW else 150, deadline=None, database=None)
    @given(st.data())
    def check(given: st.DataObject) -> None:
        data = given.draw(st.sampled_from(seeds) | st.binary(max_size=200))
        for _ in range(given.draw(st.integers(0, 4))):
            start = given.draw(st.integers(0, len(data)))
            end = given.draw(st.integers(start, min(len(data), start + 20)))
            put = given.draw(NASTY | st.binary(max_size=4) | st.just(data[start : start + 40] * 2))
            data = data[:start] + put + data[end:]
        TARGETS[name](data)

    check()
