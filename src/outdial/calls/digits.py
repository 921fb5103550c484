"""Digits on their way from one leg of a conversation to the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outdial.calls.leg import CallLeg


def forward_to(leg: CallLeg, of: CallLeg) -> Callable[[str, str], None]:
    """Digits by SIP INFO do not travel with the audio: they are passed on by hand, unless the leg
    `of` which they come is muted."""

    def forward(digit: str, source: str) -> None:
        if source == "info" and not leg.is_over and not of.is_muted:
            leg.media.send_digits(digit)

    return forward
