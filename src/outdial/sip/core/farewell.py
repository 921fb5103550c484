"""Who sends a request whose answer changes nothing, or hardly anything."""

from __future__ import annotations

from typing import Protocol

from outdial.sip.core.hop import Hop
from outdial.sip.core.message import Response
from outdial.sip.core.transaction import ClientTransaction


class Cancelled(Protocol):
    """A call whose INVITE an earlier process sent."""

    def end_early_dialog(self) -> None:
        """There is no INVITE to cancel any more."""


class Farewell:
    """Who sends a request whose answer changes nothing: CANCEL."""

    __slots__ = ()

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """Ignored."""

    def on_no_response(self, transaction: ClientTransaction, *, unreachable: bool) -> None:
        """Ignored."""


class TooLate(Farewell):
    """Who sends the CANCEL of an orphan."""

    __slots__ = ("_call",)

    def __init__(self, call: Cancelled) -> None:
        self._call = call

    def on_response(self, transaction: ClientTransaction, response: Response, source: Hop) -> None:
        """481: there is no INVITE to cancel any more."""
        if response.status == 481:
            self._call.end_early_dialog()
