"""Which trunks a number may be dialled on, best first. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from outdial.config import Trunk


class Routes:
    """The trunks of the settings, asked by number. `is_last_choice` says of a trunk's name that any
    other is better now: it is known to be down, or not registered."""

    def __init__(
        self,
        trunks: Sequence[Trunk],
        is_last_choice: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._trunks = tuple(trunks)
        self.is_last_choice = is_last_choice
        self._by_name = {trunk.name: trunk for trunk in trunks}

    def named(self, name: str) -> Trunk | None:
        """The trunk of that name."""
        return self._by_name.get(name)

    def names(self) -> tuple[str, ...]:
        """All names, in the order of the settings."""
        return tuple(self._by_name)

    def to(self, number: str, name: str = "") -> tuple[Trunk, ...]:
        """The trunks to try in order: those with the longest prefix of the number, and of these
        the ones that are known to be down after the others.

        `number` is E.164 digits. A `name` leaves only that trunk, whatever its prefixes.
        Empty: there is no route.
        """
        if name:
            trunk = self._by_name.get(name)
            return (trunk,) if trunk else ()
        lengths = [(self._match(trunk, number), trunk) for trunk in self._trunks]
        best = max((length for length, _ in lengths), default=-1)
        if best < 0:
            return ()
        found = tuple(trunk for length, trunk in lengths if length == best)
        if len(found) < 2:
            return found
        return tuple(sorted(found, key=lambda trunk: self.is_last_choice(trunk.name)))

    @staticmethod
    def _match(trunk: Trunk, number: str) -> int:
        """Length of the trunk's longest prefix of the number, -1 for none."""
        return max(
            (
                len(prefix)
                for prefix in (p.lstrip("+") for p in trunk.prefixes)
                if number.startswith(prefix)
            ),
            default=-1,
        )
