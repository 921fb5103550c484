"""A statement compiled to the SQL text of a database's dialect: a `Read`, or a `Write` of rows.

Which statements there are is the business of `queries`, and of the parts of the store with queries
of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Dialect, Table, bindparam, insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

Bound = tuple[str, tuple[Any, ...]]
"""SQL text and its parameters in order."""

SQLITE: Dialect = sqlite.dialect(paramstyle="qmark")
POSTGRESQL: Dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

_MOST_ROWS = 32
"""Rows in the largest INSERT."""


class Read:
    """A compiled query."""

    __slots__ = ("_fixed", "_names", "sql")

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        self.sql, self._names, self._fixed = _compile(statement, dialect)

    def bind(self, **values: Any) -> Bound:
        """The text with these values for its parameters."""
        known = {**self._fixed, **values}
        return self.sql, tuple(known[name] for name in self._names)


class Write:
    """A compiled INSERT or UPDATE of one row, and of several rows where that is one statement.

    `rank` is its place within a transaction: rows are made before they are changed. A `guarded`
    one must change exactly one row, or else its operation is not written.
    """

    __slots__ = ("guarded", "key_at", "name", "rank", "several", "sql")

    def __init__(self, name: str, rank: int, sql: str, several: Mapping[int, str]) -> None:
        self.guarded = False
        self.key_at = 0
        """Where in the row of an UPDATE the key stands."""
        self.name = name
        self.rank = rank
        self.sql = sql
        self.several = several
        """SQL text for so many rows at once, largest first; {} when each row is a statement."""

    def __repr__(self) -> str:
        return f"<Write {self.name}>"


def insert_rows(
    name: str, rank: int, table: Table, columns: Sequence[str], dialect: Dialect
) -> Write:
    """An INSERT of one row, and those of several that `chunks` asks for."""
    several = {}
    count = _MOST_ROWS
    while count:
        places: list[dict[str, Any]] = [
            {c: bindparam(f"{c}_{i}") for c in columns} for i in range(count)
        ]
        several[count] = _positional(
            insert(table).values(places),
            dialect,
            [f"{column}_{i}" for i in range(count) for column in columns],
        )
        count //= 2
    return Write(name, rank, several[1], several)


def update_row(
    name: str,
    rank: int,
    table: Table,
    keys: Sequence[str],
    columns: Sequence[str],
    dialect: Dialect,
) -> Write:
    """An UPDATE of the row with these keys; the parameters are the new values, then the keys."""
    # ordered_values keeps SET in the order of the parameters
    statement = (
        update(table)
        .ordered_values(*((table.c[c], bindparam(f"new_{c}")) for c in columns))
        .where(*(table.c[key] == bindparam(f"old_{key}") for key in keys))
    )
    expected = [*(f"new_{c}" for c in columns), *(f"old_{key}" for key in keys)]
    write = Write(name, rank, _positional(statement, dialect, expected), {})
    write.key_at = len(columns)
    return write


def upsert_row(
    name: str, rank: int, table: Table, columns: Sequence[str], dialect: Dialect
) -> Write:
    """An INSERT, or an UPDATE where there is a row with the first column's value already."""
    make = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    key, *others = columns
    statement = make(table).values({c: bindparam(f"new_{c}") for c in columns})
    statement = statement.on_conflict_do_update(
        index_elements=[table.c[key]], set_={c: statement.excluded[c] for c in others}
    )
    sql = _positional(statement, dialect, [f"new_{c}" for c in columns])
    return Write(name, rank, sql, {})


def single(
    name: str, rank: int, statement: ClauseElement, dialect: Dialect, parameters: list[str]
) -> Write:
    """A statement that takes one row at a time, whose parameters come in that order."""
    return Write(name, rank, _positional(statement, dialect, parameters), {})


def chunks(count: int) -> Iterator[int]:
    """`count` as a sum of the row counts there is an INSERT for, largest first."""
    size = _MOST_ROWS
    while count:
        while size > count:
            size //= 2
        yield size
        count -= size


def _compile(
    statement: ClauseElement, dialect: Dialect
) -> tuple[str, list[str], Mapping[str, Any]]:
    compiled = statement.compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler):
        raise TypeError("not a statement with parameters")
    return str(compiled), list(compiled.positiontup or ()), compiled.params


def _positional(statement: ClauseElement, dialect: Dialect, expected: list[str]) -> str:
    """The SQL text, whose parameters come in exactly this order."""
    sql, names, _ = _compile(statement, dialect)
    if names != expected:
        raise ValueError(f"parameters in the order {names}, not {expected}")
    return sql
