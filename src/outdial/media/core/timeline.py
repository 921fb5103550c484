"""Where in a recording a packet belongs: RTP timestamps laid onto our clock.

Timestamps put packets in order and keep gaps; our clock keeps both directions and both ends
together. They are joined at the first packet, and again when they have drifted apart.
"""

from __future__ import annotations

from typing import Final

AHEAD_SAMPLES: Final = 1600
"""A packet that would lie this far in the future: the sender's timestamps have jumped."""
BEHIND_SAMPLES: Final = 4000
"""And this far in the past: they stood still."""

_HALF: Final = 0x80000000


class Timeline:
    """The mapping of one direction. Positions are samples since the recording began."""

    __slots__ = ("_offset",)

    def __init__(self) -> None:
        self._offset: int | None = None

    def place(self, timestamp: int, here: int) -> int:
        """The position of a packet with that timestamp that passes at position `here`."""
        if self._offset is not None:
            ahead = (timestamp + self._offset - here + _HALF) % (2 * _HALF) - _HALF
            if -BEHIND_SAMPLES <= ahead <= AHEAD_SAMPLES:
                return here + ahead
        self._offset = here - timestamp
        return here

    def reset(self) -> None:
        """Another source: its timestamps mean something else."""
        self._offset = None
