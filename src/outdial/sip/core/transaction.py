"""The four transaction state machines of RFC 3261 section 17 with the Accepted states of RFC 6026.

Each machine is a table from (state, event) to (actions, next state). An event that is not in the
table for a state is a defect of ours, so it raises LocalProtocolError; whatever the network can
send has a row in every state that can meet it, be it an empty one. On a reliable transport timers
A, E and G do not run, and D, I, J and K take no time at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Protocol

from outdial.errors import LocalProtocolError
from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Request, Response
from outdial.sip.core.outline import Outline
from outdial.sip.core.response import ResponseHead
from outdial.sip.core.timers import Timer, TimerHeap, Timings


class State(IntEnum):
    """The states of all four machines."""

    IDLE = 0
    """A client before its request leaves."""
    CALLING = 1
    TRYING = 2
    PROCEEDING = 3
    COMPLETED = 4
    CONFIRMED = 5
    ACCEPTED = 6
    TERMINATED = 7


class Event(IntEnum):
    """What can happen. A server sends PROVISIONAL, SUCCESS and FAILURE, a client receives them."""

    REQUEST = 1
    """A client's is sent, a server's is received again."""
    ACK = 2
    PROVISIONAL = 3
    SUCCESS = 4
    FAILURE = 5
    """3xx to 6xx; for other methods than INVITE no difference is made from SUCCESS."""
    TRANSPORT_ERROR = 6
    GIVE_UP = 7
    """The user no longer waits, e.g. 64*T1 after its CANCEL (section 9.1)."""
    HUSH = 8
    """The user no longer waits and wants nothing repeated, but what still comes must be dealt with:
    the request may have arrived."""
    TIMER_A = 10
    TIMER_B = 11
    TIMER_D = 12
    TIMER_E = 13
    TIMER_F = 14
    TIMER_G = 15
    TIMER_H = 16
    TIMER_I = 17
    TIMER_J = 18
    TIMER_K = 19
    TIMER_L = 20
    TIMER_M = 21
    TIMER_100 = 22
    """200 ms without a response of the user: 100 Trying is due."""


class Action(IntEnum):
    """What a transition does."""

    PASS = 1
    """Hand the message to the user."""
    TIMED_OUT = 2
    """Tell the user that the peer did not answer."""
    UNREACHABLE = 3
    """Tell the user that the transport failed."""
    SEND = 4
    """Send the request, or the last response, (again)."""
    SEND_ACK = 5
    """Send the ACK of a 3xx to 6xx."""
    SEND_100 = 6
    STOP_TIMERS = 8
    REPEAT_A = 10
    """Start timer A: T1, then doubling without limit."""
    REPEAT_E = 11
    """Start timer E: T1, doubling up to T2."""
    REPEAT_E_SLOWLY = 12
    """Start timer E at T2, as it is after a provisional response."""
    REPEAT_G = 13
    """Start timer G: T1, doubling up to T2."""
    START_B = 18
    START_D = 19
    START_F = 20
    START_H = 21
    START_I = 22
    START_J = 23
    START_K = 24
    START_L = 25
    START_M = 26


Row = tuple[tuple[Action, ...], State]
Table = Mapping[tuple[State, Event], Row]

_S, _E, _A = State, Event, Action
_INVITE_2XX: Row = ((_A.STOP_TIMERS, _A.START_M, _A.PASS), _S.ACCEPTED)
_INVITE_FAILED: Row = ((_A.STOP_TIMERS, _A.SEND_ACK, _A.START_D, _A.PASS), _S.COMPLETED)
_UNREACHABLE: Row = ((_A.UNREACHABLE,), _S.TERMINATED)

INVITE_CLIENT: Table = {
    (_S.IDLE, _E.REQUEST): ((_A.SEND, _A.REPEAT_A, _A.START_B), _S.CALLING),
    (_S.CALLING, _E.TIMER_A): ((_A.SEND, _A.REPEAT_A), _S.CALLING),
    (_S.CALLING, _E.TIMER_B): ((_A.TIMED_OUT,), _S.TERMINATED),
    (_S.CALLING, _E.TRANSPORT_ERROR): _UNREACHABLE,
    (_S.CALLING, _E.PROVISIONAL): ((_A.STOP_TIMERS, _A.PASS), _S.PROCEEDING),
    (_S.CALLING, _E.SUCCESS): _INVITE_2XX,
    (_S.CALLING, _E.FAILURE): _INVITE_FAILED,
    (_S.CALLING, _E.GIVE_UP): ((), _S.TERMINATED),
    (_S.CALLING, _E.HUSH): ((_A.STOP_TIMERS, _A.START_B), _S.CALLING),
    (_S.PROCEEDING, _E.PROVISIONAL): ((_A.PASS,), _S.PROCEEDING),
    (_S.PROCEEDING, _E.SUCCESS): _INVITE_2XX,
    (_S.PROCEEDING, _E.FAILURE): _INVITE_FAILED,
    (_S.PROCEEDING, _E.TRANSPORT_ERROR): ((), _S.PROCEEDING),
    (_S.PROCEEDING, _E.GIVE_UP): ((), _S.TERMINATED),
    (_S.COMPLETED, _E.PROVISIONAL): ((), _S.COMPLETED),
    (_S.COMPLETED, _E.SUCCESS): ((), _S.COMPLETED),
    (_S.COMPLETED, _E.FAILURE): ((_A.SEND_ACK,), _S.COMPLETED),
    (_S.COMPLETED, _E.TRANSPORT_ERROR): ((), _S.COMPLETED),
    (_S.COMPLETED, _E.TIMER_D): ((), _S.TERMINATED),
    (_S.ACCEPTED, _E.PROVISIONAL): ((), _S.ACCEPTED),
    (_S.ACCEPTED, _E.SUCCESS): ((_A.PASS,), _S.ACCEPTED),
    (_S.ACCEPTED, _E.FAILURE): ((), _S.ACCEPTED),
    (_S.ACCEPTED, _E.TRANSPORT_ERROR): ((), _S.ACCEPTED),
    (_S.ACCEPTED, _E.TIMER_M): ((), _S.TERMINATED),
}
"""Figure 5 of RFC 3261 as changed by RFC 6026 section 8.4.

A transport error concerns the INVITE only while it is being sent: later it is of another message.
"""

_FINAL: Row = ((_A.STOP_TIMERS, _A.START_K, _A.PASS), _S.COMPLETED)

CLIENT: Table = {
    (_S.IDLE, _E.REQUEST): ((_A.SEND, _A.REPEAT_E, _A.START_F), _S.TRYING),
    (_S.TRYING, _E.TIMER_E): ((_A.SEND, _A.REPEAT_E), _S.TRYING),
    (_S.TRYING, _E.TIMER_F): ((_A.TIMED_OUT,), _S.TERMINATED),
    (_S.TRYING, _E.TRANSPORT_ERROR): _UNREACHABLE,
    (_S.TRYING, _E.PROVISIONAL): ((_A.PASS,), _S.PROCEEDING),
    (_S.TRYING, _E.SUCCESS): _FINAL,
    (_S.TRYING, _E.FAILURE): _FINAL,
    (_S.TRYING, _E.GIVE_UP): ((), _S.TERMINATED),
    (_S.PROCEEDING, _E.TIMER_E): ((_A.SEND, _A.REPEAT_E_SLOWLY), _S.PROCEEDING),
    (_S.PROCEEDING, _E.TIMER_F): ((_A.TIMED_OUT,), _S.TERMINATED),
    (_S.PROCEEDING, _E.TRANSPORT_ERROR): _UNREACHABLE,
    (_S.PROCEEDING, _E.PROVISIONAL): ((_A.PASS,), _S.PROCEEDING),
    (_S.PROCEEDING, _E.SUCCESS): _FINAL,
    (_S.PROCEEDING, _E.FAILURE): _FINAL,
    (_S.PROCEEDING, _E.GIVE_UP): ((), _S.TERMINATED),
    (_S.COMPLETED, _E.PROVISIONAL): ((), _S.COMPLETED),
    (_S.COMPLETED, _E.SUCCESS): ((), _S.COMPLETED),
    (_S.COMPLETED, _E.FAILURE): ((), _S.COMPLETED),
    (_S.COMPLETED, _E.TRANSPORT_ERROR): ((), _S.COMPLETED),
    (_S.COMPLETED, _E.TIMER_K): ((), _S.TERMINATED),
}
"""Figure 6 of RFC 3261."""

INVITE_SERVER: Table = {
    (_S.TRYING, _E.REQUEST): ((), _S.TRYING),
    (_S.TRYING, _E.ACK): ((), _S.TRYING),
    (_S.TRYING, _E.TIMER_100): ((_A.SEND_100,), _S.PROCEEDING),
    (_S.TRYING, _E.PROVISIONAL): ((_A.STOP_TIMERS, _A.SEND), _S.PROCEEDING),
    (_S.TRYING, _E.SUCCESS): ((_A.STOP_TIMERS, _A.SEND, _A.START_L), _S.ACCEPTED),
    (_S.TRYING, _E.FAILURE): (
        (_A.STOP_TIMERS, _A.SEND, _A.REPEAT_G, _A.START_H),
        _S.COMPLETED,
    ),
    (_S.TRYING, _E.TRANSPORT_ERROR): ((), _S.TRYING),
    (_S.PROCEEDING, _E.REQUEST): ((_A.SEND,), _S.PROCEEDING),
    (_S.PROCEEDING, _E.ACK): ((), _S.PROCEEDING),
    (_S.PROCEEDING, _E.PROVISIONAL): ((_A.SEND,), _S.PROCEEDING),
    (_S.PROCEEDING, _E.SUCCESS): ((_A.SEND, _A.START_L), _S.ACCEPTED),
    (_S.PROCEEDING, _E.FAILURE): ((_A.SEND, _A.REPEAT_G, _A.START_H), _S.COMPLETED),
    (_S.PROCEEDING, _E.TRANSPORT_ERROR): ((), _S.PROCEEDING),
    (_S.COMPLETED, _E.REQUEST): ((_A.SEND,), _S.COMPLETED),
    (_S.COMPLETED, _E.ACK): ((_A.STOP_TIMERS, _A.START_I), _S.CONFIRMED),
    (_S.COMPLETED, _E.TIMER_G): ((_A.SEND, _A.REPEAT_G), _S.COMPLETED),
    (_S.COMPLETED, _E.TIMER_H): ((), _S.TERMINATED),
    (_S.COMPLETED, _E.TRANSPORT_ERROR): ((), _S.COMPLETED),
    (_S.CONFIRMED, _E.REQUEST): ((), _S.CONFIRMED),
    (_S.CONFIRMED, _E.ACK): ((), _S.CONFIRMED),
    (_S.CONFIRMED, _E.TRANSPORT_ERROR): ((), _S.CONFIRMED),
    (_S.CONFIRMED, _E.TIMER_I): ((), _S.TERMINATED),
    (_S.ACCEPTED, _E.REQUEST): ((), _S.ACCEPTED),
    (_S.ACCEPTED, _E.ACK): ((_A.PASS,), _S.ACCEPTED),
    (_S.ACCEPTED, _E.SUCCESS): ((_A.SEND,), _S.ACCEPTED),
    (_S.ACCEPTED, _E.TRANSPORT_ERROR): ((), _S.ACCEPTED),
    (_S.ACCEPTED, _E.TIMER_L): ((), _S.TERMINATED),
}
"""Figure 7 of RFC 3261 as changed by RFC 6026 section 8.7.

TRYING is Proceeding before anything was sent: there is nothing to repeat yet. The user repeats its
2xx by sending it again. A transport error before the final response changes nothing: the repeated
request will bring another chance, and a 2xx nobody acknowledges ends the call anyway. A failure
response that is not acknowledged (timer H) leaves nothing to be told: the call is over for us.
"""

SERVER: Table = {
    (_S.TRYING, _E.REQUEST): ((), _S.TRYING),
    (_S.TRYING, _E.PROVISIONAL): ((_A.SEND,), _S.PROCEEDING),
    (_S.TRYING, _E.SUCCESS): ((_A.SEND, _A.START_J), _S.COMPLETED),
    (_S.TRYING, _E.FAILURE): ((_A.SEND, _A.START_J), _S.COMPLETED),
    (_S.TRYING, _E.TRANSPORT_ERROR): ((), _S.TRYING),
    (_S.PROCEEDING, _E.REQUEST): ((_A.SEND,), _S.PROCEEDING),
    (_S.PROCEEDING, _E.PROVISIONAL): ((_A.SEND,), _S.PROCEEDING),
    (_S.PROCEEDING, _E.SUCCESS): ((_A.SEND, _A.START_J), _S.COMPLETED),
    (_S.PROCEEDING, _E.FAILURE): ((_A.SEND, _A.START_J), _S.COMPLETED),
    (_S.PROCEEDING, _E.TRANSPORT_ERROR): ((), _S.PROCEEDING),
    (_S.COMPLETED, _E.REQUEST): ((_A.SEND,), _S.COMPLETED),
    (_S.COMPLETED, _E.TRANSPORT_ERROR): ((), _S.COMPLETED),
    (_S.COMPLETED, _E.TIMER_J): ((), _S.TERMINATED),
}
"""Figure 8 of RFC 3261."""

Trace = Callable[[bool, Hop, bytes], None]
"""(outgoing, hop, raw bytes) of each message of a leg."""
TransactionKey = tuple[str, ...]
MergeKey = tuple[str, str, int]
"""Call-ID, From tag and CSeq number of an INVITE (section 8.2.2.2)."""


class Layer(Protocol):
    """What a transaction needs from the agent that holds it."""

    now: float
    timers: TimerHeap
    timings: Timings
    held_bytes: int
    """What all server transactions hold of messages."""

    def send(self, data: bytes, hop: Hop, trace: Trace | None) -> None:
        """Puts the message on the way."""

    def forget(self, transaction: Transaction) -> None:
        """The transaction is terminated."""


class ClientUser(Protocol):
    """Who sent the request."""

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """A response that the state machine passes up."""

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """Timer B or F, or (`unreachable`) a transport failure. The transaction is over."""


class ServerUser(Protocol):
    """Who answers the request."""

    def on_ack(self, request: Request) -> None:
        """An ACK on the transaction of a 2xx, from a peer that reuses the branch."""


class Transaction:
    """What the four machines share."""

    __slots__ = (
        "_expiry", "_interval", "_repeat", "data", "hop", "key", "layer", "state", "table", "trace",
    )  # fmt: skip

    def __init__(
        self,
        layer: Layer,
        key: TransactionKey,
        hop: Hop,
        machine: tuple[Table, State],
        trace: Trace | None,
    ) -> None:
        self.layer = layer
        self.key = key
        self.hop = hop
        """Where the messages go."""
        self.table, self.state = machine
        self.data = b""
        """What is sent (again): the request, or the last response."""
        self.trace = trace
        self._interval = 0.0
        self._repeat: Timer | None = None
        self._expiry: Timer | None = None

    def on_timer(self, what: int) -> None:
        """One of the timers of the state machine is due."""
        self.fire(Event(what))

    def fire(self, event: Event) -> bool:
        """Takes one transition; True: its message is for the user.

        Raises LocalProtocolError when the table has no row for the event.
        """
        row = self.table.get((self.state, event))
        if row is None:
            raise LocalProtocolError(f"{event.name} in {self.state.name} of {self.key}")
        self.state = row[1]
        if row[1] is State.TERMINATED:
            self._stop_timers()
            self.layer.forget(self)
        wanted = False
        for action in row[0]:
            if action is Action.PASS:
                wanted = True
            else:
                self._act(action)
        return wanted

    def _act(self, action: Action) -> None:
        if action is Action.SEND:
            self.layer.send(self.data, self.hop, self.trace)
        elif action is Action.STOP_TIMERS:
            self._stop_timers()
        elif (repeat := _REPEATS.get(action)) is not None:
            self._repeat_later(*repeat)
        elif (expiry := _EXPIRIES.get(action)) is not None:
            self._expire_later(*expiry)
        else:
            self._special(action)

    def _special(self, action: Action) -> None:
        raise NotImplementedError

    def _stop_timers(self) -> None:
        timers = self.layer.timers
        timers.stop(self._repeat)
        timers.stop(self._expiry)
        self._repeat = self._expiry = None

    def _repeat_later(self, event: Event, pace: str) -> None:
        if self.hop.reliable:
            return
        timings = self.layer.timings
        if pace == "slow":
            self._interval = timings.t2
        elif self._interval == 0.0:
            self._interval = timings.t1
        else:
            self._interval *= 2
            if pace == "limited":
                self._interval = min(self._interval, timings.t2)
        timers = self.layer.timers
        self._repeat = timers.start(self.layer.now + self._interval, self, event)

    def _expire_later(self, event: Event, always: bool, length: str) -> None:
        if self.hop.reliable and not always:
            self.fire(event)
            return
        timings = self.layer.timings
        seconds = timings.t4 if length == "t4" else timings.timeout
        self._expiry = self.layer.timers.start(self.layer.now + seconds, self, event)


_REPEATS: dict[Action, tuple[Event, str]] = {
    Action.REPEAT_A: (Event.TIMER_A, "doubling"),
    Action.REPEAT_E: (Event.TIMER_E, "limited"),
    Action.REPEAT_E_SLOWLY: (Event.TIMER_E, "slow"),
    Action.REPEAT_G: (Event.TIMER_G, "limited"),
}
"""The event of each repeating timer, and how its interval goes on."""
_EXPIRIES: dict[Action, tuple[Event, bool, str]] = {
    Action.START_B: (Event.TIMER_B, True, "timeout"),
    Action.START_D: (Event.TIMER_D, False, "timeout"),
    Action.START_F: (Event.TIMER_F, True, "timeout"),
    Action.START_H: (Event.TIMER_H, True, "timeout"),
    Action.START_I: (Event.TIMER_I, False, "t4"),
    Action.START_J: (Event.TIMER_J, False, "timeout"),
    Action.START_K: (Event.TIMER_K, False, "t4"),
    Action.START_L: (Event.TIMER_L, True, "timeout"),
    Action.START_M: (Event.TIMER_M, True, "timeout"),
}
"""The event of each expiring timer, whether it runs on reliable transports too, and its length."""


class ClientTransaction(Transaction):
    """A request of ours until nothing more can come back for it."""

    __slots__ = ("_ack", "_response", "method", "outline", "user")

    def __init__(
        self,
        layer: Layer,
        outline: Outline,
        method: str,
        data: bytes,
        user: ClientUser,
        trace: Trace | None = None,
    ) -> None:
        machine = _INVITE_CLIENT_START if method == "INVITE" else _CLIENT_START
        super().__init__(layer, (outline.branch, method), outline.hop, machine, trace)
        self.outline = outline
        self.method = method
        self.data = data
        self.user = user
        self._ack = b""
        self._response: Response | None = None

    @property
    def is_answered(self) -> bool:
        """Whether a final response has come, or is no longer waited for."""
        return self.state >= State.COMPLETED

    def start(self) -> None:
        """Sends the request."""
        self.fire(Event.REQUEST)

    def resume(self) -> None:
        """An INVITE that another process sent: not repeated, but its answer is waited for."""
        self.state = State.PROCEEDING

    def receive(self, response: Response, source: Hop) -> None:
        """A response with our branch and method."""
        self._response = response
        status = response.status
        if status >= 200:
            self.data = b""  # not sent again, and an INVITE would be held for 64*T1
        event = (
            Event.PROVISIONAL if status < 200 else Event.SUCCESS if status < 300 else Event.FAILURE
        )
        wanted = self.fire(event)
        self._response = None
        if wanted:
            self.user.on_response(self, response, source)

    def _special(self, action: Action) -> None:
        if action is Action.SEND_ACK:
            self._send_ack()
        elif action is Action.TIMED_OUT:
            self.user.on_no_response(self, unreachable=False)
        elif action is Action.UNREACHABLE:
            self.user.on_no_response(self, unreachable=True)

    def _send_ack(self) -> None:
        """Section 17.1.1.3: the INVITE's own fields, and the To of the response."""
        if not self._ack and self._response is not None:
            to = self._response.headers.get("To") or self.outline.to
            self._ack = self.outline.encode("ACK", to=to)
        self.layer.send(self._ack, self.hop, self.trace)


class ServerTransaction(Transaction):
    """A request of the peer until it can no longer be repeated."""

    __slots__ = ("_head", "cseq", "held_bytes", "merge_key", "method", "user")

    def __init__(
        self,
        layer: Layer,
        key: TransactionKey,
        request: Request,
        head: ResponseHead,
        source: Hop,
        trace: Trace | None = None,
    ) -> None:
        machine = _INVITE_SERVER_START if request.method == "INVITE" else _SERVER_START
        super().__init__(layer, key, source, machine, trace)
        self.method = request.method
        self.cseq = request.cseq.number
        self.merge_key: MergeKey | None = None
        """Under which the agent knows the INVITE, if it began a call."""
        self._head: ResponseHead | None = head
        """Until the final response: from then on that is repeated, and nothing else is sent."""
        self.held_bytes = head.size_bytes
        layer.held_bytes += self.held_bytes
        self.user: ServerUser | None = None
        """Who hears of the ACK, once somebody answers for the request."""
        if self.method == "INVITE":
            at = layer.now + layer.timings.trying
            self._repeat = layer.timers.start(at, self, Event.TIMER_100)

    def repeated(self) -> None:
        """The request came again."""
        self.fire(Event.REQUEST)

    def ack(self, request: Request) -> None:
        """An ACK with the branch of the INVITE."""
        wanted = self.fire(Event.ACK)
        if self.state is State.CONFIRMED:
            self.let_go()
        if wanted and self.user is not None:
            self.user.on_ack(request)

    def let_go(self) -> None:
        """The response has arrived, and is not sent again."""
        self.data = b""
        self._hold(0)

    def _hold(self, size_bytes: int) -> None:
        self.layer.held_bytes += size_bytes - self.held_bytes
        self.held_bytes = size_bytes

    def respond(
        self, status: int, reason: str = "", fields: str = "", body: bytes = b"", tag: str = ""
    ) -> None:
        """Sends a response; `fields` are whole lines, `tag` goes into To if there is none yet.

        Raises LocalProtocolError when a final response was sent before.
        """
        head = self._head
        if head is not None:
            self.data = head.encode(status, reason, fields, body, tag)
            if status >= 200:
                self._head = None
                self._hold(len(self.data))
        self.fire(
            Event.PROVISIONAL if status < 200 else Event.SUCCESS if status < 300 else Event.FAILURE
        )

    def _special(self, action: Action) -> None:
        if action is Action.SEND_100 and self._head is not None:
            self.data = self._head.encode(100, "Trying")
            self.layer.send(self.data, self.hop, self.trace)


_INVITE_CLIENT_START = (INVITE_CLIENT, State.IDLE)
_CLIENT_START = (CLIENT, State.IDLE)
_INVITE_SERVER_START = (INVITE_SERVER, State.TRYING)
_SERVER_START = (SERVER, State.TRYING)
