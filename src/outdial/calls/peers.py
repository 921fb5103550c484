"""The other servers on the database, as the registry sees them: nodes.member fulfils it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Lease(Protocol):
    """Whether this node's calls are still its own."""

    @property
    def holds_lease(self) -> bool:
        """Whether no other node can have taken over."""

    async def confirm(self) -> None:
        """Asks the database. Raises StoreUnavailable."""


class Peers(Lease, Protocol):
    """This server among those that share its database."""

    @property
    def name(self) -> str:
        """What this one is called."""

    def calls_wait(self) -> None:
        """A call was stored that there is no room for here."""

    def has_room(self) -> None:
        """There is room, and nobody waits here."""

    async def ask(
        self, node: str, call_sid: str, kind: str, data: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """A command about a call that the other node holds: what it answers. None: it has not
        answered in time, but the command is kept for it. Raises StoreUnavailable."""
