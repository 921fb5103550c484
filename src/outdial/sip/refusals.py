"""Says in the log who was not served: an owner looks there for the address or password at fault.

Anybody can cause such lines, so they are few: one for each reason within a time, with how many
there were since the last.
"""

from __future__ import annotations

from outdial import log
from outdial.sip.core.bans import Ban
from outdial.sip.core.counts import Drop

_EVERY_S = 10.0
_WORDS: dict[Drop, str] = {
    "denied": "the address is no trunk's",
    "unauthorized": "its digest shows an unknown user or a wrong password",
}
_KINDS: dict[Drop, str] = {
    "malformed": "malformed messages",
    "strays": "messages of calls that there are not",
    "denied": "requests from an address that is no trunk's",
    "unauthorized": "wrong passwords",
}

_log = log.get("sip")


class Refusals:
    """One for an endpoint."""

    def __init__(self) -> None:
        self._told_at: dict[str, float] = {}
        self._untold: dict[str, int] = {}

    def tell(self, why: Drop, peer: str, method: str, now: float) -> None:
        """A request from there was not served."""
        if self._is_due(why, now):
            _log.warning(
                "request refused",
                peer=peer,
                method=method[:16],
                reason=_WORDS.get(why, why),
                more_since_last=self._untold.pop(why, 0),
            )

    def tell_banned(self, ban: Ban, now: float) -> None:
        """Nothing from there is looked at any more."""
        if self._is_due("banned", now):
            _log.warning(
                "source banned",
                address=ban.address,
                reason=_KINDS.get(ban.reason, ban.reason),
                offences=ban.offences,
                for_s=ban.until - ban.since,
                more_since_last=self._untold.pop("banned", 0),
            )

    def _is_due(self, what: str, now: float) -> bool:
        if now - self._told_at.get(what, -_EVERY_S) < _EVERY_S:
            self._untold[what] = self._untold.get(what, 0) + 1
            return False
        self._told_at[what] = now
        return True
