"""What is written together: operations, the group that a transaction writes, and its order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from outdial.errors import StoreConflict, StoreUnavailable
from outdial.store.queries import CHANGES_CALL
from outdial.store.rows import Row
from outdial.store.statement import Write

Rows = list[tuple[Write, Row]]

CHANGED = "the call is no longer as it was thought to be"
"""Why a guarded write is refused."""


class Operation:
    """Rows that are written together or not at all, and who waits for them (None: nobody)."""

    __slots__ = ("error", "future", "rows")

    def __init__(self, rows: Rows, future: asyncio.Future[None] | None) -> None:
        self.rows = rows
        self.future = future
        self.error: Exception | None = None

    def tell(self) -> bool:
        """Resolves the future; False when it failed and there is nobody to be told."""
        future, error = self.future, self.error
        if future is None:
            return error is None
        if not future.done():  # it may have been cancelled
            if error is None:
                future.set_result(None)
            elif isinstance(error, StoreConflict):
                future.set_exception(error)
            else:
                future.set_exception(StoreUnavailable(f"the record cannot be written: {error}"))
        return True


class Transactions(Protocol):
    """Writes groups, each in one transaction: the part of the writer that knows its database.

    One group at a time. Of a group that fails, each operation fails or succeeds by itself. Its
    `error` is then StoreConflict (the record does not allow it), StoreUnavailable (it may work
    later), or anything else (it never will).
    """

    written: int
    """Transactions so far."""

    def start(self, settled: Callable[[], None]) -> None:
        """`settled` is called on the event loop when the operations of a group have an outcome."""

    def write(self, group: list[Operation]) -> None:
        """Begins with it; does not wait."""

    async def close(self) -> None:
        """Closes the connection once the last group is written."""


def by_statement(group: list[Operation]) -> list[tuple[Write, list[Row]]]:
    """Rows of the same statement together, rows made before rows changed.

    Changes of calls stay in the order they were asked for: two statements may change one call.
    """
    made: dict[Write, list[Row]] = {}
    changes: list[tuple[Write, list[Row]]] = []
    for operation in group:
        for write, row in operation.rows:
            if write.rank == CHANGES_CALL:
                changes.append((write, [row]))
            elif write in made:
                made[write].append(row)
            else:
                made[write] = [row]
    ordered = [*made.items(), *changes]
    if len(ordered) > 1:
        ordered.sort(key=_rank)
    return ordered


def _rank(item: tuple[Write, list[Row]]) -> int:
    return item[0].rank
