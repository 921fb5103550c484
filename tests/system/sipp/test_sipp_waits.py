"""Calls on which time itself must do something: up to a minute, all of them at once."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from doubles.faxes import is_installed, pictures_of, shows_pdf
from system.sipp.long_calls import FAXED, RING_S, LongCalls
from system.sipp.stage import STEPS, WELL, Call, End

pytestmark = pytest.mark.long

_PATIENCE_S = 90.0


@pytest.mark.skipif(not is_installed(), reason="libspandsp is not installed (libspandsp2)")
@pytest.mark.skipif(not shows_pdf(), reason="pdfimages is not installed (poppler-utils)")
def test_a_fax_is_received_whose_sender_is_refused_t38(
    long_calls: LongCalls, tmp_path: Path
) -> None:
    assert long_calls.faxed is not None
    phone, call, machine = long_calls.faxed
    call.ended(*STEPS, WELL, timeout_s=_PATIENCE_S)
    assert machine.result() == {"code": 0, "reason": "OK", "far": call.to, "pages": 2}
    refusal = phone.received("SIP/2.0 488")[0]
    assert refusal.get("CSeq") == "2 INVITE"
    (told,) = call.stage.web.received(FAXED)
    expected = {
        "callid": call.sid,
        "dialednumber": call.to,
        "callerid": call.from_,
        "faxstatus": "Complete",
        "numofpages": "2",
        "received": "2",
        "faxsender": "1 555 0100",
    }
    assert {name: told.params.get(name) for name in expected} == expected
    path = told.params["faxurl"].partition("/v1/")[2]
    pdf = tmp_path / "fax.pdf"
    pdf.write_bytes(call.stage.outdial.get_bytes(f"/v1/{path}"))
    assert pictures_of(pdf, tmp_path) == machine.pictures
    kinds = [event["kind"] for event in call.timeline()]
    assert [kind for kind in kinds if kind.startswith("fax.")] == [
        "fax.started", "fax.page", "fax.page", "fax.done"
    ]  # fmt: skip
    assert list(Path(call.stage.outdial.folder / "recordings").glob("FX*")) == [
        call.stage.outdial.folder / "recordings" / path.rpartition("/")[2]
    ]


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
