"""What the API needs from the calls: `calls.registry` fulfils it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from outdial.calls.commands import Command
from outdial.calls.conferences import Conferences
from outdial.calls.queues import Queues
from outdial.calls.repeats import Repeatable
from outdial.calls.request import CallRequest
from outdial.calls.standing import Standings
from outdial.store.records import CallRecord


class CallService(Protocol):
    """Places and ends calls."""

    @property
    def conferences(self) -> Conferences:
        """Those that go on here."""

    @property
    def queues(self) -> Queues:
        """Those of this server."""

    async def place(
        self, request: CallRequest, key_name: str, repeatable: Repeatable | None = None
    ) -> CallRecord:
        """Takes the call; it is durably stored when this returns, and `repeatable` with it.

        Raises Refused (403, 422, 429, 503) and StoreUnavailable, and StoreConflict when there is a
        post of that token.
        """

    async def hang_up(self, sid: str, by: str = "") -> bool:
        """True: it was live and is being ended. False: it was over already.

        `by` is the name of the API key. Raises Refused (404) when there is no such call.
        """

    async def command(self, sid: str, command: Command, by: str) -> bool:
        """True: it is done, and durably noted. False: the server that has the call has been told,
        and has not said yet what came of it.

        Raises Refused (404, 409, 503) and StoreUnavailable; then nothing has changed.
        """

    def position(self, sid: str) -> int | None:
        """Its place in the queue, counted from 1; None when it does not wait here."""

    def standings(self) -> Standings:
        """What goes on now, by API key and trunk, and the limits."""

    def ended(self) -> Mapping[tuple[str, str], int]:
        """How many calls ended since the start, by outcome and cause (docs/reference/causes.md)."""

    def health(self) -> dict[str, Any]:
        """``{"ready": bool, "draining": bool, "live": n, "queued": n, "checks": {...}}``."""
