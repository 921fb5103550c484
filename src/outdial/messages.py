"""What passes between those who send short messages and SIP, which carries them (RFC 3428)."""

from __future__ import annotations

from typing import Protocol

from outdial.frozen import frozen
from outdial.legs import TraceListener


@frozen
class MessageTarget:
    """A message and the trunk that is to take it."""

    message_id: str
    """Our sid of it; also seeds the SIP Call-ID."""
    trunk: str
    """Name of the trunk in the settings."""
    number: str
    """User part of the Request-URI, already in the trunk's number format."""
    sender: str
    """User part of From."""
    text: str


@frozen
class MessageResult:
    """What became of it."""

    status: int
    """Of the last response; 408 when there was none, 503 when nobody could be reached."""
    reason: str
    local: bool = False
    """No peer sent this status."""
    not_taken: bool = False
    """It is certain that nobody has it: it may be sent another way."""
    parts: int = 1
    """How many requests it was or would have been: a long text is several."""

    @property
    def is_taken(self) -> bool:
        """Whether the next hop took all of it (RFC 3428 section 7: 200 and 202)."""
        return 200 <= self.status < 300


class MessagePlane(Protocol):
    """Sends messages over trunks."""

    async def send(
        self, target: MessageTarget, trace: TraceListener | None = None
    ) -> MessageResult:
        """Sends it once and says what came of that, within 64*T1 (32 s) for each part. Never
        raises for what the far side does."""
