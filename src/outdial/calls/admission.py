"""Which of the waiting calls may be dialled now. Pure.

Calls wait in one line for each API key and route. Keys take turns, so that one key's thousand calls
do not hold up another's one; within a key the oldest goes first, unless its trunks have no room and
a younger one's have. A call starts when all three have room: the server, its key, and a trunk of
its route, of which it takes the first that has.

Nothing here looks at every waiting call: a decision costs as much as there are keys that wait and
routes that they wait for.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from outdial.calls.channels import Channels
from outdial.calls.quota import Quota
from outdial.calls.standing import Standing, Standings

T = TypeVar("T")

_GARBAGE = 64


@dataclass(slots=True)
class Ticket(Generic[T]):
    """A call that waits."""

    sid: str
    key: str
    """Name of its API key."""
    trunks: tuple[str, ...]
    """Its route: the names of the trunks that may take it, best first; () asks for none."""
    item: T
    until: float = math.inf
    """When it will have waited too long, in monotonic seconds."""
    number: int = 0
    """Its place among all tickets there have been; `wait` counts them."""


class Start(NamedTuple, Generic[T]):
    """A call that may be dialled, and the trunk whose channel it holds ("" without a route)."""

    ticket: Ticket[T]
    trunk: str


_Line = OrderedDict[str, Ticket[T]]


class Admission(Generic[T]):
    """The queue. What it hands out by `admit` counts as live until `release`.

    For whoever takes calls from elsewhere: `has_room` says whether one more would start at once,
    `wait` puts it in, `admit` hands out what may start, `withdraw` takes one out again.
    """

    def __init__(
        self,
        total: Quota,
        keys: Mapping[str, Quota],
        channels: Channels,
        *,
        waiting_max: int,
        waiting_max_of_key: int,
    ) -> None:
        self.total = total
        self.keys = dict(keys)
        """Of the keys that have limits; the others are counted once they have had a call."""
        self._channels = channels
        self._waiting_max = waiting_max
        self._waiting_max_of_key = waiting_max_of_key
        self._tickets: dict[str, Ticket[T]] = {}
        self._lines: dict[str, dict[tuple[str, ...], _Line[T]]] = {}
        self._turns: deque[str] = deque()  # the keys of `_lines`, whose turn it is first
        self._deadlines: list[tuple[float, int, str]] = []
        self._count = 0

    # ------------------------------------------------------------------ the queue

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._tickets)

    def is_waiting(self, sid: str) -> bool:
        """Whether that call is in the queue."""
        return sid in self._tickets

    def waiting_of(self, key: str) -> int:
        """How many of the key's calls wait."""
        return sum(map(len, self._lines.get(key, {}).values()))

    def is_full(self) -> bool:
        """Whether no more may wait. `wait` does not ask: calls that are accepted are kept."""
        return len(self._tickets) >= self._waiting_max

    def is_full_for(self, key: str) -> bool:
        """Whether no more of the key's calls may wait."""
        return self.waiting_of(key) >= self._waiting_max_of_key

    def wait(self, ticket: Ticket[T]) -> None:
        """Joins the queue at its end."""
        self._count += 1
        ticket.number = self._count
        self._tickets[ticket.sid] = ticket
        lines = self._lines.get(ticket.key)
        if lines is None:
            lines = self._lines[ticket.key] = {}
            self._turns.append(ticket.key)
        lines.setdefault(ticket.trunks, OrderedDict())[ticket.sid] = ticket
        if ticket.until < math.inf:
            heapq.heappush(self._deadlines, (ticket.until, ticket.number, ticket.sid))
            if len(self._deadlines) > 2 * len(self._tickets) + _GARBAGE:
                self._forget_deadlines()

    def withdraw(self, sid: str) -> T | None:
        """Leaves the queue; None when it was not in it."""
        ticket = self._tickets.get(sid)
        return None if ticket is None else self._leave(ticket).item

    def position(self, sid: str) -> int | None:
        """Its place in the queue, counted from 1; None: it does not wait.

        Keys go in turns, so with several it is the latest that it may come: after its key's older
        calls, and as many of each other key as there are.
        """
        ticket = self._tickets.get(sid)
        if ticket is None:
            return None
        lines = self._lines[ticket.key].values()
        own = sum(_up_to(line, ticket.number) for line in lines)
        others = (self.waiting_of(key) for key in self._lines if key != ticket.key)
        return own + sum(min(count, own) for count in others)

    def expired(self, now: float) -> list[T]:
        """Takes from the queue those that have waited too long."""
        gone: list[T] = []
        while self._deadlines and self._deadlines[0][0] <= now:
            _, number, sid = heapq.heappop(self._deadlines)
            ticket = self._tickets.get(sid)
            if ticket is not None and ticket.number == number:
                gone.append(self._leave(ticket).item)
        return gone

    def limit(self, key: str, rate: float, concurrent: int, now: float) -> None:
        """Other limits for a key from now on; 0 is none."""
        quota = self.keys.get(key)
        if quota is not None:
            quota.change(rate, concurrent, now)
        elif rate or concurrent:
            self.keys[key] = Quota(rate, concurrent, now)

    # ------------------------------------------------------------------ starting and ending

    def has_room(self, now: float) -> bool:
        """Whether the server takes another call now and nobody is waiting for that."""
        return self.total.has_room(now) and not self._tickets

    def would_start(self, key: str, trunks: tuple[str, ...], now: float) -> bool:
        """Whether such a call need not wait."""
        return (
            not self._lines.get(key)
            and self.total.has_room(now)
            and self._quota(key).has_room(now)
            and (not trunks or self._channels.find(trunks, now) is not None)
        )

    def admit(self, now: float) -> list[Start[T]]:
        """Takes from the queue all that may start now."""
        started: list[Start[T]] = []
        stuck: list[str] = []  # within one round room only becomes less: once is enough
        while self._turns and self.total.has_room(now):
            key = self._turns.popleft()
            start = self._first_of(key, now)
            if start is not None:
                started.append(start)
                self._turns.append(key)
            elif self._lines[key]:
                stuck.append(key)
            else:
                del self._lines[key]
        self._turns.extendleft(reversed(stuck))
        return started

    def release(self, key: str, *, unused: bool = False) -> None:
        """A call is over; `unused`: it was not dialled after all."""
        self.total.give_back(unused=unused)
        self._quota(key).give_back(unused=unused)

    def next_at(self, now: float) -> float | None:
        """When to ask again if nothing else happens: one may start, or has waited too long."""
        at = self._deadlines[0][0] if self._deadlines else math.inf
        total = self.total.ready_at(now)
        if self._tickets and total < math.inf:
            at = min(at, max(total, self._key_ready_at(now)))
        return at if at < math.inf else None

    def standings(self) -> Standings:
        """What goes on and what waits, for whom and for which trunk."""
        waiting_for: Counter[str] = Counter()
        for lines in self._lines.values():
            for trunks, line in lines.items():
                for trunk in trunks:
                    waiting_for[trunk] += len(line)
        return Standings(
            Standing.of("", self.total, self.waiting),
            tuple(
                Standing.of(name, quota, self.waiting_of(name)) for name, quota in self.keys.items()
            ),
            tuple(
                Standing.of(name, quota, waiting_for[name])
                for name, quota in self._channels.quotas().items()
            ),
        )

    # ------------------------------------------------------------------ inside

    def _first_of(self, key: str, now: float) -> Start[T] | None:
        """Starts the key's oldest call that has a trunk, if the key may."""
        quota = self._quota(key)
        if not quota.has_room(now):
            return None
        best: Start[T] | None = None
        for trunks, line in self._lines[key].items():
            head = next(iter(line.values()))
            if best is not None and best.ticket.number < head.number:
                continue
            trunk = self._channels.find(trunks, now) if trunks else ""
            if trunk is not None:
                best = Start(head, trunk)
        if best is not None:
            self._leave(best.ticket)
            self.total.take(now)
            quota.take(now)
            self._channels.take(best.trunk, now)
        return best

    def _key_ready_at(self, now: float) -> float:
        """When time alone gives a waiting call its key's and a trunk's room."""
        at = math.inf
        for key, lines in self._lines.items():
            ready = self._quota(key).ready_at(now)
            for trunks in lines if ready < at else ():
                trunk = self._channels.ready_at(trunks, now) if trunks else now
                at = min(at, max(ready, trunk))
        return at

    def _leave(self, ticket: Ticket[T]) -> Ticket[T]:
        lines = self._lines[ticket.key]
        line = lines[ticket.trunks]
        del self._tickets[ticket.sid], line[ticket.sid]
        if not line:
            del lines[ticket.trunks]
        return ticket

    def _quota(self, key: str) -> Quota:
        quota = self.keys.get(key)
        if quota is None:
            quota = self.keys[key] = Quota(0.0, 0, 0.0)
        return quota

    def _forget_deadlines(self) -> None:
        """Of calls that wait no more."""
        self._deadlines = [
            (ticket.until, ticket.number, ticket.sid)
            for ticket in self._tickets.values()
            if ticket.until < math.inf
        ]
        heapq.heapify(self._deadlines)


def _up_to(line: _Line[T], number: int) -> int:
    """How many tickets of the line have a number up to this one."""
    if next(reversed(line.values())).number <= number:
        return len(line)
    return sum(ticket.number <= number for ticket in line.values())
