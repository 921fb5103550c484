"""A server that says nothing is given up before timer B; whatever comes of it later is ended."""

from __future__ import annotations

from typing import Any

import pytest

from ladders.link import ANSWER, Link, answering, header
from outdial.legs import Rejected
from outdial.sip.core.agent import Invited

GIVEN_UP = Rejected(408, "No response within 4 s", local=True)


@pytest.fixture
def link() -> Link:
    return Link("AB")


def late(link: Link, until_s: float, name: str = "B") -> None:
    """Nothing of the side's arrives before; what it sends of itself is repeated then."""
    begin = link.now
    link.lose = lambda way, data: way == f"{name}>A" and link.now < begin + until_s


def ringing_only(link: Link) -> None:
    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.ring(180, None)

    link["B"].on_event = react


def test_silence_is_not_waited_for_longer_than_told(link: Link) -> None:
    link.lose = lambda way, data: True
    link.dial(patience_s=4.0)
    link.run(3.9)
    assert link["A"].events == []
    link.run(0.2)
    assert link["A"].events == [GIVEN_UP]
    sent = link.count("A>B INVITE")
    link.run(30)
    assert link.count("A>B INVITE") == sent == 4, "nothing is repeated for whom nobody waits"
    assert link["A"].events == [GIVEN_UP]
    link.assert_clean()


def test_any_word_is_enough(link: Link) -> None:
    """100 comes by itself after 200 ms: from then on the call may take its time."""
    link.dial(patience_s=4.0)
    link.run(40)
    assert link["A"].events == []
    link["B"].call.ring(180, None)
    link["B"].call.accept(ANSWER)
    link.run(1)
    assert link["A"].kinds == ["Ringing", "Answered"]


def test_a_refusal_is_a_word(link: Link) -> None:
    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.reject(486, "", ())

    link["B"].on_event = react
    link.dial(patience_s=4.0)
    link.run(10)
    assert [event.status for event in link["A"].events] == [486]
    link.assert_clean()


def test_ringing_that_comes_too_late_is_cancelled(link: Link) -> None:
    ringing_only(link)
    late(link, 5)
    link.dial(patience_s=4.0)
    link.run(4.5)
    assert link["A"].events == [GIVEN_UP]
    link.lose = None
    link["B"].call.ring(180, None)
    link.run(1)
    assert link.count("A>B CANCEL") == 1
    assert link.count("B>A 487 INVITE") >= 1
    assert link["A"].events == [GIVEN_UP], "the listener hears no more of it"
    link.assert_clean()


def test_an_answer_that_comes_too_late_is_acknowledged_and_released(link: Link) -> None:
    answering(link, ring=False)
    late(link, 5)
    link.dial(patience_s=4.0)
    link.run(12)
    assert link.count("A>B ACK") >= 1
    assert link.count("A>B BYE") == 1
    assert link["A"].events == [GIVEN_UP]
    assert "Released" in link["B"].kinds
    link.assert_clean()


def test_a_refusal_that_comes_too_late_is_acknowledged(link: Link) -> None:
    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.reject(503, "", ())

    link["B"].on_event = react
    late(link, 5)
    link.dial(patience_s=4.0)
    link.run(12)
    assert link["A"].events == [GIVEN_UP]
    assert link.count("A>B ACK") >= 1
    link.assert_clean()


def test_who_hung_up_before_is_told_of_that() -> None:
    link = Link("AB")
    link.lose = lambda way, data: True
    call = link.dial(patience_s=4.0)
    link.run(1)
    call.hang_up()
    link.run(5)
    assert link["A"].events == []
    link.run(30)
    assert link["A"].events == [Rejected(487, "Request Terminated", local=True)]
    link.assert_clean()


# ---------------------------------------------------------------- the next one


def next_after_silence(link: Link) -> Any:
    """What `OutboundLeg` does: the same Call-ID and tag, to another server."""
    first = link.dial("B", patience_s=4.0)
    link.run(4.5)
    assert link["A"].events == [GIVEN_UP]
    return link.dial("C", local_tag=first.local_tag)


def test_the_next_server_is_asked_with_a_branch_of_its_own() -> None:
    link = Link("ABC")
    link.lose = lambda way, data: way == "A>B"
    answering(link, "C")
    next_after_silence(link)
    link.run(1)
    assert link["A"].kinds[1:] == ["Ringing", "Answered"]
    invites = [data for data in link.raw if data.startswith(b"INVITE")]
    branches = {header(data, "Via").partition("branch=")[2] for data in invites}
    assert len(branches) == 2
    assert len({header(data, "From") for data in invites}) == 1
    assert len({header(data, "Call-ID") for data in invites}) == 1


@pytest.mark.parametrize("answers_first", ["B", "C"])
def test_of_two_that_answer_only_the_one_that_is_waited_for_is_talked_to(
    answers_first: str,
) -> None:
    """The first was slow, not dead: 200 comes of both. It is dialled once, so one is released."""
    link = Link("ABC")
    answering(link, "B", ring=False)
    answering(link, "C", ring=False)
    late(link, 4.6 if answers_first == "B" else 6)
    next_after_silence(link)
    link.run(10)
    assert link["A"].kinds[1:] == ["Answered"]
    assert link["A"].agent.counters().calls == 1
    assert link.count("A>B BYE") == 1
    assert link.count("A>C BYE") == 0
    assert "Released" in link["B"].kinds
    assert "Released" not in link["C"].kinds


def test_an_answer_half_a_minute_too_late_is_not_taken_for_the_next_ones() -> None:
    """The first INVITE's transaction is over; Call-ID and tag are those of the call that is up."""
    link = Link("ABC")
    ringing_only(link)
    late(link, 1000)
    answering(link, "C", ring=False)
    next_after_silence(link)
    link.run(40)
    assert link["A"].kinds[1:] == ["Answered"]
    link.lose = None
    link["B"].call.accept(ANSWER)
    link.run(2)
    assert link["A"].kinds[1:] == ["Answered"]
    assert link.count("A>B BYE") == 1
    assert link.count("A>C BYE") == 0


def test_a_server_behind_both_sees_that_it_is_one_call() -> None:
    """Section 8.2.2.2: the second INVITE has Call-ID, tag and CSeq of the first, another branch."""
    link = Link("AB")
    ringing_only(link)
    late(link, 4.2)
    first = link.dial("B", patience_s=4.0)
    link.run(4.1)
    link.dial("B", local_tag=first.local_tag)
    link.run(1)
    assert link.count("B>A 482 INVITE") >= 1
    assert len(link["B"].invited) == 1, "it rings once"
