"""Every row of the four transaction tables, and every timer, on both kinds of transport."""

from __future__ import annotations

import pytest

from outdial.errors import LocalProtocolError
from outdial.sip.core.hop import Hop
from outdial.sip.core.machines import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    Action,
    Event,
    State,
    Table,
)
from outdial.sip.core.message import Request, Response
from outdial.sip.core.outline import Outline
from outdial.sip.core.parser import parse_message
from outdial.sip.core.response import ResponseHead
from outdial.sip.core.timers import TimerHeap, Timings
from outdial.sip.core.transaction import ClientTransaction, ServerTransaction, Trace, Transaction

S, E = State, Event


class Recorder:
    """A layer and a user that note what they are told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = TimerHeap()
        self.timings = Timings()
        self.held_bytes = 0
        self.sent: list[tuple[float, bytes]] = []
        self.told: list[str] = []
        self.forgotten: list[Transaction] = []

    def send(self, data: bytes, hop: Hop, trace: Trace | None) -> None:
        self.sent.append((round(self.now, 3), data))

    def forget(self, transaction: Transaction) -> None:
        self.forgotten.append(transaction)
        if isinstance(transaction, ServerTransaction):
            self.held_bytes -= transaction.held_bytes
            transaction.held_bytes = 0

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        self.told.append(str(response.status))

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        self.told.append("unreachable" if unreachable else "timed out")

    def on_ack(self, request: Request) -> None:
        self.told.append("ACK")

    def run(self, until: float) -> None:
        while (at := self.timers.next()) is not None and at <= until:
            self.now = at
            self.timers.fire(at)
        self.now = until

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.sent]


def hop(transport: str = "udp") -> Hop:
    return Hop(transport, "10.0.0.2", 5060, "10.0.0.1:5060")


def client(layer: Recorder, method: str, transport: str = "udp") -> ClientTransaction:
    outline = Outline(
        "sip:b@10.0.0.2", hop(transport), "z9hG4bK1", (), "<sip:a@x>;tag=a", "<sip:b@x>", "c", 1
    )
    transaction = ClientTransaction(layer, outline, method, outline.encode(method), layer)
    transaction.start()
    return transaction


def response(status: int, method: str) -> Response:
    text = (
        f"SIP/2.0 {status} X\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1\r\n"
        f"From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>;tag=b\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\r\n"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Response)
    return message


def request(method: str) -> Request:
    text = (
        f"{method} sip:b@10.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1\r\n"
        f"From: <sip:a@x>;tag=a\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n"
        "Contact: <sip:a@10.0.0.2>\r\nMax-Forwards: 70\r\n\r\n"
    )
    message = parse_message(text.encode())
    assert isinstance(message, Request)
    return message


def server(layer: Recorder, method: str, transport: str = "udp") -> ServerTransaction:
    message = request(method)
    head = ResponseHead(message, hop(transport))
    transaction = ServerTransaction(layer, ("key",), message, head, hop(transport))
    transaction.user = layer
    return transaction


# ------------------------------------------------------------ the tables as such

NETWORK_EVENTS = {
    "INVITE client": (
        INVITE_CLIENT,
        {E.PROVISIONAL, E.SUCCESS, E.FAILURE, E.TRANSPORT_ERROR},
    ),
    "client": (CLIENT, {E.PROVISIONAL, E.SUCCESS, E.FAILURE, E.TRANSPORT_ERROR}),
    "INVITE server": (INVITE_SERVER, {E.REQUEST, E.ACK, E.TRANSPORT_ERROR}),
    "server": (SERVER, {E.REQUEST, E.TRANSPORT_ERROR}),
}


@pytest.mark.parametrize("name", NETWORK_EVENTS)
def test_whatever_the_network_sends_has_a_row(name: str) -> None:
    table, events = NETWORK_EVENTS[name]
    live = {state for state, _ in table} - {S.IDLE}
    assert {(state, event) for state in live for event in events} <= set(table)


@pytest.mark.parametrize("name", NETWORK_EVENTS)
def test_every_state_is_reached_and_left(name: str) -> None:
    table, _ = NETWORK_EVENTS[name]
    states = {state for state, _ in table}
    reached = {after for _, after in table.values()}
    start = {S.IDLE} if S.IDLE in states else {S.TRYING}
    assert states - start <= reached
    assert reached - states == {S.TERMINATED}
    for state in states:
        leaving = [after for (before, _), (_, after) in table.items() if before is state]
        assert set(leaving) - {state}


@pytest.mark.parametrize("table", [INVITE_CLIENT, CLIENT, INVITE_SERVER, SERVER])
def test_every_timer_that_is_started_has_a_row(table: Table) -> None:
    for actions, after in table.values():
        for action in actions:
            if action.name.startswith(("START_", "REPEAT_")):
                timer = E[f"TIMER_{action.name.split('_')[1]}"]
                assert (after, timer) in table


def test_an_event_without_a_row_is_an_error() -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE")
    transaction.respond(486)
    with pytest.raises(LocalProtocolError, match="SUCCESS in COMPLETED"):
        transaction.respond(200)


# ------------------------------------------------------------ INVITE client


def test_timers_a_and_b() -> None:
    layer = Recorder()
    client(layer, "INVITE")
    layer.run(31.9)
    assert layer.times == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert layer.told == []
    layer.run(32)
    assert layer.told == ["timed out"]
    assert len(layer.forgotten) == 1
    assert layer.timers.live == 0


def test_no_repeats_on_a_reliable_transport() -> None:
    layer = Recorder()
    client(layer, "INVITE", "tcp")
    layer.run(32)
    assert layer.times == [0]
    assert layer.told == ["timed out"]
    assert layer.timers.live == 0


def test_a_provisional_response_ends_the_repeats_and_timer_b() -> None:
    layer = Recorder()
    transaction = client(layer, "INVITE")
    transaction.receive(response(180, "INVITE"), hop())
    transaction.receive(response(183, "INVITE"), hop())
    layer.run(1000)
    assert layer.times == [0]
    assert layer.told == ["180", "183"]
    assert transaction.state is S.PROCEEDING
    assert layer.timers.live == 0


@pytest.mark.parametrize("first", [None, 180])
@pytest.mark.parametrize("status", [302, 486, 503, 603])
def test_failure_is_acknowledged_each_time_and_told_once(first: int | None, status: int) -> None:
    layer = Recorder()
    transaction = client(layer, "INVITE")
    if first:
        transaction.receive(response(first, "INVITE"), hop())
    for late in (status, status, 200, 180):
        transaction.receive(response(late, "INVITE"), hop())
    assert layer.told[-1] == str(status)
    assert layer.told.count(str(status)) == 1
    acks = [data for _, data in layer.sent if data.startswith(b"ACK")]
    assert len(acks) == 2
    assert acks[0] == acks[1]
    assert b"To: <sip:b@x>;tag=b\r\n" in acks[0]
    assert b"branch=z9hG4bK1" in acks[0]
    assert b"CSeq: 1 ACK" in acks[0]
    layer.run(31.9)
    assert layer.forgotten == []
    layer.run(32)
    assert layer.forgotten == [transaction]
    assert layer.timers.live == 0


def test_timer_d_takes_no_time_on_a_reliable_transport() -> None:
    layer = Recorder()
    transaction = client(layer, "INVITE", "tcp")
    transaction.receive(response(486, "INVITE"), hop("tcp"))
    assert transaction.state is S.TERMINATED
    assert layer.told == ["486"]
    assert layer.timers.live == 0


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_each_200_is_passed_on_until_timer_m(transport: str) -> None:
    layer = Recorder()
    transaction = client(layer, "INVITE", transport)
    for status in (200, 200, 180, 486):
        transaction.receive(response(status, "INVITE"), hop(transport))
    assert layer.told == ["200", "200"]
    assert len(layer.sent) == 1
    layer.run(31.9)
    assert layer.forgotten == []
    layer.run(32)
    assert layer.forgotten == [transaction]


@pytest.mark.parametrize(
    ("responses", "told", "state"),
    [
        ([], ["unreachable"], S.TERMINATED),
        ([180], ["180"], S.PROCEEDING),
        ([200], ["200"], S.ACCEPTED),
        ([486], ["486"], S.COMPLETED),
    ],
)
def test_transport_error_of_an_invite(responses: list[int], told: list[str], state: State) -> None:
    layer = Recorder()
    transaction = client(layer, "INVITE")
    for status in responses:
        transaction.receive(response(status, "INVITE"), hop())
    transaction.fire(E.TRANSPORT_ERROR)
    assert layer.told == told
    assert transaction.state is state


@pytest.mark.parametrize("responses", [[], [180]])
@pytest.mark.parametrize("method", ["INVITE", "BYE"])
def test_giving_up(method: str, responses: list[int]) -> None:
    layer = Recorder()
    transaction = client(layer, method)
    for status in responses:
        transaction.receive(response(status, method), hop())
    transaction.fire(E.GIVE_UP)
    assert transaction.state is S.TERMINATED
    assert layer.timers.live == 0
    assert "timed out" not in layer.told


# ------------------------------------------------------------ other clients


def test_timers_e_and_f() -> None:
    layer = Recorder()
    client(layer, "BYE")
    layer.run(31.9)
    assert layer.times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    layer.run(32)
    assert layer.told == ["timed out"]
    assert layer.timers.live == 0


def test_timer_e_is_slow_after_a_provisional_response() -> None:
    layer = Recorder()
    transaction = client(layer, "OPTIONS")
    transaction.receive(response(100, "OPTIONS"), hop())
    transaction.receive(response(100, "OPTIONS"), hop())
    layer.run(10)
    assert layer.times == [0, 0.5, 4.5, 8.5]
    layer.run(32)
    assert layer.told == ["100", "100", "timed out"]


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("provisional", [False, True])
def test_timer_k(status: int, provisional: bool) -> None:
    layer = Recorder()
    transaction = client(layer, "BYE")
    if provisional:
        transaction.receive(response(100, "BYE"), hop())
    for late in (status, status, 100, 500, 200):
        transaction.receive(response(late, "BYE"), hop())
    assert layer.told[-1] == str(status)
    assert len(layer.told) == 1 + provisional
    transaction.fire(E.TRANSPORT_ERROR)
    layer.run(4.9)
    assert layer.forgotten == []
    layer.run(5)
    assert layer.forgotten == [transaction]
    assert layer.times == [0]


def test_timer_k_takes_no_time_on_a_reliable_transport() -> None:
    layer = Recorder()
    transaction = client(layer, "BYE", "tcp")
    transaction.receive(response(200, "BYE"), hop("tcp"))
    assert transaction.state is S.TERMINATED
    assert layer.told == ["200"]
    assert layer.timers.live == 0


@pytest.mark.parametrize("provisional", [False, True])
def test_transport_error_of_other_requests(provisional: bool) -> None:
    layer = Recorder()
    transaction = client(layer, "BYE")
    if provisional:
        transaction.receive(response(100, "BYE"), hop())
    transaction.fire(E.TRANSPORT_ERROR)
    assert layer.told[-1] == "unreachable"
    assert layer.timers.live == 0


# ------------------------------------------------------------ INVITE server


def test_100_after_200_ms() -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE")
    transaction.repeated()
    layer.run(0.19)
    assert layer.sent == []
    layer.run(0.2)
    assert layer.sent[0][1].startswith(b"SIP/2.0 100 Trying")
    transaction.repeated()
    assert len(layer.sent) == 2
    layer.run(100)
    assert len(layer.sent) == 2


@pytest.mark.parametrize("before", [None, 180])
def test_timers_g_and_h(before: int | None) -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE")
    if before:
        transaction.respond(before)
    transaction.respond(486)
    first = len(layer.sent) - 1
    layer.run(31.9)
    assert layer.times[first:] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    layer.run(32)
    assert layer.forgotten == [transaction]
    assert layer.told == []
    assert layer.timers.live == 0


def test_no_repeats_but_timer_h_on_a_reliable_transport() -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE", "tcp")
    transaction.respond(486)
    layer.run(31.9)
    assert layer.times == [0]
    assert layer.forgotten == []
    layer.run(32)
    assert layer.forgotten == [transaction]


@pytest.mark.parametrize(("transport", "seconds"), [("udp", 5.0), ("tcp", 0.0)])
def test_timer_i(transport: str, seconds: float) -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE", transport)
    transaction.respond(486)
    transaction.repeated()
    assert len(layer.sent) == 2
    transaction.ack(request("ACK"))
    if seconds:
        assert transaction.state is S.CONFIRMED
        transaction.ack(request("ACK"))
        transaction.repeated()
        transaction.fire(E.TRANSPORT_ERROR)
        assert len(layer.sent) == 2
        layer.run(seconds)
    assert layer.forgotten == [transaction]
    assert layer.timers.live == 0
    assert layer.told == []


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("before", [None, 183])
def test_timer_l(transport: str, before: int | None) -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE", transport)
    if before:
        transaction.respond(before)
        transaction.respond(before)
        transaction.repeated()
    transaction.respond(200)
    sent = len(layer.sent)
    transaction.repeated()
    transaction.fire(E.TRANSPORT_ERROR)
    assert len(layer.sent) == sent
    transaction.respond(200)
    assert len(layer.sent) == sent + 1
    transaction.ack(request("ACK"))
    assert layer.told == ["ACK"]
    layer.run(31.9)
    assert layer.forgotten == []
    layer.run(32)
    assert layer.forgotten == [transaction]


@pytest.mark.parametrize("before", [None, 180])
def test_strays_before_the_final_response(before: int | None) -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE")
    if before:
        transaction.respond(before)
    transaction.ack(request("ACK"))
    transaction.fire(E.TRANSPORT_ERROR)
    assert transaction.state.name == ("PROCEEDING" if before else "TRYING")
    transaction.respond(600)
    transaction.fire(E.TRANSPORT_ERROR)
    assert transaction.state.name == "COMPLETED"


# ------------------------------------------------------------ other servers


@pytest.mark.parametrize(("transport", "seconds"), [("udp", 32.0), ("tcp", 0.0)])
@pytest.mark.parametrize("status", [200, 404])
def test_timer_j(transport: str, seconds: float, status: int) -> None:
    layer = Recorder()
    transaction = server(layer, "BYE", transport)
    transaction.repeated()
    transaction.fire(E.TRANSPORT_ERROR)
    assert layer.sent == []
    transaction.respond(status)
    if seconds:
        transaction.repeated()
        transaction.fire(E.TRANSPORT_ERROR)
        assert len(layer.sent) == 2
        layer.run(seconds - 0.1)
        assert layer.forgotten == []
        layer.run(seconds)
    assert layer.forgotten == [transaction]
    assert layer.timers.live == 0


@pytest.mark.parametrize("status", [200, 500])
def test_provisional_response_of_other_servers(status: int) -> None:
    layer = Recorder()
    transaction = server(layer, "OPTIONS")
    transaction.respond(100)
    transaction.repeated()
    transaction.respond(100)
    transaction.fire(E.TRANSPORT_ERROR)
    assert len(layer.sent) == 3
    transaction.respond(status)
    assert transaction.state is S.COMPLETED


def test_actions_are_all_used() -> None:
    used = {
        action
        for table in (INVITE_CLIENT, CLIENT, INVITE_SERVER, SERVER)
        for actions, _ in table.values()
        for action in actions
    }
    assert used == set(Action)


# ------------------------------------------------------------ what a server holds


@pytest.mark.parametrize("method", ["INVITE", "INFO"])
def test_behind_its_final_response_only_that_is_held(method: str) -> None:
    """What further ones would be made of goes: thousands of answers linger under attack."""
    layer = Recorder()
    transaction = server(layer, method)
    transaction.respond(180)
    assert 0 < layer.held_bytes < 500
    assert transaction._head
    transaction.respond(486)
    assert not transaction._head
    assert layer.held_bytes == transaction.held_bytes == len(transaction.data) > 0
    transaction.repeated()
    assert layer.sent[-1][1].startswith(b"SIP/2.0 486")
    layer.run(33)
    assert layer.forgotten == [transaction]
    assert layer.held_bytes == 0


def test_an_acknowledged_failure_is_not_sent_again_and_not_held() -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE")
    transaction.respond(486)
    transaction.ack(request("ACK"))
    assert (transaction.state, transaction.data, layer.held_bytes) == (S.CONFIRMED, b"", 0)
    count = len(layer.sent)
    transaction.repeated()
    layer.run(33)
    assert len(layer.sent) == count
    assert layer.held_bytes == 0


@pytest.mark.parametrize("method", ["INVITE", "INFO"])
def test_on_a_reliable_transport_nothing_lingers(method: str) -> None:
    layer = Recorder()
    transaction = server(layer, method, "tcp")
    transaction.respond(486)
    if method == "INVITE":
        assert layer.held_bytes == len(transaction.data)
        transaction.ack(request("ACK"))
    assert layer.forgotten == [transaction]
    assert layer.held_bytes == 0


def test_a_2xx_that_is_sent_again_is_the_same() -> None:
    layer = Recorder()
    transaction = server(layer, "INVITE")
    transaction.respond(200, body=b"answer")
    transaction.respond(200, body=b"another")
    first, second = (data for _, data in layer.sent)
    assert first == second
    assert layer.held_bytes == len(first)
    transaction.let_go()
    transaction.let_go()
    assert layer.held_bytes == 0
    layer.run(33)
    transaction.let_go()
    assert layer.held_bytes == 0
