"""What each simulated phone heard on its last call, within bounds of disk and memory."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

MAX_NUMBERS = 256
"""Numbers remembered; the one called longest ago goes first."""
MAX_SECONDS = 120.0
"""Longest recording of a call."""
MAX_DIGITS = 256
"""Digits kept of a call."""

_NOT_DIGITS = re.compile(r"\D")


def key_of(number: str) -> str:
    """One spelling for a number: ``+1 500 555 0001`` and ``5005550001`` are ``15005550001``."""
    digits = _NOT_DIGITS.sub("", number)[:32]
    return "1" + digits if len(digits) == 10 else digits


@dataclass(slots=True)
class HeardCall:
    """One call as the phone lived through it."""

    number: str
    persona: str
    caller_id: str
    path: Path
    """The WAV file; it is there once the call was answered."""
    started_at: float
    answered_at: float | None = None
    ended_at: float | None = None
    digits: str = ""
    duration_s: float = 0.0
    """Of the recording, once it is complete."""
    over: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the call has ended and its recording is complete."""

    def key(self, digit: str) -> None:
        """Adds a digit that the phone heard."""
        if len(self.digits) < MAX_DIGITS:
            self.digits += digit


class HeardCalls:
    """The last call of each number; its recordings are files in `folder`."""

    def __init__(self, folder: Path, max_numbers: int = MAX_NUMBERS) -> None:
        self._folder = folder
        self._max_numbers = max_numbers
        self._calls: OrderedDict[str, HeardCall] = OrderedDict()
        self._count = 0

    def begin(self, number: str, persona: str, caller_id: str, at: float) -> HeardCall:
        """A call has arrived; it replaces the one before it to that number."""
        self._count += 1
        key = key_of(number)
        # Named by a count, never by what the far end sent.
        path = self._folder / f"heard-{self._count}.wav"
        call = HeardCall(key, persona, caller_id, path, started_at=at)
        replaced = self._calls.pop(key, None)
        if replaced is not None:
            _forget(replaced)
        self._calls[key] = call
        if len(self._calls) > self._max_numbers:
            _forget(self._calls.popitem(last=False)[1])
        return call

    def end(self, call: HeardCall, at: float) -> None:
        """The call is over and its recording complete."""
        call.ended_at = at
        call.over.set()
        if self._calls.get(call.number) is not call:
            _forget(call)

    def last(self, number: str) -> HeardCall | None:
        """The last call of the number, None when it never had one."""
        return self._calls.get(key_of(number))

    def __len__(self) -> int:
        return len(self._calls)


def _forget(call: HeardCall) -> None:
    """Deletes the recording; of a call still running it is deleted when that call ends."""
    if call.ended_at is not None:
        with contextlib.suppress(OSError):
            call.path.unlink(missing_ok=True)
