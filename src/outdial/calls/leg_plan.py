"""What a leg is to be, before there is one."""

from __future__ import annotations

from outdial.frozen import frozen


@frozen
class LegPlan:
    """Whom to ring and how."""

    number: str
    """E.164 digits; "" when `uri` is given."""
    caller_id: str
    caller_name: str = ""
    uri: str = ""
    trunk: str = ""
    """Only this trunk; "": the routes decide."""
    timeout_s: float = 60.0
    record: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    """Further header fields of its INVITE."""
    diverted_by: str = ""
    """Our number that was called, when the caller of a call that is passed on is shown."""
