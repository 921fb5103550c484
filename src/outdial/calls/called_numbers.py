"""Numbers of ours, which others call: those of the settings, and those that the API manages.

The store is asked for each call, not a copy of it in memory: a change holds at once, on every
server of the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from outdial import log
from outdial.calls import codes
from outdial.calls.numbers import normalise
from outdial.clock import Clock
from outdial.config import Number
from outdial.config.checks import number as checked
from outdial.errors import Refused, StoreConflict
from outdial.frozen import frozen
from outdial.store.records import NumberRecord

_log = log.get("numbers")


class StoredNumbers(Protocol):
    """The part of the store that has them; `store.numbers.Numbers`."""

    async def number(self, number: str) -> NumberRecord | None: ...

    async def behind(self, after: str, most: int) -> list[NumberRecord]: ...

    async def add(self, number: NumberRecord) -> None: ...

    async def change(self, number: NumberRecord) -> None: ...

    async def remove(self, number: str) -> None: ...


@frozen
class OurNumber:
    """A number and where it comes from."""

    record: NumberRecord
    is_given: bool
    """It stands in the settings: only there can it be changed."""


class CalledNumbers:
    """All of them. What asks the store may raise StoreUnavailable."""

    def __init__(self, given: Sequence[Number], stored: StoredNumbers, clock: Clock) -> None:
        self._given = {written_as(number.number): _record_of(number) for number in given}
        self._stored = stored
        self._clock = clock
        self._changing = asyncio.Lock()
        """Two changes of one number come one after the other."""

    def given(self, called: str) -> NumberRecord | None:
        """The number of the settings that was called, as the network writes it."""
        return self._given.get(written_as(called))

    async def find(self, called: str) -> NumberRecord | None:
        """The number that was called, as the network writes it."""
        number = written_as(called)
        given = self._given.get(number)
        if given is not None or not _is_number(number):
            return given
        return await self._stored.number(number)

    # ------------------------------------------------------------------ what the API asks

    async def page(self, after: str, limit: int) -> tuple[list[OurNumber], str]:
        """At most `limit` numbers behind that one, in their order, and where to go on ("": no)."""
        found = {
            record.number: OurNumber(record, is_given=False)
            for record in await self._stored.behind(after, limit + 1)
        }
        given = (record for record in self._given.values() if record.number > after)
        found |= {record.number: OurNumber(record, is_given=True) for record in given}
        page = [found[number] for number in sorted(found)]
        return page[:limit], page[limit - 1].record.number if len(page) > limit else ""

    async def one(self, written: str) -> OurNumber:
        """Raises Refused (404)."""
        number = written_as(written)
        given = self._given.get(number)
        if given is not None:
            return OurNumber(given, is_given=True)
        record = await self._stored.number(number) if _is_number(number) else None
        if record is None:
            message = "This is not one of the numbers; GET /v1/numbers lists them"
            raise Refused(404, codes.UNKNOWN_NUMBER, message, field="number")
        return OurNumber(record, is_given=False)

    async def add(self, number: NumberRecord) -> OurNumber:
        """Calls to it are taken on return. Raises Refused (409)."""
        self._check_given(number.number)
        now = self._clock.now()
        record = replace(number, created_at=now, updated_at=now)
        async with self._changing:
            try:
                await self._stored.add(record)
            except StoreConflict:
                message = (
                    f"{number.number} is one of the numbers already; POST to its path to change it"
                )
                raise Refused(409, codes.NUMBER_TAKEN, message, field="number") from None
        _log.info("number.added", number=number.number)
        return OurNumber(record, is_given=False)

    async def change(self, written: str, fields: dict[str, Any]) -> OurNumber:
        """The number with other values for some of its fields. Raises Refused (404, 409)."""
        self._check_given(written)
        async with self._changing:
            known = (await self.one(written)).record
            await self._stored.change(replace(known, **fields, updated_at=self._clock.now()))
            changed = await self.one(written)  # another server may have removed it meanwhile
        _log.info("number.changed", number=changed.record.number, fields=sorted(fields))
        return changed

    async def remove(self, written: str) -> None:
        """Calls to it are refused on return. Raises Refused (404, 409)."""
        self._check_given(written)
        async with self._changing:
            known = (await self.one(written)).record
            await self._stored.remove(known.number)
        _log.info("number.removed", number=known.number)

    def _check_given(self, written: str) -> None:
        number = written_as(written)
        if number in self._given:
            message = (
                f"{number} stands in the settings and can only be changed there: "
                "see [[numbers]] of the configuration"
            )
            raise Refused(409, codes.NUMBER_OF_SETTINGS, message, field="number")


def written_as(text: str) -> str:
    """A number as settings, people and trunks write it, as E.164 digits; others as they are."""
    try:
        return normalise(text, "number")
    except Refused:
        return text.strip(" ").removeprefix("+")


def _is_number(text: str) -> bool:
    try:
        return checked(text) == text
    except ValueError:
        return False


def _record_of(number: Number) -> NumberRecord:
    return NumberRecord(
        written_as(number.number),
        number.url,
        number.method,
        number.fallback_url,
        number.status_callback,
        tuple(number.status_callback_events),
        number.record,
    )
