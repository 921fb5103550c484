"""Parameters as application/x-www-form-urlencoded (WHATWG URL 5.2). Pure.

The standard library's urlencode takes 25 us for a callback's parameters, a quarter of the whole
request; nearly all of ours need no escaping, and their names are always the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote_plus

_plain = re.compile(r"[A-Za-z0-9_.~-]*").fullmatch


def encode(params: Iterable[tuple[str, str]]) -> str:
    """``name=value&name=value``, in UTF-8; what UTF-8 cannot carry becomes a question mark."""
    return "&".join(
        [f"{_name(name)}={value if _plain(value) else _quote(value)}" for name, value in params]
    )


def _quote(text: str) -> str:
    return quote_plus(text, errors="replace")


@lru_cache(maxsize=256)
def _name(name: str) -> str:
    return _quote(name)
