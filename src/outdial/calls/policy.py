"""Whom one may call, and when: a list of numbers never to be called, and hours of the day. Pure.

The list holds for every leg. The hours hold for whom we call unasked, the first leg of a call: a
second leg is rung because somebody is on the line and wants it.

The hours are those at the callee's. A number often says no more than a country: it is called when
the hours allow it in every time zone that the number may be in. Where no moment is allowed in all
of them, as for a mobile of a country that spans half the world, the middle one decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from outdial.frozen import frozen

_DAY = timedelta(days=1)
_STEP = timedelta(minutes=15)
"""Offsets of time zones are whole quarters of an hour."""
_UNKNOWN = "Etc/Unknown"
_SEPARATORS = str.maketrans("", "", " -.()+\t\u00a0")


@frozen
class Hours:
    """From when until when, in minutes since midnight; the last one is outside."""

    first: int
    last: int

    @classmethod
    def of(cls, text: str) -> Hours:
        """Of ``09:00-20:00``, as `config.checks.optional_hours` has checked it."""
        first, _, last = text.partition("-")
        return cls(_minutes(first), _minutes(last))

    def allow(self, at: datetime) -> bool:
        """Whether the local time is inside."""
        return self.first <= 60 * at.hour + at.minute < self.last

    def __str__(self) -> str:
        ends = (f"{minute // 60:02}:{minute % 60:02}" for minute in (self.first, self.last))
        return "-".join(ends)

    def allow_in(self, zones: Iterable[ZoneInfo], at: datetime) -> bool:
        """Whether it is inside everywhere."""
        return all(self.allow(at.astimezone(zone)) for zone in zones)

    def next_in(self, zones: Iterable[ZoneInfo], now: datetime) -> datetime | None:
        """The next full quarter of an hour that is inside everywhere; None: not in two days."""
        every = tuple(zones)
        at = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
        while at < now + 2 * _DAY:
            at += _STEP
            if self.allow_in(every, at):
                return at
        return None


def _minutes(text: str) -> int:
    hour, _, minute = text.partition(":")
    return 60 * int(hour) + int(minute)


def allowed_from(hours: Hours, zones: tuple[ZoneInfo, ...], now: float) -> datetime | None:
    """When who is in one of the zones may be called, if that is not now."""
    at = datetime.fromtimestamp(now, UTC)
    if hours.allow_in(zones, at):
        return None
    then = hours.next_in(zones, at)
    if then is not None:
        return then
    middle = sorted(zones, key=lambda zone: at.astimezone(zone).utcoffset() or timedelta())
    one = (middle[len(middle) // 2],)
    return None if hours.allow_in(one, at) else hours.next_in(one, at)


@lru_cache(maxsize=1024)
def zones_of(number: str) -> tuple[ZoneInfo, ...]:
    """The time zones that E.164 digits may be in; UTC when nobody knows.

    `phonenumbers` loads its tables at the first call, which takes some milliseconds."""
    import phonenumbers
    from phonenumbers.timezone import time_zones_for_number

    try:
        names = time_zones_for_number(phonenumbers.parse("+" + number))
    except phonenumbers.NumberParseException:
        names = ()
    zones = {_zone(name) for name in names if name != _UNKNOWN}
    return tuple(sorted(zones, key=str)) or (ZoneInfo("UTC"),)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # newer than the system's tables
        return ZoneInfo("UTC")


def numbers_in(text: str) -> frozenset[str]:
    """The numbers of a list: one a line, country code first; ``#`` begins a remark.

    Raises ValueError that names the line: a number that is not understood would be called."""
    numbers = set()
    for place, line in enumerate(text.splitlines(), 1):
        bare = line.partition("#")[0].translate(_SEPARATORS)
        if not bare:
            continue
        if not (bare.isascii() and bare.isdigit() and 3 <= len(bare) <= 15):
            raise ValueError(f"line {place} is not a number with its country code")
        numbers.add(bare)
    return frozenset(numbers)
