"""Identifiers: two letters that say the kind, then 32 hexadecimal digits.

Those of calls begin with the time they were made at; all others are random, or are derived from a
call's.
"""

from __future__ import annotations

import re
import secrets
import time

CALL = "CA"
RECORDING = "RE"
CONFERENCE = "CF"
QUEUE = "QU"
EVENT = "EV"
DELIVERY = "DE"
KEY = "KE"
NODE = "ND"
REQUEST = "RQ"
MESSAGE = "SM"
FAX = "FX"

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")


def new(kind: str) -> str:
    """A new id of the kind, e.g. ``new(CALL)``: 128 random bits, those of a call after a time."""
    return new_call() if kind == CALL else kind + secrets.token_hex(16)


def new_call() -> str:
    """A new call's id: the time in milliseconds in 12 digits, then 80 random bits.

    So rows of calls that are made together stand together in every index: a call dirties fewer
    pages, the more so the larger the tables are. 80 bits are still more than anybody can guess.
    """
    return f"{CALL}{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def of_event(call_sid: str, seq: int) -> str:
    """The id of a call's event number `seq`: the same wherever it is worked out.

    It carries the first 24 digits of the call's id: whoever has it can find the call's rows.
    """
    return f"{EVENT}{call_sid[2:26]}{seq:08x}"


def of_delivery(call_sid: str, seq: int, place: int = 0) -> str:
    """The id of the callback that tells of that event; `place` counts those of one event."""
    return f"{DELIVERY}{call_sid[2:26]}{place:02x}{seq:06x}"


def of_message(call_sid: str, seq: int) -> str:
    """The id of the short message that the call's event number `seq` asks for."""
    return f"{MESSAGE}{call_sid[2:26]}{seq:08x}"


def calls_of(sid: str) -> tuple[str, str]:
    """The smallest and the largest call sid from which an id of an event or delivery can be."""
    return f"{CALL}{sid[2:26]}{'0' * 8}", f"{CALL}{sid[2:26]}{'f' * 8}"


def is_sid(text: str, kind: str) -> bool:
    """Whether the text is a well-formed id of the kind."""
    return text.startswith(kind) and _SID.fullmatch(text) is not None
