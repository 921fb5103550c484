"""What is known of a trunk: whether it answers, whether we are registered there, and since when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from outdial.frozen import frozen
from outdial.legs import TracedMessage

Status = Literal["unknown", "up", "down", "registering", "registered", "rejected"]
"""unknown: not asked, or not yet. up, down: whether it answers OPTIONS, and calls. registering: the
first REGISTER, or one after the binding was lost, is under way. registered: its calls find us.
rejected: the registrar does not want us."""


@frozen
class TrunkMessages:
    """The last SIP messages between us and a trunk outside of calls, oldest first, as they may be
    shown."""

    registration: tuple[TracedMessage, ...] = ()
    """REGISTER, and what the registrar said."""
    options: tuple[TracedMessage, ...] = ()
    """OPTIONS, and what its servers said."""


STATUSES: tuple[Status, ...] = get_args(Status)

Failure = Literal["silent", "unreachable", "unavailable", "paused"]
"""How a server does not take a call. silent: it says nothing in time. unreachable: there is nobody,
or no connection. unavailable: it answers 503. paused: 503 with Retry-After, it wants no calls."""

FAILURES: tuple[Failure, ...] = get_args(Failure)


@frozen
class TrunkState:
    """One trunk at one moment. Times are wall times, seconds."""

    name: str
    status: Status = "unknown"
    since: float | None = None
    """When it became so; None: it never was anything else."""
    last_code: int | None = None
    """The SIP status of the last answer to OPTIONS or REGISTER; None: there was none."""
    last_reason: str = ""
    """Its reason phrase."""
    rtt_ms: float | None = None
    """How long that answer took."""
    target: str = ""
    """Whom it was asked of: transport:address:port."""
    checked_at: float | None = None
    """When it was last asked."""
    detail: str = ""
    """Why it is not well, for a person."""
    registers: bool = False
    """Whether we register there."""
    registered_until: float | None = None
    """When the binding ends unless it is refreshed."""
    avoided: tuple[str, ...] = ()
    """Servers of it that calls go to last or not at all, each with the reason."""
    paused_until: float | None = None
    """It gets no calls until then: all of its servers have asked for that (503 with Retry-After).
    """

    @property
    def is_well(self) -> bool | None:
        """Whether calls should go there first; None: nobody knows."""
        if self.status == "unknown":
            return None
        return self.status in ("up", "registered")

    @property
    def is_last_choice(self) -> bool:
        """Whether any other trunk for the same number is the better one."""
        return self.is_well is False or self.paused_until is not None


@frozen
class TrunkServers:
    """The servers of one trunk at one moment, and what calls have met there since the start.

    A trunk is up as long as one of its servers answers; how many do not is here.
    """

    name: str
    """The trunk's."""
    usable: int
    """Servers that calls go to first. Of a trunk that was not found yet all three are 0."""
    avoided: int
    """That calls go to last: they said nothing, or were not there."""
    paused: int
    """That get no calls for a while, as they have asked."""
    failures: Mapping[Failure, int]
    """Calls that a server did not take, so that the next one was tried, or none was left."""
