"""`/v1/trunks`: the trunks of this server, whether they take calls, and how many they carry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from outdial import trunk_state
from outdial.api import problems
from outdial.api.schemas import SipMessage
from outdial.calls import codes
from outdial.calls.service import CallService
from outdial.calls.standing import Standing
from outdial.clock import iso8601
from outdial.config import Trunk as Settings
from outdial.errors import Refused
from outdial.trunk_state import TrunkMessages, TrunkState


class Trunk(BaseModel):
    """A trunk as it is now."""

    name: str
    address: str = Field(description="As in the settings.", examples=["sip.carrier.example:5060"])
    transport: str
    prefixes: list[str]
    codecs: list[str] = Field(description="Offered to it and taken from it, best first.")
    state: trunk_state.Status = Field(
        description="`unknown`: not asked yet. `up`, `down`: whether it answers. Of a trunk with "
        "`register`: `registering`, `registered`, `rejected` (the registrar does not want us), or "
        "`down`."
    )
    since: str | None = Field(description="When it became so.")
    detail: str = Field(description="Why it is not well, for a person.")
    last_code: int | None = Field(description="SIP status of its last answer; null: none came.")
    last_reason: str
    rtt_ms: float | None = Field(description="How long that answer took.")
    target: str = Field(
        description="Whom it was asked of; empty: nobody yet.", examples=["udp:198.51.100.7:5060"]
    )
    checked_at: str | None = Field(description="When it was last asked.")
    registers: bool = Field(description="Whether this server registers there.")
    registered_until: str | None = Field(
        description="When the registration ends unless it is refreshed."
    )
    avoided: list[str] = Field(
        description="Servers of it that calls go to last, or not at all, each with the reason.",
        examples=[["udp:198.51.100.7:5060 says nothing"]],
    )
    paused_until: str | None = Field(
        description="It gets no calls until then: it asked for that, by 503 with Retry-After."
    )
    live: int = Field(description="Calls on it now.")
    queued: int = Field(description="Calls that wait and may go to it.")
    concurrent_calls: int | None = Field(description="The most at once; null: no limit.")
    calls_per_second: float | None = Field(description="The most a second; null: no limit.")
    minutes_per_day: float | None = Field(description="The most in a day; null: no limit.")

    @classmethod
    def of(
        cls,
        settings: Settings,
        state: TrunkState,
        standing: Standing | None,
        codecs: Sequence[str],
    ) -> Trunk:
        """As the API shows it; `codecs` are those of a trunk that has none of its own."""
        return cls(
            name=settings.name,
            address=settings.address,
            transport=settings.transport,
            prefixes=settings.prefixes,
            codecs=list(settings.codecs or codecs),
            state=state.status,
            since=_moment(state.since),
            detail=state.detail,
            last_code=state.last_code,
            last_reason=state.last_reason,
            rtt_ms=None if state.rtt_ms is None else round(state.rtt_ms, 1),
            target=state.target,
            checked_at=_moment(state.checked_at),
            registers=state.registers,
            registered_until=_moment(state.registered_until),
            avoided=list(state.avoided),
            paused_until=_moment(state.paused_until),
            live=standing.live if standing else 0,
            queued=standing.queued if standing else 0,
            concurrent_calls=settings.concurrent_calls or None,
            calls_per_second=settings.calls_per_second or None,
            minutes_per_day=settings.minutes_per_day or None,
        )


class TrunkIndex(BaseModel):
    """All trunks, in the order of the settings."""

    trunks: list[Trunk]


class TrunkSip(BaseModel):
    """The last SIP messages between this server and a trunk outside of calls, oldest first: at most
    40 of each kind, and 64 KiB."""

    registration: list[SipMessage] = Field(description="REGISTER, and the registrar's answers.")
    options: list[SipMessage] = Field(description="OPTIONS, and the answers of its servers.")


class TrunkBoard:
    """The trunks of the settings, and what is known of each."""

    def __init__(
        self,
        trunks: Sequence[Settings],
        states: Callable[[], Sequence[TrunkState]] = tuple,
        codecs: Sequence[str] = ("PCMU", "PCMA"),
        messages: Callable[[str], TrunkMessages] = lambda name: TrunkMessages(),
    ) -> None:
        self._trunks = tuple(trunks)
        self._messages = messages
        self._states = states
        self._codecs = tuple(codecs)

    def shown(self, calls: CallService) -> list[Trunk]:
        """All of them as they are now."""
        states = {state.name: state for state in self._states()}
        standings = {standing.name: standing for standing in calls.standings().trunks}
        return [
            Trunk.of(
                one,
                states.get(one.name) or TrunkState(one.name),
                standings.get(one.name),
                self._codecs,
            )
            for one in self._trunks
        ]

    def messages(self, name: str) -> TrunkMessages:
        """What went to and fro between us and the trunk outside of calls. Raises Refused (404)."""
        if all(one.name != name for one in self._trunks):
            raise _unknown(name)
        return self._messages(name)


class TrunkRoutes:
    """The handlers."""

    def __init__(self, board: TrunkBoard, calls: CallService) -> None:
        self._board = board
        self._calls = calls

    def add_to(self, routes: APIRouter) -> None:
        """Adds each handler with what the OpenAPI document says of it."""
        routes.get("/trunks", **_LIST)(self.index)
        routes.get("/trunks/{name}", **_SHOW)(self.show)
        routes.get("/trunks/{name}/sip", **_SIP)(self.sip)

    async def index(self) -> TrunkIndex:
        """As this server sees them: each asks and registers for itself."""
        return TrunkIndex(trunks=self._board.shown(self._calls))

    async def show(self, name: str) -> Trunk:
        """As this server sees it."""
        for trunk in self._board.shown(self._calls):
            if trunk.name == name:
                return trunk
        raise _unknown(name)

    async def sip(self, name: str) -> TrunkSip:
        """As this server has sent and received them since its start, without the digests."""
        found = self._board.messages(name)
        return TrunkSip(
            registration=[SipMessage.of(message) for message in found.registration],
            options=[SipMessage.of(message) for message in found.options],
        )


def _unknown(name: str) -> Refused:
    message = f"no trunk is called {name[:64]!r}; GET /v1/trunks lists them"
    return Refused(404, codes.UNKNOWN_TRUNK, message, field="name")


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else iso8601(seconds)


_LIST: dict[str, Any] = {
    "response_model": TrunkIndex,
    "responses": problems.documented(401),
    "summary": "List the trunks and whether they take calls",
    "operation_id": "list_trunks",
}
_SHOW: dict[str, Any] = {
    "response_model": Trunk,
    "responses": problems.documented(401, 404),
    "summary": "Show a trunk",
    "operation_id": "get_trunk",
}
_SIP: dict[str, Any] = {
    "response_model": TrunkSip,
    "responses": problems.documented(401, 404),
    "summary": "The last SIP messages of a trunk outside of calls",
    "operation_id": "get_trunk_sip",
}
