"""Registering, with the time as an argument: every answer, every timer, the end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from outdial.sip.core.agent import Agent
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Request, Response
from outdial.sip.core.parser import parse_message
from outdial.sip.core.registration import Binding, Due, Registration, Standing

HOP = Hop("udp", "10.0.0.2", 5060, "10.0.0.1:5060")
OTHER = replace(HOP, host="10.0.0.3")
OURS = "<sip:1555@10.0.0.1:5060>"
BINDING = Binding(
    registrar="sip:carrier.example",
    address="sip:acme@carrier.example",
    expires_s=3600,
    contact_user="1555",
)
CREDENTIALS = Credentials("acme", "secret", frozenset({"10.0.0.2", "10.0.0.3"}))
CHALLENGE = ("WWW-Authenticate", 'Digest realm="carrier.example", nonce="{n}", qop="auth"')

Reply = tuple[int, str, list[tuple[str, str]]]


@dataclass
class Desk:
    """A registration, and what a registrar makes of it."""

    binding: Binding = BINDING
    hops: list[Hop] = field(default_factory=lambda: [HOP])
    credentials: Credentials | None = CREDENTIALS
    routes: tuple[str, ...] = ()
    now: float = 1000.0
    replies: list[Reply | None] = field(default_factory=list)
    """One for each REGISTER that comes; None: silence. The last one stays."""
    requests: list[Request] = field(default_factory=list)
    sent_to: list[str] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    told: list[Standing] = field(default_factory=list)

    def __post_init__(self) -> None:
        chance = random.Random(1)
        self.agent = Agent(token=lambda: f"{chance.getrandbits(64):016x}")
        self.registration: Registration = self.agent.registrations.start(self.binding)
        self._seen: set[bytes] = set()

    def answers(self, *replies: Reply | None) -> Desk:
        """What the registrar says from now on."""
        self.replies = list(replies)
        self.work()
        return self

    def work(self) -> None:
        """All that is due now, until nothing is."""
        agent = self.agent
        while True:
            agent.now = self.now
            events, sent = agent.events(), agent.outgoing()
            if not events and not sent:
                return
            for owner, event in events:
                assert owner is self.registration
                if isinstance(event, Due):
                    self.registration.attempt(self.hops, self.credentials, self.routes)
                else:
                    assert isinstance(event, Standing)
                    self.told.append(event)
            for message in sent:
                if message.data not in self._seen:
                    self._seen.add(message.data)
                    self._take(message.data, message.hop)

    def _take(self, data: bytes, hop: Hop) -> None:
        request = parse_message(data)
        assert isinstance(request, Request)
        self.requests.append(request)
        self.sent_to.append(hop.host)
        self.sent_at.append(self.now)
        reply = self.replies[0] if self.replies else None
        if len(self.replies) > 1:
            self.replies.pop(0)
        if reply is None:
            return
        status, reason, fields = reply
        filled = [(name, value.replace("{n}", f"n{len(self.requests)}")) for name, value in fields]
        response = Response.to_request(request, status, reason, to_tag="r", headers=filled)
        self.agent.receive(response.encode(), hop, self.now)

    def run(self, seconds: float) -> None:
        """Time goes by."""
        until = self.now + seconds
        self.work()
        while (due := self.agent.next_timer()) is not None and due <= until:
            self.now = max(self.now, due)
            self.agent.handle_timer(self.now)
            self.work()
        self.now = until

    @property
    def last(self) -> Standing:
        return self.told[-1]

    @property
    def statuses(self) -> list[str]:
        """Each change of the status."""
        found: list[str] = []
        for one in self.told:
            if not found or found[-1] != one.status:
                found.append(one.status)
        return found

    def headers(self, name: str) -> list[str]:
        return [request.headers.get(name) or "" for request in self.requests]

    @property
    def gaps(self) -> Iterator[float]:
        """Seconds between the attempts."""
        return (b - a for a, b in zip(self.sent_at, self.sent_at[1:], strict=False))


def ok(contact: str = f"{OURS};expires=3600", **more: str) -> Reply:
    fields = [("Contact", contact)] if contact else []
    return 200, "OK", [*fields, *more.items()]


def says(status: int, reason: str = "", **fields: str) -> Reply:
    return status, reason, [(name.replace("_", "-"), value) for name, value in fields.items()]


CHALLENGED: Reply = (401, "Unauthorized", [CHALLENGE])


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---------------------------------------------------------------------------- what is sent


def test_what_a_register_says(desk: Desk) -> None:
    desk.answers(ok())
    (request,) = desk.requests
    assert str(request.uri) == "sip:carrier.example"
    assert request.headers.get("To") == "<sip:acme@carrier.example>"
    assert str(request.from_.uri) == "sip:acme@carrier.example"
    assert request.from_.tag
    assert request.headers.get("Contact") == f"{OURS};expires=3600"
    assert request.headers.get("Expires") == "3600"
    assert desk.statuses == ["registering", "registered"]
    assert (desk.last.code, desk.last.expires_s, desk.last.hop) == (200, 3600, HOP)
    assert desk.registration.is_registered


def test_by_a_proxy() -> None:
    binding = Binding("sip:carrier.example", "sip:a@carrier.example", 60)
    desk = Desk(binding, routes=("<sip:10.0.0.9;lr>",)).answers(ok())
    assert desk.headers("Route") == ["<sip:10.0.0.9;lr>"]
    assert desk.headers("Contact") == ["<sip:10.0.0.1:5060>;expires=60"]


def test_over_tcp_the_contact_says_so() -> None:
    desk = Desk(hops=[replace(HOP, transport="tcp")]).answers(ok(""))
    assert desk.headers("Contact") == ["<sip:1555@10.0.0.1:5060;transport=tcp>;expires=3600"]


def test_one_call_id_and_a_growing_cseq(desk: Desk) -> None:
    desk.answers(CHALLENGED, ok(), CHALLENGED, ok()).run(4000)
    assert len(set(desk.headers("Call-ID"))) == 1
    assert desk.headers("CSeq") == [f"{n} REGISTER" for n in range(1, len(desk.requests) + 1)]
    assert len({request.from_.tag for request in desk.requests}) == 1
    assert len(desk.requests) >= 4


def test_only_asking() -> None:
    desk = Desk(Binding("sip:c.example", "sip:acme@c.example", 3600, is_query=True))
    desk.answers(CHALLENGED, ok("<sip:other@192.0.2.9>;expires=9")).run(10_000)
    assert [desk.headers(name) for name in ("Contact", "Expires")] == [["", ""], ["", ""]]
    assert (desk.last.status, desk.last.code, desk.last.expires_s) == ("registered", 200, None)
    desk.registration.end()
    desk.work()
    assert desk.last.status == "ended"
    assert len(desk.requests) == 2, "nothing was registered that could be taken back"


# ---------------------------------------------------------------------------- refreshing


@pytest.mark.parametrize("granted", [10, 60, 600, 3600])
def test_it_is_refreshed_before_it_ends(granted: int) -> None:
    desk = Desk().answers(ok(f"{OURS};expires={granted}"))
    desk.run(20 * granted)
    gaps = list(desk.gaps)
    assert len(gaps) >= 19
    for gap in gaps:
        assert granted * 0.5 <= gap < granted
        assert granted - gap >= min(5, granted / 2) - 0.001, "time for a lost REGISTER or two"
    assert desk.statuses == ["registering", "registered"]
    assert granted == 10 or len(set(gaps)) > 1, "not all at the same moment, whom one failure hit"


def test_a_registrar_that_grants_a_second_is_not_flooded(desk: Desk) -> None:
    desk.answers(ok(f"{OURS};expires=1")).run(60)
    assert len(desk.requests) <= 61


@pytest.mark.parametrize(
    ("reply", "granted"),
    [
        (ok(f"{OURS};expires=120"), 120),
        (ok(OURS, Expires="130"), 130),
        (ok(OURS), 3600),
        (ok("", Expires="140"), 140),
        (ok(""), 3600),
        (ok(f"{OURS};expires=x", Expires="150"), 150),
        (ok(f"{OURS};expires=120", Expires="7"), 120),
        (ok(OURS, Expires="soon"), 3600),
        (ok("<sip:1555@198.51.100.1:61000>;expires=160"), 160),
        (ok(f"{OURS};expires=4000000000"), 7 * 86_400),
    ],
)
def test_how_long_was_granted(desk: Desk, reply: Reply, granted: float) -> None:
    assert desk.answers(reply).last.expires_s == granted


def test_our_own_contact_among_three(desk: Desk) -> None:
    others = "<sip:other@192.0.2.9>;expires=7, <sip:1555@10.0.0.1:5061>;expires=8"
    desk.answers(ok(f'{others}, "x" <sip:1555@10.0.0.1:5060;ob>;q=0.5;expires=90'))
    assert desk.last.expires_s == 90


@pytest.mark.parametrize("contact", [f"{OURS};expires=0", f"{OURS};expires=00"])
def test_a_200_without_a_binding_is_no_registration(desk: Desk, contact: str) -> None:
    desk.answers(ok(contact))
    assert (desk.last.status, desk.last.code) == ("rejected", 200)
    assert "keeps no binding" in desk.last.problem


def test_a_binding_that_runs_out_before_it_is_refreshed_is_none(desk: Desk) -> None:
    desk.answers(ok(f"{OURS};expires=60"), None).run(61)
    assert desk.statuses == ["registering", "registered", "registering"]
    assert desk.last.problem == "it ran out while the registrar did not answer"
    assert not desk.registration.is_registered
    desk.run(30)
    assert (desk.last.status, desk.last.problem) == ("down", "no answer from 10.0.0.2:5060")


# ---------------------------------------------------------------------------- 423


def test_a_longer_time_is_taken_and_kept(desk: Desk) -> None:
    desk.answers(says(423, "Interval Too Brief", Min_Expires="7200"), ok(""))
    assert desk.headers("Expires") == ["3600", "7200"]
    assert desk.last.expires_s == 7200
    desk.run(7200)
    assert desk.headers("Expires")[2:] == ["7200"]


@pytest.mark.parametrize("wanted", ["60", "3600", "90000", "x", ""])
def test_a_423_that_helps_nobody(desk: Desk, wanted: str) -> None:
    desk.answers(says(423, "Interval Too Brief", Min_Expires=wanted))
    assert desk.last.status == "rejected"
    assert len(desk.requests) == 1


def test_ever_longer(desk: Desk) -> None:
    replies = [says(423, "Interval Too Brief", Min_Expires=str(4000 + n)) for n in range(9)]
    desk.answers(*replies)
    assert len(desk.requests) == 3
    assert desk.last.problem.startswith("423 Interval Too Brief: no registration is long enough")


# ---------------------------------------------------------------------------- digest


def test_a_challenge_is_answered_and_its_nonce_used_again(desk: Desk) -> None:
    desk.answers(CHALLENGED, ok()).run(3600)
    first, second, third = desk.headers("Authorization")[:3]
    assert first == ""
    assert "nc=00000001" in second
    assert "nc=00000002" in third, "the refresh needs no challenge"
    assert desk.statuses == ["registering", "registered"]


def test_a_stale_nonce(desk: Desk) -> None:
    stale = (CHALLENGE[0], CHALLENGE[1] + ", stale=true")
    desk.answers(CHALLENGED, (401, "Unauthorized", [stale]), ok())
    assert desk.last.status == "registered"
    assert 'nonce="n2"' in desk.headers("Authorization")[2]


def test_an_old_nonce_at_the_refresh_without_the_word_stale(desk: Desk) -> None:
    desk.answers(CHALLENGED, ok(), CHALLENGED, ok()).run(3600)
    assert desk.statuses == ["registering", "registered"]


def test_a_wrong_password_is_said_and_tried_again_slowly(desk: Desk) -> None:
    desk.answers(CHALLENGED).run(86_400)
    assert desk.statuses == ["registering", "rejected"]
    assert desk.last.problem == ("401 Unauthorized: it does not take the user name and password")
    assert len(desk.requests) < 100, "two for each attempt, at last one an hour"


def test_a_proxy_and_the_registrar_each_want_a_digest(desk: Desk) -> None:
    proxy = ("Proxy-Authenticate", 'Digest realm="proxy", nonce="p"')
    desk.answers((407, "Proxy Authentication Required", [proxy]), CHALLENGED, ok())
    assert desk.last.status == "registered"
    assert all((desk.headers("Authorization")[2], desk.headers("Proxy-Authorization")[2]))


def test_without_a_password() -> None:
    desk = Desk(credentials=None).answers(CHALLENGED)
    assert desk.last.problem == "401 Unauthorized: it wants a user name and a password"
    assert len(desk.requests) == 1


def test_a_challenge_from_elsewhere_is_not_answered() -> None:
    desk = Desk(hops=[replace(HOP, host="10.9.9.9")]).answers(CHALLENGED)
    assert desk.headers("Authorization") == [""]
    assert desk.last.status == "rejected"


# ---------------------------------------------------------------------------- failures


def pauses(reply: Reply | None, seconds: float, hops: list[Hop] | None = None) -> list[float]:
    """How long it waits after each failed attempt, less the time of timer F."""
    desk = Desk(hops=hops or [HOP])
    desk.answers(reply).run(seconds)
    waited = 32.0 if reply is None else 0.0
    return [gap - waited for gap in desk.gaps]


@pytest.mark.parametrize("reply", [None, says(500), says(503), says(408), says(480), says(599)])
def test_what_may_pass_is_tried_again_soon_and_then_later(reply: Reply | None) -> None:
    waits = pauses(reply, 6000)
    for number, wait in enumerate(waits):
        longest = min(300, 5 * 2**number)
        assert longest / 2 - 0.1 <= wait <= longest + 0.1
    assert len(waits) > 10


@pytest.mark.parametrize("status", [302, 400, 403, 404, 405, 420, 488, 600, 603, 699])
def test_what_will_not_pass_is_tried_again_slowly(status: int) -> None:
    waits = pauses(says(status), 40_000)
    for number, wait in enumerate(waits):
        longest = min(3600, 60 * 2**number)
        assert longest / 2 - 0.1 <= wait <= longest + 0.1
    assert len(waits) > 8


def test_how_a_failure_is_told(desk: Desk) -> None:
    desk.answers(says(403, "Forbidden"))
    assert (desk.last.status, desk.last.code, desk.last.reason) == ("rejected", 403, "Forbidden")
    assert desk.last.problem == "403 Forbidden"
    assert desk.last.retry_in_s is not None
    assert not desk.registration.is_registered


def test_a_redirection_is_not_followed(desk: Desk) -> None:
    desk.answers(says(302, "Moved Temporarily", Contact="<sip:10.9.9.9>"))
    assert desk.last.problem == "302 Moved Temporarily: it wants us to register elsewhere"
    assert desk.sent_to == ["10.0.0.2"]


@pytest.mark.parametrize(
    ("status", "asked", "least", "most"),
    [
        (503, "120", 120, 132),
        (403, "2", 2, 2.2),
        (503, "0", 2.5, 5),
        (503, "18000;duration=3600", 3600, 3960),
        (503, "soon", 2.5, 5),
        (500, "7 (I am in a meeting)", 7, 7.7),
    ],
)
def test_retry_after(desk: Desk, status: int, asked: str, least: float, most: float) -> None:
    desk.answers(says(status, Retry_After=asked)).run(4000)
    assert least <= next(desk.gaps) <= most


def test_a_success_makes_the_next_failure_the_first_one(desk: Desk) -> None:
    desk.answers(says(500), says(500), says(500), ok(f"{OURS};expires=60"), says(500)).run(300)
    wait = desk.sent_at[5] - desk.sent_at[4]
    assert 2.5 <= wait <= 5
    assert desk.statuses == ["registering", "down", "registered", "down"]


def test_a_silent_address_is_followed_by_the_next(desk: Desk) -> None:
    desk = Desk(hops=[HOP, OTHER]).answers(None, ok())
    desk.run(5.1)
    assert desk.sent_to == ["10.0.0.2", "10.0.0.3"]
    assert (desk.last.status, desk.last.hop) == ("registered", OTHER)


def test_one_that_is_at_work_is_waited_for() -> None:
    desk = Desk(hops=[HOP, OTHER]).answers(says(100, "Trying"))
    desk.run(30)
    assert desk.sent_to == ["10.0.0.2"]


def test_a_late_answer_of_the_silent_one_changes_nothing() -> None:
    desk = Desk(hops=[HOP, OTHER]).answers(None)
    desk.run(6)
    late = Response.to_request(desk.requests[0], 403, to_tag="r")
    desk.agent.receive(late.encode(), HOP, desk.now)
    desk.answers(ok()).run(0)
    assert desk.statuses == ["registering"]


def test_an_overloaded_one_is_too(desk: Desk) -> None:
    desk = Desk(hops=[HOP, OTHER]).answers(says(503), ok())
    assert desk.last.hop == OTHER
    assert desk.statuses == ["registering", "registered"]


def test_nobody_anywhere() -> None:
    desk = Desk(hops=[HOP, OTHER]).answers(None)
    desk.run(5 + 32.1)
    assert desk.last.problem == "no answer from 10.0.0.3:5060"
    assert desk.last.code is None


def test_a_refused_connection(desk: Desk) -> None:
    desk.answers(None)
    desk.agent.transport_failed("10.0.0.2", 5060, desk.now)
    desk.work()
    assert (desk.last.status, desk.last.problem) == ("down", "nobody listens at 10.0.0.2:5060")


def test_a_name_that_cannot_be_looked_up() -> None:
    desk = Desk(hops=[])
    desk.work()
    desk.registration.failed("carrier.example has no address")
    desk.work()
    assert (desk.last.status, desk.last.problem) == ("down", "carrier.example has no address")
    desk.hops = [HOP]
    desk.answers(ok()).run(6)
    assert desk.last.status == "registered"


# ---------------------------------------------------------------------------- lost connections

TCP = replace(HOP, transport="tcp")


def lose(desk: Desk, hop: Hop = TCP) -> None:
    desk.agent.transport_failed(hop.host, hop.port, desk.now)
    desk.work()


def test_a_lost_connection_is_registered_over_again() -> None:
    desk = Desk(hops=[TCP]).answers(ok(""))
    desk.run(100)
    lose(desk)
    assert desk.statuses == ["registering", "registered", "registering"]
    assert desk.last.problem == "the connection was lost"
    desk.run(2)
    assert desk.last.status == "registered"
    assert len(desk.requests) == 2


def test_connections_that_do_not_last_are_made_ever_more_slowly() -> None:
    desk = Desk(hops=[TCP]).answers(ok(""))
    for _ in range(50):
        if desk.last.status == "registered":
            lose(desk)
        desk.run(10)
    assert len(desk.requests) < 15


@pytest.mark.parametrize("hop", [replace(TCP, host="10.0.0.9"), replace(TCP, port=5061)])
def test_another_connection_is_none_of_its_business(hop: Hop) -> None:
    desk = Desk(hops=[TCP]).answers(ok(""))
    lose(desk, hop)
    assert desk.statuses == ["registering", "registered"]


def test_an_unreachable_port_over_udp_ends_no_binding(desk: Desk) -> None:
    desk.answers(ok())
    lose(desk, HOP)
    assert desk.last.status == "registered"


# ---------------------------------------------------------------------------- the end


def test_the_binding_is_taken_back(desk: Desk) -> None:
    desk.answers(CHALLENGED, ok())
    desk.registration.end()
    desk.answers(ok(""))
    request = desk.requests[-1]
    assert request.headers.get("Contact") == f"{OURS};expires=0"
    assert request.headers.get("Expires") == "0"
    assert "nc=00000002" in (request.headers.get("Authorization") or "")
    assert desk.last.status == "ended"
    desk.run(40)
    assert desk.agent.counters().timers == 0
    assert len(desk.agent.registrations) == 0


def test_taking_it_back_may_need_a_new_digest(desk: Desk) -> None:
    desk.answers(ok())
    desk.registration.end()
    desk.answers(CHALLENGED, ok(""))
    assert desk.headers("Expires") == ["3600", "0", "0"]
    assert desk.last.status == "ended"


@pytest.mark.parametrize("reply", [None, says(500), says(423, Min_Expires="9000"), CHALLENGED])
def test_whatever_is_said_to_that_it_is_the_end(desk: Desk, reply: Reply | None) -> None:
    desk.answers(ok())
    desk.registration.end()
    desk.registration.end()
    desk.answers(reply).run(40)
    assert desk.last.status == "ended"
    desk.run(8000)
    assert len(desk.requests) <= 3
    assert desk.agent.counters().timers == 0


@pytest.mark.parametrize(
    "before", [lambda desk: None, lambda desk: desk.answers(says(403))], ids=["unsent", "rejected"]
)
def test_without_a_binding_there_is_nothing_to_take_back(
    desk: Desk, before: Callable[[Desk], object]
) -> None:
    before(desk)
    sent = len(desk.requests)
    desk.registration.end()
    desk.work()
    assert desk.last.status == "ended"
    desk.registration.failed("too late")
    desk.run(100)
    assert len(desk.requests) == sent
    assert desk.agent.counters().timers == 0


def test_an_attempt_under_way_may_have_made_one(desk: Desk) -> None:
    desk.answers(None)
    desk.registration.end()
    desk.answers(ok(""))
    assert desk.headers("Expires") == ["3600", "0"]


def test_an_answer_to_an_earlier_request_changes_nothing(desk: Desk) -> None:
    desk.answers(None)
    first = desk.requests[0]
    desk.registration.end()
    late = Response.to_request(first, 403, to_tag="r")
    desk.agent.receive(late.encode(), HOP, desk.now)
    desk.work()
    assert desk.statuses == ["registering"]


# ---------------------------------------------------------------------------- anything


REPLIES = [
    ok(f"<sip:x@192.0.2.1>;expires=9, {OURS};expires=120", Expires="9"),
    CHALLENGED,
    says(423, "Interval Too Brief", Min_Expires="7200"),
    says(503, "Overloaded", Retry_After="5"),
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """A few bytes of it are changed, lost or doubled."""
    made = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(made))
        match chance.randrange(4):
            case 0:
                made[place] = chance.randrange(256)
            case 1:
                del made[place : place + chance.randint(1, 8)]
            case 2:
                made[place:place] = made[place : place + chance.randint(1, 40)]
            case _:
                made[place:place] = chance.choice([b"0", b"\xff", b",", b";", b'"', b"4294967296"])
    return bytes(made)


@pytest.mark.parametrize("reply", REPLIES, ids=["200", "401", "423", "503"])
def test_no_answer_leaves_it_without_a_next_step(reply: Reply) -> None:
    chance = random.Random(reply[0])
    for _ in range(400):
        desk = Desk().answers(None)
        request = desk.requests[-1]
        response = Response.to_request(request, *reply[:2], to_tag="r", headers=reply[2])
        desk.agent.receive(mutated(response.encode(), chance), HOP, desk.now)
        desk.work()
        due = desk.agent.next_timer()
        assert due is not None
        desk.answers(ok()).run(7200)
        assert desk.last.status == "registered", "it comes to its end whatever was said"


def test_what_goes_with_a_register_and_where_we_say_we_are() -> None:
    binding = replace(BINDING, headers=(("X-Account", "42"),))
    desk = Desk(binding, [HOP.showing("203.0.113.7")]).answers(ok())
    (request,) = desk.requests
    assert request.headers.get("X-Account") == "42"
    assert request.top_via.sent_by == "203.0.113.7:5060"
    assert request.contacts[0].uri.host_port == "203.0.113.7:5060"
