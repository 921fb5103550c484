"""What a store's work costs with a million calls in it, beside the same work with a thousand.

Both stores are open at once and every piece of work is done on one and then on the other, in turns,
so that the machine's moods fall on both. A thousand and not none: a page must have rows on it.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from bench import fill, report, rows
from bench.fill import Full, Tell
from outdial import ids
from outdial.legs import TracedMessage
from outdial.store.records import (
    CallFilter,
    CallRecord,
    Change,
    DeliveryFilter,
    DeliveryRecord,
    EventRecord,
)
from outdial.store.rows import delivery_record

BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"
FEW = 1_000
MANY = 1_000_000
MOST_RATIO = 1.5
"""How much longer anything may take with many calls."""
_ROUNDS = 15
_CALLS_WRITTEN = 40

Work = Callable[[Full], Awaitable[int]]
"""Does it once; gives how many pieces of work that was."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A piece of work."""

    title: str
    work: Work
    times: int = 25
    """How often in a round: the shortest take less than a thread takes to wake up."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table: milliseconds a piece, of a quarter of the times or less.

    The lower quartile and not the median: what else runs on the machine makes times longer only.
    """

    database: str
    title: str
    few_ms: float
    many_ms: float

    @property
    def ratio(self) -> float:
        """Many to few."""
        return self.many_ms / self.few_ms


# ---------------------------------------------------------------------------- reading


async def _first_page(full: Full) -> int:
    assert len((await full.store.calls()).calls) == 50
    return 1


async def _page_in_the_middle(full: Full) -> int:
    newest = CallFilter(created_before=full.at(full.calls // 2))
    page = await full.store.calls(newest)
    assert len((await full.store.calls(newest, page.next_cursor)).calls) == 50
    return 2


async def _page_to_a_number(full: Full) -> int:
    number = rows.to_number(full.calls // 3, full.calls)
    page = await full.store.calls(CallFilter(to_number=number))
    assert len(page.calls) == rows.CALLS_A_NUMBER
    return 1


def _page_in_state(state: str, count: int) -> Work:
    async def page(full: Full) -> int:
        assert len((await full.store.calls(CallFilter(state=state))).calls) == count
        return 1

    return page


async def _page_from_nobody(full: Full) -> int:
    assert not (await full.store.calls(CallFilter(from_number="12025550100"))).calls
    return 1


async def _page_of_no_outcome(full: Full) -> int:
    assert not (await full.store.calls(CallFilter(outcome="canceled"))).calls
    return 1


async def _page_of_legs(full: Full) -> int:
    page = await full.store.calls(CallFilter(parent_sid=full.sid(full.calls // 3)))
    assert len(page.calls) == 1
    return 1


async def _show(full: Full) -> int:
    sid = full.sid(full.calls // 3)
    assert await full.store.call(sid)
    assert len(await full.store.events(sid)) == len(rows.EVENTS) + 1
    assert len(await full.store.deliveries(sid)) == len(rows.EVENTS) - 1
    return 1


async def _deliveries_page(full: Full) -> int:
    assert len((await full.store.delivery_page(limit=50)).deliveries) == 50
    return 1


async def _dead_deliveries(full: Full) -> int:
    await full.store.delivery_page(DeliveryFilter(state="dead"))
    return 1


async def _feed_oldest(full: Full) -> int:
    assert len(await full.store.feed(limit=100)) == 100
    return 1


async def _feed_middle(full: Full) -> int:
    first = await full.store.feed(limit=1)
    cursor = first[0].cursor.split("-")
    cursor[-1] = str(int(cursor[-1]) + full.calls)  # four lines a call
    assert len(await full.store.feed("-".join(cursor), limit=100)) == 100
    return 1


async def _usage(full: Full) -> int:
    start = full.at(full.calls - FEW)
    used = await full.store.usage(start, start + FEW * rows.STEP_S)
    assert sum(row.calls for row in used) >= FEW
    return 1


async def _idempotent(full: Full) -> int:
    assert await full.store.idempotent("dev", "never") is None
    return 1


# ---------------------------------------------------------------------------- the queue


async def _unfinished(full: Full) -> int:
    assert len(await full.store.unfinished_calls()) >= fill.UNFINISHED
    return 1


async def _pending(full: Full) -> int:
    found, _ = await full.store.pending_deliveries(fill.UNFINISHED)
    assert len(found) == fill.UNFINISHED
    return 1


async def _position(full: Full) -> int:
    number = full.calls + fill.UNFINISHED - 1
    call = CallRecord(full.sid(number), "", "", "", "", "", "queued", full.at(number))
    assert await full.store.queue_position(call) == fill.UNFINISHED
    return 1


# ---------------------------------------------------------------------------- writing

_MESSAGE = TracedMessage(0.0, True, "203.0.113.9:5060", "udp", b"INVITE sip:1@a SIP/2.0\r\n" * 20)
_numbers = itertools.count()


async def _write_calls(full: Full) -> int:
    """All that some calls write which are under way together: placed, told and over."""
    written = [_write_call(full, time.time()) for _ in range(_CALLS_WRITTEN)]
    await asyncio.gather(*written)
    return _CALLS_WRITTEN


async def _write_call(full: Full, at: float) -> None:
    store, sid = full.store, ids.new(ids.CALL)
    number = f"1202{next(_numbers) * 7919 % 9_999_991:07d}"
    call = CallRecord(sid, sid, "outbound", "18005797676", number, "", "dialling", at)
    callbacks = [_callback(sid, seq, at) for seq in range(1, 5)]
    events = [EventRecord(sid, seq, at, f"state.{state}") for seq, state in enumerate(rows.EVENTS)]
    await store.create_call(call, events[:2], callbacks[:1])
    for seq, state in enumerate(rows.EVENTS[2:], 2):
        fields = {"state": state}
        if state == "completed":
            fields |= {"outcome": "completed", "ended_at": at + 1}  # type: ignore[dict-item]
        change = Change(sid, fields, (events[seq],), (callbacks[seq - 1],))
        await store.commit_soon(change, 0.0)
    for seq in range(5, 9):
        store.note(EventRecord(sid, seq, at, "document.fetched", {"status": 200}))
    for callback in callbacks:
        settled = replace(callback, state="done", attempts=1, last_status=200, done_at=at)
        store.settle_delivery(settled)
    store.save_ladder(sid, [_MESSAGE] * 8)
    await store.flush()


def _callback(sid: str, seq: int, at: float) -> DeliveryRecord:
    return delivery_record(rows.delivery(sid, seq, rows.EVENTS[seq], at, "pending"))


async def _sweep(full: Full) -> int:
    """A batch of the sweeper: fifty calls, and their lines of the feed."""
    expiry = full.store.expiry
    before = full.at(full.calls * 9 // 10)
    calls = await expiry.calls(before, 50)
    assert len(calls) == 50
    await expiry.delete_calls(calls, before)
    assert await expiry.delete_feed(250) >= 200
    return 1


PROBES = (
    Probe("list: first page", _first_page),
    Probe("list: a page in the middle", _page_in_the_middle),
    Probe("list: to a number", _page_to_a_number),
    Probe("list: completed", _page_in_state("completed", 50)),
    Probe("list: queued", _page_in_state("queued", 50)),
    Probe("list: ringing, of which there are none", _page_in_state("ringing", 0)),
    Probe("list: from a number that never called", _page_from_nobody),
    Probe("list: canceled, of which there are none", _page_of_no_outcome),
    Probe("list: the legs of a call", _page_of_legs),
    Probe("show: call, events, callbacks", _show),
    Probe("callbacks: first page", _deliveries_page),
    Probe("callbacks: dead ones", _dead_deliveries),
    Probe("feed: the oldest 100", _feed_oldest),
    Probe("feed: 100 in the middle", _feed_middle),
    Probe("usage of 1,000 calls", _usage),
    Probe("look up a token", _idempotent),
    Probe("claim: unfinished calls", _unfinished),
    Probe("claim: callbacks due", _pending),
    Probe("place in the queue", _position),
    Probe("write: a call placed, told and over", _write_calls, times=2),
    Probe("sweep: a batch", _sweep, times=1),
)


# ---------------------------------------------------------------------------- running


def run(
    calls: int, postgresql: str | None, folder: Path | None, console: Console
) -> list[Measured]:
    """Fills, measures, deletes; shows the table."""

    def tell(line: str) -> None:
        console.print(line, style="dim", markup=False, highlight=False)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = runner.run(_run(calls, postgresql, folder, tell))
    table = Table("database", "work", f"{FEW:,} calls, ms", f"{calls:,} calls, ms", "ratio")
    for line in measured:
        style = "red" if line.ratio > MOST_RATIO else ""
        table.add_row(*_cells(line), style=style)
    console.print(table)
    return measured


async def _run(calls: int, server: str | None, folder: Path | None, tell: Tell) -> list[Measured]:
    measured = await _compare(
        "SQLite",
        fill.sqlite("SQLite", FEW, folder, tell),
        fill.sqlite("SQLite", calls, folder, tell),
        tell,
    )
    if server:
        measured += await _compare(
            "PostgreSQL",
            fill.postgresql("PostgreSQL", FEW, server, tell),
            fill.postgresql("PostgreSQL", calls, server, tell),
            tell,
        )
    return measured


async def _compare(
    database: str,
    one: AbstractAsyncContextManager[Full],
    other: AbstractAsyncContextManager[Full],
    tell: Tell,
) -> list[Measured]:
    async with one as few, other as many:
        for full in (few, many):
            full.unhurried()
        measured = []
        for probe in PROBES:
            line = await _probe(database, probe, few, many)
            tell(f"{database}: {line.title}: {line.few_ms:.2f} and {line.many_ms:.2f} ms")
            measured.append(line)
        return measured


async def _probe(database: str, probe: Probe, few: Full, many: Full) -> Measured:
    """In turns; the first of each is for the caches."""
    times: dict[str, list[float]] = {"few": [], "many": []}
    for number in range(_ROUNDS + 1):
        for name, full in (("few", few), ("many", many)):
            for _ in range(probe.times):
                began = time.perf_counter()
                pieces = await probe.work(full)
                if number:
                    times[name].append((time.perf_counter() - began) / pieces * 1000)
    quick = {name: statistics.quantiles(values, n=4)[0] for name, values in times.items()}
    return Measured(database, probe.title, quick["few"], quick["many"])


def _cells(line: Measured) -> tuple[str, ...]:
    return (
        line.database,
        line.title,
        f"{line.few_ms:.2f}",
        f"{line.many_ms:.2f}",
        f"{line.ratio:.2f}",
    )


def fill_page(page: Path, measured: list[Measured], calls: int) -> None:
    """Writes the table into the docs."""
    on = report.machine()
    lines = [
        BEGIN,
        "",
        f"Measured {time.strftime('%Y-%m-%d')} on {on['processor']}, {on['memory']}, "
        f"{on['system']}, Python {on['python']}; lower quartiles of {_ROUNDS} rounds in turns.",
        "",
        f"| database | work | {FEW:,} calls, ms | {calls:,} calls, ms | ratio |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(_cells(line)) + " |" for line in measured),
        "",
        END,
    ]
    report.replace_part(page, BEGIN, END, "\n".join(lines))
