"""The one writer: puts everything waiting into one transaction, again and again.

A transaction costs as much CPU as thirty rows, so few transactions are wanted. Operations gather
while the one before waits for the disk; whoever is in no hurry says so and is taken along by the
next one; and transactions follow each other at a `Pace`, so that a lone call never waits and many
calls share.

What goes wrong with one operation harms only that one. While a transaction gets no answer at all,
nobody else is kept waiting for it: see `_STUCK_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

from outdial import log
from outdial.errors import StoreUnavailable
from outdial.store.groups import Operation, Rows, Transactions
from outdial.store.pace import Pace
from outdial.store.rows import Row
from outdial.store.statement import Write

_MOST_AT_ONCE = 512
"""Operations in one transaction: bounds how long the first of them waits for the last."""
_RETRY_S = 1.0
_STUCK_S = 2.5
"""A transaction that takes longer is stuck: whoever waits behind it is told that the store is away,
and so is whoever comes until it has ended."""
_CLOSE_S = 5.0
"""How long what is waiting may take when the store is closed."""
_NO_ANSWER = "the database does not answer"

_log = log.get("store")


class Writer:
    """Decides what is written when. All methods are called on the event loop's thread.

    At most `most_waiting` operations may be under way; `rate` is that of the `Pace`.
    """

    def __init__(
        self,
        transactions: Transactions,
        *,
        rate: float = 50.0,
        most_waiting: int = 20_000,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transactions = transactions
        self._pace = Pace(rate, self._loop.time())
        self._most_waiting = most_waiting
        self._waiting: list[Operation] = []
        self._group: list[Operation] = []  # what is being written
        self._is_writing = False
        self._due = math.inf  # when `_waiting` is to be written, on the loop's clock
        self._timer: asyncio.Handle | None = None
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._stuck = False
        self._closed = False
        self.lost = 0
        """Operations nobody waited for that could not be written."""
        transactions.start(self._settle)

    @property
    def transactions(self) -> int:
        """Transactions so far."""
        return self._transactions.written

    @property
    def waiting(self) -> int:
        """Operations that wait or are being written."""
        return len(self._waiting) + len(self._group)

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is under way."""
        return self._is_writing

    def submit(self, rows: Rows, within_s: float = 0.0) -> asyncio.Future[None]:
        """Writes the rows together; the future is done when they are on the disk.

        Writing begins after `within_s` at the latest. The future raises StoreUnavailable when it
        failed, StoreConflict when a row is there already or is not as a guarded write expects.
        Raises StoreUnavailable at once when too many operations are waiting.
        """
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if self._stuck:
            raise StoreUnavailable(_NO_ANSWER)
        if self._full():
            raise StoreUnavailable(f"{self._most_waiting} writes are waiting for the disk already")
        return self._append(rows, within_s)

    def add(self, write: Write, row: Row, within_s: float) -> None:
        """As `submit`, for a row nobody waits for. It is tried again when the disk is in trouble.

        What cannot be written is logged and counted in `lost`.
        """
        operation = Operation([(write, row)], None)
        if self._closed or self._full():
            self._lose(operation, "the store is closed" if self._closed else "too much is waiting")
            return
        self._waiting.append(operation)
        self._plan(within_s)

    async def close(self) -> None:
        """Writes what is waiting and closes the connection. Idempotent."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(StoreUnavailable, TimeoutError):  # logged where it was lost
                async with asyncio.timeout(_CLOSE_S):
                    await self._append([], 0.0)
        await self._transactions.close()

    def _full(self) -> bool:
        return len(self._waiting) + len(self._group) >= self._most_waiting

    def _append(self, rows: Rows, within_s: float) -> asyncio.Future[None]:
        future = self._loop.create_future()
        self._waiting.append(Operation(rows, future))
        self._plan(within_s)
        return future

    def _plan(self, within_s: float) -> None:
        """Sees to it that `_waiting` is handed over in time, or else as soon as the rate allows.

        At the earliest at the end of this turn of the loop, so that its operations stay together.
        """
        now = self._loop.time()
        due = now + within_s
        if due >= self._due:
            return
        self._due = due
        if self._is_writing:
            return  # planned again when that is written
        if self._timer is not None:
            self._timer.cancel()
        delay = max(within_s, self._pace.wait_s(now))
        if delay > 0.0:
            self._timer = self._loop.call_later(delay, self._hand_over)
        else:
            self._timer = self._loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        now = self._loop.time()
        self._timer = None
        self._is_writing = True
        self._group = self._waiting[:_MOST_AT_ONCE]
        self._waiting = self._waiting[_MOST_AT_ONCE:]
        self._pace.spend(len(self._group), now)
        self._due = now if self._waiting else math.inf
        self._stuck_timer = self._loop.call_later(_STUCK_S, self._get_stuck)
        self._transactions.write(self._group)

    def _get_stuck(self) -> None:
        """Nobody waits behind a transaction that does not end; what nobody waits for is kept."""
        self._stuck = True
        _log.warning("store.no_answer", waiting=self.waiting)
        told = [operation for operation in self._waiting if operation.future is not None]
        self._waiting = [operation for operation in self._waiting if operation.future is None]
        for operation in told:
            operation.error = StoreUnavailable(_NO_ANSWER)
            operation.tell()

    def _settle(self) -> None:
        """A group has its outcome: tells who waits, and keeps for later what nobody waits for."""
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
        if self._stuck:
            self._stuck = False
            _log.warning("store.answers_again")
        self._is_writing = False
        group, self._group = self._group, []
        due, self._due = self._due, math.inf
        if due < math.inf:
            self._plan(max(0.0, due - self._loop.time()))
        for operation in group:
            if operation.tell():
                continue
            if self._closed or self._full() or not isinstance(operation.error, StoreUnavailable):
                self._lose(operation, str(operation.error))
            else:
                operation.error = None
                self._waiting.append(operation)
                self._plan(_RETRY_S)

    def _lose(self, operation: Operation, reason: str) -> None:
        self.lost += 1
        names = [write.name for write, _ in operation.rows]
        _log.error("not written", statements=names, reason=reason, lost=self.lost)
