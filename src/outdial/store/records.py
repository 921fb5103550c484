"""The rows of the record as plain objects. Times are wall time in seconds since the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from outdial.frozen import frozen


@dataclass(slots=True)
class CallRecord:
    """One leg as the API shows it."""

    sid: str
    parent_sid: str
    """The A leg's sid; equal to `sid` on an A leg."""
    direction: str
    """outbound or inbound"""
    from_number: str
    to_number: str
    caller_name: str
    state: str
    """queued, dialling, ringing, answered, completed: outdial.calls.states.State values."""
    created_at: float
    key_name: str = ""
    """Name of the API key that placed it."""
    trunk: str = ""
    dialled_at: float | None = None
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    outcome: str | None = None
    """completed, busy, no-answer, failed, canceled; None until it has ended."""
    sip_code: int | None = None
    cause: str | None = None
    hangup_source: str | None = None
    detail: str | None = None
    recording_sid: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, as `CallRequest.to_json` gives it; on a B leg its own callbacks or {}."""
    media: Mapping[str, Any] | None = None
    """legs.MediaStats as a mapping, once the leg has ended."""
    node: str = ""
    """The node that holds the call; "" where there is only one."""
    dialog: Mapping[str, Any] | None = None
    """What ending the call's SIP dialog needs if this process cannot; None once it has ended."""


@frozen
class EventRecord:
    """One line of a call's timeline."""

    call_sid: str
    seq: int
    """Counts from 0 within the call, without gaps."""
    at: float
    kind: str
    """state.dialling, state.ringing, ..., document.fetched, verb.started, callback..., warning."""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class DeliveryRecord:
    """One callback to be delivered."""

    id: str
    """DE and 32 hex digits; the same on every attempt."""
    call_sid: str
    lane: str
    """Deliveries of one lane arrive strictly in order: the root call's sid and the URL."""
    position: int
    """Order within the lane."""
    event: str
    """initiated, ringing, answered, completed"""
    url: str
    method: str
    params: tuple[tuple[str, str], ...]
    created_at: float
    state: str = "pending"
    """pending, done, dead"""
    attempts: int = 0
    next_at: float = 0.0
    last_status: int | None = None
    last_error: str = ""
    done_at: float | None = None
    event_id: str = ""
    """EV and 32 hex digits: the event it tells of; the same on every attempt."""
    node: str = ""
    """The node that delivers it; "" where there is only one."""
    tries: tuple[Mapping[str, Any], ...] = ()
    """Each attempt so far, oldest first: `Attempt.to_json`."""


@dataclass(slots=True)
class RecordingRecord:
    """A recording on disk."""

    sid: str
    call_sid: str
    path: str
    """Relative to the recordings folder."""
    created_at: float
    duration_ms: int | None = None
    """None while it is being recorded."""
    channels: int = 2
    size_bytes: int | None = None
    error: str = ""
    kind: str = "call"
    """call: all that is said on it; message: what Record takes; conference: the whole room."""


@frozen
class RecordingFilter:
    """What `recording_page` selects; None and "" select all."""

    call_sid: str = ""
    kind: str = ""
    created_after: float | None = None
    created_before: float | None = None


@frozen
class RecordingPage:
    """A page of recordings, newest first, and the cursor of the next ("" on the last)."""

    recordings: tuple[RecordingRecord, ...]
    next_cursor: str


@frozen
class NumberRecord:
    """A number of ours that the API manages, as `config.Number` is one of the settings."""

    number: str
    """E.164 digits."""
    url: str
    method: str = "POST"
    fallback_url: str = ""
    status_callback: str = ""
    status_callback_events: tuple[str, ...] = ("completed",)
    record: bool = False
    created_at: float = 0.0
    updated_at: float = 0.0


@frozen
class FaxRecord:
    """A fax that a call received, as PDF on disk."""

    sid: str
    call_sid: str
    created_at: float
    """When it was complete."""
    status: str
    """Complete, incomplete"""
    pages: int
    received: int
    """Those of the pages that came whole."""
    sender: str
    """What the sending machine calls itself."""
    size_bytes: int
    error: str = ""


@dataclass(slots=True)
class MessageRecord:
    """A short message that a call sends."""

    sid: str
    call_sid: str
    from_number: str
    to_number: str
    """As the document has it when no such number can exist."""
    body: str
    state: str
    """queued, sending, sent, failed"""
    created_at: float
    ended_at: float | None = None
    via: str = ""
    """The trunk that it went to, or `gateway`; "" while it has not gone."""
    status: int | None = None
    """SIP or HTTP status of the last answer."""
    error: str = ""
    """Why it failed, for a person."""
    status_callback: str = ""
    status_callback_method: str = "POST"
    node: str = ""
    """The node that sends it; "" where there is only one."""


@frozen
class Change:
    """What happens to a call at one moment, committed as a whole."""

    call_sid: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Columns of CallRecord and their new values."""
    events: tuple[EventRecord, ...] = ()
    deliveries: tuple[DeliveryRecord, ...] = ()
    recordings: tuple[RecordingRecord, ...] = ()
    only_if: Mapping[str, Any] = field(default_factory=dict)
    """Columns of CallRecord that must still have these values, else StoreConflict and nothing
    is written."""
    messages: tuple[MessageRecord, ...] = ()
    faxes: tuple[FaxRecord, ...] = ()


@frozen
class IdempotencyRecord:
    """A post that may be repeated: what it asked for and how it was answered."""

    key_name: str
    token: str
    """The Idempotency-Key, unique for its API key."""
    digest: str
    """Of the request, so that another one under the same token is noticed."""
    call_sid: str
    answer: str
    """The body that was answered."""
    created_at: float


@frozen
class FeedEvent:
    """An event that changed a call's state, with its place among those of all calls."""

    cursor: str
    """Opaque: where to go on behind this event."""
    event: EventRecord
    call: CallRecord
    """As it stands when it is read, not as it stood at the event."""


@frozen
class DeliveryFilter:
    """What `delivery_page` selects; "" selects all."""

    call_sid: str = ""
    state: str = ""
    """pending, done, dead"""


@frozen
class DeliveryPage:
    """A page of callbacks, newest first, and the cursor of the next ("" on the last)."""

    deliveries: tuple[DeliveryRecord, ...]
    next_cursor: str


@frozen
class Usage:
    """What the calls of one API key and trunk came to. One leg is one call."""

    key_name: str
    trunk: str
    outcome: str
    """"" for calls that have not ended."""
    calls: int
    answered: int
    seconds: float
    """Answered time of the calls that have ended."""


@frozen
class Talked:
    """How long was talked on calls of one API key and trunk."""

    key_name: str
    trunk: str
    seconds: float


@frozen
class KeyRecord:
    """An API key as stored: its hash, never itself."""

    id: str
    name: str
    prefix: str
    """The first characters, so that people can tell keys apart."""
    digest: str
    """SHA-256 of the key, hex: keys are 192 random bits, a slow hash would add nothing."""
    created_at: float
    revoked_at: float | None = None
    """From when on it is not valid; in the future while its successor is being made known."""
    scopes: tuple[str, ...] | None = None
    """None: all."""
    callers: tuple[str, ...] | None = None
    """As `KeyRules` has them; None: any."""
    destinations: tuple[str, ...] | None = None
    calls_per_second: float = 0.0
    concurrent_calls: int = 0
    minutes_per_day: float = 0.0
    expires_at: float | None = None
    last_used_at: float | None = None

    def is_valid(self, now: float) -> bool:
        """Whether who shows it is let in."""
        return all(end is None or end > now for end in (self.revoked_at, self.expires_at))


@frozen
class CallFilter:
    """What `list_calls` selects; None and "" select all."""

    state: str = ""
    outcome: str = ""
    to_number: str = ""
    from_number: str = ""
    parent_sid: str = ""
    direction: str = ""
    created_after: float | None = None
    created_before: float | None = None


@frozen
class CallPage:
    """A page of calls, newest first, and the cursor of the next ("" on the last)."""

    calls: tuple[CallRecord, ...]
    next_cursor: str
