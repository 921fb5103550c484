"""A 2xx to an INVITE, repeated until its ACK comes (RFC 3261 section 13.3.1.4)."""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from outdial.sip.core.machines import State
from outdial.sip.core.message import Request
from outdial.sip.core.timers import Timer
from outdial.sip.core.transaction import Layer, ServerTransaction


class _Due(IntEnum):
    REPEAT = 1
    GIVE_UP = 2


class AcceptanceUser(Protocol):
    """Who accepted the INVITE."""

    def on_acknowledged(self, acceptance: Acceptance, ack: Request) -> None:
        """The ACK is here."""

    def on_unacknowledged(self, acceptance: Acceptance) -> None:
        """64*T1 went by without one."""


class Acceptance:
    """Repeats the 2xx at T1, doubling up to T2, on every transport, for 64*T1."""

    __slots__ = ("_end", "_interval", "_layer", "_repeat", "_transaction", "_user", "cseq")

    def __init__(self, layer: Layer, transaction: ServerTransaction, user: AcceptanceUser) -> None:
        """The 2xx has just been sent by `transaction`."""
        self._layer = layer
        self._transaction = transaction
        self._user = user
        self.cseq = transaction.cseq
        self._interval = layer.timings.t1
        now = layer.now
        self._repeat: Timer = layer.timers.start(now + self._interval, self, _Due.REPEAT)
        self._end: Timer = layer.timers.start(now + layer.timings.timeout, self, _Due.GIVE_UP)

    def receive(self, ack: Request) -> bool:
        """Whether this is our ACK; if so the repeating ends and the user is told."""
        if ack.cseq.number != self.cseq:
            return False
        self.stop()
        self._user.on_acknowledged(self, ack)
        return True

    def stop(self) -> None:
        """No more repeats, nobody is told. The 2xx need not be kept for the rest of 64*T1."""
        self._transaction.let_go()
        self._layer.timers.stop(self._repeat)
        self._layer.timers.stop(self._end)

    def on_timer(self, what: int) -> None:
        """Repeats, or gives up."""
        layer, transaction = self._layer, self._transaction
        if what == _Due.GIVE_UP:
            self.stop()
            self._user.on_unacknowledged(self)
            return
        if transaction.state is State.ACCEPTED:
            layer.send(transaction.data, transaction.hop, transaction.trace)
        self._interval = min(2 * self._interval, layer.timings.t2)
        self._repeat = layer.timers.start(layer.now + self._interval, self, _Due.REPEAT)
