"""What turns samples into a codec's packets and back, as the transcoding sees it.

All samples are 16-bit, of one channel, 8000 a second, in the machine's byte order: prompts,
recordings and rooms are of that kind, and no codec has to do more for them. The coders themselves
are libraries: `outdial.media.coders`.
"""

from __future__ import annotations

from typing import Protocol


class Encoder(Protocol):
    """One direction of one stream; what it sent before is in it."""

    def encode(self, samples: bytes) -> bytes:
        """The payload of a packet; b"" when these cannot be encoded."""

    def takes(self, samples: int) -> bool:
        """Whether a packet may be so long."""

    def reset(self) -> None:
        """As it was when it was made."""


class Decoder(Protocol):
    """The other direction; anything may have been sent to it."""

    def decode(self, payload: bytes) -> bytes:
        """The samples of a packet; b"" when it is none."""

    def conceal(self, samples: int, following: bytes) -> bytes:
        """What a lost packet of so many samples may have said; b"" for silence.

        `following`: the payload that came right behind it, b"" when that is lost too.
        """


class Coders(Protocol):
    """Makes those of one codec."""

    def encoder(self) -> Encoder:
        """A new one."""

    def decoder(self) -> Decoder:
        """A new one."""
