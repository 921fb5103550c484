"""Where a page of a list goes on that is ordered by time, newest first: behind a time and a sid."""

from __future__ import annotations

import base64
import binascii

from outdial.store.queries import NOT_A_CURSOR


def write(created_at: float, sid: str) -> str:
    """The cursor behind that row."""
    text = f"{created_at!r} {sid}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(cursor: str) -> tuple[float, str]:
    """The row that `write` made it of. Raises ValueError for any other text."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        at, sid = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split(" ")
        return float(at), sid
    except (ValueError, binascii.Error):
        raise ValueError(NOT_A_CURSOR) from None
