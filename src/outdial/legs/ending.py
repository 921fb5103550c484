"""How a leg ends."""

from __future__ import annotations

from dataclasses import field

from outdial.frozen import frozen
from outdial.legs.media import MediaStats
from outdial.word import Word


class Outcome(Word):
    """What became of a call, as `CallOutcome` says it."""

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"


class Source(Word):
    """Who ended it, as `HangupSource` says it."""

    CALLEE = "callee"
    CALLER = "caller"
    """The other leg of a bridge, or who asked by the API."""
    APPLICATION = "application"
    """The document: Hangup, its end, its error."""
    CARRIER = "carrier"
    """A trunk or the network."""
    OUTDIAL = "outdial"
    """A limit of ours: time limit, silence, shutdown."""


@frozen
class Ending:
    """Why a leg is over. Every leg has exactly one."""

    outcome: Outcome
    cause: str
    """HangupCause: a lower-case word of docs/reference/causes.md, e.g. normal-clearing."""
    source: Source
    sip_code: int | None = None
    detail: str = ""
    """One sentence for a person."""
    media: MediaStats = field(default_factory=MediaStats)
