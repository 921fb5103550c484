"""Calls towards us that must show a digest: who gets in, who does not, and what each is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ladders.link import Link, answering, header, title
from outdial.legs import Answered, Rejected
from outdial.sip.core import digest
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.digest import Challenge
from outdial.sip.core.guard import Accounts

CALLER, OTHER = "10.0.0.77", "10.0.0.78"
URI = "sip:18005550100@10.0.0.2"
INVITE = f"""INVITE {URI} SIP/2.0
Via: SIP/2.0/UDP %(host)s:5060;branch=z9hG4bK%(branch)s
Max-Forwards: 70
From: <sip:1222@%(host)s>;tag=1
To: <{URI}>
Call-ID: call-%(branch)s
CSeq: 1 INVITE
Contact: <sip:x@%(host)s>
%(fields)sContent-Length: 0

"""


class Door:
    """B, whose calls must show a digest; what is sent to it by hand, and what comes back."""

    def __init__(self, *algorithms: str) -> None:
        self.accounts: Accounts | None = Accounts(
            {"ann": "secret", "bob": "geheim"}, algorithms or ("SHA-256", "MD5")
        )
        self.refused: list[tuple[str, str, str]] = []
        self.link = Link()
        self._seeds = iter("bcd")
        self.restart()

    def restart(self) -> None:
        """The process is another one from now on, with other random numbers."""
        self.link["B"].agent = self.link.agent(
            next(self._seeds),
            accounts_of=lambda host: self.accounts,
            on_drop=lambda why, source, method: self.refused.append((why, source.host, method)),
        )
        self._catch()

    def _catch(self) -> None:
        agent = self.link["B"].agent
        original = agent.send
        self.sent: list[bytes] = []

        def catch(data: bytes, hop: Any, trace: Any) -> None:
            self.sent.append(data)
            original(data, hop, trace)

        agent.send = catch  # type: ignore[method-assign]

    def invite(self, branch: str, value: str = "", host: str = CALLER, fields: str = "") -> bytes:
        """The last reply to an INVITE with those credentials."""
        lines = fields + (f"Authorization: {value}\n" if value else "")
        self.sent.clear()
        self.link.inject("B", INVITE % {"branch": branch, "host": host, "fields": lines}, host)
        return self.sent[-1] if self.sent else b""

    def challenge(self, branch: str, host: str = CALLER) -> list[Challenge]:
        """What an INVITE without credentials is told."""
        return challenges(self.invite(branch, host=host))

    @property
    def calls(self) -> list[str]:
        """The user names of the calls that came in."""
        return [call.account for call in self.link["B"].invited]


def challenges(reply: bytes) -> list[Challenge]:
    assert title(reply) == "401 INVITE"
    lines = reply.decode().split("\r\n")
    name = "WWW-Authenticate: "
    return [Challenge.parse(line[len(name) :]) for line in lines if line.startswith(name)]


def credentials(
    challenge: Challenge, user: str = "ann", password: str = "secret", count: int = 1, uri: str = ""
) -> str:
    return digest.answer(challenge, user, password, "INVITE", uri or URI, b"", count, "0a4f113b")


def test_a_call_with_the_right_password_comes_in() -> None:
    door = Door()
    answering(door.link)
    hosts = frozenset(("10.0.0.2",))
    door.link.dial(credentials=Credentials("bob", "geheim", hosts))
    door.link.run(0.1)
    assert door.link.flow()[:5] == [
        "A>B INVITE",
        "B>A 401 INVITE",
        "A>B ACK",
        "A>B INVITE",
        "B>A 180 INVITE",
    ]
    assert type(door.link["A"].last) is Answered
    assert door.calls == ["bob"]
    assert door.refused == []


@pytest.mark.parametrize("method", ["INVITE", "UPDATE", "BYE"])
def test_nothing_inside_the_call_is_challenged(method: str) -> None:
    door = Door()
    answering(door.link)
    call = door.link.dial(credentials=Credentials("ann", "secret", frozenset(("10.0.0.2",))))
    door.link.run(0.1)
    assert call.session is not None
    outline = call.session.dialog.outline(call._agent.branch())
    call._agent.send(
        outline.encode(method, "Contact: <sip:a@10.0.0.1>\r\n", b""), outline.hop, None
    )
    door.link.run(0.1)
    assert not [line for line in door.link.flow("B>A")[2:] if line.startswith("B>A 401")]


def test_a_call_can_be_given_up_without_a_digest() -> None:
    door = Door()
    door.invite("1", credentials(door.challenge("0")[0]))
    assert door.calls == ["ann"]
    cancel = (INVITE % {"branch": "1", "host": CALLER, "fields": ""}).replace("INVITE", "CANCEL")
    door.sent.clear()
    door.link.inject("B", cancel, CALLER)
    assert [title(data) for data in door.sent] == ["200 CANCEL", "487 INVITE"]


def test_both_algorithms_are_offered_and_taken_the_stronger_first() -> None:
    door = Door()
    first, second = door.challenge("0")
    assert (first.algorithm, second.algorithm) == ("SHA-256", "MD5")
    assert (first.realm, first.qop, first.stale) == ("outdial", "auth", False)
    for branch, challenge in (("1", first), ("2", door.challenge("3")[1])):
        door.invite(branch, credentials(challenge))
    assert door.calls == ["ann", "ann"]


def test_a_peer_that_knows_one_algorithm_is_offered_that_one() -> None:
    door = Door("MD5")
    (challenge,) = door.challenge("0")
    assert challenge.algorithm == "MD5"
    door.invite("1", credentials(replace(challenge, algorithm="SHA-256")))
    assert door.calls == []
    door.invite("2", credentials(challenge))
    assert door.calls == ["ann"]


@pytest.mark.parametrize(
    ("user", "password"),
    [("ann", "wrong"), ("nobody", "secret"), ("nobody", ""), ("ann", ""), ("ann", "geheim")],
)
def test_an_unknown_user_is_told_the_same_as_one_with_a_wrong_password(
    user: str, password: str
) -> None:
    door = Door()
    reply = door.invite("1", credentials(door.challenge("0")[0], user, password))
    assert not any(challenge.stale for challenge in challenges(reply))
    blank = door.invite("2")
    assert _without_chance(reply) == _without_chance(blank)
    assert door.calls == []
    assert door.refused == [("unauthorized", CALLER, "INVITE")]
    assert door.link["B"].agent.tally().unauthorized == 1
    door.link.assert_clean()


def _without_chance(reply: bytes) -> list[str]:
    lines = reply.decode().split("\r\n")
    cut = [line.partition("nonce=")[0] + line.partition('", algo')[2] for line in lines]
    return [line.partition(";tag=")[0] for line in cut if line[:4] not in ("Via:", "Call")]


def test_without_credentials_there_is_a_challenge_and_nothing_is_kept() -> None:
    door = Door()
    for number in range(100):
        assert len(door.challenge(str(number))) == 2
    counters = door.link["B"].agent.counters()
    assert (counters.server_transactions, counters.calls, counters.timers) == (0, 0, 0)
    assert door.link["B"].agent.tally().unauthorized == 0


def test_the_same_credentials_are_good_once() -> None:
    door = Door()
    shown = credentials(door.challenge("0")[0])
    door.invite("1", shown)
    assert door.calls == ["ann"]
    replayed = challenges(door.invite("2", shown))
    assert all(challenge.stale for challenge in replayed)
    assert door.calls == ["ann"]
    door.invite("3", credentials(replayed[0]))
    assert door.calls == ["ann", "ann"]


def test_a_nonce_is_good_for_more_calls_while_its_count_rises() -> None:
    door = Door()
    challenge = door.challenge("0")[0]
    for count in (1, 2, 7):
        door.invite(f"1{count}", credentials(challenge, count=count))
    assert door.calls == ["ann"] * 3
    door.invite("18", credentials(challenge, count=5))
    assert door.calls == ["ann"] * 3


def test_an_invite_that_is_repeated_is_the_same_call() -> None:
    """UDP: the peer did not see our answer."""
    door = Door()
    shown = credentials(door.challenge("0")[0])
    door.invite("1", shown)
    door.link["B"].call.ring(180, None)
    assert title(door.invite("1", shown)) == "180 INVITE"
    assert door.calls == ["ann"]


def test_a_nonce_of_another_source_time_or_process_is_stale() -> None:
    door = Door()
    theirs = credentials(door.challenge("0", host=OTHER)[0])
    old = credentials(door.challenge("1")[0])
    door.link.run(60.0)
    for branch, shown in (("2", theirs), ("3", old)):
        assert all(one.stale for one in challenges(door.invite(branch, shown)))
    before = credentials(door.challenge("4")[0])
    door.restart()
    assert all(one.stale for one in challenges(door.invite("5", before)))
    assert door.calls == []
    door.invite("6", credentials(door.challenge("7")[0]))
    assert door.calls == ["ann"]


@pytest.mark.parametrize(
    "value",
    [
        "Basic YW5uOnNlY3JldA==",
        "Digest",
        'Digest username="ann"',
        'Digest username="ann", realm="outdial", nonce="", uri="sip:x", response="", nc=1',
        "Digest " + "a=b, " * 5000 + "c=d",
        'Digest username="' + "a" * 7000 + '"',
        'Digest username="ann", username="bob"',
    ],
)
def test_credentials_that_are_none_are_challenged(value: str) -> None:
    door = Door()
    reply = door.invite("1", value)
    assert reply == b"" or title(reply) in ("401 INVITE", "400 INVITE")
    assert door.calls == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('realm="outdial"', 'realm="else"'),
        ("qop=auth", "qop=auth-conf"),
        ("nc=00000001", "nc=1"),
        ('uri="sip:18005550100', 'uri="sip:19005550100'),
        ("algorithm=SHA-256", "algorithm=SHA-512-256"),
        ('cnonce="0a4f113b"', 'cnonce="0a4f113c"'),
    ],
)
def test_credentials_hold_for_what_they_were_made_for(old: str, new: str) -> None:
    door = Door()
    shown = credentials(door.challenge("0")[0])
    assert old in shown
    challenges(door.invite("1", shown.replace(old, new)))
    assert door.calls == []
    door.invite("2", shown)
    assert door.calls == ["ann"]


def test_of_several_credentials_one_must_be_good_and_few_are_looked_at() -> None:
    door = Door()
    good = credentials(door.challenge("0")[0])
    bad = credentials(Challenge("elsewhere", "n"))
    door.invite("1", good, fields=f"Authorization: {bad}\n" * 3)
    assert door.calls == ["ann"]
    good = credentials(door.challenge("2")[0])
    door.invite("3", good, fields=f"Authorization: {bad}\n" * 4)
    assert door.calls == ["ann"]


def test_where_the_address_is_enough_credentials_are_not_looked_at() -> None:
    door = Door()
    door.accounts = None
    door.invite("1", "Digest nonsense")
    assert door.calls == [""]


def test_the_challenge_comes_before_all_that_depends_on_the_request() -> None:
    door = Door()
    for fields in ("Require: tea\n", "Session-Expires: 10\n", "Content-Type: text/plain\n"):
        challenges(door.invite("1", fields=fields))


def test_a_client_that_knows_no_algorithm_of_ours_gives_up() -> None:
    door = Door()
    door.link.dial()  # no credentials at all
    door.link.run(0.1)
    assert door.link.flow() == ["A>B INVITE", "B>A 401 INVITE", "A>B ACK"]
    last = door.link["A"].last
    assert isinstance(last, Rejected) and last.status == 401
    assert header(door.link.raw[1], "To").count("tag=") == 1
    door.link.assert_clean()
