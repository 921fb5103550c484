"""SIP's reasons in the API's words."""

from __future__ import annotations

import pytest

from outdial.calls.endings import (
    CAUSES,
    may_try_next_trunk,
    of_rejection,
    of_release,
    of_silence,
)
from outdial.legs import NoRtp, Outcome, Rejected, Released, Source


@pytest.mark.parametrize(
    ("status", "outcome", "cause", "source"),
    [
        (486, Outcome.BUSY, "user-busy", Source.CALLEE),
        (600, Outcome.BUSY, "user-busy", Source.CALLEE),
        (603, Outcome.FAILED, "call-rejected", Source.CALLEE),
        (404, Outcome.FAILED, "unallocated-number", Source.CARRIER),
        (480, Outcome.NO_ANSWER, "no-answer", Source.CALLEE),
        (408, Outcome.NO_ANSWER, "no-answer", Source.CALLEE),
        (488, Outcome.FAILED, "incompatible-destination", Source.CALLEE),
        (407, Outcome.FAILED, "authentication-failed", Source.CARRIER),
        (503, Outcome.FAILED, "carrier-failure", Source.CARRIER),
        (302, Outcome.FAILED, "moved", Source.CARRIER),
        (499, Outcome.FAILED, "protocol-error", Source.CARRIER),
        (699, Outcome.FAILED, "protocol-error", Source.CARRIER),
    ],
)
def test_a_status_has_its_outcome(
    status: int, outcome: Outcome, cause: str, source: Source
) -> None:
    ending = of_rejection(Rejected(status, "Whatever"))
    assert (ending.outcome, ending.cause, ending.source) == (outcome, cause, source)
    assert ending.sip_code == status
    assert f"{status} Whatever" in ending.detail


@pytest.mark.parametrize("status", range(300, 700))
def test_every_final_status_has_a_documented_cause(status: int) -> None:
    assert of_rejection(Rejected(status, "")).cause in CAUSES


def test_a_trunk_that_says_nothing_is_unreachable() -> None:
    ending = of_rejection(Rejected(408, "Timer B", local=True))
    assert (ending.outcome, ending.cause) == (Outcome.FAILED, "trunk-unreachable")
    assert "Timer B" in ending.detail


def test_a_bye_is_the_callee_hanging_up() -> None:
    ending = of_release(Released(by_far_end=True))
    assert (ending.outcome, ending.cause, ending.source) == (
        Outcome.COMPLETED,
        "normal-clearing",
        Source.CALLEE,
    )


def test_a_lost_dialog_says_so() -> None:
    ending = of_release(Released(by_far_end=False, status=481, reason="no such dialog"))
    assert ending.cause == "session-lost"
    assert ending.sip_code == 481
    assert "no such dialog" in ending.detail


@pytest.mark.parametrize(
    ("rejected", "expected"),
    [
        (Rejected(503, "Service Unavailable"), True),
        (Rejected(500, "Server Error"), True),
        (Rejected(408, "Timer B", local=True), True),
        (Rejected(503, "no such host", local=True), True),
        (Rejected(404, "Not Found", q850_cause=3), True),
        (Rejected(480, "Unavailable", q850_cause=34), True),
        (Rejected(404, "Not Found"), False),
        (Rejected(404, "Not Found", q850_cause=1), False),
        (Rejected(486, "Busy Here"), False),
        (Rejected(486, "Busy Here", q850_cause=34), False),
        (Rejected(600, "Busy Everywhere"), False),
        (Rejected(603, "Decline"), False),
        (Rejected(302, "Moved"), False),
    ],
)
def test_another_trunk_is_tried_only_where_it_may_help(rejected: Rejected, expected: bool) -> None:
    assert may_try_next_trunk(rejected) is expected


def test_silence_says_when_a_key_is_the_reason() -> None:
    assert of_silence(NoRtp(60.2)).detail == "no audio from the far end for 60 s"
    ending = of_silence(NoRtp(60.2, 3000))
    assert (ending.outcome, ending.cause) == (Outcome.COMPLETED, "media-timeout")
    assert ending.detail.endswith("60 s; 3000 packets came that its SRTP key does not fit")
