"""How much the agent may hold, how much it does, and what it has thrown away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from outdial.frozen import frozen
from outdial.sip.core.hop import Hop

Drop = Literal["malformed", "denied", "strays", "overload", "unauthorized"]
OnDrop = Callable[[Drop, Hop, str], None]
"""Told what was thrown away: why, from where, and the method of a request that somebody may be
waiting to have answered."""


@frozen
class Caps:
    """How much state the network can make us hold."""

    transactions: int = 20_000
    """Of ours, and of others; for BYE there is room above it, for as many as there may be calls."""
    transaction_bytes: int = 64 << 20
    """What requests to us may make us keep for their answers, all together: an answer repeats the
    Vias of its request, and lingers for 64*T1. An ordinary one has a kilobyte."""
    calls: int = 5_000


@frozen
class Counters:
    """What the agent holds now. All zero 64*T1 after the last call ended."""

    client_transactions: int
    server_transactions: int
    calls: int
    dialogs: int
    early_dialogs: int
    timers: int
    transaction_bytes: int = 0
    """Of server transactions: what their answers are made of, or the answers."""


@frozen
class Tally:
    """What the agent has thrown away since it started, and the calls of others that it ended."""

    malformed: int
    denied: int
    strays: int
    overload: int
    unauthorized: int
    """Calls towards us with a digest that is wrong."""
    orphans: int
    """Of an earlier process."""
