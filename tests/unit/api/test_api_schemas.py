"""What `/v1` shows of a call."""

from __future__ import annotations

import json

import pytest

from outdial.api.schemas import Call, NewCall
from outdial.calls.request import CallRequest
from outdial.store.records import CallRecord
from outdial.webhooks.payloads import status_params

SID = "CA" + "0" * 32


@pytest.mark.parametrize(
    ("answered_at", "ended_at", "seconds"),
    [(100.0, 104.7, 4), (100.0, 104.2, 4), (None, 104.7, 0)],
)
def test_a_call_is_as_long_as_its_callback_says(
    answered_at: float | None, ended_at: float, seconds: int
) -> None:
    record = CallRecord(SID, SID, "outbound", "12025550100", "12025550123", "", "completed", 90.0)
    record.answered_at, record.ended_at = answered_at, ended_at
    told = dict(status_params(record, "completed", sequence_number=3, at=ended_at))
    assert Call.of(record).duration_s == seconds
    assert told["CallDuration"] == str(seconds)


def test_a_call_that_goes_on_has_no_length_yet() -> None:
    record = CallRecord(SID, SID, "outbound", "12025550100", "12025550123", "", "answered", 90.0)
    record.answered_at = 91.0
    assert Call.of(record).duration_s is None


def test_what_was_asked_for_is_shown_by_the_names_it_is_asked_by() -> None:
    request = CallRequest(to="12025550123", from_="12025550100")
    record = CallRecord(SID, SID, "outbound", "12025550100", "12025550123", "", "queued", 90.0)
    record.request = request.to_json()
    shown = Call.of(record).request
    asked = {field.alias or name for name, field in NewCall.model_fields.items()}
    assert set(shown) == asked
    assert NewCall.model_validate_json(json.dumps(shown)).time_limit == request.time_limit_s
