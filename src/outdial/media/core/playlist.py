"""What a stream has still to send: sounds and digits, one after the other without a gap."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from itertools import takewhile

from outdial.media.core import g711, rtp
from outdial.media.core.dtmf import EventSender


class Sound:
    """A sound in both laws, the place reached in it, and how often it is still to be played."""

    __slots__ = (
        "alaw",
        "endless",
        "gives_way",
        "key",
        "length",
        "loops",
        "play",
        "position",
        "ulaw",
    )

    def __init__(
        self,
        play: int,
        ulaw: memoryview,
        alaw: memoryview,
        loops: int,
        *,
        gives_way: bool = False,
        key: Hashable = None,
    ) -> None:
        self.play = play
        self.key = key
        """What is the same for the same sound on another stream; None: no other has it."""
        self.gives_way = gives_way
        """It is over with the first sound of who is bridged to the stream."""
        self.ulaw = ulaw
        self.alaw = alaw
        self.length = min(len(ulaw), len(alaw))
        self.position = 0
        self.loops = loops
        self.endless = loops == 0

    def view(self, payload_type: int) -> memoryview:
        """The bytes in that law."""
        return self.ulaw if payload_type == rtp.PCMU else self.alaw

    def again(self) -> bool:
        """At its end: starts over and says True if it is to be played once more."""
        if not self.length:
            return False
        if not self.endless:
            self.loops -= 1
            if self.loops <= 0:
                return False
        self.position = 0
        return True


class DigitSound(Sound):
    """Digits for a far end that takes no telephone events."""

    __slots__ = ()


class Playlist:
    """The queue of one stream. `current` is what plays; None when there is nothing."""

    __slots__ = ("_waiting", "current", "finished")

    def __init__(self) -> None:
        self.current: Sound | EventSender | None = None
        self.finished: list[int] = []
        """Plays that have ended; the owner takes them out. A callback would make a cycle."""
        self._waiting: deque[Sound | EventSender] = deque()

    def add(self, item: Sound | EventSender) -> None:
        """Puts the item last."""
        if self.current is None:
            self.current = item
        else:
            self._waiting.append(item)

    def interject(self, item: EventSender) -> None:
        """Puts digits first: a sound that plays goes on behind them; digits are not cut in two."""
        if self.current is None:
            self.current = item
        elif not isinstance(self.current, EventSender | DigitSound):
            self._waiting.appendleft(self.current)
            self.current = item
        else:
            waiting = self._waiting
            digits = takewhile(lambda one: isinstance(one, EventSender | DigitSound), waiting)
            waiting.insert(len(list(digits)), item)

    def advance(self) -> None:
        """The current item is over: on to the next."""
        current = self.current
        self.current = self._waiting.popleft() if self._waiting else None
        if current is not None:
            self.finished.append(current.play)

    def clear(self) -> list[int]:
        """Forgets everything; gives the plays that did not end."""
        items = [self.current, *self._waiting] if self.current is not None else []
        self._waiting.clear()
        self.current = None
        return [item.play for item in items if item is not None]

    def fill(self, packet: bytearray, start: int, size: int, payload_type: int) -> bool:
        """Writes `size` bytes of sound into the packet from `start`, going on to the next sound.

        False when there was no sound at all. Stops before digits; what is missing is silence.
        """
        at, end = start, start + size
        while at < end:
            item = self.current
            if not isinstance(item, Sound):
                break
            count = min(end - at, item.length - item.position)
            reached = item.position + count
            packet[at : at + count] = item.view(payload_type)[item.position : reached]
            item.position = reached
            at += count
            if reached >= item.length and not item.again():
                self.advance()
        if at == start:
            return False
        packet[at:end] = g711.SILENCE[payload_type] * (end - at)
        return True
