"""Calls on which time itself must do something: up to a minute, all of them at once."""

from __future__ import annotations

from datetime import datetime

import pytest

from system.sipp.long_calls import RING_S, LongCalls
from system.sipp.stage import STEPS, WELL, Call, End

pytestmark = pytest.mark.long

_PATIENCE_S = 90.0


def test_a_callee_of_whom_nothing_is_heard_is_hung_up(long_calls: LongCalls) -> None:
    phone, call = long_calls.silent
    end = WELL._replace(cause="media-timeout", source="outdial")
    call.ended(*STEPS, end, timeout_s=_PATIENCE_S)
    assert _talked_s(call) == pytest.approx(2, abs=0.3)
    assert len(phone.received("BYE ")) == 1


def test_a_callee_who_is_heard_is_not(long_calls: LongCalls) -> None:
    _, call = long_calls.talking
    call.ended(*STEPS, WELL, timeout_s=_PATIENCE_S)
    assert call.wait_for("completed")["CallDuration"] == "4"


def test_ringing_for_longer_than_a_transaction_lasts(long_calls: LongCalls) -> None:
    phone, call = long_calls.slow
    call.ended(*STEPS, WELL, timeout_s=_PATIENCE_S)
    assert _seconds(call, "ringing_at", "answered_at") == pytest.approx(RING_S, abs=0.5)
    assert phone.received("CANCEL ") == []
    assert len(call.fetches()) == 1


def test_a_session_is_refreshed_by_update(long_calls: LongCalls) -> None:
    phone, call = long_calls.updated
    call.ended(*STEPS, WELL, timeout_s=_PATIENCE_S)
    (update,) = phone.received("UPDATE ")
    assert update.get("Session-Expires") == "90;refresher=uac"
    assert update.body == ""


def test_a_session_is_refreshed_by_reinvite_when_update_is_not_allowed(
    long_calls: LongCalls,
) -> None:
    phone, call = long_calls.reinvited
    call.ended(*STEPS, WELL, timeout_s=_PATIENCE_S)
    first, second = phone.received("INVITE ")
    assert second.get("Session-Expires") == "90;refresher=uac"
    assert second.body == first.body, "the same description: nothing changes"


def test_a_session_that_the_callee_forgets_to_refresh_is_over(long_calls: LongCalls) -> None:
    phone, call = long_calls.forgotten
    end = End("completed", "408", "session-lost", "carrier")
    call.ended(*STEPS, end, timeout_s=_PATIENCE_S)
    assert _talked_s(call) == pytest.approx(60, abs=0.3), "90 s less a third (RFC 4028 section 10)"
    assert "cause=102" in " ".join(phone.received("BYE ")[0].get_all("Reason"))


def _talked_s(call: Call) -> float:
    return _seconds(call, "answered_at", "ended_at")


def _seconds(call: Call, start: str, end: str) -> float:
    shown = call.show()
    between = datetime.fromisoformat(shown[end]) - datetime.fromisoformat(shown[start])
    return between.total_seconds()
