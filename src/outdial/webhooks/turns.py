"""Whose turn it is: attempts under way are bounded, so that no receiver keeps others waiting. Pure.

A receiver is a scheme, host and port. It is in doubt until it has answered, and again when it did
not. One in doubt gets few attempts at once, and all that are in doubt together get half of the
places: however many receivers hang, those that answer find a place at once. One that answers gets
more places with every answer, but when half of all are taken no more than any other: those that
have always answered may begin to hang, too. Places are given to receivers in turn.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from outdial.frozen import frozen

MOST = 512
"""Attempts under way."""
MOST_IN_DOUBT = 256
"""Of these, to receivers that may not answer."""
MOST_PER_RECEIVER = 64
FIRST = 8
"""To a receiver that nothing is known of; each answer allows one more."""
AFTER_FAILURE = 4
_REMEMBERED = 4096
"""Receivers whose behaviour is remembered when they have nothing to do."""
_LOOKS = 8


class _Receiver:
    __slots__ = ("in_doubt", "listed", "most", "name", "under_way", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.most = FIRST
        self.in_doubt = True
        self.under_way = 0
        self.waiting: deque[str] = deque()
        self.listed = False  # stands in a queue of `Turns`


@frozen
class Turn:
    """An attempt that may begin; `Turns.end` is owed."""

    receiver: str
    lane: str
    in_doubt: bool
    """Whether it takes one of the places for receivers in doubt."""


class Turns:
    """Lanes wait for their turn; `take` says whose it is."""

    def __init__(self) -> None:
        self._receivers: OrderedDict[str, _Receiver] = OrderedDict()
        self._trusted: deque[_Receiver] = deque()
        self._doubted: deque[_Receiver] = deque()
        self._doubted_next = False
        self.under_way = 0
        self.in_doubt = 0

    def wait(self, receiver: str, lane: str) -> None:
        """Puts the lane at the end of its receiver's line."""
        known = self._receivers.get(receiver)
        if known is None:
            known = self._receivers[receiver] = _Receiver(receiver)
            self._forget()
        known.waiting.append(lane)
        self._list(known)

    def take(self) -> Turn | None:
        """The next attempt to begin; None while there is none or no place for it."""
        if self.under_way >= MOST:
            return None
        receiver = self._next()
        if receiver is None:
            return None
        receiver.listed = False
        receiver.under_way += 1
        self.under_way += 1
        self.in_doubt += receiver.in_doubt
        turn = Turn(receiver.name, receiver.waiting.popleft(), receiver.in_doubt)
        self._list(receiver)
        return turn

    def _next(self) -> _Receiver | None:
        """Whose turn it is, taken out of its queue; the two queues take turns as well."""
        order = [self._trusted]
        if self.in_doubt < MOST_IN_DOUBT:
            order.insert(not self._doubted_next, self._doubted)
        crowded = self.under_way >= MOST // 2
        for queue in order:
            for _ in range(len(queue)):
                receiver = queue.popleft()
                if not crowded or receiver.under_way < FIRST:
                    self._doubted_next = queue is self._trusted
                    return receiver
                queue.append(receiver)
        return None

    def end(self, turn: Turn, answered: bool) -> None:
        """The attempt is over; whether the receiver answered, whatever it said."""
        receiver = self._receivers[turn.receiver]
        receiver.under_way -= 1
        self.under_way -= 1
        self.in_doubt -= turn.in_doubt
        if receiver.in_doubt or not answered:
            self._unlist(receiver)
        receiver.in_doubt = not answered
        receiver.most = min(receiver.most + 1, MOST_PER_RECEIVER) if answered else AFTER_FAILURE
        self._list(receiver)
        if not receiver.waiting and not receiver.under_way:
            self._receivers.move_to_end(receiver.name)

    def _list(self, receiver: _Receiver) -> None:
        if receiver.listed or not receiver.waiting or receiver.under_way >= receiver.most:
            return
        receiver.listed = True
        (self._doubted if receiver.in_doubt else self._trusted).append(receiver)

    def _unlist(self, receiver: _Receiver) -> None:
        if receiver.listed:
            receiver.listed = False
            (self._doubted if receiver.in_doubt else self._trusted).remove(receiver)

    def _forget(self) -> None:
        """Lets go of the receivers that have had nothing to do for longest."""
        for _ in range(min(len(self._receivers) - _REMEMBERED, _LOOKS)):
            name, oldest = self._receivers.popitem(last=False)
            if oldest.waiting or oldest.under_way:
                self._receivers[name] = oldest  # it is not idle: behind all others
