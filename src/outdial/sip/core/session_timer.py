"""Session timers (RFC 4028): negotiation, and what is due when."""

from __future__ import annotations

from outdial.frozen import frozen
from outdial.sip.core.message import Request, Response

MIN_SE_S = 90
"""The smallest interval that anyone may ask for (section 4)."""
_LONGEST_S = 86_400


@frozen
class SessionInterval:
    """What both sides agreed on."""

    interval_s: int
    we_refresh: bool

    @property
    def due_s(self) -> float:
        """When, after the last refresh, we refresh (half) or give the session up (section 10)."""
        if self.we_refresh:
            return self.interval_s / 2
        return self.interval_s - min(32.0, self.interval_s / 3)


def expires_field(interval_s: int, refresher: str = "") -> str:
    """The Session-Expires line; `refresher` is uac, uas or left open."""
    suffix = f";refresher={refresher}" if refresher else ""
    return f"Session-Expires: {interval_s}{suffix}\r\n"


def min_se_s(response: Response) -> int:
    """The Min-SE of a 422, at least 90."""
    return min(max(MIN_SE_S, response.min_se or 0), _LONGEST_S)


def supports_timer(message: Request | Response) -> bool:
    """Whether the peer can refresh."""
    return "timer" in message.supported or "timer" in message.required


def agreed_by_answer(response: Response) -> SessionInterval | None:
    """What a 2xx to our INVITE or UPDATE settles (section 7.2); None: no session timer."""
    answer = response.session_expires
    if answer is None:
        return None
    interval = min(max(answer.seconds, MIN_SE_S), _LONGEST_S)
    return SessionInterval(interval, answer.refresher != "uas")


def answer_to(request: Request) -> tuple[SessionInterval | None, str]:
    """As UAS (section 9): what is agreed, and the lines for our 2xx. Checked by `too_small`.

    A peer that can refresh does so unless it wants us to.
    """
    wish = request.session_expires
    if wish is None:
        return None, ""
    refresher = (wish.refresher or "uac") if supports_timer(request) else "uas"
    interval = min(max(wish.seconds, MIN_SE_S), _LONGEST_S)
    lines = expires_field(interval, refresher)
    if refresher == "uac":
        lines += "Require: timer\r\n"
    return SessionInterval(interval, refresher == "uas"), lines


def too_small(request: Request) -> bool:
    """Whether the request must get 422 with our Min-SE (section 9)."""
    wish = request.session_expires
    return wish is not None and wish.seconds < MIN_SE_S and supports_timer(request)
