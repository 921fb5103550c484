"""`/v1/bans`: the addresses whose SIP messages are not listened to, and how to listen again."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Literal, Protocol

from fastapi import APIRouter
from pydantic import BaseModel, Field

from outdial.api import problems
from outdial.calls import codes
from outdial.clock import iso8601
from outdial.errors import Refused


class Banned(Protocol):
    """One of them; `sip.core.bans.Ban` fulfils it."""

    @property
    def address(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def offences(self) -> int: ...
    @property
    def since(self) -> float: ...
    @property
    def until(self) -> float: ...


class BanList(Protocol):
    """All of them; `sip.sentry.Sentry` fulfils it."""

    def listed(self) -> Sequence[Banned]:
        """Those that hold, oldest first, with wall-clock times."""

    def lift(self, address: str) -> bool:
        """Listens to the address again; False when it was not banned."""


class Ban(BaseModel):
    """An address whose SIP messages are thrown away unread."""

    address: str = Field(
        description="An IPv4 address, or the first address of an IPv6 /64, which is banned whole.",
        examples=["198.51.100.7"],
    )
    reason: Literal["malformed", "denied", "strays", "unauthorized"] = Field(
        description="What its last offence was."
    )
    offences: int = Field(description="How many there were within a minute.")
    since: str
    until: str

    @classmethod
    def of(cls, ban: Banned) -> Ban:
        """As the API shows it."""
        return cls.model_validate(
            {
                "address": ban.address,
                "reason": ban.reason,
                "offences": ban.offences,
                "since": iso8601(ban.since),
                "until": iso8601(ban.until),
            }
        )


class BanIndex(BaseModel):
    """All bans of this server, oldest first; there are at most 1,024."""

    bans: list[Ban]


class BanRoutes:
    """The handlers."""

    def __init__(self, bans: BanList) -> None:
        self._bans = bans

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/bans", **_LIST)(self.index)
        routes.delete("/bans/{address}", **_LIFT)(self.lift)

    async def index(self) -> BanIndex:
        """Of this server: each has its own."""
        return BanIndex(bans=[Ban.of(ban) for ban in self._bans.listed()])

    async def lift(self, address: str) -> None:
        """Its messages are looked at from now on; its offences are counted anew."""
        try:
            written = str(ip_address(address))
        except ValueError:
            message = f"{address[:64]!r} is not an IP address, e.g. 198.51.100.7 or 2001:db8::7"
            raise Refused(404, codes.NOT_BANNED, message, field="address") from None
        if not self._bans.lift(written):
            message = f"{written} is not banned"
            raise Refused(404, codes.NOT_BANNED, message, field="address")


_LIST: dict[str, Any] = {
    "response_model": BanIndex,
    "responses": problems.documented(401),
    "summary": "List the addresses that are not listened to",
    "operation_id": "list_bans",
}
_LIFT: dict[str, Any] = {
    "status_code": 204,
    "responses": problems.documented(401, 404),
    "summary": "Listen to an address again",
    "operation_id": "lift_ban",
}
