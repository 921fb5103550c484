"""Rows that are written out by hand have the columns of their tables, in order."""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any

from outdial.store import rows
from outdial.store.records import CallRecord, DeliveryRecord

JSON = {"request": {"to": "1"}, "media": {"mos": 4.4}, "dialog": {"cseq": 1}}
PARAMS = (("To", "1"),)
TRIES = ({"at": 1.0},)


def numbered(kind: type[Any], **values: Any) -> Any:
    """A record with another value in every field that none is given for."""
    return kind(**{one.name: values.get(one.name, place) for place, one in enumerate(fields(kind))})


def test_a_call() -> None:
    call = numbered(CallRecord, **JSON)
    wanted = dict(zip(rows.CALL_COLUMNS, attrgetter(*rows.CALL_COLUMNS)(call), strict=True))
    wanted |= {name: rows.encode_json(value) for name, value in JSON.items()}
    assert dict(zip(rows.CALL_COLUMNS, rows.call_row(call), strict=True)) == wanted
    assert rows.call_record(rows.call_row(call)) == call


def test_a_callback() -> None:
    delivery = numbered(DeliveryRecord, params=PARAMS, tries=TRIES)
    columns = rows.DELIVERY_COLUMNS
    wanted = dict(zip(columns, attrgetter(*columns)(delivery), strict=True))
    texts = {"params": rows.encode_json(PARAMS), "tries": rows.encode_json(TRIES)}
    assert dict(zip(columns, rows.delivery_row(delivery), strict=True)) == wanted | texts
    assert rows.delivery_record(rows.delivery_row(delivery)) == delivery
    settled = [*rows.SETTLED_COLUMNS, "call_sid", "id"]
    wanted = {name: (wanted | texts)[name] for name in settled}
    assert dict(zip(settled, rows.settled_row(delivery), strict=True)) == wanted
