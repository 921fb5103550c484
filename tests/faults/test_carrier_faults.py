"""Every line of docs/reference/carrier-faults.md, on one server in virtual time, all at once.

The page is the table of the test: a fault without a line, and a line without a fault, fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from outdial.sip.core.counts import Counters
from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.faults import FAULTS
from outdial.testing.rehearsal.call import Call
from outdial.testing.rehearsal.rehearsal import Rehearsal

PAGE = Path(__file__).parents[2] / "docs/reference/carrier-faults.md"
HEALTHY = 10
"""Calls that nothing is wrong with, spread among the others."""
AT_ONCE = 4
"""Posts between which no time passes: the store takes a burst of 16 commits."""
LATEST_S = 1.0


class Promise(NamedTuple):
    """A line of the page."""

    events: list[str]
    outcome: str
    cause: str
    code: int
    by: str
    after_s: float


def lines_of(heading: str) -> Iterator[list[str]]:
    """The cells of the lines of the table under the heading, without its head."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    for line in [one for one in section.splitlines() if one.startswith("|")][2:]:
        yield [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]


def promises() -> dict[str, Promise]:
    """What the page says, by fault."""
    found: dict[str, Promise] = {}
    for statuses, outcome, cause, by in lines_of("Refusals"):
        for status in statuses.split(", "):
            found[f"refused-{status}"] = Promise([], outcome, cause, int(status), by, 0.0)
    for name, _, events, outcome, cause, code, by, after in lines_of("Faults"):
        told = [] if events == "none" else events.split(", ")
        found[name] = Promise(told, outcome, cause, int(code), by, float(after))
    return found


PROMISES = promises()


class Happened(NamedTuple):
    """What became of the calls, once all were over."""

    outdial: Rehearsal
    calls: dict[str, Call]
    healthy: list[Call]
    left: Counters


@pytest.fixture(scope="module")
def happened() -> Iterator[Happened]:
    with Rehearsal(faults=list(FAULTS.values())) as outdial:
        web = outdial.web()

        def place(name: str) -> Call:
            fault = FAULTS[name]
            document = f'<Response><Pause length="{fault.stays_s}"/><Hangup/></Response>'
            url = web.serve(f"/stays/{fault.stays_s}", document)
            return outdial.call(outdial.lines[name].number, url, wait=False)

        outdial.advance(6)  # until it is known which names nobody answers for
        calls: dict[str, Call] = {}
        healthy: list[Call] = []
        for number, name in enumerate(FAULTS):
            calls[name] = place(name)
            if number % (len(FAULTS) // HEALTHY) == 0:
                healthy.append(place("none"))
            if number % AT_ONCE == 0:
                outdial.advance(0.2)
        outdial.wait_until_over()
        # 64*T1 after everything nothing of it may be left
        outdial.advance(70)
        yield Happened(outdial, calls, healthy, outdial.sip.agent.counters())


def carrier_call(happened: Happened, name: str, way: int = 0) -> CarrierCall:
    """The call as the fault's carrier had it."""
    (call,) = happened.outdial.lines[name].carriers[way].calls
    return call


def test_the_page_has_a_line_for_each_fault() -> None:
    assert set(PROMISES) == set(FAULTS)
    assert len([name for name in FAULTS if not name.startswith("refused-")]) >= 60


@pytest.mark.parametrize("name", FAULTS)
def test_a_call_ends_as_the_page_says(happened: Happened, name: str) -> None:
    call, wanted = happened.calls[name], PROMISES[name]
    record = call.record
    events = [callback.event for callback in call.callbacks]
    assert events == ["initiated", *wanted.events, "completed"]
    ended = (call.outcome, call.cause, record.sip_code, call.hung_up_by)
    assert ended == (wanted.outcome, wanted.cause, wanted.code, wanted.by)
    assert record.ended_at is not None
    after_s = record.ended_at - record.created_at
    assert wanted.after_s - 0.1 <= after_s <= wanted.after_s + LATEST_S
    assert call.callbacks[-1].params["HangupCause"] == wanted.cause
    scripts = happened.outdial.lines[name].carriers
    assert [failure for one in scripts for failure in one.failures] == []


def test_calls_that_nothing_is_wrong_with_do_not_notice(happened: Happened) -> None:
    assert len(happened.healthy) >= HEALTHY
    for call in happened.healthy:
        events = [callback.event for callback in call.callbacks]
        assert events == ["initiated", "ringing", "answered", "completed"]
        assert (call.outcome, call.cause) == ("completed", "normal-clearing")
        record = call.record
        assert record.ended_at is not None
        assert record.answered_at is not None
        assert record.ended_at - record.answered_at == pytest.approx(5, abs=0.1)


def test_a_strict_carrier_is_asked_a_second_time_and_with_fresh_keys(happened: Happened) -> None:
    (carrier,) = happened.outdial.lines["srtp-optional-strict"].carriers
    offers = [call.invite.body for call in carrier.calls]
    assert [b" RTP/SAVP " in offer for offer in offers] == [False, True]
    first, second = (set(re.findall(rb"inline:(\S+)", offer)) for offer in offers)
    assert len(first) == len(second) == 4 and not first & second
    kinds = [event.kind for event in happened.calls["srtp-optional-strict"].timeline]
    assert kinds.count("trunk.insisted") == 1


def test_keys_are_nowhere_in_the_record(happened: Happened) -> None:
    for name in (name for name in FAULTS if name.startswith("srtp")):
        call = happened.calls[name]
        told = f"{call.timeline} {call.record} {call.callbacks}"
        (carrier,) = happened.outdial.lines[name].carriers
        for one in carrier.calls:
            keys = re.findall(rb"inline:(\S{12})", one.invite.body)
            assert len(keys) == 4
            assert not [key for key in keys if key.decode() in told]


def test_nothing_is_left(happened: Happened) -> None:
    assert happened.left == Counters(0, 0, 0, 0, 0, 0)


# ------------------------------------------------------------------ what the carriers saw


def refused_is_acknowledged(call: CarrierCall) -> None:
    assert call.count("ACK") == 1
    assert call.count("BYE") == 0


def acknowledged_and_hung_up(call: CarrierCall) -> None:
    assert [one.method for one in call.requests] == ["INVITE", "ACK", "BYE"]


def late_answer_is_released(call: CarrierCall) -> None:
    methods = [one.method for one in call.requests]
    assert methods.index("CANCEL") < methods.index("ACK")
    assert methods[-1] == "BYE"


def second_fork_is_released(call: CarrierCall) -> None:
    byes = [one.to_tag for one in call.requests if one.method == "BYE"]
    assert byes == ["fork-b", "fork-a"]
    assert {one.to_tag for one in call.requests if one.method == "ACK"} == {"fork-a", "fork-b"}


def refused_answer_is_released(call: CarrierCall) -> None:
    assert call.count("ACK") == 2
    assert call.count("BYE") == 1


def each_repetition_is_acknowledged(call: CarrierCall) -> None:
    assert call.copies["ACK"] >= 55


def asked_for_four_realms(call: CarrierCall) -> None:
    assert call.count("INVITE") == 5


def asked_three_times(call: CarrierCall) -> None:
    assert call.count("INVITE") == 3


def asked_twice(call: CarrierCall) -> None:
    assert call.count("INVITE") == 2


def asked_once(call: CarrierCall) -> None:
    assert call.count("INVITE") == 1
    assert not call.invite["Authorization"]


def no_digest_of_ours(call: CarrierCall) -> None:
    assert not any(one["Authorization"] for one in call.requests)


def bye_is_repeated(call: CarrierCall) -> None:
    assert call.count("BYE") == 1
    assert call.copies["BYE"] == 10


def answers_were(*statuses: int) -> Callable[[CarrierCall], None]:
    def check(call: CarrierCall) -> None:
        assert [one.status for one in call.responses if one.status >= 200] == list(statuses)

    return check


def both_met_491(call: CarrierCall) -> None:
    assert [one.status for one in call.responses if one.status >= 200] == [491]
    reinvites = [one for one in call.requests if one.method == "INVITE" and one.to_tag]
    assert len(reinvites) == 2
    assert reinvites[0]["CSeq"] != reinvites[1]["CSeq"]


def held(call: CarrierCall) -> None:
    answers = [one.body for one in call.responses if one.status == 200]
    assert b"a=recvonly" in answers[0] or b"a=inactive" in answers[0]
    assert b"a=sendrecv" in answers[1]


def offered_in_turn(call: CarrierCall) -> None:
    (answer,) = [one for one in call.responses if one.status == 200]
    assert answer.audio is not None


def bye_goes_to_the_new_contact(call: CarrierCall) -> None:
    (bye,) = [one for one in call.requests if one.method == "BYE"]
    assert bye.start.startswith("BYE sip:moved@")


def refreshed_every_45_s(call: CarrierCall) -> None:
    reinvites = [one for one in call.requests if one.method == "INVITE" and one.to_tag]
    assert len(reinvites) == 4


def every_request_once(call: CarrierCall) -> None:
    keys = [(one.method, one["CSeq"], one.to_tag) for one in call.requests]
    assert len(keys) == len(set(keys))


def offers_were(*protocols: bytes) -> Callable[[CarrierCall], None]:
    """Of our offers and answers, in order."""

    def check(call: CarrierCall) -> None:
        bodies = [one.body for one in (*call.requests, *call.responses) if b"m=audio" in one.body]
        assert [body.split(b"m=audio ")[1].split()[1] for body in bodies] == list(protocols)
        keys = [set(re.findall(rb"inline:(\S+)", body)) for body in bodies]
        assert [len(one) for one in keys[:1]] == [4]
        assert all(one <= keys[0] for one in keys), "ours stay the same as long as the call"

    return check


def plain_is_refused(call: CarrierCall) -> None:
    answers_were(488)(call)
    offers_were(b"RTP/SAVP")(call)


def cancelled_late_ringing(call: CarrierCall) -> None:
    assert call.count("CANCEL") == 1
    assert call.count("BYE") == 0


def released_late_answer(call: CarrierCall) -> None:
    assert call.count("CANCEL") == 0
    assert (call.count("ACK"), call.count("BYE")) == (1, 1)


SEEN: dict[str, Callable[[CarrierCall], None]] = {
    "first-server-rings-too-late": cancelled_late_ringing,
    "first-server-answers-too-late": released_late_answer,
    **{name: refused_is_acknowledged for name in FAULTS if re.match(r"refused-\d", name)},
    "answer-codec-never-offered": acknowledged_and_hung_up,
    "answer-without-sdp": acknowledged_and_hung_up,
    "answer-stream-rejected": acknowledged_and_hung_up,
    "answer-garbled-sdp": acknowledged_and_hung_up,
    "answer-without-to-tag": acknowledged_and_hung_up,
    "answer-after-cancel": late_answer_is_released,
    "answer-long-after-cancel": late_answer_is_released,
    "answer-repeated-for-ever": each_repetition_is_acknowledged,
    "refused-then-answered": refused_answer_is_released,
    "forks-both-answer": second_fork_is_released,
    "digest-always-stale": asked_three_times,
    "digest-wrong-realm": asked_for_four_realms,
    "digest-wrong-password": asked_twice,
    "digest-without-password": asked_once,
    "digest-only-unknown-algorithm": no_digest_of_ours,
    "session-always-too-small": asked_twice,
    "session-ever-longer": asked_three_times,
    "srtp": offers_were(b"RTP/SAVP"),
    "srtp-missing": acknowledged_and_hung_up,
    "srtp-unknown-suite": acknowledged_and_hung_up,
    "srtp-optional-plain": offers_were(b"RTP/AVP"),
    "srtp-reinvite-key": offers_were(b"RTP/SAVP", b"RTP/SAVP"),
    "srtp-reinvite-plain": plain_is_refused,
    "srtp-reinvite-fax": plain_is_refused,
    "srtp-reinvite-without-offer": offers_were(b"RTP/SAVP", b"RTP/SAVP"),
    "bye-unanswered": bye_is_repeated,
    "bye-repeated": answers_were(200, 481, 481),
    "bye-of-another": answers_were(481),
    "requests-out-of-order": answers_were(200, 500),
    "requests-never-taken": answers_were(405, 405, 405, 501),
    "reinvite-unusable": answers_were(488),
    "reinvite-other-codec": answers_were(200),
    "reinvite-storm": answers_were(*[200] * 100),
    "reinvite-glare": both_met_491,
    "reinvite-hold": held,
    "reinvite-hold-by-zeros": held,
    "reinvite-offerless": offered_in_turn,
    "reinvite-moves-signalling": bye_goes_to_the_new_contact,
    "session-refreshed": refreshed_every_45_s,
    "messages-doubled": every_request_once,
    "messages-half-lost": every_request_once,
}


@pytest.mark.parametrize("name", SEEN)
def test_the_carrier_sees_what_it_should(happened: Happened, name: str) -> None:
    SEEN[name](carrier_call(happened, name))


@pytest.mark.parametrize(
    "name",
    [
        "first-server-silent",
        "first-server-full",
        "first-server-asks-for-time",
        "first-server-tries-then-full",
        "first-server-rings-too-late",
        "first-server-answers-too-late",
    ],
)
def test_the_second_server_is_called_once(happened: Happened, name: str) -> None:
    first, second = (carrier_call(happened, name, way) for way in (0, 1))
    assert (first.count("INVITE"), second.count("INVITE")) == (1, 1)
    assert first.invite.branch != second.invite.branch
    assert first.invite["Call-ID"] == second.invite["Call-ID"]
    acknowledged_and_hung_up(second)


def test_nobody_else_is_called_once_it_has_rung(happened: Happened) -> None:
    _, second = happened.outdial.lines["first-server-rings-then-full"].carriers
    assert second.calls == []


@pytest.mark.parametrize(
    "name", ["retry-after-next-trunk", "no-circuit-next-trunk", "silent-next-trunk"]
)
def test_the_second_trunk_is_asked_once(happened: Happened, name: str) -> None:
    acknowledged_and_hung_up(carrier_call(happened, name, way=1))
