"""Price lists of carriers."""

from __future__ import annotations

from pathlib import Path

import pytest

from outdial.calls.rates import rates_in, read_rates
from outdial.config import Trunk
from outdial.errors import ConfigError
from outdial.file_watch import FileWatch


def test_the_longest_prefix_decides() -> None:
    rates = rates_in("44,0.01\n447,0.03\n1,0.002\n")
    assert [rates.of(number) for number in ("442079460000", "447700900123", "12125550100")] == [
        0.01, 0.03, 0.002,
    ]  # fmt: skip
    assert rates.of("33142685300") is None
    assert rates.of("4") is None
    assert len(rates) == 3


@pytest.mark.parametrize(
    "text",
    [
        "prefix,price,country\n44,0.01,United Kingdom\n",
        "Destination;Rate\n44;0.01;UK\n",
        "44\t0.01\n",
        "+44 , 0.01\n",
        '"44","0.01","UK, all"\n',
        "\n# of May\n44,0.01  # all of it\n\n",
        "44,1e-2\n44,0.01\n",
    ],
)
def test_lists_as_carriers_write_them(text: str) -> None:
    assert rates_in(text).of("442079460000") == 0.01


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("44,0.01\nUK,0.02\n", "line 2: 'UK' is not a prefix"),
        ("44,0.01\n\n45\n", "line 3 has no price"),
        ("44,cheap\n", "line 1 has no price"),
        ("44,-1\n", "line 1 has no price"),
        ("44,nan\n", "line 1 has no price"),
        ("44,inf\n", "line 1 has no price"),
        ("44;0,012\n", "line 1 has no price"),
        ("44,0.01\n44,0.02\n", "line 2: 44 has had another price"),
        ("1234567890123456,0.01\n1,2\n", "line 1: '1234567890123456' is not a prefix"),
        ("44,1\n٤٤,0.01\n", "line 2"),
    ],
)
def test_what_is_no_list(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        rates_in(text)


def test_of_nothing_there_are_no_prices() -> None:
    assert rates_in("").of("1") is None
    assert rates_in("prefix,price\n").of("1") is None


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("\ufeff44,0.01\n")
    trunks = [
        Trunk(name="a", address="192.0.2.1", rates=str(file)),
        Trunk(name="b", address="192.0.2.2"),
    ]
    found = read_rates(trunks)
    assert set(found) == {"a"}
    assert found["a"].of("442") == 0.01
    file.write_text("44,much\n")
    with pytest.raises(ConfigError, match=r"trunks\.rates: .*a\.csv: line 1 has no price"):
        read_rates(trunks)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"trunks\.rates"):
        read_rates(trunks)
    file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        read_rates(trunks)


async def test_a_list_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("44,0.01\n")
    watch = FileWatch()
    rates = read_rates([Trunk(name="a", address="192.0.2.1", rates=str(file))], watch)["a"]
    assert rates.of("447700900123") == 0.01
    file.write_text("447,0.03\n1,0.002\n")
    await watch.look()
    assert rates.of("447700900123") == 0.01, "it may not be whole yet"
    await watch.look()
    assert [rates.of(number) for number in ("447700900123", "442079460000")] == [0.03, None]
    file.write_text("447,much\n")
    for _ in range(2):
        await watch.look()
    assert rates.of("447700900123") == 0.03, "what was read last holds"
