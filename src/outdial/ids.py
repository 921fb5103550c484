"""Identifiers: two letters that say the kind, then 32 hexadecimal digits."""

from __future__ import annotations

import re
import secrets

CALL = "CA"
RECORDING = "RE"
CONFERENCE = "CF"
QUEUE = "QU"
EVENT = "EV"
DELIVERY = "DE"
KEY = "KE"

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


def new(kind: str) -> str:
    """A new id of the kind, e.g. ``new(CALL)``: 128 random bits."""
    return kind + secrets.token_hex(16)


def is_sid(text: str, kind: str) -> bool:
    """Whether the text is a well-formed id of the kind."""
    return text.startswith(kind) and _SID.fullmatch(text) is not None
