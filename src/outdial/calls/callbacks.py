"""Status callbacks of one job: who wants which events, and their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from outdial import ids
from outdial.calls.request import CallRequest
from outdial.frozen import frozen
from outdial.store.records import CallRecord, DeliveryRecord
from outdial.webhooks.payloads import status_params


class Lane:
    """Deliveries to one URL on behalf of one job keep their order."""

    __slots__ = ("_next", "name", "root_sid")

    def __init__(self, root_sid: str, url: str) -> None:
        self.root_sid = root_sid
        self.name = f"{root_sid} {url}"
        self._next = 0

    def take(self) -> int:
        """The next position."""
        position = self._next
        self._next = position + 1
        return position

    def resume_at(self, position: int) -> None:
        """Goes on there: after a restart, behind everything taken before it."""
        self._next = position


@frozen
class Subscription:
    """Where a leg's events go."""

    url: str
    events: tuple[str, ...]
    method: str
    secret_key: str
    optional: str
    lane: Lane

    @classmethod
    def of_request(cls, request: CallRequest, sid: str) -> Subscription | None:
        """What the request subscribed to; None without `statusCallback`."""
        if not request.status_callback:
            return None
        return cls(
            request.status_callback,
            request.status_callback_events,
            request.status_callback_method,
            request.secret_key,
            request.optional,
            Lane(sid, request.status_callback),
        )

    @classmethod
    def of_leg(cls, stored: Mapping[str, Any], sid: str) -> Subscription:
        """The inverse of `to_json`, for a leg with callbacks of its own."""
        url = stored["status_callback"]
        events = tuple(stored["status_callback_events"])
        return cls(url, events, stored["status_callback_method"], "", "", Lane(sid, url))

    def to_json(self) -> dict[str, Any]:
        """As stored with a leg that has callbacks of its own, by the names of `CallRequest`."""
        return {
            "status_callback": self.url,
            "status_callback_events": self.events,
            "status_callback_method": self.method,
        }

    def delivery(
        self,
        call: CallRecord,
        event: str,
        sequence_number: int,
        now: float,
        seq: int,
        recording_url: str = "",
        recording_error: str = "",
    ) -> DeliveryRecord | None:
        """The callback for the event, None when it was not subscribed to.

        `seq` is the number on the timeline of the event that it tells of: the ids of the event and
        of the delivery follow from it, and are the same whoever works them out, and when.
        """
        if event not in self.events:
            return None
        params = status_params(
            call,
            event,
            sequence_number=sequence_number,
            at=now,
            recording_url=recording_url,
            recording_error=recording_error,
            secret_key=self.secret_key,
            optional=self.optional,
        )
        return DeliveryRecord(
            id=ids.of_delivery(call.sid, seq),
            call_sid=call.sid,
            lane=self.lane.name,
            position=self.lane.take(),
            event=event,
            url=self.url,
            method=self.method,
            params=params,
            created_at=now,
            next_at=now,
            event_id=ids.of_event(call.sid, seq),
        )
