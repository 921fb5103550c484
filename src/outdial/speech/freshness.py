"""How long a fetched sound may be played without asking its server again (RFC 9111). Pure.

A server that says how long (Cache-Control, Expires) is believed, up to a day. One that says
nothing but sends a validator (ETag, Last-Modified) is asked again, conditionally, at most once a
second; one that sends neither is asked at most every five seconds, since each answer is the whole
file again. A caller does not notice a prompt that is seconds old, a busy server notices hundreds
of requests a second for the same prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from outdial.frozen import frozen

VALIDATED_S = 1.0
UNVALIDATED_S = 5.0
LONGEST_S = 86400.0

_MAX_AGE = re.compile(r"max-age\s*=\s*\"?(\d{1,10})")


@frozen
class Freshness:
    """What a response says about its own keeping."""

    lifetime_s: float
    """How long it may be used without asking."""
    storable: bool = True
    """False: no-store, to be forgotten once played."""
    etag: str = ""
    last_modified: str = ""

    def conditions(self) -> list[tuple[str, str]]:
        """Headers for asking whether it is still the same; [] when that cannot be asked."""
        headers = []
        if self.etag:
            headers.append(("If-None-Match", self.etag))
        if self.last_modified:
            headers.append(("If-Modified-Since", self.last_modified))
        return headers


def freshness(headers: Mapping[str, str], before: Freshness | None = None) -> Freshness:
    """What the headers of a 200, or of a 304 after `before`, say.

    `headers` must be case-insensitive. A 304 without a word on caching keeps what was said before.
    """
    etag = headers.get("ETag", "") or (before.etag if before else "")
    modified = headers.get("Last-Modified", "") or (before.last_modified if before else "")
    control = headers.get("Cache-Control", "").lower()
    if "no-store" in control:
        return Freshness(0.0, False, etag, modified)
    lifetime = _stated(headers, control)
    if lifetime is None and before is not None:
        lifetime = before.lifetime_s
    if lifetime is None:
        lifetime = VALIDATED_S if etag or modified else UNVALIDATED_S
    return Freshness(lifetime, True, etag, modified)


def _stated(headers: Mapping[str, str], control: str) -> float | None:
    """The lifetime the server stated, less the age in caches on the way."""
    if "no-cache" in control:
        return 0.0
    if said := _MAX_AGE.search(control):
        age = headers.get("Age", "0").strip()
        elapsed = int(age) if age.isascii() and age.isdigit() and len(age) < 10 else 0
        return min(LONGEST_S, max(0.0, int(said.group(1)) - elapsed))
    if "Expires" not in headers:
        return None
    expires, date = _date(headers["Expires"]), _date(headers.get("Date", ""))
    if expires is None or date is None:
        return 0.0  # "Expires: 0" and the like mean: already stale (section 5.3)
    return min(LONGEST_S, max(0.0, (expires - date).total_seconds()))


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
