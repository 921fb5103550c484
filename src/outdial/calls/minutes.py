"""Minutes a day: of the whole server, of an API key, on a trunk.

Second legs count like first ones, each by the time it was answered; calls towards us do not. What
was talked today before the start is read from the record. When the time is used up, those who talk
are hung up on, and no more are dialled until midnight (UTC).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from outdial.calls import codes
from outdial.calls.allowance import Allowance, next_day
from outdial.clock import Clock, iso8601
from outdial.config import Settings
from outdial.errors import Refused
from outdial.key_rules import KeyRules
from outdial.legs import Ending, Outcome, Source
from outdial.store.records import CallRecord, Talked


class Talker(Protocol):
    """The part of a leg that this needs; `calls.leg.CallLeg`."""

    call: CallRecord
    channel: str
    ended: asyncio.Future[Ending]

    def hang_up(self, ending: Ending) -> None: ...


@dataclass(eq=False, slots=True)
class _Line:
    """One allowance, and who talks under it."""

    what: str
    setting: str
    allowance: Allowance
    talkers: set[Talker] = field(default_factory=set)
    timer: asyncio.TimerHandle | None = None


class Minutes:
    """Those of the settings."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        now = clock.now()

        def line(what: str, setting: str, minutes: float) -> _Line:
            return _Line(what, setting, Allowance(60 * minutes, now))

        most = settings.limits.minutes_per_day
        self._total = line("this server", "limits.minutes_per_day", most) if most else None
        self._keys: dict[str, _Line] = {}
        self._trunks = {
            trunk.name: line(
                f"the trunk {trunk.name}", "trunks.minutes_per_day", trunk.minutes_per_day
            )
            for trunk in settings.trunks
            if trunk.minutes_per_day
        }

    def limit(self, key: KeyRules) -> None:
        """What a key may from now on. What was talked before it had a limit counts after the next
        start only."""
        known = self._keys.get(key.name)
        if known is not None:
            known.allowance.most_s = 60 * key.minutes_per_day or math.inf
            self._watch(known)
        elif key.minutes_per_day:
            setting = "keys.minutes_per_day" if key.is_given else "outdial keys ls"
            allowance = Allowance(60 * key.minutes_per_day, self._clock.now())
            self._keys[key.name] = _Line(f"the key {key.name}", setting, allowance)

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to count."""
        return bool(self._total or self._keys or self._trunks)

    def add(self, talked: Iterable[Talked]) -> None:
        """What the record has of today."""
        now = self._clock.now()
        for row in talked:
            for line in self._lines(row.key_name, row.trunk):
                line.allowance.add(row.seconds, now)

    def check(self, key_name: str, trunks: Sequence[str] = ()) -> None:
        """Whether the key, and one of the trunks, has any left. Raises Refused (429)."""
        for line in self._lines(key_name, ""):
            self._refuse_if_used_up(line)
        lines = [self._trunks.get(name) for name in trunks]
        if lines and all(line is not None and self._is_used_up(line) for line in lines):
            self._refuse_if_used_up(lines[0])

    def begin(self, leg: Talker) -> None:
        """The leg is answered: its time counts until its end."""
        lines = self._lines(leg.call.key_name, leg.channel)
        if not lines:
            return
        for line in lines:
            line.talkers.add(leg)
            line.allowance.begin(self._clock.now())
            self._watch(line)
        leg.ended.add_done_callback(lambda _: self._end(leg, lines))

    def _end(self, leg: Talker, lines: Sequence[_Line]) -> None:
        for line in lines:
            line.talkers.discard(leg)
            line.allowance.end(self._clock.now())
            self._watch(line)

    def _lines(self, key_name: str, trunk: str) -> list[_Line]:
        found = (self._total, self._keys.get(key_name), self._trunks.get(trunk))
        return [line for line in found if line is not None]

    def _is_used_up(self, line: _Line) -> bool:
        return line.allowance.left_s(self._clock.now()) <= 0

    def _refuse_if_used_up(self, line: _Line | None) -> None:
        if line is None or not self._is_used_up(line):
            return
        now = self._clock.now()
        raise Refused(
            429,
            codes.MINUTES_USED_UP,
            f"{_used_up(line)}; more from {iso8601(next_day(now))} on",
            retry_after_s=math.ceil(next_day(now) - now),
        )

    def _watch(self, line: _Line) -> None:
        if line.timer is not None:
            line.timer.cancel()
            line.timer = None
        wait_s = line.allowance.look_again_in_s(self._clock.now())
        if wait_s < math.inf:
            loop = asyncio.get_running_loop()
            line.timer = loop.call_later(wait_s, self._look, line)

    def _look(self, line: _Line) -> None:
        if not self._is_used_up(line):
            self._watch(line)
            return
        for leg in list(line.talkers):
            leg.hang_up(
                Ending(Outcome.COMPLETED, "minutes-used-up", Source.OUTDIAL, detail=_used_up(line))
            )


def _used_up(line: _Line) -> str:
    minutes = line.allowance.most_s / 60
    return f"{line.what} has talked its {minutes:g} minutes of today; see {line.setting}"
