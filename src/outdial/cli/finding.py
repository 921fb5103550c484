"""One line of what `outdial doctor` and `outdial trunks check` report."""

from __future__ import annotations

from outdial.frozen import frozen


@frozen
class Finding:
    """One line of the report."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""
    """What to do when it is not well, or would make it better."""
