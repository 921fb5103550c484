"""What is kept of a leg's SIP dialog, so that another process can end it, and the ACK that waits
until it is kept: docs/design/recovery.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from outdial.calls.journal import Journal
from outdial.calls.timers import Timers
from outdial.legs import OutgoingLeg, SignallingLeg
from outdial.store.records import CallRecord, Change

INVITE_KEPT_AFTER_S = 0.25
"""An INVITE that is under way so long without ringing is worth a row of its own: the network looks
for the telephone, which takes some carriers seconds."""
ACK_WAIT_S = 1.0
"""How long the far end may have to wait for its ACK when the store is away. By then it has repeated
its 200 once; it would give up after 32 s."""

_INVITE, _ACK = "keep invite", "acknowledge"


class KeptDialog:
    """Of one leg. `note` writes a warning on its timeline."""

    __slots__ = ("_call", "_journal", "_note", "_outgoing", "_signalling", "_then", "_timers")

    def __init__(
        self, call: CallRecord, journal: Journal, timers: Timers, note: Callable[[str], None]
    ) -> None:
        self._call = call
        self._journal = journal
        self._timers = timers
        self._note = note
        self._signalling: SignallingLeg | None = None
        self._outgoing: OutgoingLeg | None = None
        self._then: Callable[[], None] = _nothing

    def taken(self, signalling: SignallingLeg) -> None:
        """It is a call towards us: there is something to keep once it is answered."""
        self._signalling = signalling

    def dialled(self, signalling: OutgoingLeg) -> None:
        """An INVITE has left, the first or one on the next trunk."""
        self._signalling = self._outgoing = signalling
        self._timers.start(_INVITE, INVITE_KEPT_AFTER_S, self.keep)

    def redialled(self) -> None:
        """The INVITE of the same leg goes to another address. What is kept already is written again
        at once: it would cancel a request that nobody waits for any more."""
        if self._call.dialog is None:
            self._timers.start(_INVITE, INVITE_KEPT_AFTER_S, self.keep)
        else:
            self.keep()

    def keep(self) -> None:
        """Writes what has changed, if anything has."""
        if fields := self.changes():
            self._journal.write(Change(self._call.sid, fields))

    def changes(self) -> dict[str, Any]:
        """The field for a change of the call, {} when what is kept is still right."""
        data = None if self._signalling is None else self._signalling.dialog_data
        if data is None or data == self._call.dialog:
            return {}
        self._call.dialog = data
        return {"dialog": data}

    def answered(self, change: Change, then: Callable[[], None]) -> None:
        """Writes the change to answered, which has the dialog; our ACK leaves once it is durable,
        and `then` is called, once.

        A crash before that leaves a far end that repeats its 200, a crash after it the data for a
        BYE.
        """
        self._timers.cancel(_INVITE)
        self._then = then
        self._timers.start(_ACK, ACK_WAIT_S, self._waited_too_long)
        self._journal.write(change, self._acknowledge)

    def _acknowledge(self) -> None:
        self._timers.cancel(_ACK)
        if self._outgoing is not None:
            self._outgoing.acknowledge()
        then, self._then = self._then, _nothing
        then()

    def _waited_too_long(self) -> None:
        self._note(
            f"the answer could not be stored within {ACK_WAIT_S:g} s and was acknowledged without"
        )
        self._acknowledge()

    def let_go(self) -> None:
        """The leg is over: signalling acknowledges and ends what there is by itself."""
        self._timers.cancel(_INVITE)
        self._timers.cancel(_ACK)
        self._note = _unheard


def _unheard(text: str) -> None:
    """There is no leg any more on whose timeline it could stand."""


def _nothing() -> None:
    """Nobody waits for the ACK any more."""
