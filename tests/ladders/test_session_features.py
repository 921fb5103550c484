"""What happens inside and around a dialog: reliable responses, session timers, digits, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from ladders.link import ANSWER, Link, answering, header, title
from outdial.legs import Answered, DigitInfo, Reanswered, Rejected, Released, Reoffer, Ringing
from outdial.sip.core.agent import Invited
from outdial.sip.core.counts import Caps

REOFFER = b"v=0\r\ns=reoffer\r\n"


@pytest.fixture
def link() -> Link:
    return Link()


def connected(link: Link) -> Any:
    """A call that is up; gives A's."""
    answering(link)
    call = link.dial()
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    return call


def send(call: Any, method: str, fields: str = "", body: bytes = b"") -> None:
    """A request inside the dialog."""
    agent = call._agent
    outline = call.session.dialog.outline(agent.branch())
    agent.send(outline.encode(method, fields, body), outline.hop, None)


# ------------------------------------------------------------ PRACK


def reliable(link: Link, *responses: tuple[int, bytes | None]) -> None:
    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            for status, sdp in responses:
                call.ring(status, sdp)

    link["B"].on_event = react


def test_reliable_provisional_responses_go_out_one_by_one(link: Link) -> None:
    reliable(link, (183, ANSWER), (180, None))
    link.dial(headers=(("Require", "100rel"),))
    link.run(0.1)
    assert link.flow() == [
        "A>B INVITE",
        "B>A 183 INVITE",
        "A>B PRACK",
        "B>A 200 PRACK",
        "B>A 180 INVITE",
        "A>B PRACK",
        "B>A 200 PRACK",
    ]
    assert header(link.raw[2], "RAck") == "1 1 INVITE"
    assert header(link.raw[5], "RAck") == "2 1 INVITE"
    link["B"].call.accept(ANSWER)
    link.run(0.1)
    assert link["A"].kinds == ["Ringing", "Ringing", "Answered"]
    link["B"].call.hang_up()
    link.assert_clean()


def test_a_lost_prack_is_repeated_and_the_response_told_once(link: Link) -> None:
    reliable(link, (183, ANSWER))
    link.losses["A>B"] = [False, True, True]
    link.dial(headers=(("Require", "100rel"),))
    link.run(5)
    assert link.count("B>A 183 INVITE") >= 2
    assert link["A"].kinds == ["Ringing"]
    link["B"].call.accept(ANSWER)
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    link["B"].call.hang_up()
    link.assert_clean()


def test_the_200_waits_for_the_prack(link: Link) -> None:
    reliable(link, (183, ANSWER))
    link.dial(headers=(("Require", "100rel"),))
    link.settle()
    link.run(0.015)
    link["B"].call.accept(ANSWER)
    link.settle()
    assert "B>A 200 INVITE" not in link.flow()
    link.run(0.1)
    assert link.flow()[3:5] == ["B>A 200 PRACK", "B>A 200 INVITE"]
    link["B"].call.hang_up()
    link.assert_clean()


def test_nobody_sends_prack(link: Link) -> None:
    reliable(link, (183, ANSWER))
    link.lose = lambda way, data: data.startswith(b"PRACK")
    link.dial(headers=(("Require", "100rel"),))
    link.run(33)
    assert link["A"].last.status == 504
    assert link["B"].last.local is True
    link.assert_clean()


def test_the_answer_of_a_reliable_183_holds_when_the_200_has_none(link: Link) -> None:
    reliable(link, (183, ANSWER))
    link.dial(headers=(("Require", "100rel"),))
    link.run(0.1)
    link["B"].call.accept(b"")
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    link["B"].call.hang_up()
    link.assert_clean()


# ------------------------------------------------------------ session timers


def test_caller_refreshes_by_update() -> None:
    link = Link(session_expires_s=1800)
    call = connected(link)
    assert header(link.raw[0], "Session-Expires") == "1800"
    assert header(link.raw[2], "Session-Expires") == "1800;refresher=uac"
    link.run(901)
    assert link.flow()[-2:] == ["A>B UPDATE", "B>A 200 UPDATE"]
    link.run(1000)
    assert link.count("A>B UPDATE") == 2
    assert link["A"].kinds == ["Ringing", "Answered"]
    call.hang_up()
    link.assert_clean()


def test_caller_refreshes_by_reinvite_when_update_is_not_allowed() -> None:
    link = Link(session_expires_s=600)
    call = connected(link)
    call.session.dialog.peer_allows = frozenset(("INVITE", "ACK", "BYE"))

    def react(other: Any, event: Any) -> None:
        if isinstance(event, Reoffer):
            other.session.renegotiation.answer_offer(ANSWER)

    link["B"].on_event = react
    link.run(301)
    assert link.flow()[-3:] == ["A>B INVITE", "B>A 200 INVITE", "A>B ACK"]
    assert link["B"].last == Reoffer(link["B"].call.request.body)
    assert link["A"].last == Reanswered(ANSWER)
    call.hang_up()
    link.assert_clean()


def test_without_a_refresh_the_callee_ends_the_session() -> None:
    link = Link(session_expires_s=600)
    connected(link)
    link.lose = lambda way, data: way == "A>B" and not data.startswith(b"SIP/2.0 200 OK")
    link.run(600 - 32 - 0.2)
    assert link["B"].kinds == ["Invited", "Answered"]
    link.run(1)
    assert link["B"].last == Released(by_far_end=False, status=408, reason="session timer expired")
    assert "cause=102" in header(link.raw[-2], "Reason") or "BYE" in link.flow()[-2]
    link.run(1)
    link.assert_clean()


def test_our_refresh_without_answer_ends_the_session() -> None:
    link = Link(session_expires_s=600)
    connected(link)
    link.lose = lambda way, data: True
    link.run(334)
    assert (link["A"].last.status, link["A"].last.by_far_end) == (408, False)
    link.run(400)
    link.assert_clean()


def test_422_raises_the_interval() -> None:
    link = Link(session_expires_s=0)
    link["A"].agent.session_expires_s = 90

    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            if (call.request.session_expires.seconds) < 200:
                call.reject(422, "", (("Min-SE", "200"),))
            else:
                call.accept(ANSWER)

    link["B"].on_event = react
    call = link.dial()
    link.run(0.2)
    invites = [raw for raw in link.raw if raw.startswith(b"INVITE")]
    assert header(invites[1], "Session-Expires") == "200"
    assert header(invites[1], "Min-SE") == "200"
    assert link["A"].events == [Answered(ANSWER)]
    call.hang_up()
    link.assert_clean()


def test_too_small_an_interval_gets_422(link: Link) -> None:
    link.dial(headers=(("Session-Expires", "30"), ("Supported", "timer")))
    link.run(0.1)
    assert link["A"].last.status == 422
    assert header(link.raw[1], "Min-SE") == "90"
    link.assert_clean()


# ------------------------------------------------------------ requests inside the dialog


@pytest.mark.parametrize(
    ("content_type", "body", "digit"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n", DigitInfo("5", 160)),
        ("application/dtmf-relay", b"Signal= *\nDuration= 80", DigitInfo("*", 80)),
        ("application/dtmf-relay", b"Signal=11\r\n", DigitInfo("#", 250)),
        ("Application/DTMF-Relay; x=y", b"Signal=b\r\n", DigitInfo("B", 250)),
        ("application/dtmf", b"9", DigitInfo("9", 250)),
        ("application/dtmf", b" # \r\n", DigitInfo("#", 250)),
    ],
)
def test_digits_by_info(link: Link, content_type: str, body: bytes, digit: DigitInfo) -> None:
    connected(link)
    send(link["B"].call, "INFO", f"Content-Type: {content_type}\r\n", body)
    link.run(0.1)
    assert link["A"].last == digit
    assert link.flow()[-1] == "A>B 200 INFO"
    link["B"].call.hang_up()
    link.assert_clean()


@pytest.mark.parametrize(
    ("method", "fields", "body", "status"),
    [
        ("INFO", "", b"", 200),
        ("INFO", "Content-Type: application/dtmf\r\n", b"x", 400),
        ("INFO", "Content-Type: application/dtmf-relay\r\n", b"Signal=99\r\n", 400),
        ("INFO", "Content-Type: text/plain\r\n", b"hello", 415),
        ("OPTIONS", "", b"", 200),
        ("UPDATE", "", b"", 200),
        ("PRACK", "RAck: 1 1 INVITE\r\n", b"", 405),
        ("REFER", "Refer-To: <sip:1@10.0.0.2>\r\n", b"", 405),
        ("NOTIFY", "", b"", 405),
        ("MESSAGE", "", b"", 405),
        ("FOO", "", b"", 501),
    ],
)
def test_requests_inside_the_dialog(
    link: Link, method: str, fields: str, body: bytes, status: int
) -> None:
    connected(link)
    send(link["B"].call, method, fields, body)
    link.run(0.1)
    assert link.flow()[-1] == f"A>B {status} {method}"
    assert link["A"].last == Answered(ANSWER)
    link["B"].call.hang_up()
    link.assert_clean()


def test_update_with_an_offer(link: Link) -> None:
    connected(link)
    send(link["B"].call, "UPDATE", "Content-Type: application/sdp\r\n", REOFFER)
    link.run(0.1)
    assert link["A"].last == Reoffer(REOFFER)
    call = next(iter(link["A"].agent._calls.values()))
    assert call.session is not None
    call.session.renegotiation.answer_offer(ANSWER)
    link.run(0.1)
    assert link.flow()[-1] == "A>B 200 UPDATE"
    assert link.raw[-1].endswith(ANSWER)
    link["B"].call.hang_up()
    link.assert_clean()


def test_a_second_offer_while_one_waits_gets_500(link: Link) -> None:
    connected(link)
    for _ in range(2):
        send(link["B"].call, "UPDATE", "Content-Type: application/sdp\r\n", REOFFER)
    link.run(0.1)
    assert link["A"].kinds.count("Reoffer") == 1
    assert link.flow()[-1] == "A>B 500 UPDATE"
    link["B"].call.hang_up()
    link.assert_clean()


def test_the_reinvite_moves_the_target(link: Link) -> None:
    call = connected(link)
    send(
        link["B"].call,
        "UPDATE",
        "Contact: <sip:moved@10.0.0.55:5070>\r\n",
    )
    link.run(0.1)
    assert call.session.dialog.target == "sip:moved@10.0.0.55:5070"
    assert call.peer.host == "10.0.0.55"
    assert call.peer.port == 5070
    link["B"].call.hang_up()
    link.assert_clean()


# ------------------------------------------------------------ what is refused

REQUEST = (
    "{method} sip:1@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.77;branch=z9hG4bK{branch}\n"
    "From: <sip:x@10.0.0.77>;tag=t\nTo: <sip:1@10.0.0.1>{to}\nCall-ID: c-{branch}\n"
    "CSeq: 7 {method}\nMax-Forwards: 70\n{fields}Content-Length: 0\n\n"
)


def inject(
    link: Link,
    method: str,
    *,
    branch: str = "1",
    to: str = "",
    fields: str = "",
    host: str = "10.0.0.77",
) -> list[bytes]:
    """The replies of A to a request from nowhere in particular."""
    sent: list[bytes] = []
    agent = link["A"].agent
    original = agent.send

    def catch(data: bytes, hop: Any, trace: Any) -> None:
        sent.append(data)
        original(data, hop, trace)

    agent.send = catch  # type: ignore[method-assign]
    try:
        text = REQUEST.format(method=method, branch=branch, to=to, fields=fields)
        link.inject("A", text, host)
    finally:
        agent.send = original  # type: ignore[method-assign]
    return sent


def status_of(replies: list[bytes]) -> int:
    assert len(replies) == 1
    return int(replies[0].split(b" ")[1])


@pytest.mark.parametrize(
    ("method", "to", "status"),
    [
        ("OPTIONS", "", 200),
        ("BYE", ";tag=unknown", 481),
        ("INVITE", ";tag=unknown", 481),
        ("INFO", ";tag=unknown", 481),
        ("CANCEL", "", 481),
        ("BYE", "", 405),
        ("REGISTER", "", 405),
        ("SUBSCRIBE", "", 405),
        ("NOTIFY", "", 405),
        ("PUBLISH", "", 405),
        ("MESSAGE", "", 405),
        ("REFER", "", 405),
        ("FOO", "", 501),
    ],
)
def test_requests_outside_calls(link: Link, method: str, to: str, status: int) -> None:
    replies = inject(link, method, to=to)
    assert status_of(replies) == status
    assert ("Allow" in replies[0].decode()) == (status in (200, 405, 501))
    assert replies == inject(link, method, to=to)
    link.assert_clean()


@pytest.mark.parametrize(
    "method",
    ["INVITE", "OPTIONS", "BYE", "CANCEL", "REGISTER", "SUBSCRIBE", "MESSAGE", "REFER", "FOO"],
)
def test_strangers_get_nothing(link: Link, method: str) -> None:
    refused: list[str] = []
    link["A"].agent.on_drop = lambda why, source, method: refused.append(why)
    assert inject(link, method, host="192.0.2.66") == []
    assert link["A"].invited == []
    assert refused == ["denied"]
    assert link["A"].agent.tally().denied == 1
    link.assert_clean()


@pytest.mark.parametrize(
    "method",
    ["INVITE", "OPTIONS", "BYE", "CANCEL", "REGISTER", "SUBSCRIBE", "MESSAGE", "REFER", "FOO"],
)
def test_strangers_get_no_more_than_they_sent(link: Link, method: str) -> None:
    link["A"].agent.refuses_strangers = True
    fields = "User-Agent: friendly-scanner 1.0\n"
    replies = inject(link, method, fields=fields, host="192.0.2.66")
    assert status_of(replies) == 403
    request = REQUEST.format(method=method, branch="1", to="", fields=fields)
    assert len(replies[0]) <= len(request.replace("\n", "\r\n"))
    assert b"Outdial" not in replies[0]
    shortest = inject(link, method, host="192.0.2.66")
    assert sum(map(len, shortest)) <= len(request.replace("\n", "\r\n")) - len(fields) - 1
    assert link["A"].invited == []
    link.assert_clean()


def test_a_stray_ack_is_never_answered(link: Link) -> None:
    assert inject(link, "ACK") == []
    assert inject(link, "ACK", to=";tag=unknown") == []
    assert inject(link, "ACK", host="192.0.2.66") == []
    link.assert_clean()


def test_unknown_extension(link: Link) -> None:
    replies = inject(link, "INVITE", fields="Contact: <sip:x@10.0.0.77>\nRequire: tea, timer\n")
    assert status_of(replies) == 420
    assert header(replies[0], "Unsupported") == "tea"
    link.assert_clean()


def test_merged_request(link: Link) -> None:
    contact = "Contact: <sip:x@10.0.0.77>\n"
    assert inject(link, "INVITE", fields=contact) == []
    text = REQUEST.format(method="INVITE", branch="1", to="", fields=contact)
    assert len(link["A"].invited) == 1
    sent_before = len(link["A"].agent.outgoing())
    link.inject("A", text.replace("z9hG4bK1", "z9hG4bKother"))
    assert sent_before == 0
    assert len(link["A"].invited) == 1
    link["A"].call.hang_up(486)
    link.assert_clean()


def test_an_invite_without_contact(link: Link) -> None:
    assert status_of(inject(link, "INVITE")) == 400
    assert link["A"].invited == []
    link.assert_clean()


def test_without_a_handler_every_invite_is_refused(link: Link) -> None:
    link["A"].agent.takes_invites = False
    assert status_of(inject(link, "INVITE", fields="Contact: <sip:x@10.0.0.77>\n")) == 403
    link.assert_clean()


def test_too_many_calls() -> None:
    link = Link(caps=Caps(calls=1))
    contact = "Contact: <sip:x@10.0.0.77>\n"
    inject(link, "INVITE", fields=contact)
    replies = inject(link, "INVITE", branch="2", fields=contact)
    assert status_of(replies) == 503
    assert header(replies[0], "Retry-After") == "5"
    link.dial()
    assert link["A"].last == Rejected(503, "Too Many Calls", local=True)
    link["A"].call.hang_up(486)
    link.assert_clean()


def test_a_call_can_be_cancelled_when_there_is_no_room_for_a_transaction() -> None:
    link = Link(caps=Caps(transactions=1))
    contact = "Contact: <sip:x@10.0.0.77>\n"
    inject(link, "INVITE", fields=contact)
    replies = inject(link, "CANCEL")
    assert [title(reply) for reply in replies] == ["200 CANCEL", "487 INVITE"]
    assert link["A"].agent.counters().server_transactions == 1
    assert link["A"].kinds == ["Invited", "Rejected"]
    link.assert_clean()


def test_malformed_requests_of_known_peers_are_told_so(link: Link) -> None:
    assert status_of(inject(link, "INVITE", fields="Contact: <sip:\n")) == 400
    assert inject(link, "INVITE", fields="Contact: <sip:\n", host="192.0.2.66") == []
    link.inject("A", "rubbish\n\n")
    assert link["A"].agent.tally().malformed == 3
    link.assert_clean()


def test_a_peer_that_calls_by_rfc2543(link: Link) -> None:
    """No branch: the transaction is found by the other fields; repeated INVITEs make one call."""
    text = REQUEST.format(
        method="INVITE", branch="1", to="", fields="Contact: <sip:x@10.0.0.77>\n"
    ).replace(";branch=z9hG4bK1", "")
    link.inject("A", text)
    link.inject("A", text)
    assert len(link["A"].invited) == 1
    link["A"].call.hang_up(486)
    link.assert_clean()


def test_ringing_comes_as_told(link: Link) -> None:
    reliable(link, (181, None))
    call = link.dial()
    link.run(0.1)
    assert link["A"].events == [Ringing(181, "Call Is Being Forwarded", None)]
    call.hang_up()
    link.assert_clean()


# ------------------------------------------------------------ what lingers

LONG_VIAS = "".join(
    f"Via: SIP/2.0/UDP 10.9.{n}.1;branch=z9hG4bK{n}{'v' * 900}\n" for n in range(60)
)
"""55 KiB that each answer repeats."""


def test_answers_that_linger_are_bounded_by_what_they_hold() -> None:
    """20,000 of the longest would be 1.3 GB: long before that there is no room for another, and
    64*T1 later there is again. What is answered without state is answered all the while."""
    link = Link(caps=Caps(transaction_bytes=500_000))
    agent = link["A"].agent
    contact = "Contact: <sip:x@10.0.0.77>\n"
    refused = 0
    for n in range(40):
        replies = inject(link, "INVITE", branch=f"long{n}", fields=LONG_VIAS + contact)
        if replies:
            assert status_of(replies) == 503
            refused += 1
        else:
            link["A"].call.hang_up(486)
        assert agent.counters().transaction_bytes < 500_000 + 66_000
    assert refused >= 25
    assert agent.tally().overload == refused
    assert status_of(inject(link, "OPTIONS", branch="o")) == 200
    link.run(33)
    assert agent.counters().transaction_bytes == 0
    assert inject(link, "INVITE", branch="later", fields=contact) == [], "there is room again"
    link["A"].call.hang_up(486)
    link.assert_clean()


def test_an_ordinary_peer_never_comes_near_that() -> None:
    """As many answers as may linger at once fit, with their kilobyte each."""
    link = Link()
    contact = "Contact: <sip:x@10.0.0.77>\n"
    inject(link, "INVITE", branch="one", fields=contact)
    link["A"].call.hang_up(486)
    link.settle()
    one = link["A"].agent.counters().transaction_bytes
    assert 0 < one * Caps().transactions < Caps().transaction_bytes
    link.assert_clean()


@pytest.mark.parametrize("caps", [Caps(transactions=1, calls=5), Caps(transaction_bytes=400)])
def test_a_call_can_be_hung_up_when_there_is_no_room(caps: Caps) -> None:
    """A peer has filled everything; the callers of others hang up all the same."""
    link = Link(caps=caps)
    call = connected(link)
    contact = "Contact: <sip:x@10.0.0.77>\n"
    for number in range(3):
        if not inject(link, "INVITE", branch=f"full{number}", fields=contact):
            link["A"].call.hang_up(486)
    assert status_of(inject(link, "INVITE", branch="more", fields=contact)) == 503
    send(link["B"].call, "INFO")
    link.run(0.1)
    assert link.flow()[-1] == "A>B 503 INFO"
    link["B"].call.hang_up()
    link.run(0.1)
    assert link.flow()[-1] == "A>B 200 BYE"
    assert isinstance(link["A"].last, Released)
    assert not call.session
    link.run(33)
    assert link["A"].agent.counters().server_transactions == 0


def test_a_bye_that_ends_nothing_has_no_more_room_than_there_may_be_calls() -> None:
    """Of a dialog that is not confirmed, over and over: 481, until there is no room for that."""
    link = Link(caps=Caps(transactions=3, calls=4))
    link["B"].on_event = lambda owner, event: owner.ring(180, None)
    call = link.dial()
    link.run(0.1)
    early = next(iter(call.early.values())).dialog
    statuses = []
    for number in range(20):
        text = (
            f"BYE sip:a@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKbye{number}\n"
            f"From: <sip:b@x>;tag={early.remote_tag}\nTo: <sip:a@x>;tag={early.local_tag}\n"
            f"Call-ID: {call.call_id}\nCSeq: {number + 1} BYE\nMax-Forwards: 70\n"
            "Content-Length: 0\n\n"
        )
        before = len(link.raw)
        link.inject("A", text, "10.0.0.2")
        statuses.append(title(link.raw[before]))
    assert statuses == ["481 BYE"] * 7 + ["503 BYE"] * 13
    assert link["A"].agent.counters().server_transactions == 7
    call.hang_up()
    link.run(70)
