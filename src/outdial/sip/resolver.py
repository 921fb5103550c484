"""From a host and a port, or a domain, to the addresses of its servers (RFC 3263).

Never called while a message is being handled: legs wait for it before their INVITE leaves, and what
is known of a trunk is kept fresh ahead of its calls.

Answers count as long as their records say, within bounds. While no name server answers, those that
are over their time go on counting for a day (RFC 8767): a carrier moves more seldom than a name
server is away. That there is no such name is an answer, and ends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from outdial.frozen import frozen
from outdial.sip.core.hop import is_literal
from outdial.sip.core.locating import (
    MAX_TARGETS,
    Choice,
    Srv,
    Target,
    default_port,
    first_targets,
    in_order,
    service_name,
    services,
)
from outdial.sip.names import Answer, Names, NamesAway, NameServers

MIN_TTL_S = 10.0
"""A record that may not be kept at all is asked for so seldom all the same."""
MAX_TTL_S = 3600.0
"""Within an hour a carrier that has moved is found, whatever its records said before."""
STALE_S = 86_400.0
"""How long an answer counts beyond its time while the name servers are away."""
_NONE_TTL_S = 30.0
"""How long it counts, at most, that there is nothing."""
_TIMEOUT_S = 5.0
_STALE_AFTER_S = 2.0
"""A caller does not wait longer for a fresh answer when there is an old one."""
_AWAY_S = 10.0
"""Name servers that were away are asked again after."""
_SOONEST_S = 1.0
_AHEAD = 0.1
"""What is kept fresh is asked for again when this part of its time is left."""
_MAX_KEPT = 1000
_MAX_ORDERED = 2 * MAX_TARGETS
"""Addresses of one place: each of a trunk's gets OPTIONS, again and again."""
_MAX_FLIGHTS = 100

Place = tuple[str, int | None, str]
"""Host or domain, port or None, and transport; "" is whichever the domain names."""
T = TypeVar("T")


class ResolutionFailed(Exception):
    """The name has no address; the text says which one and why."""


@frozen
class Found:
    """What is known of a place. No choices: it is nowhere, and `problem` says why."""

    choices: tuple[Choice, ...]
    ttl_s: float
    problem: str = ""
    fixed: tuple[Target, ...] = ()
    """Their only order, where there is no more than one."""
    is_guess: bool = False
    """Whether there are SRV records, nobody could say."""

    @classmethod
    def at(cls, choices: Sequence[Choice], ttl_s: float) -> Found:
        """There it is."""
        priorities = [choice.priority for choice in choices]
        is_fixed = len(set(priorities)) == len(priorities)
        fixed = tuple(in_order(choices, lambda: 0.0)) if is_fixed else ()
        return cls(tuple(choices), ttl_s, fixed=fixed)


@dataclass(slots=True)
class _Kept:
    found: Found
    until: float
    """When it is over its time."""
    is_away: bool = False
    """The name servers did not answer when they were last asked."""
    away_until: float = 0.0
    """When they are asked again."""


class Resolver:
    """Looks names up and keeps the answers."""

    def __init__(
        self,
        names: Names | None = None,
        spoken: Sequence[str] = ("udp", "tcp"),
        draw: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`spoken` are the transports that there are listeners for; `draw` gives random numbers
        from 0 to 1, by which servers of one priority are chosen."""
        self._names = names or NameServers()
        self._spoken = tuple(spoken)
        self._draw = draw
        self._kept: dict[Place, _Kept] = {}
        self._flights: dict[Place, asyncio.Task[Found | NamesAway]] = {}
        self._fresh: dict[Place, asyncio.TimerHandle | None] = {}

    # ------------------------------------------------------------ for calls

    def known(self, host: str, port: int | None, transport: str) -> list[Target] | None:
        """The addresses, best first, if no look-up is needed for them."""
        if is_literal(host):
            return [_literal(host, port, transport)]
        place = (host, port, transport)
        kept = self._kept.get(place)
        if kept is None or not kept.found.choices or not self._counts(place, kept):
            return None
        return self._ordered(kept.found)

    async def resolve(self, host: str, port: int | None, transport: str) -> list[Target]:
        """The addresses, best first; servers of one priority in another order each time.

        Without a port SRV is asked first, and without a transport NAPTR. ResolutionFailed.
        """
        if (known := self.known(host, port, transport)) is not None:
            return known
        place = (host, port, transport)
        kept = self._kept.get(place)
        if kept is not None and not kept.found.choices and self._counts(place, kept):
            raise ResolutionFailed(kept.found.problem)
        is_usable = kept is not None and kept.until + STALE_S > self._now()
        old = kept.found if kept is not None and is_usable and kept.found.choices else None
        result = await self._wait(place, _TIMEOUT_S if old is None else _STALE_AFTER_S)
        if isinstance(result, NamesAway) and old is not None:
            return self._ordered(old)
        if isinstance(result, NamesAway):
            raise ResolutionFailed(f"{host}: {result}")
        if not result.choices:
            raise ResolutionFailed(result.problem)
        return self._ordered(result)

    # ------------------------------------------------------------ ahead of calls

    def keep(self, host: str, port: int | None, transport: str) -> None:
        """Looks the place up now and whenever it is over its time, until `close`."""
        place = (host, port, transport)
        if not is_literal(host) and place not in self._fresh:
            self._fresh[place] = None
            self._refresh(place)

    def close(self) -> None:
        """Ends what is being looked up."""
        for timer in self._fresh.values():
            if timer is not None:
                timer.cancel()
        self._fresh.clear()
        for flight in self._flights.values():
            flight.cancel()

    # ------------------------------------------------------------ inside

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _counts(self, place: Place, kept: _Kept) -> bool:
        """Whether there is no point in asking for a call, now."""
        now = self._now()
        if kept.until > now:
            return True
        if not kept.is_away or kept.until + STALE_S < now:
            return False
        return place in self._fresh or kept.away_until > now

    def _ordered(self, found: Found) -> list[Target]:
        return (list(found.fixed) or in_order(found.choices, self._draw))[:_MAX_ORDERED]

    async def _wait(self, place: Place, timeout_s: float) -> Found | NamesAway:
        """Several callers wait for one look-up, which goes on when they give up."""
        flight = self._fly(place)
        if flight is None:
            return NamesAway("too many names are being looked up")
        done, _ = await asyncio.wait((flight,), timeout=timeout_s)
        if not done or flight.cancelled():
            return NamesAway("the name server does not answer")
        return flight.result()

    def _fly(self, place: Place) -> asyncio.Task[Found | NamesAway] | None:
        flight = self._flights.get(place)
        if flight is None and len(self._flights) < _MAX_FLIGHTS:
            flight = asyncio.get_running_loop().create_task(self._look_up(place))
            self._flights[place] = flight
            flight.add_done_callback(lambda _: self._flights.pop(place, None))
        return flight

    def _refresh(self, place: Place) -> None:
        flight = self._fly(place)
        if flight is None:
            self._refresh_later(place)
        else:
            flight.add_done_callback(lambda _: self._refresh_later(place))

    def _refresh_later(self, place: Place) -> None:
        if place not in self._fresh:
            return
        kept = self._kept.get(place)
        now = self._now()
        ahead_s = 0.0 if kept is None else _AHEAD * kept.found.ttl_s
        due = now + _AWAY_S if kept is None else max(kept.until - ahead_s, kept.away_until)
        loop = asyncio.get_running_loop()
        self._fresh[place] = loop.call_at(max(due, now + _SOONEST_S), self._refresh, place)

    async def _look_up(self, place: Place) -> Found | NamesAway:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                found = await self._find(*place)
        except TimeoutError:
            return self._note_away(place, NamesAway("the name server does not answer"))
        except NamesAway as away:
            return self._note_away(place, away)
        kept = self._kept.get(place)
        if found.is_guess and kept is not None and self._is_better(kept):
            return self._note_away(place, NamesAway("no name server knows its SRV records"))
        self._keep(place, _Kept(found, self._now() + found.ttl_s))
        return found

    def _is_better(self, kept: _Kept) -> bool:
        """Than a guess."""
        is_usable = kept.until + STALE_S > self._now()
        return is_usable and bool(kept.found.choices) and not kept.found.is_guess

    def _keep(self, place: Place, kept: _Kept) -> None:
        if place not in self._kept and len(self._kept) >= _MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[place] = kept

    def _note_away(self, place: Place, away: NamesAway) -> NamesAway:
        kept = self._kept.get(place)
        if kept is None or kept.until + STALE_S < self._now():
            nothing = Found((), 0.0, f"{place[0]}: {away}")
            kept = _Kept(nothing, self._now())
            self._keep(place, kept)
        kept.is_away, kept.away_until = True, self._now() + _AWAY_S
        return away

    async def _find(self, host: str, port: int | None, transport: str) -> Found:
        if port is not None:
            return await self._at_host(host, port, transport or "udp")
        if transport:
            return await self._by_srv(host, (transport,))
        if not (service := await self._by_naptr(host)):
            return await self._by_srv(host, self._spoken)
        return service

    async def _by_naptr(self, domain: str) -> Found | None:
        """None: there are no such records of use."""
        try:
            answer = await self._names.naptr(domain)
        except NamesAway:  # many a name server knows no such records and says nothing at all
            return None
        for transport, name in services(answer.records, self._spoken):
            records = await self._names.srv(name)
            if leading := first_targets(records.records):
                found = await self._of_records(transport, leading, (answer.ttl_s, records.ttl_s))
                if found.choices:
                    return found
        return None

    async def _by_srv(self, domain: str, transports: Sequence[str]) -> Found:
        """By the first transport that the domain has records of; without any at its own address."""
        asked = [self._try_srv(service_name(one, domain)) for one in transports]
        answers = await asyncio.gather(*asked)
        nowhere = None
        for transport, records in zip(transports, answers, strict=True):
            if records is None or not records.records:
                continue
            leading = first_targets(records.records)
            if leading:
                return await self._of_records(transport, leading, (records.ttl_s,))
            nowhere = records.ttl_s
        if nowhere is not None:
            problem = f"{domain} says by SRV that it takes no SIP over {' or '.join(transports)}"
            return _nothing(problem, nowhere)
        found = await self._at_host(domain, None, transports[0])
        if None not in answers:
            return found
        if not found.choices:
            raise NamesAway("no name server says whether it has SRV records")
        return replace(found, ttl_s=MIN_TTL_S, is_guess=True)

    async def _try_srv(self, name: str) -> Answer[Srv] | None:
        """None: nobody answers, which many name servers do when they do not like the question."""
        try:
            return await self._names.srv(name)
        except NamesAway:
            return None

    async def _at_host(self, host: str, port: int | None, transport: str) -> Found:
        answer = await self._names.addresses(host)
        number = port or default_port(transport)
        targets = tuple(Target(transport, one, number, host) for one in answer.records)
        if not targets:
            return _nothing(f"{host} has no address", answer.ttl_s)
        return Found.at([Choice(0, 0, targets[:MAX_TARGETS])], _bounded((answer.ttl_s,)))

    async def _of_records(
        self, transport: str, records: Sequence[Srv], ttls_s: Iterable[float]
    ) -> Found:
        """A record whose target has no address is left out, as long as others have one."""
        names = list(dict.fromkeys(record.target for record in records))
        answers = await asyncio.gather(
            *(_outcome(self._addresses(name)) for name in names), return_exceptions=False
        )
        by_name = dict(zip(names, answers, strict=True))
        choices, ttls = [], list(ttls_s)
        for record in records:
            answer = by_name[record.target]
            if answer is not None and answer.records:
                targets = (
                    Target(transport, one, record.port, record.target)
                    for one in answer.records[:MAX_TARGETS]
                )
                choices.append(Choice(record.priority, record.weight, tuple(targets)))
                ttls.append(answer.ttl_s)
        if choices:
            known = Found.at(choices, _bounded(ttls))
            is_whole = all(answer is not None for answer in answers)
            return known if is_whole else Found(choices=known.choices, ttl_s=MIN_TTL_S)
        if None in answers:
            raise NamesAway(f"no name server knows the addresses of {', '.join(names[:4])}")
        problem = f"the SRV records lead to {', '.join(names[:4])}: no address is known there"
        return _nothing(problem, min(ttls))

    async def _addresses(self, name: str) -> Answer[str]:
        if is_literal(name):  # RFC 2782 forbids it, and some do it
            return Answer((name.strip("[]"),), MAX_TTL_S)
        return await self._names.addresses(name)


async def _outcome(asking: Awaitable[Answer[T]]) -> Answer[T] | None:
    """None: nobody answers."""
    try:
        return await asking
    except NamesAway:
        return None


def _literal(host: str, port: int | None, transport: str) -> Target:
    transport = transport or "udp"
    return Target(transport, host.strip("[]"), port or default_port(transport))


def _nothing(problem: str, ttl_s: float) -> Found:
    return Found((), max(MIN_TTL_S, min(ttl_s, _NONE_TTL_S)), problem)


def _bounded(ttls_s: Iterable[float]) -> float:
    return max(MIN_TTL_S, min([*ttls_s, MAX_TTL_S]))
