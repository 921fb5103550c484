"""Says in the log who was not served: an owner looks there for the address or password at fault.

Anybody can cause such lines, so they are few: one for each reason within a time, with how many
there were since the last.
"""

from __future__ import annotations

from outdial import log
from outdial.sip.core.counts import Drop

_EVERY_S = 10.0
_WORDS: dict[Drop, str] = {
    "denied": "the address is no trunk's",
    "unauthorized": "its digest shows an unknown user or a wrong password",
}

_log = log.get("sip")


class Refusals:
    """One for an endpoint."""

    def __init__(self) -> None:
        self._told_at: dict[Drop, float] = {}
        self._untold: dict[Drop, int] = {}

    def tell(self, why: Drop, peer: str, method: str, now: float) -> None:
        """A request from there was not served."""
        if now - self._told_at.get(why, -_EVERY_S) < _EVERY_S:
            self._untold[why] = self._untold.get(why, 0) + 1
            return
        self._told_at[why] = now
        _log.warning(
            "request refused",
            peer=peer,
            method=method[:16],
            reason=_WORDS.get(why, why),
            more_since_last=self._untold.pop(why, 0),
        )
