"""Digest as a client inside calls: whose challenges are answered, and how often (THREATS row 5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ladders.link import ANSWER, Link, answering, header
from outdial.legs import Answered, Rejected
from outdial.sip.core.agent import Invited
from outdial.sip.core.authorization import Credentials, Nonces
from outdial.sip.core.digest import Verdict, Verifier

CREDENTIALS = Credentials("alice", "secret", frozenset({"10.0.0.2"}))
CHALLENGES = [
    'Digest realm="trunk", nonce="n{n}"',
    'Digest realm="trunk", nonce="n{n}", algorithm=MD5, qop="auth"',
    'Digest realm="trunk", nonce="n{n}", algorithm=SHA-256, qop="auth,auth-int"',
    'Digest realm="trunk", nonce="n{n}", algorithm=MD5-sess, qop="auth", opaque="o"',
]


@pytest.fixture
def link() -> Link:
    return Link()


def challenging(
    link: Link, challenge: str, *, times: int = 1, status: int = 407, stale: bool = False
) -> None:
    """B challenges so many INVITEs, each with a fresh nonce, and takes the next."""
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"

    def react(call: Any, event: Any) -> None:
        if not isinstance(event, Invited):
            return
        count = len(link["B"].invited)
        if count <= times:
            value = challenge.replace("{n}", str(count)) + (", stale=true" if stale else "")
            call.reject(status, "", ((name, value),))
        else:
            call.accept(ANSWER)

    link["B"].on_event = react


def authorizations(link: Link, name: str = "Proxy-Authorization") -> list[str]:
    return [header(raw, name) for raw in link.raw if raw.startswith(b"INVITE")]


@pytest.mark.parametrize("challenge", CHALLENGES)
@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_is_answered(link: Link, challenge: str, status: int) -> None:
    challenging(link, challenge, status=status)
    call = link.dial(credentials=CREDENTIALS)
    link.run(0.2)
    assert link["A"].events == [Answered(ANSWER)]
    name = "Proxy-Authorization" if status == 407 else "Authorization"
    first, second = authorizations(link, name)
    assert first == ""
    assert 'username="alice"' in second
    assert "secret" not in "".join(map(repr, link.raw))
    invites = [raw for raw in link.raw if raw.startswith(b"INVITE")]
    assert header(invites[0], "Call-ID") == header(invites[1], "Call-ID")
    assert header(invites[1], "CSeq") == "2 INVITE"
    ack = next(raw for raw in reversed(link.raw) if raw.startswith(b"ACK"))
    assert 'username="alice"' in header(ack, name)
    call.hang_up()
    link.run(0.1)
    bye = next(raw for raw in link.raw if raw.startswith(b"BYE"))
    assert 'username="alice"' in header(bye, name)
    link.assert_clean()


def test_the_digest_is_right_for_a_real_verifier(link: Link) -> None:
    """The server side of the message layer checks nonce, count and response."""
    verifier = Verifier("trunk", b"0123456789abcdef")
    verdicts: list[Verdict] = []

    def react(call: Any, event: Any) -> None:
        if not isinstance(event, Invited):
            return
        given = call.request.headers.get("Proxy-Authorization")
        if given is None:
            values = verifier.challenges("10.0.0.1", link.now, "salt")
            call.reject(407, "", tuple(("Proxy-Authenticate", value) for value in values))
            return
        verdicts.append(
            verifier.verify(
                given,
                lambda user: "secret" if user == "alice" else None,
                "INVITE",
                call.request.uri,
                "10.0.0.1",
                link.now,
                call.request.body,
            )
        )
        call.accept(ANSWER)

    link["B"].on_event = react
    call = link.dial(credentials=CREDENTIALS)
    link.run(0.2)
    assert verdicts == [Verdict.ACCEPTED]
    call.hang_up()
    link.assert_clean()


def test_a_wrong_password_is_not_tried_again(link: Link) -> None:
    challenging(link, CHALLENGES[1], times=9)
    link.dial(credentials=CREDENTIALS)
    link.run(1)
    assert link["A"].events == [Rejected(407, "Proxy Authentication Required")]
    assert len(authorizations(link)) == 2
    link.assert_clean()


def test_a_stale_nonce_is_replaced_once(link: Link) -> None:
    challenging(link, CHALLENGES[1], times=2, stale=True)
    call = link.dial(credentials=CREDENTIALS)
    link.run(1)
    assert link["A"].last == Answered(ANSWER)
    assert 'nonce="n2"' in authorizations(link)[2]
    call.hang_up()
    link.assert_clean()


def test_at_most_two_tries(link: Link) -> None:
    challenging(link, CHALLENGES[1], times=9, stale=True)
    link.dial(credentials=CREDENTIALS)
    link.run(1)
    assert len(authorizations(link)) == 3
    assert link["A"].last == Rejected(407, "Proxy Authentication Required")
    link.assert_clean()


def test_the_nonce_count_grows(link: Link) -> None:
    challenging(link, CHALLENGES[1])
    call = link.dial(credentials=CREDENTIALS)
    link.run(0.2)
    call.hang_up()
    link.run(0.1)
    bye = next(raw for raw in link.raw if raw.startswith(b"BYE"))
    assert "nc=00000001" in authorizations(link)[1]
    assert "nc=00000003" in header(bye, "Proxy-Authorization")
    link.assert_clean()


def two_realms(link: Link, *, at_once: bool) -> None:
    """A proxy and the server behind it, each with a realm; both in one 407, or one by one."""

    def react(call: Any, event: Any) -> None:
        if not isinstance(event, Invited):
            return
        shown = call.request.headers.get_all("Proxy-Authorization")
        missing = [
            ("Proxy-Authenticate", f'Digest realm="{realm}", nonce="n-{realm}"')
            for realm in ("one", "two")
            if not any(f'realm="{realm}"' in value for value in shown)
        ]
        if missing:
            call.reject(407, "", tuple(missing if at_once else missing[:1]))
        else:
            call.accept(ANSWER)

    link["B"].on_event = react


@pytest.mark.parametrize("at_once", [True, False])
def test_two_realms(link: Link, at_once: bool) -> None:
    two_realms(link, at_once=at_once)
    call = link.dial(credentials=CREDENTIALS)
    link.run(1)
    assert link["A"].last == Answered(ANSWER)
    invites = [raw for raw in link.raw if raw.startswith(b"INVITE")]
    assert len(invites) == (2 if at_once else 3)
    assert invites[-1].count(b"Proxy-Authorization: ") == 2
    call.hang_up()
    link.assert_clean()


def test_realms_without_end(link: Link) -> None:
    challenging(link, 'Digest realm="r{n}", nonce="n{n}"', times=99)
    link.dial(credentials=CREDENTIALS)
    link.run(1)
    assert link["A"].last == Rejected(407, "Proxy Authentication Required")
    assert len(authorizations(link)) == 5
    link.assert_clean()


# ------------------------------------------------------------ what calls of a trunk have in common


def trunk() -> Credentials:
    """Those of a trunk: they remember nonces."""
    return Credentials("alice", "secret", frozenset({"10.0.0.2"}), Nonces())


def dial_once(link: Link, credentials: Credentials, call_id: str) -> list[str]:
    """A call from INVITE to BYE; what its INVITEs showed."""
    before = len(authorizations(link))
    call = link.dial(credentials=credentials, call_id=call_id)
    link.run(1)
    assert link["A"].last == Answered(ANSWER)
    call.hang_up()
    link.run(1)
    return authorizations(link)[before:]


def test_the_next_call_shows_its_digest_at_once(link: Link) -> None:
    challenging(link, CHALLENGES[1])
    credentials = trunk()
    first = dial_once(link, credentials, "call-1")
    (second,) = dial_once(link, credentials, "call-2")
    assert first[0] == ""
    assert "nc=00000001" in first[1]
    assert 'nonce="n1"' in second
    assert "nc=00000004" in second, "behind the INVITE, ACK and BYE of the first call"
    link.assert_clean()


def test_an_old_nonce_is_replaced_though_the_challenge_does_not_say_stale(link: Link) -> None:
    credentials = trunk()
    challenging(link, CHALLENGES[1])
    dial_once(link, credentials, "call-1")
    challenging(link, CHALLENGES[1], times=3)
    old, new = dial_once(link, credentials, "call-2")
    assert ('nonce="n1"' in old, 'nonce="n3"' in new) == (True, True)
    link.assert_clean()


def test_a_wrong_password_is_not_tried_again_by_the_next_call_either(link: Link) -> None:
    challenging(link, CHALLENGES[1], times=99)
    credentials = trunk()
    for number, most in ((1, 2), (2, 2)):
        before = len(authorizations(link))
        link.dial(credentials=credentials, call_id=f"call-{number}")
        link.run(1)
        assert link["A"].last == Rejected(407, "Proxy Authentication Required")
        assert len(authorizations(link)) - before == most
    link.assert_clean()


def test_a_refusal_without_a_challenge_makes_the_next_call_wait_for_one(link: Link) -> None:
    credentials = trunk()
    challenging(link, CHALLENGES[1])
    dial_once(link, credentials, "call-1")
    link["B"].on_event = lambda call, event: (
        call.reject(403, "", ()) if isinstance(event, Invited) else None
    )
    link.dial(credentials=credentials, call_id="call-2")
    link.run(1)
    link["B"].invited.clear()
    challenging(link, CHALLENGES[1])
    assert dial_once(link, credentials, "call-3")[0] == ""
    link.assert_clean()


def test_a_trunk_is_remembered_by_a_few_realms_only(link: Link) -> None:
    credentials = trunk()
    for number in range(9):
        link["B"].invited.clear()
        challenging(link, f'Digest realm="r{number}", nonce="n"')
        dial_once(link, credentials, f"call-{number}")
    assert credentials.nonces is not None
    assert [realm for _, realm in credentials.nonces.all()] == ["r5", "r6", "r7", "r8"]
    link.assert_clean()


def test_a_remembered_nonce_does_not_leave_the_trunk(link: Link) -> None:
    challenging(link, CHALLENGES[1])
    credentials = trunk()
    dial_once(link, credentials, "call-1")
    elsewhere = Credentials("alice", "secret", frozenset({"10.0.0.77"}), credentials.nonces)
    (shown,) = dial_once(link, elsewhere, "call-2")
    assert shown == ""
    link.assert_clean()


def test_a_call_from_the_trunk_shows_the_trunks_digest_when_its_bye_is_challenged() -> None:
    link = Link()
    answering(link)
    link["B"].agent.credentials_of = lambda host: (
        Credentials("alice", "secret", frozenset({"10.0.0.1"})) if host == "10.0.0.1" else None
    )
    link.dial()
    link.run(0.1)
    link.lose = lambda way, data: data.startswith(b"BYE")
    link["B"].call.hang_up()
    link.run(0.05)
    bye = next(raw for raw in link.raw if raw.startswith(b"BYE"))
    lines = "\n".join(
        f"{name}: {header(bye, name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")
    )
    link.lose = None
    link.inject(
        "B",
        f'SIP/2.0 401 Unauthorized\n{lines}\nWWW-Authenticate: Digest realm="r", nonce="n"\n\n',
        "10.0.0.1",
    )
    link.run(1)
    assert any(b"Authorization: Digest" in raw for raw in link.raw if raw.startswith(b"BYE"))
    assert link["A"].kinds[-1] == "Released"
    link.assert_clean()


@pytest.mark.parametrize(
    "credentials",
    [None, Credentials("alice", "secret", frozenset({"10.0.0.250"}))],
    ids=["no credentials", "another trunk's address"],
)
def test_nobody_else_gets_a_digest(link: Link, credentials: Credentials | None) -> None:
    challenging(link, CHALLENGES[1])
    link.dial(credentials=credentials)
    link.run(1)
    assert link["A"].events == [Rejected(407, "Proxy Authentication Required")]
    assert authorizations(link) == [""]
    assert all(b"alice" not in raw for raw in link.raw)
    link.assert_clean()


def test_the_callee_never_answers_a_challenge(link: Link) -> None:
    """FreeSWITCH ES2021-05: the attacker calls, then challenges our BYE."""
    answering(link)
    link.dial()
    link.run(0.1)
    link.lose = lambda way, data: data.startswith(b"BYE")
    link["B"].call.hang_up()
    link.run(0.05)
    bye = next(raw for raw in link.raw if raw.startswith(b"BYE"))
    lines = "\n".join(
        f"{name}: {header(bye, name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")
    )
    link.lose = None
    link.inject(
        "B",
        f'SIP/2.0 401 Unauthorized\n{lines}\nWWW-Authenticate: Digest realm="r", nonce="n"\n\n',
        "10.0.0.1",
    )
    assert all(b"Authorization:" not in raw for raw in link.raw)
    assert link["B"].kinds[-1] == "Released"
    link["A"].agent.handle_timer(link.now)
    next(iter(link["A"].agent._calls.values())).hang_up()
    link.assert_clean()


def test_credentials_do_not_leave_the_trunk_with_the_contact(link: Link) -> None:
    """The 200 moves the dialog to another host: no digest goes there."""
    challenging(link, CHALLENGES[1])
    call = link.dial(credentials=CREDENTIALS)
    link.run(0.2)
    assert call.session is not None
    call.session.dialog.target = "sip:x@10.0.0.66"
    call.session.dialog.hop = replace(call.session.dialog.hop, host="10.0.0.66")
    call.hang_up()
    sent = [message.data for message in link["A"].agent.outgoing()]
    assert sent[0].startswith(b"BYE")
    assert b"Authorization" not in sent[0]
    link["B"].call.hang_up()
    link.run(40)
    link.assert_clean()
