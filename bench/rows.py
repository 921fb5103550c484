"""Rows of calls that are long over, made fast: what a store holds after a million calls."""

from __future__ import annotations

from collections.abc import Iterator

from outdial import ids
from outdial.store import rows
from outdial.store.records import CallRecord, DeliveryRecord, EventRecord
from outdial.store.rows import Row

STEP_S = 2.0
"""Between two calls."""
EVENTS = ("queued", "dialling", "ringing", "answered", "completed")
CALLS_A_NUMBER = 10

_PLACEHOLDER = "CA" + "f" * 32
_URL = "https://shop.example.com/telephony/status.php"
_TRY = {
    "at": 0.0,
    "ms": 41.2,
    "status": 200,
    "error": "",
    "peer": "203.0.113.7:443",
    "timestamp": 1_800_000_000,
    "signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
    "head": "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Length: 2",
}
_REQUEST = {
    "to": "12025550123",
    "from_": "18005797676",
    "url": "https://shop.example.com/telephony/pin.php?order=4711",
    "method": "POST",
    "send_digits": "",
    "status_callback": _URL,
    "status_callback_events": ["initiated", "ringing", "answered", "completed"],
    "status_callback_method": "POST",
    "secret_key": "",
    "optional": "order=4711",
    "timeout_s": 60,
    "time_limit_s": 14400,
    "record": False,
    "fallback_url": "",
    "trunk": "",
    "caller_name": "",
}
_MEDIA = {"packets_sent": 612, "packets_received": 598, "lost": 0, "jitter_ms": 1.9, "late": 0}


def sid(number: int, began_at: float) -> str:
    """Of the call of that number."""
    at = began_at + number * STEP_S
    return f"{ids.CALL}{int(at * 1000):012x}{number:020x}"


def to_number(number: int, of: int) -> str:
    """Whom it called: each is called about ten times, far apart."""
    return f"1202{number * 7919 % max(1, of // CALLS_A_NUMBER):07d}"


class Rows:
    """The rows of some calls, by table, as COPY and executemany take them."""

    def __init__(self) -> None:
        self.calls: list[Row] = []
        self.events: list[Row] = []
        self.deliveries: list[Row] = []
        self.feed: list[Row] = []

    def by_table(self) -> Iterator[tuple[str, list[str], list[Row]]]:
        """Table, columns, rows."""
        yield "calls", list(rows.CALL_COLUMNS), self.calls
        yield "events", list(rows.EVENT_COLUMNS), self.events
        yield "deliveries", list(rows.DELIVERY_COLUMNS), self.deliveries
        yield "feed", list(rows.FEED_COLUMNS), self.feed


class Template:
    """A call that was answered, told and is over, to be copied a million times.

    What differs is its id, its number and its times; encoding the rest anew would be most of the
    work.
    """

    def __init__(self) -> None:
        call = CallRecord(
            _PLACEHOLDER, _PLACEHOLDER, "outbound", "18005797676", "", "", "completed", 0.0, "dev",
            "carrier-a", outcome="completed", sip_code=200, cause="normal-clearing",
            hangup_source="callee", detail="the callee hung up", request=_REQUEST, media=_MEDIA,
        )  # fmt: skip
        self._call = rows.call_row(call)
        data = {"trunk": "carrier-a", "status": 180}
        self._events = [
            rows.event_row(EventRecord(_PLACEHOLDER, seq, float(seq), f"state.{state}", data))
            for seq, state in enumerate(EVENTS)
        ]
        data = {"url": _REQUEST["url"], "status": 200, "bytes": 214, "ms": 38.1}
        fetched = EventRecord(_PLACEHOLDER, len(EVENTS), 5.1, "document.fetched", data)
        self._events.append(rows.event_row(fetched))
        self._deliveries = [
            delivery(_PLACEHOLDER, seq, state, float(seq), "done")
            for seq, state in enumerate(EVENTS[1:], 1)
        ]

    def copy(self, made: Rows, call_sid: str, at: float, number: str, key: str) -> None:
        """Adds the rows of another such call."""
        times = (at, at + 1.2, at + 5.0, at + 17.5)
        call = self._call
        head = (call_sid, call_sid, *call[2:4], number, *call[5:7], at, key, call[9])
        made.calls.append((*head, *times, *call[14:]))
        for _, seq, after_s, kind, data in self._events:
            made.events.append((call_sid, seq, at + after_s, kind, data))
        made.feed.extend((call_sid, seq) for seq in range(4))
        digits = call_sid[2:26]
        for row in self._deliveries:
            made.deliveries.append(
                tuple(
                    value.replace(_PLACEHOLDER, call_sid).replace(_PLACEHOLDER[2:26], digits)
                    if isinstance(value, str)
                    else at + value
                    if isinstance(value, float)
                    else value
                    for value in row
                )
            )


def finished(first: int, last: int, of: int, began_at: float) -> Rows:
    """Calls that ended and were told, of a store with `of` calls since `began_at`."""
    made, template = Rows(), Template()
    for number in range(first, last):
        key = "dev" if number % 3 else "shop"
        at = began_at + number * STEP_S
        template.copy(made, sid(number, began_at), at, to_number(number, of), key)
    return made


def delivery(call_sid: str, seq: int, state: str, at: float, settled: str) -> Row:
    """The row of a callback."""
    params = (
        ("callSid", call_sid),
        ("ParentCallSid", call_sid),
        ("From", "18005797676"),
        ("To", "12025550123"),
        ("CallStatus", state),
        ("Direction", "outbound"),
        ("SequenceNumber", str(seq)),
        ("Timestamp", "2027-01-15T08:00:00.000Z"),
        ("order", "4711"),
    )
    return rows.delivery_row(
        DeliveryRecord(
            ids.of_delivery(call_sid, seq),
            call_sid,
            f"{call_sid} {_URL}",
            seq,
            state,
            _URL,
            "POST",
            params,
            at,
            settled,
            1,
            at,
            200,
            "",
            at + 0.1 if settled == "done" else None,
            ids.of_event(call_sid, seq),
            "",
            (_TRY,) if settled == "done" else (),
        )
    )
