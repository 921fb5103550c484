"""Records to table rows and back. A row is a tuple in the order of the table's columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from outdial.legs import TracedMessage
from outdial.store import tables
from outdial.store.records import (
    CallRecord,
    DeliveryRecord,
    EventRecord,
    FaxRecord,
    FeedEvent,
    IdempotencyRecord,
    KeyRecord,
    MessageRecord,
    RecordingRecord,
)

Row = tuple[Any, ...]

CALL_COLUMNS = tables.calls.columns.keys()
EVENT_COLUMNS = tables.events.columns.keys()
DELIVERY_COLUMNS = tables.deliveries.columns.keys()[1:]
SETTLED_COLUMNS = [
    *("state", "attempts", "next_at", "last_status", "last_error", "done_at", "tries")
]
REPLAYED_COLUMNS = ["state", "attempts", "next_at", "done_at", "node"]
LADDER_COLUMNS = tables.ladders.columns.keys()
KEY_COLUMNS = tables.keys.columns.keys()
RECORDING_COLUMNS = tables.recordings.columns.keys()
FAX_COLUMNS = tables.faxes.columns.keys()
MESSAGE_COLUMNS = tables.messages.columns.keys()
FEED_COLUMNS = tables.feed.columns.keys()[1:]
IDEMPOTENCY_COLUMNS = tables.idempotency.columns.keys()

_encode_any = json.JSONEncoder(separators=(",", ":")).encode
_decode_json = json.JSONDecoder().decode

_CALL_JSON = frozenset(("request", "media", "dialog"))
idempotency_row: Callable[[IdempotencyRecord], Row] = attrgetter(*IDEMPOTENCY_COLUMNS)
_key_plain: Callable[[KeyRecord], Row] = attrgetter(*KEY_COLUMNS[:6])
_key_tail: Callable[[KeyRecord], Row] = attrgetter(*KEY_COLUMNS[9:])
recording_row: Callable[[RecordingRecord], Row] = attrgetter(*RECORDING_COLUMNS)
fax_row: Callable[[FaxRecord], Row] = attrgetter(*FAX_COLUMNS)
message_row: Callable[[MessageRecord], Row] = attrgetter(*MESSAGE_COLUMNS)


def encode_json(value: Any) -> str:
    """JSON text without spaces. A call has some twenty of them written."""
    try:
        return to_json(value).decode()
    except PydanticSerializationError:  # a lone surrogate from outside: it becomes an escape
        return _encode_any(value)


def call_row(call: CallRecord) -> Row:
    """A row of `calls`. Written out: by name every column would be looked up in the type."""
    return (
        call.sid,
        call.parent_sid,
        call.direction,
        call.from_number,
        call.to_number,
        call.caller_name,
        call.state,
        call.created_at,
        call.key_name,
        call.trunk,
        call.dialled_at,
        call.ringing_at,
        call.answered_at,
        call.ended_at,
        call.outcome,
        call.sip_code,
        call.cause,
        call.hangup_source,
        call.detail,
        call.recording_sid,
        encode_json(call.request),
        _encode_maybe(call.media),
        call.node,
        _encode_maybe(call.dialog),
    )


def call_fields(call_sid: str, fields: Mapping[str, Any], only_if: Mapping[str, Any]) -> Row:
    """New values of some columns of `calls`, then the sid of the row they are for and the values
    that other columns of it must have."""
    if not fields.keys().isdisjoint(_CALL_JSON):
        fields = {
            name: _encode_maybe(value) if name in _CALL_JSON else value
            for name, value in fields.items()
        }
    return (*fields.values(), call_sid, *only_if.values())


def _encode_maybe(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else encode_json(value)


def _decode_maybe(text: str | None) -> Any:
    return None if text is None else _decode_json(text)


def call_record(row: Row) -> CallRecord:
    """The inverse of `call_row`."""
    values = list(row)
    request, media, node, dialog = values[-4:]
    values[-4:] = _decode_json(request), _decode_maybe(media), node, _decode_maybe(dialog)
    return CallRecord(*values)


def event_row(event: EventRecord) -> Row:
    """A row of `events`."""
    return (event.call_sid, event.seq, event.at, event.kind, encode_json(event.data))


def event_record(row: Row) -> EventRecord:
    """The inverse of `event_row`."""
    call_sid, seq, at, kind, data = row
    return EventRecord(call_sid, seq, at, kind, _decode_json(data))


def delivery_row(delivery: DeliveryRecord) -> Row:
    """A row of `deliveries`."""
    return (
        delivery.id,
        delivery.call_sid,
        delivery.lane,
        delivery.position,
        delivery.event,
        delivery.url,
        delivery.method,
        encode_json(delivery.params),
        delivery.created_at,
        delivery.state,
        delivery.attempts,
        delivery.next_at,
        delivery.last_status,
        delivery.last_error,
        delivery.done_at,
        delivery.event_id,
        delivery.node,
        encode_json(delivery.tries) if delivery.tries else "[]",
    )


def settled_row(delivery: DeliveryRecord) -> Row:
    """What an attempt changes in a row of `deliveries`, and which row."""
    return (
        delivery.state,
        delivery.attempts,
        delivery.next_at,
        delivery.last_status,
        delivery.last_error,
        delivery.done_at,
        encode_json(delivery.tries),
        delivery.call_sid,
        delivery.id,
    )


def delivery_record(row: Row) -> DeliveryRecord:
    """The inverse of `delivery_row`."""
    values = list(row)
    values[7] = tuple((name, value) for name, value in _decode_json(row[7]))
    values[-1] = tuple(_decode_json(row[-1]))
    return DeliveryRecord(*values)


def ladder_row(call_sid: str, messages: Sequence[TracedMessage]) -> Row:
    """A row of `ladders`: what is known of each message with its size, and all their bytes."""
    known = [[m.at, m.outgoing, m.peer, m.transport, len(m.raw), m.local] for m in messages]
    return (call_sid, encode_json(known), b"".join([m.raw for m in messages]))


def ladder_messages(row: Row) -> list[TracedMessage]:
    """The inverse of `ladder_row`, without the sid."""
    text, raw = row
    messages, start = [], 0
    for at, outgoing, peer, transport, size, *local in _decode_json(text):  # older ones have none
        data = raw[start : start + size]
        messages.append(TracedMessage(at, outgoing, peer, transport, data, *local))
        start += size
    return messages


def key_row(key: KeyRecord) -> Row:
    """A row of `keys`. Lists are words with a comma between; NULL is none, and "" an empty one."""
    lists = (key.scopes, key.callers, key.destinations)
    return (
        *_key_plain(key),
        *(None if words is None else ",".join(words) for words in lists),
        *_key_tail(key),
    )


def key_record(row: Row) -> KeyRecord:
    """The inverse of `key_row`."""
    lists = (None if text is None else tuple(filter(None, text.split(","))) for text in row[6:9])
    return KeyRecord(*row[:6], *lists, *row[9:])


def recording_record(row: Row) -> RecordingRecord:
    """The inverse of `recording_row`."""
    return RecordingRecord(*row)


def fax_record(row: Row) -> FaxRecord:
    """The inverse of `fax_row`."""
    return FaxRecord(*row)


def message_record(row: Row) -> MessageRecord:
    """The inverse of `message_row`."""
    return MessageRecord(*row)


def feed_event(row: Row) -> FeedEvent:
    """A row of the query `feed`: a cursor, an event, and its call."""
    cursor, *rest = row
    width = len(EVENT_COLUMNS)
    return FeedEvent(
        str(cursor), event_record(tuple(rest[:width])), call_record(tuple(rest[width:]))
    )


def idempotency_record(row: Row) -> IdempotencyRecord:
    """The inverse of `idempotency_row`."""
    return IdempotencyRecord(*row)
