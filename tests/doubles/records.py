"""Rows of the record as tests make them."""

from __future__ import annotations

from dataclasses import replace

from outdial import ids
from outdial.store.records import CallRecord, DeliveryRecord, EventRecord


def a_call(sid: str = "", at: float = 1000.0, **fields: object) -> CallRecord:
    sid = sid or ids.new(ids.CALL)
    call = CallRecord(
        sid, sid, "outbound", "15005550100", "15005550001", "", "queued", at, "dev",
        request={"to": "15005550001", "status_callback_events": ["completed"]},
    )  # fmt: skip
    return replace(call, **fields)  # type: ignore[arg-type]


def an_event(sid: str, seq: int, kind: str = "state.ringing", **data: object) -> EventRecord:
    return EventRecord(sid, seq, 1000.0 + seq, kind, data)


def a_delivery(sid: str, position: int, **fields: object) -> DeliveryRecord:
    delivery = DeliveryRecord(
        ids.new(ids.DELIVERY), sid, f"{sid} http://x/", position, "ringing", "http://x/", "POST",
        (("CallStatus", "ringing"), ("callSid", sid)), 1000.0,
    )  # fmt: skip
    return replace(delivery, **fields)  # type: ignore[arg-type]
