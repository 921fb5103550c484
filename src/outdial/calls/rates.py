"""What calls cost on a trunk, by prefix: the price lists of carriers. `rates_in` is pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from outdial.config import Trunk
from outdial.errors import ConfigError
from outdial.file_watch import FileWatch

_MAX_LINES = 1_000_000
_MAX_DIGITS = 15


class Rates:
    """One trunk's."""

    def __init__(self, by_prefix: Mapping[str, float] = MappingProxyType({})) -> None:
        self._by_prefix = dict(by_prefix)
        self._longest = max(map(len, self._by_prefix), default=0)

    def become(self, other: Rates) -> None:
        """Its prices are those of the other from now on: the carrier has sent another list."""
        self._by_prefix, self._longest = other._by_prefix, other._longest

    def of(self, number: str) -> float | None:
        """What a minute to the number costs, by its longest prefix in the list; None: the carrier
        does not go there."""
        for length in range(min(self._longest, len(number)), -1, -1):
            cost = self._by_prefix.get(number[:length])
            if cost is not None:
                return cost
        return None

    def __len__(self) -> int:
        return len(self._by_prefix)


def rates_in(text: str) -> Rates:
    """Of a list: prefix and price in each line, with a comma, semicolon or tab between; more
    columns are passed over, and so is a first line of headings. ``#`` begins a remark.

    Raises ValueError that names the line: a price that is misread costs money.
    """
    found: dict[str, float] = {}
    for place, line in enumerate(text.splitlines(), 1):
        if place > _MAX_LINES:
            raise ValueError(f"there are more than {_MAX_LINES} lines")
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        cells = [cell.strip().strip('"') for cell in _split(bare)]
        prefix = cells[0].removeprefix("+")
        if not found and place == 1 and not prefix.isdecimal():
            continue
        if not (prefix.isascii() and prefix.isdecimal() and len(prefix) <= _MAX_DIGITS):
            raise ValueError(f"line {place}: {cells[0][:20]!r} is not a prefix; digits are")
        cost = _price(cells[1] if len(cells) > 1 else "")
        if cost is None:
            raise ValueError(f"line {place} has no price; write e.g. {prefix},0.012")
        if found.setdefault(prefix, cost) != cost:
            raise ValueError(f"line {place}: {prefix} has had another price before")
    return Rates(found)


def read_rates(trunks: Iterable[Trunk], watch: FileWatch | None = None) -> dict[str, Rates]:
    """Those of the trunks that have a file of them, by name; with a `watch` they change with the
    file. Raises ConfigError."""
    found = {}
    for trunk in trunks:
        if trunk.rates:
            path = Path(trunk.rates)
            rates = found[trunk.name] = Rates()
            if watch is None:
                rates.become(read_file(path))
            else:
                watch.add(path, partial(read_file, path), rates.become)
    return found


def read_file(path: Path) -> Rates:
    """Those in a file. Raises ConfigError."""
    try:
        return rates_in(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise ConfigError("trunks.rates", f"{path}: {problem}") from None


def _split(line: str) -> list[str]:
    for separator in (";", "\t", ","):
        if separator in line:
            return line.split(separator)
    return [line]


def _price(text: str) -> float | None:
    try:
        price = float(text)
    except ValueError:
        return None
    return price if math.isfinite(price) and price >= 0 else None
