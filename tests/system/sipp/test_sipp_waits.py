"""Calls on which time itself must do something: up to a minute, all of them at once."""

from __future__ import annotations

import pytest

from system.sipp.long_calls import RING_S, LongCalls
from system.sipp.stage import STEPS, WELL, End

pytestmark = pytest.mark.long

_PATIENCE_S = 90.0


def test_a_callee_of_whom_nothing_is_heard_is_hung_up(long_calls: LongCalls) -> None:
    phone, call = long_calls.silent
    end = WELL._replace(cause="media-timeout", source="outdial")
    call.ended(*STEPS, end, timeout_s=_PATIENCE_S)
    assert call.wait_for("completed")["CallDuration"] == "2"
    assert len(phone.received("BYE ")) == 1


def test_a_callee_who_is_heard_is_not(long_calls: LongCalls) -> None:
    _, call = long_calls.talking
    call.ended(*STEPS, WELL, timeout_s=_PATIENCE_S)
    assert call.wait_for("completed")["CallDuration"] == "4"


def test_ringing_for_longer_than_a_transaction_lasts(long_calls: LongCalls) -> None:
    phone, call = long_calls.slow
    call.ended(*STEPS, WELL, timeout_s=_PATIENCE_S)
    shown = call.show()
    rung_s = _seconds(shown["answered_at"]) - _seconds(shown["ringing_at"])
    assert rung_s % 86_400 == pytest.approx(RING_S, abs=0.5)
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
    assert call.wait_for("completed")["CallDuration"] == "60"
    assert "cause=102" in " ".join(phone.received("BYE ")[0].get_all("Reason"))


def _seconds(stamp: str) -> float:
    hours, minutes, seconds = stamp.rstrip("Z").partition("T")[2].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
