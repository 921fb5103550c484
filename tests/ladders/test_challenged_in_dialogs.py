"""Every request that we send in a dialog, challenged there: it comes again with the digest, and the
call goes on. INFO and REFER are not here because we send none; CANCEL and ACK cannot be challenged
(RFC 3261 sections 22.1 and 9.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ladders.link import ANSWER, Link, answering, header, title
from outdial.legs import Answered, Released
from outdial.sip.core.agent import Invited
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.digest import Verdict, Verifier
from outdial.sip.core.message import Request
from outdial.sip.core.parser import parse_message
from outdial.sip.core.peer import Peer

CARRIER = "10.0.0.2"
CREDENTIALS = Credentials("alice", "secret", frozenset({CARRIER}))
TRUSTED = Peer("b", may_refer=True)
REOFFER = b"v=0\r\ns=reoffer\r\n"
CHALLENGES = {401: ("WWW-Authenticate", "Authorization"), 407: (
    "Proxy-Authenticate", "Proxy-Authorization"
)}  # fmt: skip


class Door:
    """Between A and B: challenges the requests of one method, and looks at what is shown then."""

    def __init__(self, link: Link, method: str, status: int = 407, times: int = 1) -> None:
        self.link = link
        self.method = method
        self.status = status
        self.challenge, self.answer = CHALLENGES[status]
        self.times = times
        self.is_stale = False
        self.verifier = Verifier("proxy", b"0123456789abcdef")
        self.seen: list[Verdict | None] = []
        """Of each request: None, it showed nothing."""
        self.numbers: list[int] = []
        """Their CSeq."""
        self.is_open = True
        self._challenged: list[bytes] = []
        link.lose = self._stops

    def _stops(self, way: str, data: bytes) -> bool:
        if way != "A>B" or title(data) != self.method or not self.is_open:
            return False
        request = parse_message(data)
        assert isinstance(request, Request)
        given = request.headers.get(self.answer)
        self.numbers.append(request.cseq.number)
        self.seen.append(None if given is None else self._verdict(request, given))
        if self.seen[-1] is Verdict.ACCEPTED and len(self.seen) > self.times:
            return False
        self._challenged.append(data)
        return True

    def _verdict(self, request: Request, given: str) -> Verdict:
        def password(user: str) -> str | None:
            return "secret" if user == "alice" else None

        now = self.link.now
        return self.verifier.verify(
            given, password, request.method, request.uri, "10.0.0.1", now, request.body
        )

    def run(self, seconds: float = 0.2) -> None:
        """Lets time pass, and answers what was stopped."""
        self.link.run(seconds)
        while self._challenged:
            raw = self._challenged.pop(0)
            copied = "".join(
                f"{name}: {header(raw, name)}\n"
                for name in ("Via", "From", "To", "Call-ID", "CSeq")
            )
            values = self.verifier.challenges(
                "10.0.0.1", self.link.now, f"{self.method}{len(self.seen)}", stale=self.is_stale
            )
            lines = "".join(f"{self.challenge}: {value}\n" for value in values)
            self.link.inject("A", f"SIP/2.0 {self.status} No\n{copied}{lines}\n", CARRIER)
            self.link.run(seconds)


def connected(link: Link) -> Any:
    link["A"].agent.peer_of = lambda host, account: TRUSTED
    answering(link)
    call = link.dial(policy=TRUSTED, credentials=CREDENTIALS)
    link.run(0.1)
    assert link["A"].last == Answered(ANSWER)
    return call


def reinvite(link: Link, call: Any) -> None:
    def react(owner: Any, event: Any) -> None:
        if type(event).__name__ == "Reoffer":
            owner.session.renegotiation.answer_offer(ANSWER)

    link["B"].on_event = react
    call.session.reoffer(REOFFER)


def update(link: Link, call: Any) -> None:
    """A refresh of the session, which is due."""
    link.run(900)


def notify(link: Link, call: Any) -> None:
    peer: Any = link["B"].call
    outline = peer.session.dialog.outline(peer._agent.branch())
    raw = outline.encode("REFER", "Refer-To: <sip:12025550123@10.0.0.2>\r\n")
    peer._agent.send(raw, outline.hop, None)
    link.run(0.1)
    call.session.referral.accept()


def bye(link: Link, call: Any) -> None:
    call.hang_up()


ASKS: dict[str, Callable[[Link, Any], None]] = {
    "INVITE": reinvite,
    "UPDATE": update,
    "NOTIFY": notify,
    "BYE": bye,
}


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("method", ASKS)
def test_a_request_in_a_call_is_sent_again_with_the_digest(method: str, status: int) -> None:
    link = Link(session_expires_s=1800)
    call = connected(link)
    door = Door(link, method, status)
    ASKS[method](link, call)
    door.run()
    assert door.seen == [None, Verdict.ACCEPTED]
    assert door.numbers[1] == door.numbers[0] + 1
    door.is_open = False
    if method == "BYE":
        assert isinstance(link["B"].last, Released), "it has arrived"
    else:
        assert call.session.is_open
        call.hang_up()
    link.run(0.2)
    link.assert_clean()


@pytest.mark.parametrize("status", [401, 407])
def test_prack_is_sent_again_with_the_digest(status: int) -> None:
    """It was not: the response would have been repeated for 32 s, and the call refused by 504."""
    link = Link()
    door = Door(link, "PRACK", status)

    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.ring(183, ANSWER)
            call.ring(180, None)

    link["B"].on_event = react
    call = link.dial(headers=(("Require", "100rel"),), credentials=CREDENTIALS)
    door.run()
    assert door.seen == [None, Verdict.ACCEPTED, Verdict.ACCEPTED]
    pracks = [raw for raw in link.raw if raw.startswith(b"PRACK")]
    assert [header(raw, "RAck") for raw in pracks] == ["1 1 INVITE", "1 1 INVITE", "2 1 INVITE"]
    link["B"].call.accept(ANSWER)
    link.run(0.2)
    assert link["A"].kinds == ["Ringing", "Ringing", "Answered"]
    call.hang_up()
    link.assert_clean()


def test_each_request_may_be_challenged_although_others_were() -> None:
    """A proxy whose nonces are good for one request: it says so of each, and is answered each time.
    The INVITE, the PRACK, the re-INVITE, the BYE."""
    link = Link()
    doors = []

    def react(call: Any, event: Any) -> None:
        if isinstance(event, Invited):
            call.ring(183, ANSWER)

    link["B"].on_event = react
    door = Door(link, "INVITE")
    call = link.dial(headers=(("Require", "100rel"),), credentials=CREDENTIALS)
    door.run(0)
    doors.append(door)
    door = Door(link, "PRACK", times=1)
    door.run(0.05)
    doors.append(door)
    link["B"].call.accept(ANSWER)
    door.run()
    for method in ("INVITE", "BYE"):
        door = Door(link, method)
        door.times = 1
        ASKS[method](link, call)
        door.run()
        doors.append(door)
    assert [len(door.seen) for door in doors] == [2, 2, 2, 2]
    assert all(door.seen[-1] is Verdict.ACCEPTED for door in doors)
    assert isinstance(link["B"].last, Released)
    link.assert_clean()


@pytest.mark.parametrize("method", ["NOTIFY", "BYE", "INVITE"])
def test_a_wrong_password_is_shown_once_for_each_request(method: str) -> None:
    link = Link()
    call = connected(link)
    door = Door(link, method, times=9)
    ASKS[method](link, call)
    door.run()
    assert len(door.seen) == 2
    door.is_open = False
    if method == "BYE":
        link["B"].call.hang_up()  # which never heard of it
    else:
        call.hang_up()
    link.assert_clean()


def test_what_is_stale_is_not_told_after_what_is_new() -> None:
    """The first NOTIFY is challenged when the last has left: only that one is sent again."""
    link = Link()
    call = connected(link)
    door = Door(link, "NOTIFY")
    notify(link, call)
    referral = call.session.referral
    referral.tell(200, "OK")
    door.times = 2
    door.run()
    told = [raw.split(b"\r\n\r\n")[1] for raw in link.raw if title(raw) == "NOTIFY"]
    assert told == [
        b"SIP/2.0 100 Trying\r\n",
        b"SIP/2.0 200 OK\r\n",
        b"SIP/2.0 200 OK\r\n",
    ]
    door.is_open = False
    call.hang_up()
    link.assert_clean()


def test_nobody_else_is_shown_a_digest() -> None:
    """A challenge of PRACK and NOTIFY from an address that is not the trunk's (THREATS row 5)."""
    link = Link()
    link["A"].agent.peer_of = lambda host, account: TRUSTED
    answering(link)
    elsewhere = Credentials("alice", "secret", frozenset({"10.0.0.99"}))
    call = link.dial(policy=TRUSTED, credentials=elsewhere)
    link.run(0.1)
    door = Door(link, "NOTIFY")
    notify(link, call)
    door.run()
    assert door.seen == [None]
    door.is_open = False
    call.hang_up()
    link.assert_clean()
