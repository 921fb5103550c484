"""Every statement the store runs, named, compiled once to the SQL text of a database's dialect.

Compiling a statement with SQLAlchemy costs as much as twenty rows written, so nothing is compiled
on the way of a call: see docs/design/store.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache, partial
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Dialect,
    Double,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.sql import ClauseElement
from sqlalchemy.types import UserDefinedType

from outdial.store import rows, tables
from outdial.store.records import CallFilter, DeliveryFilter
from outdial.store.statement import Bound, Read, Write, insert_rows, update_row, upsert_row

_DIGITS = 18
"""Of the numbers in a cursor: larger ones do not fit the column."""
NOT_A_CURSOR = "not a cursor that a page gave"

CHANGES_CALL = 1
"""Rank of the statements that change a call: after the call is made, before all else."""


class Queries:
    """The statements in one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        insert = partial(insert_rows, dialect=dialect)
        update = partial(update_row, dialect=dialect)
        upsert = partial(upsert_row, dialect=dialect)
        self.insert_call = insert("insert_call", 0, tables.calls, rows.CALL_COLUMNS)
        self.insert_event = insert("insert_event", 2, tables.events, rows.EVENT_COLUMNS)
        self.insert_delivery = insert(
            "insert_delivery", 3, tables.deliveries, rows.DELIVERY_COLUMNS
        )
        self.settle_delivery = update(
            "settle_delivery", 4, tables.deliveries, ["call_sid", "id"], rows.SETTLED_COLUMNS
        )
        self.save_ladder = upsert("save_ladder", 5, tables.ladders, rows.LADDER_COLUMNS)
        self.save_recording = upsert("save_recording", 6, tables.recordings, rows.RECORDING_COLUMNS)
        self.insert_key = insert("insert_key", 7, tables.keys, rows.KEY_COLUMNS)
        self.revoke_key = update("revoke_key", 8, tables.keys, ["id"], ["revoked_at"])
        self.use_key = update("use_key", 14, tables.keys, ["id"], ["last_used_at"])
        self.insert_feed = insert("insert_feed", 9, tables.feed, rows.FEED_COLUMNS)
        self.insert_idempotency = insert(
            "insert_idempotency", 10, tables.idempotency, rows.IDEMPOTENCY_COLUMNS
        )
        self.replay_delivery = update(
            "replay_delivery", 11, tables.deliveries, ["call_sid", "id"], rows.REPLAYED_COLUMNS
        )
        self.save_message = upsert("save_message", 12, tables.messages, rows.MESSAGE_COLUMNS)
        self.save_fax = upsert("save_fax", 13, tables.faxes, rows.FAX_COLUMNS)
        self._call_updates: dict[tuple[tuple[str, ...], tuple[str, ...]], Write] = {}
        self._call_lists: dict[tuple[str, ...], Read] = {}
        self._delivery_lists: dict[tuple[str, ...], Read] = {}
        self._make_reads()

    def _make_reads(self) -> None:
        calls, events, deliveries = tables.calls.c, tables.events.c, tables.deliveries.c
        every_call = select(*(calls[name] for name in rows.CALL_COLUMNS))
        every_delivery = select(*(deliveries[name] for name in rows.DELIVERY_COLUMNS))
        recordings = select(*(tables.recordings.c[name] for name in rows.RECORDING_COLUMNS))
        self.call = self._read(every_call.where(calls.sid == bindparam("sid")))
        self.unfinished_calls = self._read(
            every_call.where(calls.ended_at.is_(None), calls.node == bindparam("node")).order_by(
                calls.created_at
            )
        )
        self.call_counts = self._read(
            select(calls.state, func.count()).where(calls.ended_at.is_(None)).group_by(calls.state)
        )
        self.events = self._read(
            select(*(events[name] for name in rows.EVENT_COLUMNS))
            .where(events.call_sid == bindparam("sid"), events.seq > bindparam("after"))
            .order_by(events.seq)
            .limit(bindparam("most"))
        )
        self.ladder = self._read(
            select(tables.ladders.c.messages, tables.ladders.c.raw).where(
                tables.ladders.c.call_sid == bindparam("sid")
            )
        )
        self.deliveries = self._read(
            every_delivery.where(deliveries.call_sid == bindparam("sid")).order_by(
                deliveries.number
            )
        )
        self.pending_deliveries = self._read(
            select(deliveries.number, *(deliveries[name] for name in rows.DELIVERY_COLUMNS))
            .where(
                # in the text, because a parameter would hide the partial index from SQLite
                deliveries.state == literal_column("'pending'"),
                deliveries.number > bindparam("after"),
                deliveries.node == bindparam("node"),
            )
            .order_by(deliveries.number)
            .limit(bindparam("most"))
        )
        self.delivery = self._read(
            every_delivery.where(
                deliveries.call_sid.between(bindparam("first"), bindparam("last")),
                deliveries.id == bindparam("id"),
            )
        )
        self.idempotent = self._read(
            select(*(tables.idempotency.c[name] for name in rows.IDEMPOTENCY_COLUMNS)).where(
                tables.idempotency.c.key_name == bindparam("key_name"),
                tables.idempotency.c.token == bindparam("token"),
            )
        )
        self._feed = self._read(_feed(self._dialect))
        self.queue_position = self._read(
            select(func.count()).where(
                calls.ended_at.is_(None),
                calls.state == "queued",
                calls.created_at <= bindparam("at"),
                or_(calls.created_at < bindparam("at"), calls.sid <= bindparam("sid")),
            )
        )
        # in the text, because PostgreSQL takes two parameters for two different values
        outcome = func.coalesce(calls.outcome, literal_column("''"))
        self.usage = self._read(
            select(
                calls.key_name,
                calls.trunk,
                outcome,
                func.count(),
                func.count(calls.answered_at),
                func.coalesce(func.sum(calls.ended_at - calls.answered_at), 0.0),
            )
            .where(calls.created_at >= bindparam("since"), calls.created_at < bindparam("until"))
            .group_by(calls.key_name, calls.trunk, outcome)
            .order_by(calls.key_name, calls.trunk, outcome)
        )
        since = cast(bindparam("since"), Double)
        began = case((calls.answered_at > since, calls.answered_at), else_=since)
        self.talked = self._read(
            select(calls.key_name, calls.trunk, func.sum(calls.ended_at - began))
            .where(
                calls.created_at >= bindparam("oldest"),
                calls.direction == literal_column("'outbound'"),
                calls.answered_at.is_not(None),
                calls.ended_at > since,
            )
            .group_by(calls.key_name, calls.trunk)
            .order_by(calls.key_name, calls.trunk)
        )
        self.called = self._read(
            select(calls.to_number, calls.created_at)
            .where(
                calls.created_at > bindparam("since"),
                calls.direction == literal_column("'outbound'"),
                calls.parent_sid == calls.sid,
            )
            .order_by(calls.created_at)
        )
        self.keys = self._read(
            select(*(tables.keys.c[name] for name in rows.KEY_COLUMNS)).order_by(
                tables.keys.c.created_at, tables.keys.c.id
            )
        )
        faxes = select(*(tables.faxes.c[name] for name in rows.FAX_COLUMNS))
        self.fax = self._read(faxes.where(tables.faxes.c.sid == bindparam("sid")))
        messages = select(*(tables.messages.c[name] for name in rows.MESSAGE_COLUMNS))
        self.messages_of_call = self._read(
            messages.where(tables.messages.c.call_sid == bindparam("sid")).order_by(
                tables.messages.c.created_at, tables.messages.c.sid
            )
        )
        self.unfinished_messages = self._read(
            messages.where(
                tables.messages.c.ended_at.is_(None), tables.messages.c.node == bindparam("node")
            ).order_by(tables.messages.c.created_at)
        )
        self.recording = self._read(recordings.where(tables.recordings.c.sid == bindparam("sid")))
        self.recordings_of_call = self._read(
            recordings.where(tables.recordings.c.call_sid == bindparam("sid")).order_by(
                tables.recordings.c.created_at
            )
        )

    def update_call(self, fields: Sequence[str], only_if: Sequence[str] = ()) -> Write:
        """Changes these columns of a call; the parameters are their values, then the sid, then
        the values that the columns of `only_if` must have.

        Raises KeyError for a name that is no column.
        """
        names, guards = tuple(fields), tuple(only_if)
        write = self._call_updates.get((names, guards))
        if write is None:
            keys = ["sid", *guards]
            write = update_row(
                "update_call", CHANGES_CALL, tables.calls, keys, names, self._dialect
            )
            write.guarded = bool(guards)
            self._call_updates[names, guards] = write
        return write

    def list_deliveries(self, wanted: DeliveryFilter, before: int | None, most: int) -> Bound:
        """The newest callbacks that fit and have a number smaller than `before`."""
        values: dict[str, Any] = {"call_sid": wanted.call_sid} if wanted.call_sid else {}
        if before is not None:
            values["before"] = before
        key = (wanted.state, *values)
        read = self._delivery_lists.get(key)
        if read is None:
            read = self._delivery_lists[key] = self._read(_delivery_list(wanted.state, values))
        return read.bind(most=most, **values)

    def list_feed(self, after: str, most: int) -> Bound:
        """Events behind the cursor `after`, "" for all. Raises ValueError when it is none."""
        names = ["after"] if self._dialect.name == "sqlite" else ["xid", "after"]
        numbers = after.split("-") if after else ["0"] * len(names)
        if len(numbers) != len(names) or not all(map(_is_number, numbers)):
            raise ValueError(NOT_A_CURSOR)
        values: dict[str, Any] = dict(zip(names, numbers, strict=True))
        values["after"] = int(values["after"])
        return self._feed.bind(**values, most=most)

    def list_calls(self, wanted: CallFilter, before: tuple[float, str] | None, most: int) -> Bound:
        """The newest calls that fit and are older than `before` (created_at, sid)."""
        values = {
            name: value
            for name in CallFilter.__dataclass_fields__
            if (value := getattr(wanted, name)) not in ("", None)
        }
        if wanted.state not in ("", "completed"):
            values["live_state"] = values.pop("state")
        if before is not None:
            values["before_at"], values["before_sid"] = before
        names = tuple(values)
        read = self._call_lists.get(names)
        if read is None:
            read = self._call_lists[names] = self._read(_call_list(names, self._dialect))
        return read.bind(most=most, **values)

    def _read(self, statement: ClauseElement) -> Read:
        return Read(statement, self._dialect)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _feed(dialect: Dialect) -> ClauseElement:
    """Events that changed a call's state, in an order in which nothing is ever put in between.

    SQLite has one writer: what has a larger number was committed later. On PostgreSQL the numbers
    of two transactions may become visible in either order, so events come in the order of their
    transactions, and none from behind the oldest transaction that is still running.
    """
    feed, events, calls = tables.feed.c, tables.events.c, tables.calls.c
    order: list[ColumnElement[Any]] = [feed.number]
    cursor: ColumnElement[Any] = feed.number
    place = feed.number > bindparam("after")
    if dialect.name == "postgresql":
        xid: ColumnElement[Any] = literal_column("feed.xid")
        order = [xid, feed.number]
        cursor = literal_column("feed.xid::text || '-' || feed.number")
        after = cast(cast(bindparam("xid"), Text), _Xid8)
        place = and_(
            tuple_(xid, feed.number) > tuple_(after, bindparam("after", type_=BigInteger)),
            xid < literal_column("pg_snapshot_xmin(pg_current_snapshot())"),
        )
    return (
        select(
            cursor,
            *(events[name] for name in rows.EVENT_COLUMNS),
            *(calls[name] for name in rows.CALL_COLUMNS),
        )
        .where(
            place,
            events.call_sid == feed.call_sid,
            events.seq == feed.seq,
            calls.sid == feed.call_sid,
        )
        .order_by(*order)
        .limit(bindparam("most"))
    )


class _Xid8(UserDefinedType[Any]):
    """PostgreSQL's numbers of transactions, which do not wrap around."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "xid8"


def _call_list(names: Sequence[str], dialect: Dialect) -> ClauseElement:
    calls = tables.calls.c
    statement = select(*(calls[name] for name in rows.CALL_COLUMNS))
    for name in names:
        match name:
            case "created_after":
                statement = statement.where(calls.created_at > bindparam(name))
            case "created_before":
                statement = statement.where(calls.created_at < bindparam(name))
            case "before_at":
                older = calls.created_at < bindparam("before_at")
                same = calls.created_at == bindparam("before_at")
                # the first condition alone lets SQLite use the index as a range
                statement = statement.where(
                    calls.created_at <= bindparam("before_at"),
                    or_(older, and_(same, calls.sid < bindparam("before_sid"))),
                )
            case "before_sid":
                pass
            case "live_state":
                statement = statement.where(*_is_live(name, dialect))
            case "parent_sid":
                statement = statement.where(calls.sid.in_(_family(name)))
            case _:
                statement = statement.where(calls[name] == bindparam(name))
    return statement.order_by(calls.created_at.desc(), calls.sid.desc()).limit(bindparam("most"))


def _is_live(parameter: str, dialect: Dialect) -> list[ColumnElement[bool]]:
    """In a state that is not the last: such calls are few and have an index of their own.

    On SQLite as a query within the query: it would rather walk through all calls in their order.
    """
    calls, live = tables.calls.c, tables.calls.alias("live").c
    if dialect.name == "postgresql":
        return [calls.ended_at.is_(None), calls.state == bindparam(parameter)]
    of_state = live.ended_at.is_(None), live.state == bindparam(parameter)
    return [calls.sid.in_(select(live.sid).where(*of_state))]


def _family(parameter: str) -> Select[Any]:
    """The sids of a call and of its second legs, each found by an index."""
    legs = tables.calls.alias("legs").c
    own = tables.calls.alias("own").c
    sid: BindParameter[str] = bindparam(parameter)
    second = select(legs.sid).where(legs.parent_sid == sid, legs.parent_sid != legs.sid)
    first = select(own.sid).where(own.sid == sid, own.parent_sid == sid)
    return select(union_all(second, first).subquery().c.sid)


def _delivery_list(state: str, names: Iterable[str]) -> ClauseElement:
    deliveries = tables.deliveries.c
    statement = select(deliveries.number, *(deliveries[name] for name in rows.DELIVERY_COLUMNS))
    if state:
        # in the text, because a parameter would hide the partial indices from SQLite
        states = {"pending": "'pending'", "done": "'done'", "dead": "'dead'"}
        statement = statement.where(deliveries.state == literal_column(states[state]))
    for name in names:
        if name == "before":
            statement = statement.where(deliveries.number < bindparam(name))
        else:
            statement = statement.where(deliveries[name] == bindparam(name))
    return statement.order_by(deliveries.number.desc()).limit(bindparam("most"))


@cache
def queries_in(dialect: Dialect) -> Queries:
    """The statements in that dialect, compiled once a process: tests open many stores."""
    return Queries(dialect)
