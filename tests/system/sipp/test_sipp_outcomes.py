"""How a call ends that is refused, cancelled or never taken."""

from __future__ import annotations

import pytest

from system.sipp.sockets import SilentHost
from system.sipp.stage import HANG_UP, STEPS, WELL, End, Scene


@pytest.mark.parametrize(
    ("status", "outcome", "cause", "source"),
    [
        ("486 Busy Here", "busy", "user-busy", "callee"),
        ("603 Decline", "failed", "call-rejected", "callee"),
        ("404 Not Found", "failed", "unallocated-number", "carrier"),
        ("480 Temporarily Unavailable", "no-answer", "no-answer", "callee"),
        ("488 Not Acceptable Here", "failed", "incompatible-destination", "callee"),
    ],
)
def test_a_refusal_is_told_as_what_it_is(
    scene: Scene, status: str, outcome: str, cause: str, source: str
) -> None:
    phone = scene.phone("reject", status=status)
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", End(outcome, status[:3], cause, source))
    assert len(phone.received("ACK ")) == 1


def test_one_who_rings_and_then_declines_was_ringing(scene: Scene) -> None:
    phone = scene.phone("ring-then-reject", status="603 Decline")
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", "ringing", End("failed", "603", "call-rejected", "callee"))


def test_nobody_answers_in_time(scene: Scene) -> None:
    phone = scene.phone("no-answer")
    call = scene.call(phone, HANG_UP, timeout=1)
    call.ended("initiated", "ringing", End("no-answer", "487", "no-answer", "outdial"))
    invite, cancel = phone.received("INVITE ")[0], phone.received("CANCEL ")[0]
    assert cancel.get("Via") == invite.get("Via"), "CANCEL must match its INVITE (section 9.1)"
    assert cancel.get("CSeq") == "1 CANCEL"
    assert cancel.start_line.split()[1] == invite.start_line.split()[1]


def test_hung_up_through_the_api_while_it_rings(scene: Scene) -> None:
    phone = scene.phone("no-answer")
    call = scene.call(phone, HANG_UP)
    call.wait_for("ringing")
    call.hang_up()
    call.ended("initiated", "ringing", End("canceled", "487", "originator-cancel", "caller"))


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up(scene: Scene) -> None:
    phone = scene.phone("cancel-race")
    call = scene.call(phone, HANG_UP, timeout=1)
    call.ended("initiated", "ringing", End("no-answer", "487", "no-answer", "outdial"))
    order = [message.start_line.split()[0] for message in phone.received()]
    assert order.index("CANCEL") < order.index("ACK") < order.index("BYE")


def test_a_redirection_is_not_followed(scene: Scene) -> None:
    with SilentHost(scene.stage.line().hosts[0]) as elsewhere:
        phone = scene.phone("moved", keys={"elsewhere": elsewhere.address})
        call = scene.call(phone, HANG_UP)
        call.ended("initiated", End("failed", "302", "moved", "carrier"))
        assert elsewhere.received() == []


def test_the_next_trunk_is_tried_when_the_first_fails(scene: Scene) -> None:
    pair = scene.stage.pair()
    first = scene.phone("reject", pair, status="503 Service Unavailable")
    second = scene.phone("answer", pair, at=1)
    call = scene.call(pair, HANG_UP)
    call.ended(*STEPS, WELL)
    assert len(call.fetches()) == 1
    assert call.show()["trunk"] == f"{pair.number}-1"
    ids = {phone.received("INVITE ")[0].get("Call-ID") for phone in (first, second)}
    assert len(ids) == 2, "each attempt is a call of its own to a carrier"
    failed = [line for line in call.timeline() if line["kind"] == "trunk.failed"]
    assert [line["data"]["status"] for line in failed] == [503]


def test_a_busy_callee_is_not_tried_on_the_next_trunk(scene: Scene) -> None:
    pair = scene.stage.pair()
    scene.phone("reject", pair, status="486 Busy Here")
    with SilentHost(pair.hosts[1], 5060) as second:
        call = scene.call(pair, HANG_UP)
        call.ended("initiated", End("busy", "486", "user-busy", "callee"))
        assert second.received() == []


def test_every_trunk_fails(scene: Scene) -> None:
    pair = scene.stage.pair()
    scene.phone("reject", pair, status="503 Service Unavailable")
    scene.phone("reject", pair, at=1, status="500 Server Internal Error")
    call = scene.call(pair, HANG_UP)
    call.ended("initiated", End("failed", "500", "carrier-failure", "carrier"))


def test_nobody_listens_at_the_first_trunk(scene: Scene) -> None:
    pair = scene.stage.pair()
    scene.phone("answer", pair, at=1)
    call = scene.call(pair, HANG_UP)
    call.ended(*STEPS, WELL)


def test_nobody_listens_at_the_only_trunk(scene: Scene) -> None:
    call = scene.call(scene.stage.line(), HANG_UP)
    call.ended("initiated", End("failed", "503", "trunk-unreachable", "carrier"))


def test_nobody_listens_at_a_trunk_that_is_reached_by_tcp(scene: Scene) -> None:
    call = scene.call(scene.stage.tcp_line(), HANG_UP)
    call.ended("initiated", End("failed", "503", "trunk-unreachable", "carrier"))


def test_a_trunk_that_never_says_a_word_is_given_up_after_64_t1(scene: Scene) -> None:
    line = scene.stage.line()
    with SilentHost(line.hosts[0], 5060) as silent:
        call = scene.call(line, HANG_UP)
        call.ended("initiated", End("failed", "408", "trunk-unreachable", "carrier"))
        assert len(silent.received()) == 7, "INVITE and six repetitions (timers A and B)"
