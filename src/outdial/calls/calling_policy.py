"""The file of numbers that are never called, and the hours in which others are."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from outdial import log
from outdial.calls import codes
from outdial.calls.frequency import Frequency
from outdial.calls.policy import Hours, allowed_from, numbers_in, zones_of
from outdial.clock import Clock, iso8601
from outdial.config import Policy
from outdial.errors import ConfigError, Refused

LOOK_EVERY_S = 1.0

_log = log.get("policy")


class CallingPolicy:
    """What the settings say of whom one may call, and when."""

    def __init__(self, settings: Policy, clock: Clock) -> None:
        """Raises ConfigError."""
        self._clock = clock
        self._hours = Hours.of(settings.calling_hours) if settings.calling_hours else None
        self._most_calls = settings.calls_per_number_per_day
        self._frequency = Frequency(self._most_calls)
        self._path = Path(settings.do_not_call) if settings.do_not_call else None
        self._seen: tuple[int, int] = (0, 0)
        self._looked_at = -math.inf
        self._reading: asyncio.Task[None] | None = None
        self._numbers: frozenset[str] = frozenset()
        if self._path is not None:
            try:
                self._seen = _stamp(self._path)
                self._numbers = _read(self._path)
            except (OSError, ValueError) as error:
                raise ConfigError("policy.do_not_call", f"{self._path}: {error}") from None
        if self._hours is not None:
            try:
                ZoneInfo("Europe/London")
            except ZoneInfoNotFoundError:
                raise ConfigError(
                    "policy.calling_hours",
                    "this system knows no time zones",
                    "install its tzdata, or the Python package tzdata",
                ) from None
            zones_of("12025550100")  # loads the tables now, not at the first post

    def check_listed(self, number: str, field: str) -> None:
        """Raises Refused (403) for a number that is never called."""
        if self._path is not None:
            self._look(self._path)
        if number in self._numbers:
            raise Refused(
                403,
                codes.DO_NOT_CALL,
                f"{field} is on the list of numbers not to be called (policy.do_not_call)",
                field=field,
            )

    def check_hours(self, number: str, field: str) -> None:
        """Raises Refused (403) for a number that is called unasked, and not at this hour."""
        if self._hours is None:
            return
        now = self._clock.now()
        zones = zones_of(number)
        then = allowed_from(self._hours, zones, now)
        if then is None:
            return
        where = ", ".join(str(zone) for zone in zones[:3]) + (", ..." if len(zones) > 3 else "")
        raise Refused(
            403,
            codes.CALLING_HOURS,
            f"{field} may be called from {self._hours} at its place ({where}; "
            f"policy.calling_hours): next at {iso8601(then.timestamp())}",
            field=field,
        )

    @property
    def counts_calls(self) -> bool:
        """Whether the calls to each number are counted."""
        return self._most_calls > 0

    def remember(self, calls: Iterable[tuple[str, float]]) -> None:
        """Numbers that were called before the start, and when, oldest first."""
        for number, at in calls:
            self._frequency.take(number, at)

    def take(self, number: str, field: str) -> None:
        """Counts a call that is asked for. Raises Refused (429) when there were too many."""
        now = self._clock.now()
        again_at = self._frequency.next_at(number, now)
        if again_at is not None:
            times = "once" if self._most_calls == 1 else f"{self._most_calls} times"
            raise Refused(
                429,
                codes.CALLED_TOO_OFTEN,
                f"{field} was called {times} in the last 24 hours, which is the most that "
                f"policy.calls_per_number_per_day allows: again at {iso8601(again_at)}",
                field=field,
                retry_after_s=math.ceil(again_at - now),
            )
        self._frequency.take(number, now)

    def give_back(self, number: str) -> None:
        """The call that was counted could not be stored, and is not made."""
        self._frequency.give_back(number)

    def _look(self, path: Path) -> None:
        """Reads the file again when it has changed; meanwhile, and when it cannot be read, what
        was read last holds."""
        now = self._clock.monotonic()
        if now - self._looked_at < LOOK_EVERY_S or self._reading is not None:
            return
        self._looked_at = now
        try:
            stamp = _stamp(path)
        except OSError as error:
            _log.warning("policy.unreadable", file=str(path), error=str(error))
            return
        if stamp != self._seen:
            self._seen = stamp
            self._reading = asyncio.get_running_loop().create_task(self._read_again(path))

    async def _read_again(self, path: Path) -> None:
        try:
            self._numbers = await asyncio.to_thread(_read, path)
        except (OSError, ValueError) as error:
            _log.warning("policy.unreadable", file=str(path), error=str(error))
        finally:
            self._reading = None


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


def _read(path: Path) -> frozenset[str]:
    return numbers_in(path.read_text("utf-8"))
