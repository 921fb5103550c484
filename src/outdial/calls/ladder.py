"""The SIP messages of one leg, kept for the people who look at the call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace

from outdial.calls.journal import Journal
from outdial.legs import TracedMessage
from outdial.sip.core.redaction import has_digests, without_digests

DELAY_S = 0.5
"""Messages are written together: so long after the first that is not written yet."""
MOST = 300
"""Messages kept of one leg; a peer that sends more is not worth the memory."""
MOST_BYTES = 1 << 18
"""Of all messages kept of one leg: some 300 of an ordinary size. What does not fit is left out."""
_SIGNAL = re.compile(rb"(?i)(signal[ \t]*=[ \t]*)\S+")
_VISIBLE = re.compile(rb"\S")
_KEY = re.compile(rb"(?i)(?<=inline:)[^\s|;]+")


class Ladder:
    """Collects messages and writes all of them again whenever there are new ones."""

    __slots__ = ("_journal", "_loop", "_messages", "_room", "_sid", "_timer")

    def __init__(self, sid: str, journal: Journal, loop: asyncio.AbstractEventLoop) -> None:
        self._sid = sid
        self._journal = journal
        self._loop = loop
        self._messages: list[TracedMessage] = []
        self._room = MOST_BYTES
        self._timer: asyncio.TimerHandle | None = None

    def continue_from(self, messages: Sequence[TracedMessage]) -> None:
        """Those that an earlier process wrote; what is added comes after them."""
        self._messages = list(messages)
        self._room -= sum(len(message.raw) for message in messages)

    def add(self, message: TracedMessage) -> None:
        """A message of the leg; late ones come even after `complete`."""
        size = len(message.raw)
        if len(self._messages) >= MOST or size > self._room:
            return
        self._room -= size
        self._messages.append(without_secrets(message))
        if self._timer is None:
            self._timer = self._loop.call_later(DELAY_S, self._write)

    def complete(self) -> None:
        """Nothing more is expected: what there is, is written."""
        if self._timer is not None:
            self._timer.cancel()
        self._write()

    def _write(self) -> None:
        self._timer = None
        if self._messages:
            self._journal.save_ladder(self._sid, tuple(self._messages))


def without_secrets(message: TracedMessage) -> TracedMessage:
    """The message as it may be kept and shown: as long as it was, but without digits, keys and
    digests."""
    lower = message.raw.lower()
    if b"inline:" in lower:
        # RFC 4568: whoever has these hears the call.
        message = replace(message, raw=_KEY.sub(lambda key: b"x" * len(key[0]), message.raw))
    if has_digests(lower):
        message = replace(message, raw=without_digests(message.raw))
    return _without_digits(message) if b"dtmf" in lower else message


def _without_digits(message: TracedMessage) -> TracedMessage:
    """What somebody keyed may be a PIN: of a key that is told by SIP INFO the ladder has an x."""
    head, gap, body = message.raw.partition(b"\r\n\r\n")
    if not head.startswith(b"INFO "):
        return message
    hidden = _SIGNAL.sub(rb"\1x", body)
    if hidden == body:
        hidden = _VISIBLE.sub(b"x", body)
    return replace(message, raw=head + gap + hidden)
