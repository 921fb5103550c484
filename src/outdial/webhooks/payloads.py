"""What a status callback says. Names and their spelling are the source document's."""

from __future__ import annotations

from urllib.parse import unquote

from outdial.clock import iso8601
from outdial.store.records import CallRecord, MessageRecord

Params = tuple[tuple[str, str], ...]

SECRET_PARAM = "apikey"  # noqa: S105 - a name
"""Carries the caller's `secretKey`, as the source document has it."""

_STANDARD = frozenset(
    name.lower()
    for name in (
        "Called",
        "ParentCallSid",
        "CallStatus",
        "Direction",
        "callSid",
        "CallbackSource",
        "CallDurartion",
        "CallDuration",
        "RecordingURL",
        "RecordingError",
        "SequenceNumber",
        "Timestamp",
        "From",
        "To",
        "CallOutcome",
        "SipResponseCode",
        "HangupCause",
        "HangupSource",
        "apikey",
    )
)


def status_params(
    call: CallRecord,
    event: str,
    *,
    sequence_number: int,
    at: float,
    recording_url: str = "",
    recording_error: str = "",
    secret_key: str = "",
    optional: str = "",
) -> Params:
    """The parameters of one callback, in order.

    `event` is one of calls.request.STATUS_EVENTS, `at` the wall time it happened, in seconds.
    `recording_url` and `recording_error` are only told on completed. `secret_key` and `optional`
    are the A leg's, on both legs.
    """
    completed = event == "completed"
    params = [
        ("Called", call.to_number),
        ("ParentCallSid", call.parent_sid),
        ("CallStatus", event),
        ("Direction", call.direction.capitalize()),
        ("callSid", call.sid),
        ("CallbackSource", "call-progress-event"),
    ]
    if completed:
        duration = str(duration_s(call))
        params += [("CallDurartion", duration), ("CallDuration", duration)]  # the source's typo
        if recording_url:
            params.append(("RecordingURL", recording_url))
        if recording_error:
            params.append(("RecordingError", recording_error))
    params += [
        ("SequenceNumber", str(sequence_number)),
        ("Timestamp", iso8601(at)),
        ("From", call.from_number),
        ("To", call.to_number),
    ]
    if completed:
        params += _ending(call)
    if secret_key:
        params.append((SECRET_PARAM, secret_key))
    return (*params, *optional_params(optional))


def postcall_params(
    call: CallRecord, *, at: float, recording_url: str = "", recording_error: str = ""
) -> Params:
    """The whole record of a call that is over, for Postcall. `at`: wall time, seconds."""
    params = [
        ("To", call.to_number),
        ("From", call.from_number),
        ("CallerName", call.caller_name),
        ("callSid", call.sid),
        ("Direction", call.direction),
        ("CallStatus", "completed"),
        ("CallDuration", str(duration_s(call))),
        *_ending(call),
        ("StartTime", iso8601(call.created_at)),
        ("AnswerTime", iso8601(call.answered_at) if call.answered_at is not None else ""),
        ("EndTime", iso8601(call.ended_at if call.ended_at is not None else at)),
        ("Trunk", call.trunk),
    ]
    if recording_url:
        params.append(("RecordingURL", recording_url))
    if recording_error:
        params.append(("RecordingError", recording_error))
    return tuple(params)


def message_params(message: MessageRecord, *, at: float) -> Params:
    """What became of a short message. `at`: wall time, seconds."""
    params = [
        ("SmsSid", message.sid),
        ("SmsStatus", message.state),
        ("From", message.from_number),
        ("To", message.to_number),
        ("callSid", message.call_sid),
        ("Timestamp", iso8601(at)),
    ]
    if message.state == "failed":
        if message.status is not None:
            params.append(("SmsErrorCode", str(message.status)))
        params.append(("SmsError", message.error))
    return tuple(params)


def duration_s(call: CallRecord) -> int:
    """Whole seconds from the answer to the end; 0 when it was never answered or still goes on."""
    if call.answered_at is None or call.ended_at is None:
        return 0
    return max(0, int(call.ended_at - call.answered_at))


def optional_params(text: str) -> Params:
    """The caller's own tokens (spec A20): ``k=v&k2=v2``, or a bare string as `optional`.

    Percent escapes are undone, so that a value may contain ``&``; a plus sign stays one, because
    tokens are often Base64. A name that is one of ours is left out, in whatever case.
    """
    params = []
    for piece in text.split("&"):
        name, equals, value = piece.partition("=")
        if not piece:
            continue
        if not equals or not name:
            params.append(("optional", unquote(piece)))
        elif unquote(name).lower() not in _STANDARD:
            params.append((unquote(name), unquote(value)))
    return tuple(params)


def _ending(call: CallRecord) -> list[tuple[str, str]]:
    params = [("CallOutcome", call.outcome or "")]
    if call.sip_code is not None:
        params.append(("SipResponseCode", str(call.sip_code)))
    params.append(("HangupCause", call.cause or ""))
    params.append(("HangupSource", call.hangup_source or ""))
    return params
