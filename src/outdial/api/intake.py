"""Where both doors meet: from checked values to a call that is stored."""

from __future__ import annotations

import asyncio
from dataclasses import field

from outdial.api import schemas
from outdial.api.rate import PostRate
from outdial.api.record import Record
from outdial.calls import codes
from outdial.calls.checks import Rules, Spelling, Values, check
from outdial.calls.repeats import HEADER, Repeatable, digest_of
from outdial.calls.request import CallRequest
from outdial.calls.service import CallService
from outdial.errors import Refused, StoreConflict
from outdial.frozen import frozen
from outdial.store.records import CallRecord, IdempotencyRecord

_Flight = asyncio.Future[IdempotencyRecord | None]


@frozen
class Intake:
    """Places the calls that are asked for."""

    calls: CallService
    record: Record
    rules: Rules
    rate: PostRate
    max_body_bytes: int
    _flights: dict[tuple[str, str], _Flight] = field(default_factory=dict, init=False)
    """Tokens whose call is being placed; None comes of those that failed."""

    async def place(self, values: Values, spelling: Spelling, key_name: str) -> CallRecord:
        """The call, durably stored. Raises Refused (400, 403, 404, 422, 429, 503) and
        StoreUnavailable."""
        return await self.calls.place(check(values, spelling, self.rules), key_name)

    async def place_once(
        self, values: Values, spelling: Spelling, key_name: str, token: str
    ) -> IdempotencyRecord:
        """As `place`, but posts with one token and API key make one call; all get its record.

        Posts that come while the first is under way wait for it; if it fails, nothing is
        remembered and the next one tries. Raises Refused (422) for another call than the token's.
        """
        request = check(values, spelling, self.rules)
        digest = digest_of(request)
        name = key_name, token
        while (flight := self._flights.get(name)) is not None:
            record = await asyncio.shield(flight)
            if record is not None:
                return _same(record, digest)
        flight = self._flights[name] = asyncio.get_running_loop().create_future()
        record = None
        try:
            record = await self.record.idempotent(key_name, token)
            if record is None:
                record = await self._place_first(request, key_name, token, digest)
        finally:
            del self._flights[name]
            flight.set_result(record)
        return _same(record, digest)

    def answer(self, call: CallRecord) -> str:
        """What the native API says of a call that was just placed."""
        return schemas.answer(call, self.calls.position(call.sid))

    async def _place_first(
        self, request: CallRequest, key_name: str, token: str, digest: str
    ) -> IdempotencyRecord:
        repeatable = Repeatable(key_name, token, digest, self.answer)
        try:
            await self.calls.place(request, key_name, repeatable)
        except StoreConflict:
            # another server on the same database was faster
            record = await self.record.idempotent(key_name, token)
        else:
            record = repeatable.record
        if record is None:
            raise Refused(
                503,
                codes.STORE_AWAY,
                f"The post of this {HEADER} was neither stored nor found; try again",
                retry_after_s=2,
            )
        return record


def _same(record: IdempotencyRecord, digest: str) -> IdempotencyRecord:
    """The record, unless it is of another request. Raises Refused (422)."""
    if record.digest != digest:
        raise Refused(
            422,
            codes.OTHER_REQUEST,
            f"This {HEADER} was used for another call, {record.call_sid}; "
            "send a new one with a new call",
            field=HEADER,
        )
    return record
