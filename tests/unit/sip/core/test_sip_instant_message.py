"""MESSAGE outside of calls: RFC 3428, and what RFC 3261 says of any request."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.messages import MessageResult
from outdial.sip.core.agent import Agent
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.counts import Caps
from outdial.sip.core.hop import Hop
from outdial.sip.core.instant_message import InstantMessage, room_bytes, split
from outdial.sip.core.message import Request
from outdial.sip.core.parser import parse_message

HOP = Hop("udp", "10.0.0.2", 5060, "10.0.0.1:5060")
STRANGER = Hop("udp", "10.0.0.3", 5060, "10.0.0.1:5060")
CHALLENGE = 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256\r\n'


class Wire:
    """An agent whose peer is the test."""

    def __init__(self, **more: Any) -> None:
        numbers = itertools.count(1)
        self.agent = Agent(token=lambda: f"{next(numbers):016x}", **more)
        self.now = 1000.0
        self.sent: list[Request] = []

    def send(self, text: str = "hello", **more: Any) -> None:
        message = InstantMessage(
            "SM1", "sip:12025550177@10.0.0.2", "<sip:1222@10.0.0.1>", HOP, text.encode(), **more
        )
        self.agent.message(message, self.now)
        self.collect()

    def collect(self) -> None:
        for outgoing in self.agent.outgoing():
            request = parse_message(outgoing.data)
            assert isinstance(request, Request)
            assert outgoing.hop == HOP
            self.sent.append(request)

    def answer(self, status: int, fields: str = "", source: Hop = HOP) -> None:
        headers = self.sent[-1].headers
        copied = "".join(
            f"{name}: {headers.get(name)}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq")
        )
        text = f"SIP/2.0 {status} Told\r\n{copied}{fields}Content-Length: 0\r\n\r\n"
        self.agent.receive(text.encode(), source, self.now)
        self.collect()

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.agent.next_timer()) is not None and due <= until:
            self.now = due
            self.agent.handle_timer(due)
            self.collect()
        self.now = until

    def results(self) -> list[Any]:
        return [event for _, event in self.agent.events()]


def test_the_request_is_as_rfc_3428_wants_it() -> None:
    wire = Wire()
    wire.send("Grüße 👋")
    (request,) = wire.sent
    assert (request.method, str(request.uri)) == ("MESSAGE", "sip:12025550177@10.0.0.2")
    assert request.body.decode() == "Grüße 👋"
    assert request.headers.get("Content-Type") == "text/plain;charset=UTF-8"
    assert request.headers.get("Contact") is None  # section 4: must not
    assert request.to.tag is None and request.from_.tag
    assert request.headers.get("Max-Forwards") == "70"
    assert str(request.cseq.number) == "1"


@pytest.mark.parametrize("status", [200, 202])
def test_what_the_next_hop_took_is_taken_once(status: int) -> None:
    wire = Wire()
    wire.send()
    wire.answer(100)
    assert wire.results() == []
    wire.answer(status)
    wire.answer(status)  # a repetition
    (result,) = wire.results()
    assert (result.is_taken, result.status, result.local) == (True, status, False)
    wire.wait(40)
    assert wire.agent.counters().client_transactions == wire.agent.counters().timers == 0


@pytest.mark.parametrize(
    ("status", "not_taken"),
    [(302, False), (404, False), (405, True), (413, False), (408, False), (500, False),
     (503, True), (504, False), (603, False)],
)  # fmt: skip
def test_a_refusal_is_the_end_and_says_whether_another_may_take_it(
    status: int, not_taken: bool
) -> None:
    wire = Wire()
    wire.send()
    wire.answer(status, "Contact: <sip:19005550100@10.0.0.2>\r\n")
    assert wire.results() == [MessageResult(status, "Told", not_taken=not_taken)]
    assert len(wire.sent) == 1  # a 3xx is not followed


def test_a_challenge_of_the_trunk_is_answered_as_for_calls() -> None:
    wire = Wire()
    wire.send(credentials=Credentials("user", "secret", frozenset({HOP.host})))
    wire.answer(401, CHALLENGE)
    first, second = wire.sent
    assert second.cseq.number == first.cseq.number + 1
    assert (second.call_id, second.from_.tag) == (first.call_id, first.from_.tag)
    assert second.top_via.branch != first.top_via.branch
    assert 'uri="sip:12025550177@10.0.0.2"' in (second.headers.get("Authorization") or "")
    assert wire.results() == []
    wire.answer(401, CHALLENGE)  # the password is wrong
    assert [result.status for result in wire.results()] == [401]
    assert len(wire.sent) == 2


def test_a_challenge_from_elsewhere_gets_no_digest() -> None:
    wire = Wire()
    wire.send(credentials=Credentials("user", "secret", frozenset({HOP.host})))
    wire.answer(401, CHALLENGE, source=STRANGER)
    assert [result.status for result in wire.results()] == [401]
    assert len(wire.sent) == 1


def test_without_an_answer_it_is_repeated_and_then_given_up() -> None:
    wire = Wire()
    wire.send()
    wire.wait(31.9)
    assert wire.results() == []
    # 0.5, 1.5, 3.5, 7.5 and every 4 s from there (figure 6)
    assert len(wire.sent) == 11
    assert {request.top_via.branch for request in wire.sent} == {wire.sent[0].top_via.branch}
    wire.wait(0.2)
    assert wire.results() == [MessageResult(408, "Request Timeout", local=True)]
    assert wire.agent.counters().timers == 0


@pytest.mark.parametrize(("after_s", "certain"), [(0.1, True), (0.6, False)])
def test_nobody_there_is_certain_while_one_copy_was_sent(after_s: float, certain: bool) -> None:
    wire = Wire()
    wire.send()
    wire.wait(after_s)
    wire.agent.transport_failed(HOP.host, HOP.port, wire.now)
    (result,) = wire.results()
    assert (result.status, result.local, result.not_taken) == (503, True, certain)


def test_an_agent_that_is_full_sends_nothing() -> None:
    wire = Wire(caps=Caps(transactions=1))
    wire.send()
    wire.send()
    assert len(wire.sent) == 1
    (result,) = wire.results()
    assert (result.status, result.not_taken) == (503, True)


def test_a_long_text_is_cut_between_words() -> None:
    assert split("one two three", 8) == ["one two", "three"]
    assert split("  a  ", 100) == ["  a  "]
    assert split("abcdefgh", 3) == ["abc", "def", "gh"]
    assert split("", 10) == [""]


def test_what_is_one_character_stays_together() -> None:
    family = "👨‍👩‍👧"
    assert split(f"aaaa{family}", 4 + len(family.encode()) - 1) == ["aaaa", family]
    assert split("aae\u0301", 4) == ["aa", "e\u0301"]


@given(st.text(max_size=400), st.integers(32, 200))
def test_parts_fit_and_lose_nothing_but_white_space(text: str, most: int) -> None:
    parts = split(text, most)
    assert all(len(part.encode()) <= most for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_request_with_credentials_stays_below_1300_bytes() -> None:
    wire = Wire()
    credentials = Credentials("u" * 40, "secret", frozenset({HOP.host}))
    wire.send("x" * room_bytes(300), credentials=credentials)
    nonce = "n" * 80
    wire.answer(407, f'Proxy-Authenticate: Digest realm="carrier", nonce="{nonce}", qop="auth"\r\n')
    assert "Proxy-Authorization" in wire.sent[1].headers.names()
    assert len(wire.sent[1].encode()) <= 1300
