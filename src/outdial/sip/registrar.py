"""A trunk's bindings on the network: one for each of our listeners that reaches the registrar."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from outdial import log
from outdial.clock import Clock
from outdial.legs import TraceListener
from outdial.sip.core.authorization import Credentials
from outdial.sip.core.hop import Hop, is_loopback
from outdial.sip.core.registration import Binding, Due, Registration, Standing
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.resolver import ResolutionFailed
from outdial.sip.trunk_health import Answer, TrunkHealth
from outdial.trunk_state import Status

_log = log.get("trunk")

_GOODBYE_S = 1.5
"""How long taking the bindings back may take when the server stops."""


class Place(NamedTuple):
    """One of our listeners."""

    transport: str
    address: str
    """What it is bound to."""
    local: str
    """As in Via and Contact."""

    def reaches(self, hop: Hop) -> bool:
        """Whether somebody there could call us back here."""
        return (
            hop.transport == self.transport
            and (":" in hop.host) == (":" in self.address)
            and is_loopback(hop.host) >= is_loopback(self.address)
        )


class Way(NamedTuple):
    """How to the registrar, now."""

    hops: list[Hop]
    credentials: Credentials | None
    routes: tuple[str, ...]
    shown: str
    """host[:port] that the carrier is shown in place of our own; "": that."""


class Registrar:
    """Registers a trunk, and says in its health how that stands."""

    def __init__(
        self,
        name: str,
        binding: Binding,
        endpoint: SipEndpoint,
        health: TrunkHealth,
        clock: Clock,
        way: Callable[[], Awaitable[Way]],
        trace: TraceListener | None = None,
    ) -> None:
        """`way` looks the registrar up, and raises ResolutionFailed; `trace` sees the messages."""
        self._name = name
        self._binding = binding
        self._endpoint = endpoint
        self._health = health
        self._clock = clock
        self._way = way
        self._trace = trace
        self._registrations: dict[Place, Registration] = {}
        self._standings: dict[Place, Standing] = {}
        self._until: dict[Place, float] = {}
        """When each binding ends, wall time."""
        self._last: Answer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled = asyncio.Event()
        """Set unless the outcome of an attempt is awaited that may bring calls back."""
        self._is_over = asyncio.Event()

    def start(self) -> None:
        """Registers at every listener, and keeps the bindings."""
        for place in self._endpoint.places():
            here = Place(*place)
            told = partial(self._on_event, here)
            self._registrations[here] = self._endpoint.register(self._binding, told, self._trace)

    async def stop(self) -> None:
        """Takes the bindings back, if that does not take long."""
        for registration in list(self._registrations.values()):
            self._endpoint.unregister(registration)
        if self._registrations:
            try:
                async with asyncio.timeout(_GOODBYE_S):
                    await self._is_over.wait()
            except TimeoutError:
                _log.warning("trunk.not_unregistered", trunk=self._name)
        self.close()

    def close(self) -> None:
        """Forgets what is being looked up."""
        for task in self._tasks:
            task.cancel()

    async def settled(self, timeout_s: float) -> None:
        """Waits until it is known whether we are registered, or the time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            return

    def _on_event(self, place: Place, event: Due | Standing) -> None:
        if isinstance(event, Due):
            self._spawn(self._attempt(place))
        elif event.status == "ended":
            self._drop(place)
        else:
            self._note(place, event)

    async def _attempt(self, place: Place) -> None:
        try:
            way = await self._way()
        except ResolutionFailed as error:
            self._failed(place, str(error))
            return
        hops = [
            replace(hop, local=place.local, shown="").showing(way.shown)
            for hop in way.hops
            if place.reaches(hop)
        ]
        registration = self._registrations.get(place)
        if registration is None:
            return
        if hops:
            registration.attempt(hops, way.credentials, way.routes)
            self._endpoint.flush()
        elif len(self._registrations) > 1:
            self._endpoint.unregister(registration)
        else:
            self._failed(place, "no listener of ours reaches the registrar: see sip.listen")

    def _failed(self, place: Place, problem: str) -> None:
        registration = self._registrations.get(place)
        if registration is not None:
            registration.failed(problem)
            self._endpoint.flush()

    def _drop(self, place: Place) -> None:
        self._registrations.pop(place, None)
        self._standings.pop(place, None)
        self._until.pop(place, None)
        if self._registrations:
            self._settle(self._last)
        else:
            self._is_over.set()

    def _note(self, place: Place, standing: Standing) -> None:
        self._standings[place] = standing
        if standing.expires_s is not None:
            self._until[place] = self._clock.now() + standing.expires_s
        else:
            self._until.pop(place, None)
        if standing.problem:
            _log.info(
                "trunk.not_registered",
                trunk=self._name,
                contact=place.local,
                problem=standing.problem,
                retry_in_s=standing.retry_in_s and round(standing.retry_in_s),
            )
        answer = None
        if standing.code is not None or standing.problem:
            answer = self._last = _answer(standing)
        self._settle(answer)

    def _settle(self, answer: Answer | None) -> None:
        status = self._status()
        self._health.registration(status, answer, max(self._until.values(), default=None))
        if status == "registering":
            self._settled.clear()
        else:
            self._settled.set()

    def _status(self) -> Status:
        """One binding is enough; while one is on its way, nothing is lost yet."""
        statuses = {standing.status for standing in self._standings.values()}
        waits = len(self._standings) < len(self._registrations)
        if "registered" in statuses:
            return "registered"
        if "registering" in statuses or waits:
            return "registering"
        return "rejected" if "rejected" in statuses else "down"

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _answer(standing: Standing) -> Answer:
    hop = standing.hop
    return Answer(
        "" if hop is None else f"{hop.transport}:{hop.peer}",
        standing.code,
        standing.reason,
        None if standing.rtt_s is None else 1000 * standing.rtt_s,
        standing.problem,
    )
