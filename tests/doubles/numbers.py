"""The store's numbers in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from outdial.errors import StoreConflict, StoreUnavailable
from outdial.store.records import NumberRecord


@dataclass
class StoredNumbers:
    """Fulfils `calls.called_numbers.StoredNumbers`."""

    kept: dict[str, NumberRecord] = field(default_factory=dict)
    away: bool = False

    async def number(self, number: str) -> NumberRecord | None:
        self._reached()
        return self.kept.get(number)

    async def behind(self, after: str, most: int) -> list[NumberRecord]:
        self._reached()
        return [self.kept[number] for number in sorted(self.kept) if number > after][:most]

    async def add(self, number: NumberRecord) -> None:
        self._reached()
        if number.number in self.kept:
            raise StoreConflict("there is such a number")
        self.kept[number.number] = number

    async def change(self, number: NumberRecord) -> None:
        self._reached()
        if number.number in self.kept:
            self.kept[number.number] = number

    async def remove(self, number: str) -> None:
        self._reached()
        self.kept.pop(number, None)

    def _reached(self) -> None:
        if self.away:
            raise StoreUnavailable("it is away")
