"""A caller that crashes and comes back: who is told what, on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ladders.link import ANSWER, Link, answering, header
from outdial.legs import Answered, Rejected, Released
from outdial.sip.core.agent import Invited
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.dialog_data import DialogData
from outdial.sip.core.invite_client import OutgoingCall
from outdial.sip.core.orphans import MOST

CREDENTIALS = Credentials("user", "secret", frozenset(("10.0.0.2",)))


def kept(call: OutgoingCall) -> str:
    """What the store has of the call."""
    data = call.dialog_data
    assert data is not None
    return json.dumps(data.to_json())


def release(link: Link, data: str, credentials: Credentials | None = None) -> None:
    """What a new process does with it."""
    parsed = DialogData.from_json(json.loads(data))
    side = link["A"]
    side.agent.release(parsed, link.hop("A", parsed.host), credentials, link.now)
    link.settle()


def after(link: Link, line: str) -> list[str]:
    """The flow from the last such line on."""
    flow = link.flow()
    start = len(flow) - flow[::-1].index(line)
    return flow[start:]


def sent(link: Link, start: str) -> list[bytes]:
    return [raw for raw in link.raw if raw.startswith(start.encode())]


def ringing(link: Link) -> OutgoingCall:
    """A calls B, which rings."""

    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.ring(180, None)

    link["B"].on_event = react
    call = link.dial(ack_waits=True)
    link.run(0.1)
    return call


# ------------------------------------------------------------------ the ACK waits


def test_the_ack_waits_until_it_is_wanted_and_then_answers_every_repetition() -> None:
    link = Link()
    answering(link, ring=False)
    call = link.dial(ack_waits=True)
    link.run(0.4)
    assert link["A"].last == Answered(ANSWER)
    assert link.count("A>B ACK") == 0
    link.run(0.2)
    assert link.count("B>A 200 INVITE") == 2
    assert link.count("A>B ACK") == 0
    link.losses["A>B"] = [True]
    call.acknowledge()
    call.acknowledge()
    link.run(2.0)
    assert link.count("B>A 200 INVITE") == 3
    acks = sent(link, "ACK ")
    assert len(acks) == 2
    assert acks[0] == acks[1]
    call.hang_up()
    link.assert_clean()


def test_hanging_up_acknowledges_first() -> None:
    link = Link()
    answering(link, ring=False)
    call = link.dial(ack_waits=True)
    link.run(0.1)
    call.hang_up()
    link.run(1.0)
    assert after(link, "B>A 200 INVITE") == ["A>B ACK", "A>B BYE", "B>A 200 BYE"]
    link.assert_clean()


def test_a_callee_that_hangs_up_before_the_ack_gets_it_all_the_same() -> None:
    link = Link()

    def impatient(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.accept(ANSWER)
            call.session.renegotiation.stop_repeating()
            call.session._send_bye()

    link["B"].on_event = impatient
    call = link.dial(ack_waits=True)
    link.run(1.0)
    assert isinstance(link["A"].last, Released)
    assert after(link, "B>A BYE") == ["A>B 200 BYE", "A>B ACK"]
    call.acknowledge()
    link.run(1.0)
    assert link.count("A>B ACK") == 1
    link.assert_clean()


def test_a_branch_too_many_is_acknowledged_at_once() -> None:
    link = Link("ABC")
    answering(link, "B", ring=False)
    answering(link, "C", ring=False)
    call = link.dial("10.0.0.9", ack_waits=True)
    link.run(0.1)
    assert link.count("A>B ACK") + link.count("A>C ACK") == 1
    assert link.count("A>B BYE") + link.count("A>C BYE") == 1
    call.acknowledge()
    link.run(0.1)
    assert (link.count("A>B ACK"), link.count("A>C ACK")) == (1, 1)
    call.hang_up()
    link.assert_clean()


# ------------------------------------------------------------------ what is kept


def test_what_is_kept_changes_from_the_invite_to_the_dialog_to_nothing() -> None:
    link = Link()
    call = ringing(link)
    data = call.dialog_data
    assert data is not None
    assert data.branch
    assert "tag=" not in data.remote
    link["B"].call.accept(ANSWER)
    link.run(0.1)
    data = call.dialog_data
    assert data is not None
    assert not data.branch
    assert f"tag={link['B'].call.local_tag}" in data.remote
    assert (data.host, data.port, data.target) == ("10.0.0.2", 5060, "sip:10.0.0.2:5060")
    assert len(kept(call)) < 400
    call.hang_up()
    link.run(1.0)
    assert call.dialog_data is None


# ------------------------------------------------------------------ answered


def talking(link: Link, **more: Any) -> str:
    """A and B talk; what A's store has of it."""
    answering(link)
    call = link.dial(ack_waits=True, **more)
    link.run(0.1)
    data = kept(call)
    call.acknowledge()
    link.run(5.0)
    return data


def test_a_crash_while_they_talk_is_followed_by_bye() -> None:
    link = Link()
    data = talking(link)
    link.restart("A")
    link.run(3.0)
    release(link, data)
    link.run(1.0)
    assert after(link, "A>B ACK") == ["A>B BYE", "B>A 200 BYE"]
    assert isinstance(link["B"].last, Released)
    invite, bye = sent(link, "INVITE ")[0], sent(link, "BYE ")[0]
    for name in ("Call-ID", "From"):
        assert header(bye, name) == header(invite, name)
    assert header(bye, "Reason") == "Q.850;cause=41"
    assert int(header(bye, "CSeq").split()[0]) > 1000
    assert link["A"].events == []
    link.assert_clean()


@pytest.mark.parametrize("byes_lost", [0, 2])
def test_a_crash_between_the_commit_and_the_ack(byes_lost: int) -> None:
    """BYE says enough; but as long as the far end repeats its 200, that gets its ACK."""
    link = Link()
    answering(link)
    call = link.dial(ack_waits=True)
    link.run(0.1)
    data = kept(call)
    link.restart("A")
    link.losses["A>B"] = [True] * byes_lost
    release(link, data)
    link.run(5.0)
    assert isinstance(link["B"].last, Released)
    assert link.count("A>B ACK") == link.count("B>A 200 INVITE") - 1
    assert len({header(raw, "CSeq") for raw in sent(link, "BYE ")}) == 1
    link.assert_clean()


def test_a_callee_that_crashed_says_goodbye_too() -> None:
    link = Link()
    talking(link)
    data = link["B"].call.dialog_data
    assert data is not None
    link.restart("B")
    link["B"].agent.release(data, link.hop("B", data.host), None, link.now)
    link.run(1.0)
    assert after(link, "A>B ACK") == ["B>A BYE", "A>B 200 BYE"]
    assert isinstance(link["A"].last, Released)
    link.assert_clean()


def test_a_bye_that_is_challenged_is_sent_again_with_credentials() -> None:
    link = Link()
    data = talking(link)
    link.restart("A")
    bye_seen: list[bytes] = []

    def challenging(way: str, raw: bytes) -> bool:
        if way == "A>B" and raw.startswith(b"BYE"):
            bye_seen.append(raw)
            if len(bye_seen) == 1:
                link.inject("A", challenge(raw), host="10.0.0.2")
                return True
        return False

    link.lose = challenging
    release(link, data, CREDENTIALS)
    link.run(1.0)
    assert len(bye_seen) == 2
    assert header(bye_seen[0], "Proxy-Authorization") == ""
    assert 'username="user"' in header(bye_seen[1], "Proxy-Authorization")
    assert "secret" not in bye_seen[1].decode()
    first, second = (int(header(raw, "CSeq").split()[0]) for raw in bye_seen)
    assert second == first + 1
    assert isinstance(link["B"].last, Released)
    link.assert_clean()


def challenge(raw: bytes) -> str:
    """407 to a request."""
    copied = "".join(
        f"{name}: {header(raw, name)}\n" for name in ("Via", "From", "To", "Call-ID", "CSeq")
    )
    return (
        f"SIP/2.0 407 Proxy Authentication Required\n{copied}"
        'Proxy-Authenticate: Digest realm="carrier", nonce="n1", qop="auth"\n'
        "Content-Length: 0\n\n"
    )


def test_credentials_are_not_shown_to_others() -> None:
    link = Link()
    data = talking(link)
    link.restart("A")
    elsewhere = Credentials("user", "secret", frozenset(("10.0.0.8",)))
    release(link, data, elsewhere)
    link.inject("A", challenge(sent(link, "BYE ")[0]), host="10.0.0.2")
    link.run(1.0)
    assert not any(b"Authorization" in raw for raw in link.raw)
    link.assert_clean()


def test_a_bye_that_nobody_answers_is_repeated_and_given_up() -> None:
    link = Link()
    data = talking(link)
    link.restart("A")
    link.restart("B")
    link.lose = lambda way, raw: way == "A>B"
    release(link, data)
    link.run(40.0)
    assert link.count("A>B BYE") == 11
    assert link["A"].events == []
    link.assert_clean()


def test_a_far_end_that_does_not_know_the_call_any_more() -> None:
    link = Link()
    data = talking(link)
    link.restart("A")
    link.restart("B")
    release(link, data)
    link.run(1.0)
    assert after(link, "A>B BYE") == ["B>A 481 BYE"]
    link.assert_clean()


def test_byes_that_cross() -> None:
    link = Link()
    data = talking(link)
    link.restart("A")
    link["B"].call.session.hang_up()  # type: ignore[union-attr]
    release(link, data)
    link.run(1.0)
    assert link.count("A>B 481 BYE") == 1
    assert link.count("B>A 200 BYE") == 1
    link.assert_clean()


# ------------------------------------------------------------------ ringing


def test_a_crash_while_it_rings_is_followed_by_cancel() -> None:
    link = Link()
    data = kept(ringing(link))
    link.restart("A")
    link.run(2.0)
    release(link, data)
    link.run(1.0)
    assert after(link, "B>A 180 INVITE") == [
        "A>B CANCEL",
        "B>A 200 CANCEL",
        "B>A 487 INVITE",
        "A>B ACK",
    ]
    invite, cancel = sent(link, "INVITE ")[0], sent(link, "CANCEL ")[0]
    for name in ("Via", "From", "To", "Call-ID"):
        assert header(cancel, name) == header(invite, name)
    assert header(cancel, "CSeq") == "1 CANCEL"
    assert isinstance(link["B"].last, Rejected)
    link.assert_clean()


def test_another_node_cancels_with_the_via_of_the_first() -> None:
    link = Link("ABC")
    data = kept(ringing(link))
    link.restart("A", accepts=None)
    parsed = DialogData.from_json(json.loads(data))
    link["C"].agent.release(parsed, link.hop("C", parsed.host), None, link.now)
    link.run(1.0)
    assert header(sent(link, "CANCEL ")[0], "Via") == header(sent(link, "INVITE ")[0], "Via")


def test_another_node_says_goodbye() -> None:
    link = Link("ABC")
    data = talking(link)
    link.restart("A")
    parsed = DialogData.from_json(json.loads(data))
    link["C"].agent.release(parsed, link.hop("C", parsed.host), None, link.now)
    link.run(1.0)
    assert after(link, "C>B BYE") == ["B>C 200 BYE"]
    assert isinstance(link["B"].last, Released)
    link.assert_clean()


def test_an_answer_while_nobody_was_there_is_acknowledged_and_released() -> None:
    link = Link()
    data = kept(ringing(link))
    link.restart("A", accepts=None)
    link["B"].call.accept(ANSWER)
    link.run(0.6)
    assert link.count("A>B ACK") == 0
    release(link, data)
    link.run(2.0)
    flow = after(link, "A>B CANCEL")
    assert [line for line in flow if line.startswith("A>")] == ["A>B BYE", "A>B ACK"]
    assert isinstance(link["B"].last, Released)
    link.assert_clean()


def test_a_cancel_that_crosses_the_answer() -> None:
    link = Link()
    data = kept(ringing(link))
    link.restart("A")
    release(link, data)
    link["B"].call.accept(ANSWER)
    link.run(2.0)
    assert (link.count("A>B ACK"), link.count("A>B BYE")) == (1, 1)
    assert isinstance(link["B"].last, Released)
    link.assert_clean()


@pytest.mark.parametrize("forgets", [True, False])
def test_an_answer_that_was_acknowledged_but_not_stored_is_released(forgets: bool) -> None:
    """The store was away, and then it crashed. Some peers say 481 to a CANCEL that comes too late,
    others 200 (they still know the transaction), and then nothing more."""
    link = Link()
    call = ringing(link)
    data = kept(call)
    link["B"].call.accept(ANSWER)
    link.run(0.1)
    call.acknowledge()
    link.run(40.0 if forgets else 1.0)
    link.restart("A")
    release(link, data)
    link.run(40.0)
    answer = "481" if forgets else "200"
    assert after(link, "A>B ACK") == [
        "A>B CANCEL",
        f"B>A {answer} CANCEL",
        "A>B BYE",
        "B>A 200 BYE",
    ]
    assert isinstance(link["B"].last, Released)
    link.assert_clean()


def test_a_cancel_that_nobody_answers_leaves_nothing_behind() -> None:
    link = Link()
    data = kept(ringing(link))
    link.restart("A")
    link.restart("B")
    link.lose = lambda way, raw: way == "A>B"
    release(link, data)
    link.run(33.0)
    assert link.count("A>B CANCEL") == 11
    link.assert_clean()


# ------------------------------------------------------------------ a 200 nobody knows


def crashed_before_the_commit(link: Link) -> None:
    """B has answered, A has forgotten."""
    answering(link)
    link.dial(ack_waits=True)
    link.run(0.1)
    assert link.count("A>B ACK") == 0


def test_a_200_of_a_forgotten_call_is_acknowledged_and_released() -> None:
    link = Link()
    crashed_before_the_commit(link)
    link.restart("A")
    link.run(1.0)
    # Were we to crash once more between the two, the 200 must come again or the dialog be over.
    assert after(link, "B>A 200 INVITE") == ["A>B BYE", "A>B ACK", "B>A 200 BYE"]
    assert isinstance(link["B"].last, Released)
    ack, bye = sent(link, "ACK ")[0], sent(link, "BYE ")[0]
    assert header(ack, "CSeq") == "1 ACK"
    assert header(bye, "CSeq") == "2 BYE"
    assert header(bye, "To") == header(ack, "To")
    assert link["A"].events == []
    link.assert_clean()


def test_its_repetitions_are_acknowledged_and_get_no_further_bye() -> None:
    link = Link()
    crashed_before_the_commit(link)
    link.restart("A")
    link.losses["A>B"] = [True, True]
    link.lose = lambda way, raw: raw.startswith(b"BYE") and len(sent(link, "BYE ")) < 3
    link.run(2.0)
    assert link.count("A>B ACK") == link.count("B>A 200 INVITE") - 1
    assert len({header(raw, "CSeq") for raw in sent(link, "BYE ")}) == 1
    link.assert_clean()


def test_the_bye_of_a_forgotten_call_is_challenged() -> None:
    link = Link()
    crashed_before_the_commit(link)
    link.restart("A", credentials_of=lambda host: CREDENTIALS if host == "10.0.0.2" else None)
    link.lose = lambda way, raw: raw.startswith(b"BYE") and b"Authorization" not in raw
    link.run(0.5)
    link.inject("A", challenge(sent(link, "BYE ")[0]), host="10.0.0.2")
    link.run(1.0)
    assert b"Proxy-Authorization" in sent(link, "BYE ")[-1]
    assert isinstance(link["B"].last, Released)
    link.assert_clean()


ANSWERED = """SIP/2.0 200 OK
Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKgone;rport
From: <sip:1222@10.0.0.1>;tag=ours{number}
To: <sip:15005550001@10.0.0.2>;tag=theirs
Call-ID: forgotten
CSeq: 7 INVITE
Contact: <sip:{contact}>
{more}Content-Length: 0

"""


def stray(link: Link, host: str, contact: str, number: int = 1, more: str = "") -> list[Any]:
    """A 200 nobody asked for; what A sends then, without time passing."""
    text = ANSWERED.format(number=number, contact=contact, more=more)
    agent = link["A"].agent
    agent.receive(text.replace("\n", "\r\n").encode(), link.hop("A", host), link.now)
    return agent.outgoing()


def test_a_stranger_gets_nothing() -> None:
    link = Link("A")
    assert stray(link, "192.0.2.66", "10.0.0.2") == []
    assert link["A"].agent.tally().strays == 1
    link.assert_clean()


def test_an_answer_to_somebody_else_gets_nothing() -> None:
    """Its Via does not name our socket, so no INVITE of ours made it."""
    link = Link("A")
    link.sides["A"].host = "10.0.0.3"
    assert stray(link, "10.0.0.2", "10.0.0.2") == []
    link.assert_clean()


@pytest.mark.parametrize(
    ("contact", "host"),
    [("10.0.0.5:5070", "10.0.0.5"), ("192.0.2.66", "10.0.0.2"), ("name.example", "10.0.0.2")],
)
def test_only_peers_are_sent_to_whatever_the_contact_says(contact: str, host: str) -> None:
    """A forged source must not make us bombard a third party."""
    link = Link("A")
    assert {message.hop.host for message in stray(link, "10.0.0.2", contact)} == {host}
    link.assert_clean()


def test_it_goes_back_by_the_route_it_came() -> None:
    link = Link("A")
    routes = "Record-Route: <sip:10.0.0.6;lr>\nRecord-Route: <sip:10.0.0.7;lr>\n"
    ack, bye = stray(link, "10.0.0.2", "10.0.0.5", more=routes)
    for message in (ack, bye):
        assert message.hop.host == "10.0.0.7"
        text = message.data.decode()
        assert text.index("Route: <sip:10.0.0.7;lr>") < text.index("Route: <sip:10.0.0.6;lr>")
        assert " sip:10.0.0.5 SIP/2.0" in text
    link.assert_clean()


def test_a_flood_of_them_is_bounded() -> None:
    link = Link("A")
    answered = [stray(link, "10.0.0.2", "10.0.0.2", number) for number in range(MOST + 50)]
    assert sum(map(bool, answered)) == MOST
    assert link["A"].agent.tally().strays == 50
    assert link["A"].agent.tally().orphans == MOST
    assert len(stray(link, "10.0.0.2", "10.0.0.2", 3)) == 1, "one that is known gets its ACK again"
    link.run(33.0)
    assert stray(link, "10.0.0.2", "10.0.0.2", MOST + 7) != []
    link.assert_clean()


def test_a_200_repeated_for_very_long_does_not_end_a_live_call() -> None:
    link = Link()
    data = talking(link)
    answer = next(raw for raw in link.raw if raw.startswith(b"SIP/2.0 200"))
    link.run(40.0)
    assert link["A"].agent.counters().client_transactions == 0
    link["A"].agent.receive(answer, link.hop("A", "10.0.0.2"), link.now)
    link.run(1.0)
    assert after(link, "A>B ACK") == []
    assert link.count("A>B ACK") == 2
    assert link.count("A>B BYE") == 0
    assert link["A"].agent.counters().dialogs == 1
    assert json.loads(data)["cseq"] == 1


# ------------------------------------------------------------------ data nobody can use


GOOD = {
    "call_id": "c", "local": "<sip:a@h>;tag=1", "remote": "<sip:b@h>;tag=2", "target": "sip:b@h",
    "cseq": 1, "peer": ["udp", "10.0.0.2", 5060],
}  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"call_id": None}, {"cseq": "x"}, {"peer": ["udp", "10.0.0.2"]}, {"peer": None},
        {"target": "sip:b@h\r\nX: y"}, {"routes": [1]}, {"local": "<sip:a@h"}, {"remote": ""},
    ],
)  # fmt: skip
def test_unusable_data_are_refused(wrong: dict[str, Any]) -> None:
    link = Link("A")
    with pytest.raises(ValueError, match=r"."):
        release(link, json.dumps({**GOOD, **wrong}))
    link.assert_clean()


def test_data_survive_json() -> None:
    early = {"remote": "<sip:b@h>;tag=3", "routes": ["<sip:p;lr>"], "peer": ["udp", "10.0.0.3", 1]}
    data = DialogData.from_json({**GOOD, "branch": "z9hG4bKx", "early": early, "new": 1})
    assert data.early is not None
    assert (data.early.call_id, data.early.host, data.early.branch) == ("c", "10.0.0.3", "")
    assert data.to_json()["early"] == early
    assert DialogData.from_json(json.loads(json.dumps(data.to_json()))) == data
