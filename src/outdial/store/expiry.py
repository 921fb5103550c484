"""What is old enough to be deleted, and deleting it: a batch at a time, through the one writer.

A batch is first looked up and then deleted by its keys, under conditions that hold at that moment:
a call that has not ended, or whose callbacks are not all settled, is never deleted, and nothing of
a call is deleted before the call itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BindParameter,
    Dialect,
    Table,
    bindparam,
    delete,
    exists,
    literal_column,
    not_,
    select,
)
from sqlalchemy.sql import ClauseElement, ColumnElement

from outdial.frozen import frozen
from outdial.store import tables
from outdial.store.backends import Backend
from outdial.store.groups import Rows
from outdial.store.statement import Read, Write, single

_FIRST_RANK = 100
"""Behind everything that is made or changed in the same transaction."""
_PENDING = tables.deliveries.c.state == literal_column("'pending'")
_WITHIN_S = 0.08


@frozen
class ExpiredCall:
    """A call to be deleted."""

    sid: str
    recordings: tuple[str, ...]
    """The sids of its recordings, whose files go first."""


class Expiry:
    """The part of the store that forgets. Everything may raise StoreUnavailable."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @cached_property
    def _statements(self) -> _Statements:
        # compiled by the first who wants to delete: most stores that are opened never do
        return _Statements(self._backend.dialect)

    # ------------------------------------------------------------------ looking

    async def calls(self, before: float, most: int) -> list[ExpiredCall]:
        """Calls that ended before that time, oldest first, without those with callbacks due."""
        bound = self._statements.calls.bind(before=before, most=most)
        found: dict[str, list[str]] = {}
        for sid, recording in await self._backend.readers.fetch(bound, tuple):
            recordings = found.setdefault(sid, [])
            if recording is not None:
                recordings.append(recording)
        return [ExpiredCall(sid, tuple(recordings)) for sid, recordings in found.items()]

    async def recordings(self, before: float, most: int) -> list[str]:
        """Recordings made before that time, oldest first, but those of calls that are live."""
        return await self._sids(self._statements.recordings, before=before, most=most)

    async def strays(self, before: float, most: int) -> list[str]:
        """Recordings of no call that were made before that time."""
        return await self._sids(self._statements.strays, before=before, most=most)

    async def faxes(self, before: float, most: int) -> list[str]:
        """Faxes that were complete before that time, oldest first."""
        return await self._sids(self._statements.faxes, before=before, most=most)

    async def ladders(self, before: float, most: int) -> list[str]:
        """Calls that ended before that time and have their SIP messages."""
        # ids begin with their time: the older part of the table, and not a row more
        first = f"CA{max(0, int(before * 1000)):012x}"
        return await self._sids(self._statements.ladders, before=before, most=most, first=first)

    async def _sids(self, read: Read, **values: float | str) -> list[str]:
        return await self._backend.readers.fetch(read.bind(**values), lambda row: str(row[0]))

    # ------------------------------------------------------------------ deleting

    async def delete_calls(self, calls: Sequence[ExpiredCall], before: float) -> None:
        """The calls with all that belongs to them, durably; their files are not our business."""
        statements = self._statements
        written: Rows = [(statements.call, (call.sid, before, call.sid)) for call in calls]
        for write in statements.of_call:
            written += [(write, (call.sid, call.sid)) for call in calls]
        await self._delete(written)

    async def delete_recordings(self, sids: Iterable[str]) -> None:
        """The rows of those recordings."""
        await self._delete([(self._statements.recording, (sid,)) for sid in sids])

    async def delete_faxes(self, sids: Iterable[str]) -> None:
        """The rows of those faxes."""
        await self._delete([(self._statements.fax, (sid,)) for sid in sids])

    async def delete_ladders(self, call_sids: Iterable[str]) -> None:
        """The SIP messages of those calls."""
        await self._delete([(self._statements.ladder, (sid,)) for sid in call_sids])

    async def delete_feed(self, most: int) -> int:
        """Of the oldest `most` lines of the feed those whose call is gone; how many."""
        bound = self._statements.feed.bind(most=most)
        numbers = await self._backend.readers.fetch(bound, lambda row: int(row[0]))
        await self._delete([(self._statements.feed_line, (number,)) for number in numbers])
        return len(numbers)

    async def delete_tokens(self, before: float, most: int) -> int:
        """Tokens of posts made before that time, `most` of them; how many."""
        bound = self._statements.tokens.bind(before=before, most=most)
        names = await self._backend.readers.fetch(bound, tuple)
        await self._delete([(self._statements.token, name) for name in names])
        return len(names)

    async def _delete(self, written: Rows) -> None:
        if written:
            await self._backend.writer.submit(written, _WITHIN_S)


class _Statements:
    """Compiled for a dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._rank = _FIRST_RANK
        calls, deliveries = tables.calls.c, tables.deliveries.c
        sid, again, before, number = map(_parameter, ("sid", "again", "before", "number"))
        self.calls = Read(_old_calls(), dialect)
        self.recordings = Read(_old_recordings(), dialect)
        self.strays = Read(_old_strays(), dialect)
        self.faxes = Read(_old_faxes(), dialect)
        self.ladders = Read(_old_ladders(), dialect)
        self.feed = Read(_feed_of_gone_calls(), dialect)
        self.tokens = Read(_old_tokens(), dialect)
        due = exists().where(deliveries.call_sid == again, _PENDING)
        self.call = self._delete(
            tables.calls,
            [calls.sid == sid, calls.ended_at < before, not_(due)],
            ["sid", "before", "again"],
        )
        gone = not_(exists().where(calls.sid == again))
        self.of_call = [
            self._delete(table, [table.c.call_sid == sid, gone], ["sid", "again"])
            for table in (
                tables.events,
                tables.deliveries,
                tables.ladders,
                tables.recordings,
                tables.messages,
                tables.faxes,
            )
        ]
        self.recording = self._delete(tables.recordings, [tables.recordings.c.sid == sid], ["sid"])
        self.fax = self._delete(tables.faxes, [tables.faxes.c.sid == sid], ["sid"])
        self.ladder = self._delete(tables.ladders, [tables.ladders.c.call_sid == sid], ["sid"])
        self.feed_line = self._delete(tables.feed, [tables.feed.c.number == number], ["number"])
        tokens = tables.idempotency.c
        key = [tokens.key_name == bindparam("key_name"), tokens.token == bindparam("token")]
        self.token = self._delete(tables.idempotency, key, ["key_name", "token"])

    def _delete(
        self, table: Table, conditions: Sequence[ColumnElement[bool]], parameters: list[str]
    ) -> Write:
        """Later ones of these come later in a transaction: a call goes before what is its own."""
        self._rank += 1
        statement = delete(table).where(*conditions)
        return single(f"delete_{table.name}", self._rank, statement, self._dialect, parameters)


def _parameter(name: str) -> BindParameter[Any]:
    return bindparam(name)


def _old_calls() -> ClauseElement:
    calls, deliveries, recordings = tables.calls.c, tables.deliveries.c, tables.recordings.c
    due = exists().where(deliveries.call_sid == calls.sid, _PENDING)
    old = (
        select(calls.sid, calls.created_at)
        .where(
            calls.created_at < bindparam("before"),  # for the index
            calls.ended_at < bindparam("before"),
            not_(due),
        )
        .order_by(calls.created_at, calls.sid)
        .limit(bindparam("most"))
        .subquery()
    )
    return (
        select(old.c.sid, recordings.sid)
        .select_from(old.outerjoin(tables.recordings, recordings.call_sid == old.c.sid))
        .order_by(old.c.created_at, old.c.sid)
    )


def _old_recordings() -> ClauseElement:
    calls, recordings = tables.calls.c, tables.recordings.c
    live = exists().where(calls.sid == recordings.call_sid, calls.ended_at.is_(None))
    return (
        select(recordings.sid)
        .where(recordings.created_at < bindparam("before"), not_(live))
        .order_by(recordings.created_at)
        .limit(bindparam("most"))
    )


def _old_strays() -> ClauseElement:
    recordings = tables.recordings.c
    of_none = recordings.call_sid == literal_column("''")
    return (
        select(recordings.sid)
        .where(of_none, recordings.created_at < bindparam("before"))
        .order_by(recordings.created_at)
        .limit(bindparam("most"))
    )


def _old_faxes() -> ClauseElement:
    faxes = tables.faxes.c
    return (
        select(faxes.sid)
        .where(faxes.created_at < bindparam("before"))
        .order_by(faxes.created_at)
        .limit(bindparam("most"))
    )


def _old_ladders() -> ClauseElement:
    calls, ladders = tables.calls.c, tables.ladders.c
    return (
        select(ladders.call_sid)
        .where(
            ladders.call_sid < bindparam("first"),
            calls.sid == ladders.call_sid,
            calls.ended_at < bindparam("before"),
        )
        .order_by(ladders.call_sid)
        .limit(bindparam("most"))
    )


def _feed_of_gone_calls() -> ClauseElement:
    calls, feed = tables.calls.c, tables.feed.c
    oldest = select(feed.number, feed.call_sid).order_by(feed.number).limit(bindparam("most"))
    lines = oldest.subquery()
    return select(lines.c.number).where(not_(exists().where(calls.sid == lines.c.call_sid)))


def _old_tokens() -> ClauseElement:
    tokens = tables.idempotency.c
    return (
        select(tokens.key_name, tokens.token)
        .where(tokens.created_at < bindparam("before"))
        .order_by(tokens.created_at)
        .limit(bindparam("most"))
    )
