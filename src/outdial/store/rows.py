"""Records to table rows and back. A row is a tuple in the order of the table's columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from outdial.legs import TracedMessage
from outdial.store import tables
from outdial.store.records import (
    CallRecord,
    DeliveryRecord,
    EventRecord,
    KeyRecord,
    RecordingRecord,
)

Row = tuple[Any, ...]

CALL_COLUMNS = tables.calls.columns.keys()
EVENT_COLUMNS = tables.events.columns.keys()
DELIVERY_COLUMNS = tables.deliveries.columns.keys()[1:]
SETTLED_COLUMNS = ["state", "attempts", "next_at", "last_status", "last_error", "done_at"]
LADDER_COLUMNS = tables.ladders.columns.keys()
KEY_COLUMNS = tables.keys.columns.keys()
RECORDING_COLUMNS = tables.recordings.columns.keys()

# one encoder for all: json.dumps with own separators builds a new one on each call.
# ASCII only, so that a lone surrogate from outside is an escape and not an error
encode_json = json.JSONEncoder(separators=(",", ":")).encode
_decode_json = json.JSONDecoder().decode

_call_plain: Callable[[CallRecord], Row] = attrgetter(*CALL_COLUMNS[:-2])
_delivery_head: Callable[[DeliveryRecord], Row] = attrgetter(*DELIVERY_COLUMNS[:7])
_delivery_tail: Callable[[DeliveryRecord], Row] = attrgetter(*DELIVERY_COLUMNS[8:])
settled_row: Callable[[DeliveryRecord], Row] = attrgetter(*SETTLED_COLUMNS, "call_sid", "id")
key_row: Callable[[KeyRecord], Row] = attrgetter(*KEY_COLUMNS)
recording_row: Callable[[RecordingRecord], Row] = attrgetter(*RECORDING_COLUMNS)


def call_row(call: CallRecord) -> Row:
    """A row of `calls`."""
    media = None if call.media is None else encode_json(call.media)
    return (*_call_plain(call), encode_json(call.request), media)


def call_fields(call_sid: str, fields: Mapping[str, Any]) -> Row:
    """New values of some columns of `calls`, and last the sid of the row they are for."""
    if "media" in fields or "request" in fields:
        fields = {
            name: encode_json(value)
            if name in ("media", "request") and value is not None
            else value
            for name, value in fields.items()
        }
    return (*fields.values(), call_sid)


def call_record(row: Row) -> CallRecord:
    """The inverse of `call_row`."""
    values = list(row)
    values[-2:] = _decode_json(row[-2]), None if row[-1] is None else _decode_json(row[-1])
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
        *_delivery_head(delivery),
        encode_json(delivery.params),
        *_delivery_tail(delivery),
    )


def delivery_record(row: Row) -> DeliveryRecord:
    """The inverse of `delivery_row`."""
    sid, call_sid, lane, position, event, url, method, text, *rest = row
    params = tuple((name, value) for name, value in _decode_json(text))
    return DeliveryRecord(sid, call_sid, lane, position, event, url, method, params, *rest)


def ladder_row(call_sid: str, messages: Sequence[TracedMessage]) -> Row:
    """A row of `ladders`: what is known of each message with its size, and all their bytes."""
    known = [[m.at, m.outgoing, m.peer, m.transport, len(m.raw)] for m in messages]
    return (call_sid, encode_json(known), b"".join([m.raw for m in messages]))


def ladder_messages(row: Row) -> list[TracedMessage]:
    """The inverse of `ladder_row`, without the sid."""
    text, raw = row
    messages, start = [], 0
    for at, outgoing, peer, transport, size in _decode_json(text):
        messages.append(TracedMessage(at, outgoing, peer, transport, raw[start : start + size]))
        start += size
    return messages


def key_record(row: Row) -> KeyRecord:
    """The inverse of `key_row`."""
    return KeyRecord(*row)


def recording_record(row: Row) -> RecordingRecord:
    """The inverse of `recording_row`."""
    return RecordingRecord(*row)
