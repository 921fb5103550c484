"""Transactions (RFC 3261 section 17): what follows one of the tables of `machines`.

An event that is not in the table for a state is a defect of ours, so it raises LocalProtocolError.
On a reliable transport timers A, E and G do not run, and D, I, J and K take no time at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

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
from outdial.sip.core.response import ResponseHead
from outdial.sip.core.timers import Timer, TimerHeap, Timings

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
