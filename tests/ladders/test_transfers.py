"""REFER inside a call and Replaces in a new one, by what the owner says of the peer."""

from __future__ import annotations

from typing import Any

import pytest

from ladders.link import ANSWER, Link, answering, header, title
from outdial.legs import Answered, Referred, Released
from outdial.sip.core.agent import Invited
from outdial.sip.core.peer import SOMEBODY, Peer

TRUSTED = Peer("b", may_refer=True, may_replace=True)
TARGET = "<sip:12025550123@10.0.0.2>"


def connected(policy: Peer = TRUSTED) -> tuple[Link, Any]:
    """A has called B, of which the policy is said; gives A's call."""
    link = Link()
    link["A"].agent.peer_of = lambda host, account: policy
    answering(link)
    call = link.dial(policy=policy)
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    return link, call


def refer(link: Link, to: str = TARGET, more: str = "") -> None:
    """B asks A for a transfer."""
    call: Any = link["B"].call
    agent = call._agent
    outline = call.session.dialog.outline(agent.branch())
    agent.send(outline.encode("REFER", f"Refer-To: {to}\r\n{more}"), outline.hop, None)
    link.run(0.1)


def notified(link: Link) -> list[tuple[str, str]]:
    """State and first line of each NOTIFY."""
    raws = [raw for raw in link.raw if title(raw) == "NOTIFY"]
    return [(header(raw, "Subscription-State"), raw.split(b"\r\n\r\n")[1].decode()) for raw in raws]


# ---------------------------------------------------------------------- REFER


def test_it_is_refused_unless_the_owner_allows_it() -> None:
    link, call = connected(SOMEBODY)
    refer(link)
    assert link.flow()[-1] == "A>B 405 REFER"
    assert "REFER" not in header(link.raw[-1], "Allow")
    assert link["A"].kinds == ["Ringing", "Answered"]
    invite = link.raw[0]
    assert "REFER" not in header(invite, "Allow")
    assert "replaces" not in header(invite, "Supported")
    call.hang_up()
    link.assert_clean()


def test_who_may_is_told_so() -> None:
    link, _ = connected()
    assert header(link.raw[0], "Allow").endswith(", REFER")
    assert header(link.raw[0], "Supported").endswith(", replaces")


def test_how_far_it_has_come_is_told() -> None:
    link, call = connected()
    refer(link)
    assert link["A"].last == Referred("sip:12025550123@10.0.0.2")
    assert link.flow()[-1] == "B>A REFER", "nobody has decided yet"
    referral = call.session.referral
    referral.accept()
    link.run(0.1)
    referral.tell(180)
    referral.tell(200, "OK")
    link.run(0.1)
    assert "A>B 202 REFER" in link.flow()
    assert notified(link) == [
        ("active;expires=180", "SIP/2.0 100 Trying\r\n"),
        ("active;expires=180", "SIP/2.0 180 Ringing\r\n"),
        ("terminated;reason=noresource", "SIP/2.0 200 OK\r\n"),
    ]
    (first, *_) = [raw for raw in link.raw if title(raw) == "NOTIFY"]
    assert header(first, "Event") == "refer"
    assert header(first, "Content-Type") == "message/sipfrag;version=2.0"
    assert call.session.referral is None
    call.hang_up()
    link.assert_clean()


def test_a_refusal_is_all_that_is_said() -> None:
    link, call = connected()
    refer(link)
    call.session.referral.refuse(603)
    link.run(0.1)
    assert link.flow()[-1] == "A>B 603 REFER"
    assert notified(link) == []
    # another one is another question, whose news are told apart
    refer(link)
    call.session.referral.accept()
    link.run(0.1)
    (notify,) = [raw for raw in link.raw if title(raw) == "NOTIFY"]
    assert header(notify, "Event").startswith("refer;id=")
    call.hang_up()
    link.assert_clean()


def test_one_at_a_time() -> None:
    link, call = connected()
    refer(link)
    refer(link)
    assert link.flow()[-1] == "A>B 491 REFER"
    assert link["A"].kinds.count("Referred") == 1
    call.hang_up()
    link.assert_clean()


def test_who_wants_no_news_gets_none() -> None:
    link, call = connected()
    refer(link, more="Refer-Sub: false\r\n")
    call.session.referral.accept()
    call.session.referral.tell(200)
    link.run(0.1)
    (accepted,) = [raw for raw in link.raw if title(raw) == "202 REFER"]
    assert header(accepted, "Refer-Sub") == "false"
    assert notified(link) == []
    call.hang_up()
    link.assert_clean()


def test_who_hangs_up_meanwhile_is_told_nothing_more() -> None:
    link, call = connected()
    refer(link)
    referral = call.session.referral
    referral.accept()
    link.run(0.1)
    link["B"].call.hang_up()
    link.run(0.1)
    assert isinstance(link["A"].last, Released)
    referral.tell(200)
    link.run(0.1)
    assert len(notified(link)) == 1
    link.assert_clean()


def test_hanging_up_before_anybody_decided_leaves_nothing_behind() -> None:
    link, call = connected()
    refer(link)
    call.hang_up()
    link.assert_clean()


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("", 400),
        ("<sip:", 400),
        ("<http://evil.test/>", 416),
        ("<sip:a@b;method=BYE>", 603),
        ("<sip:a@b;method=MESSAGE>", 603),
        ("<sip:" + "a" * 600 + "@b>", 400),
        ("<sip:a@b>, <sip:c@d>", 400),
    ],
)
def test_what_cannot_be_asked_for(to: str, status: int) -> None:
    link, call = connected()
    refer(link, to)
    assert link.flow()[-1] == f"A>B {status} REFER"
    assert "Referred" not in link["A"].kinds
    call.hang_up()
    link.assert_clean()


def test_without_refer_to_there_is_nobody_to_call() -> None:
    link, _ = connected()
    call: Any = link["B"].call
    outline = call.session.dialog.outline(call._agent.branch())
    call._agent.send(outline.encode("REFER"), outline.hop, None)
    link.run(0.1)
    assert link.flow()[-1] == "A>B 400 REFER"


@pytest.mark.parametrize("policy", [SOMEBODY, TRUSTED])
def test_outside_a_call_never(policy: Peer) -> None:
    link = Link()
    link["A"].agent.peer_of = lambda host, account: policy
    for tag in ("", ";tag=unknown"):
        link.inject(
            "A",
            "REFER sip:a@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.77;branch=z9hG4bK1\n"
            f"From: <sip:b@x>;tag=1\nTo: <sip:a@x>{tag}\nCall-ID: o\nCSeq: 1 REFER\n"
            f"Refer-To: {TARGET}\nMax-Forwards: 70\nContent-Length: 0\n\n",
        )
    assert link["A"].events == []
    assert link["A"].agent.counters().calls == 0


def test_a_call_that_is_to_be_replaced_there_is_noted() -> None:
    link, call = connected()
    refer(link, "<sip:desk@10.0.0.2?Replaces=abc%3Bto-tag%3D1%3Bfrom-tag%3D2>")
    assert link["A"].last == Referred("sip:desk@10.0.0.2", attended=True)
    call.hang_up()
    link.assert_clean()


# ---------------------------------------------------------------------- Replaces


def replacing(link: Link, value: str, *, host: str = "10.0.0.77", require: bool = False) -> str:
    """What an INVITE with that Replaces gets from A."""
    before = len(link.raw)
    extension = "Require: replaces\n" if require else ""
    link["A"].agent.outgoing()
    text = (
        "INVITE sip:a@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKnew\n"
        "From: <sip:c@x>;tag=c\nTo: <sip:a@x>\nCall-ID: new\nCSeq: 1 INVITE\n"
        f"Contact: <sip:c@10.0.0.2>\n{value}{extension}Max-Forwards: 70\nContent-Length: 0\n\n"
    )
    link.inject("A", text, host)
    link.run(0.1)
    ours = [title(raw) for raw in link.raw[before:] if raw.startswith(b"SIP/2.0")]
    return ours[0] if ours else ""


def naming(call: Any, **changes: str) -> str:
    dialog = call.session.dialog
    parts = {
        "call_id": call.call_id,
        "ours": dialog.local_tag,
        "theirs": dialog.remote_tag,
        "more": "",
    } | changes
    return "Replaces: {call_id};to-tag={ours};from-tag={theirs}{more}\n".format(**parts)


def replaced_by(link: Link) -> Any:
    call = link["A"].invited[-1] if link["A"].invited else None
    return None if call is None else call.replaced


@pytest.mark.parametrize("require", [False, True])
def test_a_call_of_the_same_trunk_may_take_the_place(require: bool) -> None:
    link, call = connected()
    # from another machine of the trunk; the network of this test knows only B's
    assert replacing(link, naming(call), require=require) == ""
    assert replaced_by(link) is call
    assert isinstance(link["A"].last, Invited)


def test_one_that_is_not_allowed_to_is_declined() -> None:
    link, call = connected(SOMEBODY)
    assert replacing(link, naming(call), host="10.0.0.2") == "603 INVITE"
    assert not link["A"].invited


def test_requiring_it_where_it_is_not_allowed() -> None:
    link, call = connected(SOMEBODY)
    assert replacing(link, naming(call), host="10.0.0.2", require=True) == "420 INVITE"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"call_id": "another"}, 481),
        ({"ours": "another"}, 481),
        ({"theirs": "another"}, 481),
        ({"more": ";early-only"}, 486),
        ({"more": ", x;to-tag=1;from-tag=2"}, 400),
        ({"more": "\nReplaces: x;to-tag=1;from-tag=2"}, 400),
        ({"ours": ""}, 400),
    ],
)
def test_what_fits_no_call(changes: dict[str, str], status: int) -> None:
    link, call = connected()
    assert replacing(link, naming(call, **changes), host="10.0.0.2") == f"{status} INVITE"
    assert not link["A"].invited


def test_a_call_of_another_trunk_is_not_there() -> None:
    link, call = connected()
    link["A"].agent.peer_of = lambda host, account: Peer("c", may_replace=True)
    assert replacing(link, naming(call), host="10.0.0.2") == "481 INVITE"


def test_a_call_that_is_not_answered_is_not_replaced() -> None:
    link = Link()
    link["A"].agent.peer_of = lambda host, account: TRUSTED
    link["B"].on_event = lambda owner, event: owner.ring(180, None)
    call = link.dial(policy=TRUSTED)
    link.run(0.1)
    early = next(iter(call.early.values())).dialog
    value = f"Replaces: call-1;to-tag={early.local_tag};from-tag={early.remote_tag}"
    for more in ("", ";early-only"):
        assert replacing(link, f"{value}{more}\n", host="10.0.0.2") == "603 INVITE", (
            "ours: by policy"
        )
        link.run(33)
    value = f"Replaces: call-1;to-tag={early.local_tag};from-tag=another\n"
    assert replacing(link, value, host="10.0.0.2") == "481 INVITE"
    assert call.early, "it goes on ringing"
    call.hang_up()
    link.run(1)
    assert link["A"].last.status == 487


def test_a_call_that_the_peer_began_and_nobody_answered_is_not_there() -> None:
    """Section 3: an early dialog that this side did not begin gets 481."""
    link = Link("BA")
    link["A"].agent.peer_of = lambda host, account: TRUSTED
    link["A"].on_event = lambda owner, event: owner.ring(180, None)
    host = link["B"].host
    text = (
        f"INVITE sip:a@10.0.0.2 SIP/2.0\nVia: SIP/2.0/UDP {host};branch=z9hG4bKold\n"
        "From: <sip:b@x>;tag=theirs\nTo: <sip:a@x>\nCall-ID: old\nCSeq: 1 INVITE\n"
        f"Contact: <sip:b@{host}>\nMax-Forwards: 70\nContent-Length: 0\n\n"
    )
    link.inject("A", text, host)
    (call,) = link["A"].invited
    value = f"Replaces: old;to-tag={call.local_tag};from-tag=theirs"
    for more in ("", ";early-only"):
        assert replacing(link, f"{value}{more}\n", host=host) == "481 INVITE"
        link.run(33)
    assert call.early


@pytest.mark.parametrize("more", ["Join: x;to-tag=1;from-tag=2\n", "Join: \n"])
def test_joining_and_replacing_at_once_makes_no_sense(more: str) -> None:
    link, call = connected()
    assert replacing(link, naming(call) + more, host="10.0.0.2") == "400 INVITE"
    assert call.session.is_open


@pytest.mark.parametrize("method", ["INFO", "UPDATE", "OPTIONS"])
def test_it_belongs_into_an_invite(method: str) -> None:
    link, call = connected()
    peer: Any = link["B"].call
    outline = peer.session.dialog.outline(peer._agent.branch())
    peer._agent.send(outline.encode(method, naming(call).replace("\n", "\r\n")), outline.hop, None)
    link.run(0.1)
    assert link.flow()[-1] == f"A>B 400 {method}"
    assert call.session.is_open
    outline = peer.session.dialog.outline(peer._agent.branch())
    peer._agent.send(outline.encode("BYE", "Replaces: x;to-tag=1\r\n"), outline.hop, None)
    link.run(0.1)
    assert isinstance(link["A"].last, Released), "whoever wants to hang up may"


@pytest.mark.parametrize(("policy", "status"), [(TRUSTED, 400), (SOMEBODY, 200)])
def test_options_with_replaces(policy: Peer, status: int) -> None:
    """Who does not know the field does not see it."""
    link = Link()
    link["A"].agent.peer_of = lambda host, account: policy
    link.inject(
        "A",
        "OPTIONS sip:a@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\n"
        "From: <sip:b@x>;tag=1\nTo: <sip:a@x>\nCall-ID: o\nCSeq: 1 OPTIONS\n"
        "Replaces: x;to-tag=1;from-tag=2\nMax-Forwards: 70\nContent-Length: 0\n\n",
        "10.0.0.2",
    )
    assert link.flow() == [f"A>B {status} OPTIONS"]


def test_a_call_that_is_being_hung_up_is_declined() -> None:
    link, call = connected()
    value = naming(call)
    link.lose = lambda way, data: title(data) == "BYE"
    call.hang_up()
    assert replacing(link, value, host="10.0.0.2") == "603 INVITE"


def test_a_thousand_guesses_replace_nothing() -> None:
    """By a peer that may replace its own calls, of a call that is another's: it may even know all
    but one of the three names."""
    link, call = connected()
    dialog = call.session.dialog
    names = (call.call_id, dialog.local_tag, dialog.remote_tag)
    for number in range(1000):
        parts = list(names)
        parts[number % 3] = f"{parts[number % 3][:-1]}{number:x}z"
        text = (
            f"INVITE sip:a@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.77;branch=z9hG4bK{number}\n"
            f"From: <sip:c@x>;tag=c\nTo: <sip:a@x>\nCall-ID: new{number}\nCSeq: 1 INVITE\n"
            "Contact: <sip:c@10.0.0.77>\nMax-Forwards: 70\nContent-Length: 0\n"
            f"Replaces: {parts[0]};to-tag={parts[1]};from-tag={parts[2]}\n\n"
        )
        link.inject("A", text)
    assert link["A"].invited == []
    assert call.session.is_open
    call.hang_up()
    link.assert_clean()
