"""Where both doors meet: from checked values to a call that is stored."""

from __future__ import annotations

from dataclasses import dataclass

from outdial.api.rate import PostRate
from outdial.calls.checks import Rules, Spelling, Values, check
from outdial.calls.service import CallService
from outdial.store.records import CallRecord


@dataclass(frozen=True, slots=True)
class Intake:
    """Places the calls that are asked for."""

    calls: CallService
    rules: Rules
    rate: PostRate
    max_body_bytes: int

    async def place(self, values: Values, spelling: Spelling, key_name: str) -> CallRecord:
        """The call, durably stored. Raises Refused (400, 403, 404, 422, 429, 503) and
        StoreUnavailable."""
        return await self.calls.place(check(values, spelling, self.rules), key_name)
