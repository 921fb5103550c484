"""The four transaction state machines of RFC 3261 section 17 with the Accepted states of RFC 6026.

Each machine is a table from (state, event) to (actions, next state); `transaction` follows them.
Whatever the network can send has a row in every state that can meet it, be it an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


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
