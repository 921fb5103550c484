"""What `/v1` shows and takes, as the OpenAPI document has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from outdial import ids
from outdial.calls import checks
from outdial.clock import iso8601
from outdial.legs import TracedMessage
from outdial.net.client import preview
from outdial.store import records
from outdial.store.records import CallRecord, DeliveryRecord, EventRecord
from outdial.webhooks.payloads import SECRET_PARAM, duration_s

State = Literal["queued", "dialling", "ringing", "answered", "completed"]
Outcome = Literal["completed", "busy", "no-answer", "failed", "canceled"]
Event = Literal["initiated", "ringing", "answered", "completed"]
DeliveryEvent = Literal["initiated", "ringing", "answered", "completed", "sms"]
Method = Literal["GET", "POST"]
Direction = Literal["outbound", "inbound"]
DeliveryState = Literal["pending", "done", "dead"]
Dead = Literal["dead"]

_MASK = "***"


def _whole(value: object) -> object:
    """JSON knows one kind of number: 60.0 is the integer 60."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]


class NewCall(BaseModel):
    """A call to place. Empty text is the same as leaving the field out."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)

    to: str = Field(
        min_length=1,
        description="Number to dial, E.164; ten digits are North American.",
        examples=["19499300360"],
    )
    from_: str = Field(
        alias="from",
        min_length=1,
        description="Caller ID, or anonymous to withhold it; without `url` also dialled.",
        examples=["18005797676"],
    )
    url: str = Field(
        "",
        max_length=checks.MAX_URL,
        description="The voice application.",
        examples=["https://example.com/app.xml"],
    )
    method: Method = Field("POST", description="HTTP method for `url`.")
    send_digits: str = Field(
        "",
        max_length=checks.MAX_DIGITS,
        pattern=r"^[0-9*#A-DwW]*$",
        description="DTMF sent on answer; w waits 0.5 s, W 1 s.",
    )
    status_callback: str = Field("", max_length=checks.MAX_URL, description="Told of events.")
    status_callback_event: list[Event] = Field(
        ["completed"], max_length=checks.MAX_EVENT_LISTS, description="Which events are told."
    )
    status_callback_method: Method = "POST"
    secret_key: str = Field(
        "", max_length=checks.MAX_SECRET_KEY, description="Sent with callbacks as `apikey`."
    )
    optional: str = Field(
        "", max_length=checks.MAX_OPTIONAL, description="Echoed with callbacks, e.g. token=1."
    )
    timeout: Whole = Field(60, ge=1, le=checks.MAX_TIMEOUT_S, description="Ringing seconds.")
    time_limit: Whole = Field(
        14_400, ge=1, le=checks.MAX_TIME_LIMIT_S, description="Longest answered seconds."
    )
    record: bool = Field(False, description="Record both directions to a WAV file.")
    fallback_url: str = Field(
        "", max_length=checks.MAX_URL, description="Fetched when `url` fails."
    )
    trunk: str = Field("", max_length=checks.MAX_TRUNK, description="Use only this trunk.")
    caller_name: str = Field("", max_length=checks.MAX_CALLER_NAME)
    sip_headers: dict[str, str] = Field(
        {},
        description="Further header fields of the INVITE; their names begin with X-.",
        examples=[{"X-Account": "42"}],
    )

    def values(self) -> dict[str, list[str]]:
        """As `checks.check` takes them; only what was given."""
        given = self.model_dump(by_alias=True, exclude_unset=True)
        return {name: _as_list(value) for name, value in given.items()}


def _as_list(value: object) -> list[str]:
    if isinstance(value, dict):
        return [f"{name}: {text}" for name, text in value.items()]
    return value if isinstance(value, list) else [_as_text(value)]


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_POSTED_AS = {
    "from_": "from",
    "status_callback_events": "status_callback_event",
    "timeout_s": "timeout",
    "time_limit_s": "time_limit",
}
"""Names of `CallRequest` that are other ones in `NewCall`."""


class Call(BaseModel):
    """One leg of a call. Times are RFC 3339 in UTC; null: it has not happened."""

    sid: str
    parent_sid: str = Field(description="The A leg's sid; equal to `sid` on an A leg.")
    direction: Direction
    from_: str = Field(alias="from")
    to: str
    caller_name: str
    state: State
    queue_position: int | None = Field(
        description="Its place in the queue, from 1; null when it does not wait, and in lists."
    )
    outcome: Outcome | None
    created_at: str
    dialled_at: str | None
    ringing_at: str | None
    answered_at: str | None
    ended_at: str | None
    duration_s: int | None = Field(
        description="Whole seconds from answer to end; 0: never answered, null: not over."
    )
    sip_code: int | None
    cause: str | None = Field(description="A word of docs/reference/causes.md.")
    hangup_source: str | None
    detail: str | None = Field(description="One sentence for a person.")
    trunk: str
    key_name: str
    recording_sid: str | None
    request: dict[str, Any] = Field(
        description="What was asked for, by the names of POST /v1/calls; secrets are masked."
    )
    media: dict[str, Any] | None = Field(description="RTP counters, once the call has ended.")

    @classmethod
    def of(cls, record: CallRecord, queue_position: int | None = None) -> Call:
        """The call as the API shows it."""
        request = {_POSTED_AS.get(name, name): value for name, value in record.request.items()}
        if request.get("secret_key"):
            request["secret_key"] = _MASK
        request["sip_headers"] = dict(request.get("sip_headers", ()))
        return cls.model_validate(
            {
                "sid": record.sid,
                "parent_sid": record.parent_sid,
                "direction": record.direction,
                "from": record.from_number,
                "to": record.to_number,
                "caller_name": record.caller_name,
                "state": record.state,
                "queue_position": queue_position,
                "outcome": record.outcome,
                "created_at": iso8601(record.created_at),
                "dialled_at": _time(record.dialled_at),
                "ringing_at": _time(record.ringing_at),
                "answered_at": _time(record.answered_at),
                "ended_at": _time(record.ended_at),
                "duration_s": None if record.ended_at is None else duration_s(record),
                "sip_code": record.sip_code,
                "cause": record.cause,
                "hangup_source": record.hangup_source,
                "detail": record.detail,
                "trunk": record.trunk,
                "key_name": record.key_name,
                "recording_sid": record.recording_sid,
                "request": request,
                "media": None if record.media is None else dict(record.media),
            }
        )


def answer(record: CallRecord, queue_position: int | None) -> str:
    """The JSON that the post of a call is answered with."""
    return Call.of(record, queue_position).model_dump_json(by_alias=True)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else iso8601(seconds)


class Calls(BaseModel):
    """A page of calls, newest first."""

    calls: list[Call]
    next_cursor: str = Field(description='Give it as `cursor` for the next page; "" on the last.')


class TimelineEvent(BaseModel):
    """One line of a call's timeline."""

    seq: int = Field(description="Counts from 0 within the call.")
    at: str
    kind: str = Field(description="state.ringing, document.fetched, callback.failed, ...")
    data: dict[str, Any]

    @classmethod
    def of(cls, record: EventRecord) -> TimelineEvent:
        """The event as the API shows it."""
        return cls(seq=record.seq, at=iso8601(record.at), kind=record.kind, data=dict(record.data))


class Timeline(BaseModel):
    """A call's timeline, oldest first, 1000 events at most at once."""

    events: list[TimelineEvent]


class SipMessage(BaseModel):
    """One SIP message as it went over the wire."""

    at: str
    direction: Literal["out", "in"]
    peer: str
    transport: str
    start_line: str
    text: str = Field(description="The whole message; bytes that are not UTF-8 are replaced.")

    @classmethod
    def of(cls, message: TracedMessage) -> SipMessage:
        """The message as the API shows it."""
        text = message.raw.decode("utf-8", "replace")
        return cls(
            at=iso8601(message.at),
            direction="out" if message.outgoing else "in",
            peer=message.peer,
            transport=message.transport,
            start_line=text.partition("\r\n")[0],
            text=text,
        )


class Ladder(BaseModel):
    """A leg's SIP messages, oldest first; empty until the leg's ladder is saved at its end."""

    messages: list[SipMessage]


class Delivery(BaseModel):
    """One status callback and how its delivery stands."""

    id: str
    call_sid: str
    event: DeliveryEvent = Field(description="What is told of; sms is a text message's end.")
    url: str
    method: Method
    state: DeliveryState
    attempts: int
    created_at: str
    next_at: str | None = Field(description="When it is tried next; null when it is not.")
    done_at: str | None
    last_status: int | None
    last_error: str

    @classmethod
    def of(cls, record: DeliveryRecord) -> Delivery:
        """The delivery as the API shows it."""
        pending = record.state == "pending" and record.next_at
        return cls.model_validate(
            {
                "id": record.id,
                "call_sid": record.call_sid,
                "event": record.event,
                "url": record.url,
                "method": record.method,
                "state": record.state,
                "attempts": record.attempts,
                "created_at": iso8601(record.created_at),
                "next_at": iso8601(record.next_at) if pending else None,
                "done_at": _time(record.done_at),
                "last_status": record.last_status,
                "last_error": record.last_error,
            }
        )


class Deliveries(BaseModel):
    """A page of callbacks, newest first; those of one call in the order they were made."""

    deliveries: list[Delivery]
    next_cursor: str = Field(description='Give it as `cursor` for the next page; "" on the last.')


class SentRequest(BaseModel):
    """A callback as it is sent. The value of `secret_key` is masked."""

    method: Method
    url: str
    headers: dict[str, str] = Field(
        description="Without webhook-timestamp and webhook-signature, which each attempt has."
    )
    body: str


class Try(BaseModel):
    """One attempt to deliver a callback."""

    at: str
    ms: float = Field(description="How long it took.")
    status: int | None = Field(description="Of the answer; null when there was no complete one.")
    error: str = Field(description='Why it failed; "" when it was taken.')
    peer: str = Field(description="Address and port of the receiver.")
    timestamp: int | None = Field(description="The webhook-timestamp that was sent.")
    signature: str = Field(description="The webhook-signature that was sent.")
    response_head: str = Field(description="Status line and headers, cut at about 1 KB.")


class DeliveryInFull(Delivery):
    """A callback, the request, and every attempt."""

    event_id: str = Field(description="The webhook-id: the same on every attempt.")
    node: str = Field(description='The node that delivers it; "" where there is only one.')
    request: SentRequest
    tries: list[Try]

    @classmethod
    def of_record(cls, record: DeliveryRecord) -> DeliveryInFull:
        """The delivery as the API shows it."""
        message_id = record.event_id or record.id
        shown = tuple((n, _MASK if n == SECRET_PARAM and v else v) for n, v in record.params)
        masked = preview(record.method, record.url, shown, message_id)
        headers = preview(record.method, record.url, record.params, message_id).headers
        return cls(
            **Delivery.of(record).model_dump(),
            event_id=message_id,
            node=record.node,
            request=SentRequest.model_validate(
                {
                    "method": record.method,
                    "url": masked.url,
                    "headers": headers,
                    "body": masked.body,
                }
            ),
            tries=[_try(kept) for kept in record.tries],
        )


def _try(kept: Mapping[str, Any]) -> Try:
    return Try(
        at=iso8601(kept["at"]),
        ms=kept["ms"],
        status=kept["status"],
        error=kept["error"],
        peer=kept.get("peer", ""),
        timestamp=kept.get("timestamp"),
        signature=kept.get("signature", ""),
        response_head=kept.get("head", ""),
    )


class Replayed(BaseModel):
    """How many callbacks are delivered once more."""

    count: int


class FeedEvent(BaseModel):
    """An event that changed a call's state."""

    id: str = Field(description="The webhook-id of callbacks that tell of it.")
    type: str = Field(description="call.queued, .dialling, .ringing, .answered, .completed.")
    at: str
    call_sid: str
    parent_sid: str
    seq: int = Field(description="Its number on the call's timeline.")
    data: dict[str, Any]
    call: Call = Field(description="As it stands now, not as it stood then.")

    @classmethod
    def of(cls, found: records.FeedEvent) -> FeedEvent:
        """The event as the API shows it."""
        event, call = found.event, found.call
        return cls(
            id=ids.of_event(event.call_sid, event.seq),
            type="call." + event.kind.partition(".")[2],
            at=iso8601(event.at),
            call_sid=event.call_sid,
            parent_sid=call.parent_sid,
            seq=event.seq,
            data=dict(event.data),
            call=Call.of(call),
        )


class Feed(BaseModel):
    """A page of the events of all calls, oldest first."""

    events: list[FeedEvent]
    next: str = Field(description="Give it as `after` to go on behind these events.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: int = Field(description="A number of docs/reference/errors.md.")
    field: str | None = Field(None, description="The parameter at fault.")


class Health(BaseModel):
    """Whether calls are taken."""

    ready: bool
    draining: bool
    live: int
    queued: int
    checks: dict[str, Any]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Accepted(BaseModel):
    """V2: the call is stored and will be placed."""

    status: Literal[True]
    message: str
    callSid: str = Field(pattern="^CA[0-9a-f]{32}$")  # noqa: N815 - the API's own spelling


class Rejection(BaseModel):
    """V2: the call was not taken."""

    status: Literal[False]
    code: int = Field(description="A number of docs/reference/errors.md.")
    message: str
    field: str | None = Field(None, description="The parameter at fault.")
