"""Messages that cross, come twice or come late: RFC 5407, and what forking makes of a call."""

from __future__ import annotations

from typing import Any

import pytest

from ladders.link import ANSWER, FORK, Link, answering, header
from outdial.legs import Answered, Reanswered, Rejected, Released, Reoffer, Ringing
from outdial.sip.core.agent import Invited
from outdial.sip.core.invite_client import OutgoingCall
from outdial.sip.core.invite_server import IncomingCall
from outdial.sip.core.session import Session

REOFFER = b"v=0\r\ns=reoffer\r\n"
REANSWER = b"v=0\r\ns=reanswer\r\n"


@pytest.fixture
def link() -> Link:
    return Link()


def ringing(link: Link, name: str = "B", status: int = 180) -> None:
    """The side rings and waits."""
    link[name].on_event = lambda call, event: (
        call.ring(status, None) if isinstance(event, Invited) else None
    )


def session(call: OutgoingCall | IncomingCall) -> Session:
    """The session of a call that is up."""
    assert call.session is not None
    return call.session


def reanswering(link: Link, name: str) -> None:
    """The side answers re-offers."""

    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.accept(ANSWER)
        elif isinstance(event, Reoffer):
            session(call).renegotiation.answer_offer(REANSWER)

    link[name].on_event = react


# ------------------------------------------------------------ CANCEL


def test_cancel_waits_for_the_first_provisional_response(link: Link) -> None:
    ringing(link)
    link.losses["A>B"] = [True]
    call = link.dial()
    link.run(0.1)
    call.hang_up()
    link.run(0.2)
    assert link.flow() == ["A>B INVITE"]
    link.run(1)
    assert link.flow()[1:] == [
        "A>B INVITE",
        "B>A 180 INVITE",
        "A>B CANCEL",
        "B>A 200 CANCEL",
        "B>A 487 INVITE",
        "A>B ACK",
    ]
    assert link["A"].events == [Rejected(487, "Request Terminated")]
    link.assert_clean()


def test_cancel_crosses_200(link: Link) -> None:
    """RFC 5407 section 3.1.2: the 200 wins; it is acknowledged, then BYE."""
    ringing(link)
    call = link.dial()
    link.run(0.1)
    link["B"].call.accept(ANSWER)
    call.hang_up(0, "changed my mind")
    link.run(1)
    assert link["A"].events == [
        Ringing(180, "Ringing", None),
        Rejected(487, "Request Terminated", local=True),
    ]
    assert link["B"].last == Released(by_far_end=True, q850_cause=16)
    assert link.flow("A>B") == ["A>B INVITE", "A>B CANCEL", "A>B ACK", "A>B BYE"]
    assert link.flow("B>A")[1:] == ["B>A 200 INVITE", "B>A 200 CANCEL", "B>A 200 BYE"]
    link.assert_clean()


def test_cancel_is_answered_by_busy(link: Link) -> None:
    ringing(link)
    call = link.dial()
    link.run(0.1)
    link["B"].call.reject(486, "", ())
    call.hang_up()
    link.run(1)
    assert link["A"].last == Rejected(486, "Busy Here")
    link.assert_clean()


def test_cancel_that_nobody_confirms(link: Link) -> None:
    ringing(link)
    call = link.dial()
    link.run(0.1)
    link.lose = lambda way, data: way == "B>A"
    call.hang_up()
    link.run(31)
    assert link["A"].kinds == ["Ringing"]
    link.run(2)
    assert link["A"].last == Rejected(487, "Request Terminated", local=True)
    link.assert_clean()


def test_cancel_before_anybody_answers_ends_with_timer_b(link: Link) -> None:
    link.lose = lambda way, data: True
    call = link.dial()
    link.run(1)
    call.hang_up()
    link.run(32)
    assert link["A"].events == [Rejected(487, "Request Terminated", local=True)]
    link.assert_clean()


def test_hanging_up_twice_is_once(link: Link) -> None:
    ringing(link)
    call = link.dial()
    link.run(0.1)
    call.hang_up()
    call.hang_up()
    link.run(1)
    call.hang_up()
    link.run(1)
    assert link.count("A>B CANCEL") == 1
    assert link["A"].kinds == ["Ringing", "Rejected"]
    link.assert_clean()


def test_a_cancel_from_elsewhere_cancels_nothing(link: Link) -> None:
    ringing(link)
    link.dial()
    link.run(0.1)
    invite = link.raw[0].decode()
    lines = invite.split("\r\n\r\n")[0].replace("INVITE", "CANCEL").split("\r\n")
    head = "\n".join(line for line in lines if not line.startswith("Content-"))
    link.inject("B", head + "\n\n", host="192.0.2.66")
    link.run(0.1)
    assert link["B"].kinds == ["Invited"]
    assert link["B"].agent.tally().denied == 1
    link["B"].call.hang_up()
    link.assert_clean()


# ------------------------------------------------------------ forking


def test_two_branches_ring_and_one_answers() -> None:
    link = Link("ABC")
    ringing(link, "B")
    ringing(link, "C", 183)
    link.dial(FORK)
    link.run(0.1)
    assert link["A"].agent.counters().early_dialogs == 2
    assert link["A"].kinds == ["Ringing", "Ringing"]
    link["C"].call.accept(ANSWER)
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    assert link["A"].agent.counters().early_dialogs == 0
    assert link["A"].agent.counters().dialogs == 1
    link["C"].call.hang_up()
    link["B"].call.hang_up(486)
    link.assert_clean()


def test_a_second_200_is_acknowledged_and_released() -> None:
    link = Link("ABC")
    answering(link, "B")
    answering(link, "C")
    call = link.dial(FORK)
    link.run(1)
    assert link["A"].kinds.count("Answered") == 1
    assert link["C"].last == Released(by_far_end=True, q850_cause=16)
    assert link["B"].last == Answered(None)
    assert link.count("A>C ACK") == 1
    assert link.count("A>C BYE") == 1
    assert link.count("A>B BYE") == 0
    call.hang_up()
    link.run(1)
    assert link["B"].last.by_far_end is True
    link.assert_clean()


def test_the_second_200_repeats_after_the_call_is_over() -> None:
    link = Link("ABC")
    answering(link, "B", ring=False)
    answering(link, "C", ring=False)
    link.lose = lambda way, data: way == "A>C" and data.startswith((b"ACK", b"BYE"))
    call = link.dial(FORK)
    link.run(1)
    call.hang_up()
    link.run(2)
    assert link["A"].last == Released(by_far_end=False)
    link.lose = None
    link.run(10)
    assert link["C"].last.by_far_end is True
    link.assert_clean()


def test_many_branches_do_not_grow_memory(link: Link) -> None:
    call = link.dial()
    link.run(0.05)
    invite = link.raw[0]
    for number in range(100):
        head = "\n".join(
            f"{name}: {header(invite, name)}" for name in ("Via", "From", "Call-ID", "CSeq")
        )
        to = f"{header(invite, 'To')};tag=branch{number}"
        link.inject("A", f"SIP/2.0 180 Ringing\n{head}\nTo: {to}\nContact: <sip:x@10.0.0.2>\n\n")
    assert link["A"].agent.counters().early_dialogs == 16
    call.hang_up()
    link["B"].call.hang_up(486)
    link.assert_clean()


# ------------------------------------------------------------ BYE


def test_bye_crosses_bye(link: Link) -> None:
    """RFC 5407 section 3.1.4."""
    answering(link)
    call = link.dial()
    link.run(0.1)
    call.hang_up()
    link["B"].call.hang_up()
    link.run(1)
    assert link.count("A>B 200 BYE") == 1
    assert link.count("B>A 200 BYE") == 1
    assert link["A"].last == Released(by_far_end=False)
    assert link["B"].last == Released(by_far_end=False)
    assert link["A"].kinds.count("Released") == link["B"].kinds.count("Released") == 1
    link.assert_clean()


def test_callee_hangs_up_before_the_ack_arrived(link: Link) -> None:
    """RFC 3261 section 15: its BYE waits for the ACK."""
    answering(link, ring=False)
    link.losses["A>B"] = [False, True]
    link.dial()
    link.run(0.1)
    link["B"].call.hang_up()
    link.run(0.2)
    assert "B>A BYE" not in link.flow()
    link.run(1)
    assert link.flow()[-4:] == ["B>A 200 INVITE", "A>B ACK", "B>A BYE", "A>B 200 BYE"]
    assert link["B"].last == Released(by_far_end=False)
    link.assert_clean()


def test_bye_crosses_reinvite(link: Link) -> None:
    """RFC 5407 section 3.1.5."""
    answering(link)
    call = link.dial()
    link.run(0.1)
    session(call).reoffer(REOFFER)
    link["B"].call.hang_up()
    link.run(1)
    assert link["A"].last.by_far_end is True
    assert link.count("B>A 481 INVITE") == 1
    assert link["A"].kinds.count("Released") == 1
    link.assert_clean()


def test_hang_up_while_a_reinvite_waits_for_its_answer(link: Link) -> None:
    answering(link)
    call = link.dial()
    link.run(0.1)
    session(link["B"].call).reoffer(REOFFER)
    link.run(0.1)
    assert link["A"].last == Reoffer(REOFFER)
    call.hang_up()
    link.run(1)
    assert link.count("A>B 487 INVITE") == 1
    link.assert_clean()


def test_a_reinvite_that_never_gets_its_final_response(link: Link) -> None:
    answering(link)
    call = link.dial()
    link.run(0.1)
    session(call).reoffer(REOFFER)
    link.run(0.5)
    assert link.count("B>A 100 INVITE") == 1
    link.lose = lambda way, data: b"487" in data[:12]
    call.hang_up()
    link.run(33)
    link.assert_clean()


# ------------------------------------------------------------ re-INVITE and UPDATE


def test_reinvite_is_answered(link: Link) -> None:
    reanswering(link, "A")
    answering(link)
    link.dial()
    link.run(0.1)
    session(link["B"].call).reoffer(REOFFER)
    link.run(0.1)
    assert link["A"].last == Reoffer(REOFFER)
    assert link["B"].last == Reanswered(REANSWER)
    assert link.flow()[-3:] == ["B>A INVITE", "A>B 200 INVITE", "B>A ACK"]
    link["B"].call.hang_up()
    link.assert_clean()


def test_reinvite_is_refused_and_the_session_stays(link: Link) -> None:
    answering(link)
    call = link.dial()
    link.run(0.1)
    session(link["B"].call).reoffer(REOFFER)
    link.run(0.1)
    session(call).renegotiation.refuse_offer(488)
    link.run(1)
    assert link.count("A>B 488 INVITE") == 1
    assert link.count("B>A ACK") == 1
    assert "Released" not in link["A"].kinds + link["B"].kinds
    call.hang_up()
    link.assert_clean()


def test_offerless_reinvite(link: Link) -> None:
    reanswering(link, "A")
    answering(link)
    call = link.dial()
    link.run(0.1)
    session(link["B"].call).reoffer(b"")
    link.run(0.1)
    assert link["A"].last == Reoffer(None)
    assert link.count("B>A ACK") == 1
    assert link["B"].last == Reanswered(REANSWER)
    call.hang_up()
    link.assert_clean()


def test_answer_in_the_ack_of_an_offerless_reinvite(link: Link) -> None:
    reanswering(link, "A")
    answering(link)
    call = link.dial()
    link.run(0.1)
    session(link["B"].call).reoffer(b"")
    link.lose = lambda way, data: data.startswith(b"ACK")
    link.run(0.1)
    link.lose = None
    ack = next(raw for raw in reversed(link.raw) if raw.startswith(b"ACK")).decode()
    head = ack.split("\r\n\r\n")[0].replace("\r\n", "\n")
    body = "v=0\ns=late\n"
    head = head.replace(
        "Content-Length: 0", f"Content-Type: application/sdp\nContent-Length: {len(body) + 2}"
    )
    link.inject("A", f"{head}\n\n{body}", host="10.0.0.2")
    assert link["A"].last == Reanswered(b"v=0\r\ns=late\r\n")
    call.hang_up()
    link.assert_clean()


def test_glare(link: Link) -> None:
    """RFC 3261 section 14.1: both get 491, both try again, at different times."""
    reanswering(link, "A")
    reanswering(link, "B")
    call = link.dial()
    link.run(0.1)
    session(call).reoffer(REOFFER)
    session(link["B"].call).reoffer(REOFFER)
    link.run(0.1)
    assert link.count("A>B 491 INVITE") == link.count("B>A 491 INVITE") == 1
    link.run(5)
    assert link["A"].kinds.count("Reanswered") == link["B"].kinds.count("Reanswered") == 1
    assert link["A"].kinds.count("Reoffer") == link["B"].kinds.count("Reoffer") == 1
    call.hang_up()
    link.assert_clean()


def test_reinvite_before_the_ack_of_the_first(link: Link) -> None:
    """RFC 5407 section 3.1.3: the ACK is late, the re-INVITE is served all the same."""
    reanswering(link, "B")
    call = link.dial()
    link.lose = lambda way, data: data.startswith(b"ACK") and b"CSeq: 1 ACK" in data
    link.run(0.1)
    session(call).reoffer(REOFFER)
    link.run(0.1)
    assert link["A"].last == Reanswered(REANSWER)
    link.lose = None
    link.run(2)
    assert link["B"].kinds == ["Invited", "Reoffer", "Answered"]
    call.hang_up()
    link.assert_clean()


def test_repeated_200_to_a_reinvite_is_acknowledged_again(link: Link) -> None:
    reanswering(link, "B")
    call = link.dial()
    link.run(0.1)
    link.losses["A>B"] = [False, True, True]
    session(call).reoffer(REOFFER)
    link.run(5)
    assert link.count("B>A 200 INVITE") == 1 + 3
    assert link.count("A>B ACK") == 1 + 3
    assert link["A"].kinds.count("Reanswered") == 1
    call.hang_up()
    link.assert_clean()


def test_a_reinvite_nobody_answers_ends_the_call(link: Link) -> None:
    answering(link)
    call = link.dial()
    link.run(0.1)
    link.lose = lambda way, data: way == "A>B" and data.startswith(b"INVITE")
    session(call).reoffer(REOFFER)
    link.run(33)
    assert (link["A"].last.status, link["A"].last.by_far_end) == (408, False)
    assert link["B"].last.by_far_end is True
    link.assert_clean()


def test_the_far_end_has_forgotten_the_call(link: Link) -> None:
    answering(link)
    call = link.dial()
    link.run(0.1)
    link["B"].agent.drop(link["B"].call)
    session(call).reoffer(REOFFER)
    link.run(1)
    assert link["A"].last == Released(
        by_far_end=False, status=481, reason="Call/Transaction Does Not Exist"
    )
    assert "A>B BYE" not in link.flow()
    link.run(33)
    assert link["A"].agent.counters().timers == 0


def test_reordered_requests_get_500(link: Link) -> None:
    answering(link)
    call = link.dial()
    link.run(0.1)
    dialog = session(call).dialog
    for cseq in (10, 9):
        outline = dialog.outline(call._agent.branch(), cseq)
        call._agent.send(outline.encode("INFO"), outline.hop, None)
    link.run(0.1)
    assert link.flow()[-2:] == ["B>A 200 INFO", "B>A 500 INFO"]
    link["B"].call.hang_up()
    link.assert_clean()
