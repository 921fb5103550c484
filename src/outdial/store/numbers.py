"""Numbers of ours that the API manages: found when a call comes, listed and changed."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from sqlalchemy import BindParameter, Dialect, bindparam, delete, insert, select, update

from outdial.store import tables
from outdial.store.backends import Backend
from outdial.store.records import NumberRecord
from outdial.store.rows import Row, encode_json
from outdial.store.statement import Read, single

_COLUMNS = tables.numbers.columns.keys()
_FIRST_RANK = 50
"""In a transaction behind calls and what is theirs: the two have nothing to do with each other."""


class Numbers:
    """The part of the store that has them. Everything may raise StoreUnavailable.

    Writes are durable on return. Numbers are changed one at a time: two writes of one process must
    not share a transaction, in which inserts come before updates whatever was asked for first.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @cached_property
    def _statements(self) -> _Statements:
        return _Statements(self._backend.dialect)

    async def number(self, number: str) -> NumberRecord | None:
        """The number, None when it is not one of these."""
        bound = self._statements.one.bind(number=number)
        found = await self._backend.readers.fetch(bound, _record)
        return found[0] if found else None

    async def behind(self, after: str, most: int) -> list[NumberRecord]:
        """Those that come behind that text in the order of numbers, which is that of texts."""
        bound = self._statements.behind.bind(after=after, most=most)
        return await self._backend.readers.fetch(bound, _record)

    async def add(self, number: NumberRecord) -> None:
        """Raises StoreConflict when it is there already."""
        await self._backend.writer.submit([(self._statements.insert, _row(number))])

    async def change(self, number: NumberRecord) -> None:
        """All but the number itself; nothing happens when it is not there."""
        key, *values = _row(number)
        await self._backend.writer.submit([(self._statements.update, (*values, key))])

    async def remove(self, number: str) -> None:
        """Nothing happens when it is not there."""
        await self._backend.writer.submit([(self._statements.delete, (number,))])


class _Statements:
    """Compiled for a dialect."""

    def __init__(self, dialect: Dialect) -> None:
        table = tables.numbers
        key, *others = _COLUMNS
        every = select(*(table.c[name] for name in _COLUMNS))
        self.one = Read(every.where(table.c.number == bindparam("number")), dialect)
        behind = every.where(table.c.number > bindparam("after")).order_by(table.c.number)
        self.behind = Read(behind.limit(bindparam("most")), dialect)
        values: dict[str, BindParameter[Any]] = {n: bindparam(f"new_{n}") for n in _COLUMNS}
        self.insert = single(
            "insert_number", _FIRST_RANK, insert(table).values(values), dialect, _new(_COLUMNS)
        )
        changed = (
            update(table)
            .ordered_values(*((table.c[name], values[name]) for name in others))
            .where(table.c[key] == bindparam("old"))
        )
        self.update = single(
            "update_number", _FIRST_RANK + 1, changed, dialect, [*_new(others), "old"]
        )
        removed = delete(table).where(table.c.number == bindparam("old"))
        self.delete = single("delete_number", _FIRST_RANK + 2, removed, dialect, ["old"])


def _new(names: list[str]) -> list[str]:
    return [f"new_{name}" for name in names]


def _row(number: NumberRecord) -> Row:
    return (
        number.number,
        number.url,
        number.method,
        number.fallback_url,
        number.status_callback,
        encode_json(number.status_callback_events),
        int(number.record),
        number.created_at,
        number.updated_at,
    )


def _record(row: Row) -> NumberRecord:
    values = list(row)
    values[5:7] = tuple(json.loads(values[5])), bool(values[6])
    return NumberRecord(*values)
