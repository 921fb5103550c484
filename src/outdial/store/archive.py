"""The rows of recordings: page by page, which of some files have one, and deleting one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BindParameter,
    Dialect,
    and_,
    bindparam,
    delete,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql import ClauseElement

from outdial.errors import StoreConflict
from outdial.store import cursors, rows, tables
from outdial.store.backends import Backend
from outdial.store.groups import Rows
from outdial.store.records import RecordingFilter, RecordingPage, RecordingRecord
from outdial.store.statement import Bound, Read, single

_FIRST_RANK = 60
"""In a transaction behind the rows that are made in it."""


class Archive:
    """The part of the store that has them. Everything may raise StoreUnavailable."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @cached_property
    def _statements(self) -> _Statements:
        return _Statements(self._backend.dialect)

    async def page(
        self, wanted: RecordingFilter | None = None, cursor: str = "", limit: int = 50
    ) -> RecordingPage:
        """A page of at most `limit` recordings, newest first.

        `cursor` is a page's `next_cursor`; "" starts. Raises ValueError for any other text.
        """
        before = cursors.read(cursor) if cursor else None
        bound = self._statements.page(wanted or RecordingFilter(), before, limit + 1)
        found = await self._backend.readers.fetch(bound, rows.recording_record)
        if len(found) <= limit:
            return RecordingPage(tuple(found), "")
        last = found[limit - 1]
        return RecordingPage(tuple(found[:limit]), cursors.write(last.created_at, last.sid))

    async def without_row(self, sids: Iterable[str]) -> list[str]:
        """Those of the sids that no recording has."""
        unknown = []
        for sid in sids:
            bound = self._statements.exists.bind(sid=sid)
            if not await self._backend.readers.fetch(bound, tuple):
                unknown.append(sid)
        return unknown

    async def add(self, recording: RecordingRecord) -> None:
        """A recording that had no row, durable on return; nothing happens when it has one."""
        row = rows.recording_row(recording)
        with contextlib.suppress(StoreConflict):
            await self._backend.writer.submit([(self._statements.insert, row)])

    async def delete(self, recording: RecordingRecord) -> None:
        """The row goes, and its call names it no more; durable on return."""
        sid, statements = recording.sid, self._statements
        written: Rows = [
            (statements.delete, (sid,)),
            (statements.unname, (recording.call_sid, sid)),
        ]
        await self._backend.writer.submit(written)


class _Statements:
    """Compiled for a dialect, pages when they are first asked for."""

    def __init__(self, dialect: Dialect) -> None:
        table, calls = tables.recordings, tables.calls
        self._dialect = dialect
        self._pages: dict[tuple[str, ...], Read] = {}
        self.exists = Read(select(table.c.sid).where(table.c.sid == bindparam("sid")), dialect)
        values: dict[str, BindParameter[Any]] = {
            name: bindparam(f"new_{name}") for name in rows.RECORDING_COLUMNS
        }
        self.insert = single(
            "insert_recording",
            _FIRST_RANK - 1,
            insert(table).values(values),
            dialect,
            [f"new_{name}" for name in rows.RECORDING_COLUMNS],
        )
        removed = delete(table).where(table.c.sid == bindparam("old"))
        self.delete = single("delete_recording", _FIRST_RANK, removed, dialect, ["old"])
        unnamed = (
            update(calls)
            .values(recording_sid=null())
            .where(calls.c.sid == bindparam("call"), calls.c.recording_sid == bindparam("old"))
        )
        self.unname = single("unname_recording", _FIRST_RANK + 1, unnamed, dialect, ["call", "old"])

    def page(self, wanted: RecordingFilter, before: tuple[float, str] | None, most: int) -> Bound:
        values = {
            name: value
            for name in RecordingFilter.__dataclass_fields__
            if (value := getattr(wanted, name)) not in ("", None)
        }
        if before is not None:
            values["before_at"], values["before_sid"] = before
        names = tuple(values)
        if names not in self._pages:
            self._pages[names] = Read(_page(names), self._dialect)
        return self._pages[names].bind(most=most, **values)


def _page(names: Sequence[str]) -> ClauseElement:
    recordings = tables.recordings.c
    statement = select(*(recordings[name] for name in rows.RECORDING_COLUMNS))
    for name in names:
        match name:
            case "created_after":
                statement = statement.where(recordings.created_at > bindparam(name))
            case "created_before":
                statement = statement.where(recordings.created_at < bindparam(name))
            case "before_at":
                older = recordings.created_at < bindparam("before_at")
                same = recordings.created_at == bindparam("before_at")
                statement = statement.where(
                    recordings.created_at <= bindparam("before_at"),
                    or_(older, and_(same, recordings.sid < bindparam("before_sid"))),
                )
            case "before_sid":
                pass
            case _:
                statement = statement.where(recordings[name] == bindparam(name))
    order = recordings.created_at.desc(), recordings.sid.desc()
    return statement.order_by(*order).limit(bindparam("most"))
