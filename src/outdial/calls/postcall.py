"""Postcall: a URL that a document names, to be told the call's whole record after its end.

It is kept with what was asked for, so that it is told after a crash too, and is delivered like any
callback: at least once, repeated until it is taken.
"""

from __future__ import annotations

from typing import Any

from outdial import ids
from outdial.frozen import frozen
from outdial.store.records import CallRecord, DeliveryRecord
from outdial.webhooks.payloads import postcall_params

KEY = "postcall"
_PLACE = 1
"""Its delivery is the second of the event that ends the call."""


@frozen
class Postcall:
    """Where the record goes."""

    url: str
    method: str

    @classmethod
    def of(cls, call: CallRecord) -> Postcall | None:
        """What the call's document named; None when it named nothing."""
        kept = call.request.get(KEY)
        return cls(kept["url"], kept["method"]) if kept else None

    def keep_with(self, call: CallRecord) -> dict[str, Any]:
        """Remembers it; gives the column to be written."""
        call.request = {**call.request, KEY: {"url": self.url, "method": self.method}}
        return {"request": call.request}

    def delivery(
        self,
        call: CallRecord,
        now: float,
        seq: int,
        recording_url: str = "",
        recording_error: str = "",
    ) -> DeliveryRecord:
        """What is told of a call that is over; `seq` is the number of the event that ended it."""
        delivery_id = ids.of_delivery(call.sid, seq, _PLACE)
        return DeliveryRecord(
            id=delivery_id,
            call_sid=call.sid,
            lane=f"{call.sid} {KEY}",
            position=0,
            event="completed",
            url=self.url,
            method=self.method,
            params=postcall_params(
                call, at=now, recording_url=recording_url, recording_error=recording_error
            ),
            created_at=now,
            next_at=now,
            # Not that of the event: a status callback to the same receiver has that one.
            event_id=delivery_id,
        )
