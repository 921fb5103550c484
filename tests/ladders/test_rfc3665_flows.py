"""The session flows of RFC 3665 section 3, over a perfect network and over bad ones."""

from __future__ import annotations

from typing import Any

import pytest

from ladders.link import ANSWER, OFFER, Link, answering, header
from outdial.legs import Answered, Rejected, Released, Ringing
from outdial.sip.core.agent import Invited


@pytest.fixture(params=["udp", "tcp"])
def link(request: pytest.FixtureRequest) -> Link:
    return Link(transport=request.param)


def test_3_1_successful_session(link: Link) -> None:
    answering(link)
    call = link.dial()
    link.run(0.1)
    assert link["A"].events == [Ringing(180, "Ringing", None), Answered(ANSWER)]
    assert link["B"].kinds == ["Invited", "Answered"]
    call.hang_up(0, "done")
    link.run(0.1)
    assert link.flow() == [
        "A>B INVITE",
        "B>A 180 INVITE",
        "B>A 200 INVITE",
        "A>B ACK",
        "A>B BYE",
        "B>A 200 BYE",
    ]
    assert link["A"].last == Released(by_far_end=False)
    assert link["B"].last == Released(by_far_end=True, q850_cause=16)
    link.assert_clean()


def test_3_1_called_party_hangs_up(link: Link) -> None:
    answering(link)
    link.dial()
    link.run(0.1)
    link["B"].call.hang_up()
    link.run(0.1)
    assert link["A"].last == Released(by_far_end=True, q850_cause=16)
    assert link["B"].last == Released(by_far_end=False)
    link.assert_clean()


def test_3_8_no_answer_is_cancelled(link: Link) -> None:
    link["B"].on_event = lambda call, event: (
        call.ring(180, None) if isinstance(event, Invited) else None
    )
    call = link.dial()
    link.run(45)
    call.hang_up(0, "no answer")
    link.run(0.1)
    assert link["A"].events == [
        Ringing(180, "Ringing", None),
        Rejected(487, "Request Terminated"),
    ]
    assert link["B"].last == Rejected(487, "Request Terminated", q850_cause=16)
    assert link.flow()[-4:] == ["A>B CANCEL", "B>A 200 CANCEL", "B>A 487 INVITE", "A>B ACK"]
    link.assert_clean()


@pytest.mark.parametrize("status", [302, 404, 486, 488, 503, 603])
def test_3_9_refused(link: Link, status: int) -> None:
    def refuse(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.reject(status, "", (("Retry-After", "7"), ("Reason", "Q.850;cause=17")))

    link["B"].on_event = refuse
    link.dial()
    link.run(0.1)
    rejected = link["A"].last
    assert (rejected.status, rejected.local) == (status, False)
    assert (rejected.retry_after_s, rejected.q850_cause) == (7, 17)
    assert link.flow() == ["A>B INVITE", f"B>A {status} INVITE", "A>B ACK"]
    assert link["B"].last.local is True
    link.assert_clean()


def test_early_media(link: Link) -> None:
    link["B"].on_event = lambda call, event: (
        call.ring(183, b"early") if isinstance(event, Invited) else None
    )
    link.dial()
    link.run(0.1)
    assert link["A"].events == [Ringing(183, "Session Progress", b"early")]
    link["B"].call.accept(ANSWER)
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    link["B"].call.hang_up()
    link.assert_clean()


def test_slow_ring_is_no_timeout(link: Link) -> None:
    link["B"].on_event = lambda call, event: (
        call.ring(180, None) if isinstance(event, Invited) else None
    )
    link.dial()
    link.run(150)
    link["B"].call.accept(ANSWER)
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    link["B"].call.hang_up()
    link.assert_clean()


def test_trying_after_200_ms() -> None:
    link = Link()
    link.dial()
    link.run(0.3)
    assert link.ladder[-1] == (0.21, "B>A", "100 INVITE")
    assert link["A"].events == []
    link["B"].call.hang_up(486)
    link.assert_clean()
    assert link["A"].last == Rejected(486, "Busy Here")


def test_offer_in_the_ack() -> None:
    """RFC 3665 has it in section 3.7: the INVITE has no offer, the 200 has it."""
    link = Link()
    answering(link, ring=False)
    link.dial(offer=b"")
    link.run(0.1)
    assert header(link.raw[0], "Content-Length") == "0"
    assert link["A"].last == Answered(ANSWER)
    assert link["B"].last == Answered(None)
    link["B"].call.hang_up()
    link.assert_clean()


@pytest.mark.parametrize(
    ("way", "pattern"),
    [
        ("A>B", [True]),
        ("A>B", [True, True, True]),
        ("B>A", [True]),
        ("B>A", [True, True]),
        ("B>A", [False, True]),
        ("A>B", [False, True]),
        ("A>B", [False, True, True, True]),
        ("A>B", [False, False, True]),
        ("B>A", [False, False, True]),
        ("B>A", [True, False, True, False, True]),
        ("A>B", [True, False, True, False, True]),
    ],
)
def test_any_message_may_be_lost(way: str, pattern: list[bool]) -> None:
    link = Link()
    answering(link)
    link.losses[way] = list(pattern)
    call = link.dial()
    link.run(8)
    assert Answered(ANSWER) in link["A"].events
    assert link["A"].kinds.count("Answered") == 1
    assert link["B"].kinds.count("Answered") == 1
    call.hang_up()
    link.run(8)
    assert link["A"].kinds.count("Released") == 1
    assert link["B"].last == Released(by_far_end=True, q850_cause=16)
    link.assert_clean()


def test_each_repeated_200_is_acknowledged_by_the_same_ack() -> None:
    link = Link()
    answering(link, ring=False)
    link.losses["A>B"] = [False, True, True, True, False]
    link.dial()
    link.run(10)
    acks = [raw for raw in link.raw if raw.startswith(b"ACK")]
    assert len(acks) == 4
    assert len(set(acks)) == 1
    assert link.count("B>A 200 INVITE") == 4
    link["B"].call.hang_up()
    link.assert_clean()


def test_no_ack_at_all_ends_in_bye() -> None:
    link = Link()
    answering(link, ring=False)
    link.lose = lambda way, data: data.startswith(b"ACK")
    link.dial()
    link.run(40)
    assert link.count("B>A 200 INVITE") == 11
    assert link["B"].last == Released(by_far_end=False, status=408, reason="no ACK")
    assert link["A"].last.by_far_end is True
    link.assert_clean()


def test_nobody_answers() -> None:
    link = Link()
    link.lose = lambda way, data: True
    link.dial()
    link.run(31.9)
    assert link["A"].events == []
    assert [at for at, _, _ in link.ladder] == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    link.run(0.2)
    assert link["A"].events == [Rejected(408, "Request Timeout", local=True)]
    link.assert_clean()


def test_the_peer_dies_before_our_bye() -> None:
    link = Link()
    answering(link)
    call = link.dial()
    link.run(0.1)
    link.lose = lambda way, data: True
    call.hang_up()
    link.run(1.9)
    assert link["A"].kinds[-1] == "Answered"
    link.run(0.2)
    assert link["A"].last == Released(by_far_end=False)
    link.run(32)
    link.sides.pop("B")
    link.assert_clean()


def test_offer_is_what_was_given() -> None:
    link = Link()
    link.dial(headers=(("X-Campaign", "spring"),))
    link.run(0.05)
    request = link["B"].call.request
    assert request.body == OFFER
    assert request.headers.get("X-Campaign") == "spring"
    assert request.headers.get("Max-Forwards") == "70"
    link["B"].call.hang_up()
    link.assert_clean()


def test_a_header_with_a_line_break_is_never_sent() -> None:
    link = Link()
    link.dial(headers=(("X-Campaign", "a\r\nRoute: <sip:evil>"),))
    assert link.ladder == []
    assert (link["A"].last.status, link["A"].last.local) == (400, True)
    link.assert_clean()
