"""Texts and URLs as timelines show them: short, and without what is nobody's business."""

from __future__ import annotations

import contextlib
import re
from urllib.parse import urlsplit

_TEXT = 80
_URL = 500
URL_IN_SUMMARY = 80
"""Of a URL, in a verb's summary."""
_KEYED = re.compile(r"(?i)([?&;]digits=)[^&;#\s]*")


def short(text: str, most: int = _TEXT) -> str:
    """The text, cut to `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


def shown_url(url: str, most: int = _URL) -> str:
    """The URL without a password and without the digits that a caller keyed."""
    if "@" in url:
        with contextlib.suppress(ValueError):
            parts = urlsplit(url)
            if parts.username is not None or parts.password is not None:
                url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return short(_KEYED.sub(r"\1***", url), most)
