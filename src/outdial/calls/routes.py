"""Which trunks a number may be dialled on, best first, and why. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from outdial.config import Route, Trunk
from outdial.frozen import frozen


class Prices(Protocol):
    """What calls cost on a trunk."""

    def of(self, number: str) -> float | None:
        """A minute to the number; None: the carrier does not go there."""


@frozen
class Chosen:
    """The trunks for a number, to be tried in order, and what decided that."""

    trunks: tuple[Trunk, ...]
    why: str
    costs: tuple[float | None, ...] = ()
    """Of each trunk, where they go by cost."""


class Routes:
    """The routes and trunks of the settings, asked by number. `is_last_choice` says of a trunk's
    name that any other is better now: it is known to be down, or not registered."""

    def __init__(
        self,
        trunks: Sequence[Trunk],
        is_last_choice: Callable[[str], bool] = lambda name: False,
        routes: Sequence[Route] = (),
        prices: Mapping[str, Prices] | None = None,
    ) -> None:
        self._trunks = tuple(trunks)
        self.is_last_choice = is_last_choice
        self._by_name = {trunk.name: trunk for trunk in trunks}
        self._prices = prices or {}
        self._routes = {prefix: route for route in routes for prefix in route.prefixes}
        self._longest = max(map(len, self._routes), default=0)
        self._takers = _takers(self._trunks)
        self._longest_of_trunks = max(map(len, self._takers), default=0)

    def named(self, name: str) -> Trunk | None:
        """The trunk of that name."""
        return self._by_name.get(name)

    @property
    def are_set(self) -> bool:
        """Whether there is any of `[[routes]]`."""
        return bool(self._routes)

    def names(self) -> tuple[str, ...]:
        """All names, in the order of the settings."""
        return tuple(self._by_name)

    def to(self, number: str, name: str = "") -> tuple[Trunk, ...]:
        """The trunks to try in order. Empty: there is no route.

        `number` is E.164 digits. A `name` leaves only that trunk, whatever its prefixes. Otherwise
        the route with the longest prefix of the number decides; without one those trunks are taken
        that have the longest. The ones that are known to be down come after the others.
        """
        if name:
            trunk = self._by_name.get(name)
            return (trunk,) if trunk else ()
        found = self._by_prefixes(number) if not self._routes else self.chosen(number).trunks
        if len(found) < 2:
            return found
        return tuple(sorted(found, key=lambda trunk: self.is_last_choice(trunk.name)))

    def chosen(self, number: str, name: str = "") -> Chosen:
        """As `to`, with the reason, and whether or not a trunk is down."""
        if name:
            return Chosen(self.to(number, name), "the request names its trunk")
        for length in range(min(self._longest, len(number)), -1, -1):
            route = self._routes.get(number[:length])
            if route is not None:
                return self._by_route(route, number[:length], number)
        prefix = self._longest_taken(number)
        if prefix is None:
            return Chosen((), "no prefix fits")
        return Chosen(self._takers[prefix], f"trunks.prefixes: {_shown(prefix)}")

    def _by_route(self, route: Route, prefix: str, number: str) -> Chosen:
        listed = [(one, self._by_name.get(one.name)) for one in route.trunks]
        there = [(one, trunk) for one, trunk in listed if trunk is not None]
        why = f"the route of prefix {_shown(prefix)}"
        if not route.is_by_cost:
            return Chosen(tuple(trunk for _, trunk in there), f"{why}, in its order")
        priced = [
            (self._price(trunk.name, number) if one.cost is None else one.cost, trunk)
            for one, trunk in there
        ]
        ranked = sorted(
            ((cost, trunk) for cost, trunk in priced if cost is not None), key=lambda one: one[0]
        )
        trunks = tuple(trunk for _, trunk in ranked)
        return Chosen(trunks, f"{why}, the cheapest first", tuple(cost for cost, _ in ranked))

    def _price(self, name: str, number: str) -> float | None:
        prices = self._prices.get(name)
        return None if prices is None else prices.of(number)

    def _by_prefixes(self, number: str) -> tuple[Trunk, ...]:
        return self._takers.get(self._longest_taken(number) or "", ())

    def _longest_taken(self, number: str) -> str | None:
        """The longest prefix of the number that any trunk takes; None: there is none."""
        for length in range(min(self._longest_of_trunks, len(number)), -1, -1):
            if number[:length] in self._takers:
                return number[:length]
        return None


def _takers(trunks: Sequence[Trunk]) -> dict[str, tuple[Trunk, ...]]:
    """The trunks that take each prefix, in the order of the settings."""
    found: dict[str, list[Trunk]] = {}
    for trunk in trunks:
        for prefix in dict.fromkeys(prefix.lstrip("+") for prefix in trunk.prefixes):
            found.setdefault(prefix, []).append(trunk)
    return {prefix: tuple(takers) for prefix, takers in found.items()}


def _shown(prefix: str) -> str:
    return prefix or "(all)"
