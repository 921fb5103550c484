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
NODE = "ND"
REQUEST = "RQ"

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


def new(kind: str) -> str:
    """A new id of the kind, e.g. ``new(CALL)``: 128 random bits."""
    return kind + secrets.token_hex(16)


def of_event(call_sid: str, seq: int) -> str:
    """The id of a call's event number `seq`: the same wherever it is worked out.

    It carries 96 of the call's 128 random bits, so that whoever has it can find the call's rows.
    """
    return f"{EVENT}{call_sid[2:26]}{seq:08x}"


def of_delivery(call_sid: str, seq: int, place: int = 0) -> str:
    """The id of the callback that tells of that event; `place` counts those of one event."""
    return f"{DELIVERY}{call_sid[2:26]}{place:02x}{seq:06x}"


def calls_of(sid: str) -> tuple[str, str]:
    """The smallest and the largest call sid from which an id of an event or delivery can be."""
    return f"{CALL}{sid[2:26]}{'0' * 8}", f"{CALL}{sid[2:26]}{'f' * 8}"


def is_sid(text: str, kind: str) -> bool:
    """Whether the text is a well-formed id of the kind."""
    return text.startswith(kind) and _SID.fullmatch(text) is not None
