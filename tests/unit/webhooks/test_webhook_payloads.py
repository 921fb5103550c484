"""Callbacks say what the source document says, by its names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outdial.store.records import CallRecord
from outdial.webhooks.payloads import duration_s, optional_params, status_params

CALL = CallRecord(
    "CA2", "CA1", "outbound", "18005797676", "19499300360", "", "answered", 1_700_000_000.0
)


def test_an_event_under_way_has_the_names_of_the_source() -> None:
    params = status_params(CALL, "ringing", sequence_number=1, at=1_700_000_001.25)
    assert params == (
        ("Called", "19499300360"),
        ("ParentCallSid", "CA1"),
        ("CallStatus", "ringing"),
        ("Direction", "Outbound"),
        ("callSid", "CA2"),
        ("CallbackSource", "call-progress-event"),
        ("SequenceNumber", "1"),
        ("Timestamp", "2023-11-14T22:13:21.250Z"),
        ("From", "18005797676"),
        ("To", "19499300360"),
    )


def test_completed_tells_the_duration_the_ending_and_the_recording() -> None:
    call = replace(
        CALL,
        answered_at=10.0,
        ended_at=32.9,
        outcome="completed",
        sip_code=200,
        cause="normal-clearing",
        hangup_source="callee",
    )
    params = dict(
        status_params(
            call,
            "completed",
            sequence_number=3,
            at=33.0,
            recording_url="http://h/v1/recordings/RE1.wav",
            secret_key="s3cret",
            optional="token=123456",
        )
    )
    assert params["CallDurartion"] == params["CallDuration"] == "22"
    assert params["RecordingURL"] == "http://h/v1/recordings/RE1.wav"
    assert params["CallOutcome"] == "completed"
    assert params["SipResponseCode"] == "200"
    assert params["HangupCause"] == "normal-clearing"
    assert params["HangupSource"] == "callee"
    assert params["apikey"] == "s3cret"
    assert params["token"] == "123456"


def test_what_is_told_on_completed_only_is_not_told_earlier() -> None:
    names = dict(
        status_params(CALL, "answered", sequence_number=2, at=1.0, recording_url="http://r")
    )
    assert names.keys().isdisjoint(
        {"CallDuration", "CallDurartion", "RecordingURL", "CallOutcome", "HangupCause", "apikey"}
    )


def test_a_call_that_nobody_answered_lasted_no_time_and_may_have_no_sip_code() -> None:
    call = replace(CALL, ended_at=40.0, outcome="failed", cause="no-media", hangup_source="outdial")
    params = dict(status_params(call, "completed", sequence_number=1, at=40.0))
    assert params["CallDuration"] == "0"
    assert "SipResponseCode" not in params


def test_a_clock_that_was_set_back_gives_no_negative_duration() -> None:
    assert duration_s(replace(CALL, answered_at=50.0, ended_at=40.0)) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("token=123456", (("token", "123456"),)),
        ("a=1&b=2&a=3", (("a", "1"), ("b", "2"), ("a", "3"))),
        ("just-a-token", (("optional", "just-a-token"),)),
        ("a=1&bare", (("a", "1"), ("optional", "bare"))),
        ("t=ab+c/d==", (("t", "ab+c/d=="),)),
        ("t=x%26y", (("t", "x&y"),)),
        ("a=", (("a", ""),)),
        ("=x", (("optional", "=x"),)),
        ("&&", ()),
        ("callsid=CAevil&APIKEY=x&CallStatus=completed&ok=1", (("ok", "1"),)),
        ("call%53id=CAevil&ok=1", (("ok", "1"),)),
    ],
)
def test_optional_tokens(text: str, expected: tuple[tuple[str, str], ...]) -> None:
    assert optional_params(text) == expected
