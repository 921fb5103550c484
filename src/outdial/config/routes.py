"""Settings of `[[routes]]`: which trunks numbers go to, and in which order."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from outdial.config import checks


class RoutedTrunk(BaseModel):
    """A trunk of a route: its name, or a table with its name and what a call costs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1)]
    """One of `[[trunks]]`."""
    cost: float | None = Field(None, ge=0, allow_inf_nan=False)
    """What a minute costs there, in any currency that is the same everywhere."""


def _by_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Route(BaseModel):
    """Which trunks numbers with a prefix go to, and in which order: the first that takes the call
    has it. Goes before `trunks.prefixes`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prefixes: Annotated[list[Annotated[str, AfterValidator(checks.prefix)]], Field(min_length=1)]
    """The longest that fits the number decides, among those of all routes; "" fits all."""
    trunks: Annotated[list[Annotated[RoutedTrunk, BeforeValidator(_by_name)]], Field(min_length=1)]
    """Names, or `{ name = "carrier-a", cost = 0.012 }`. Each is tried when the ones before it did
    not take the call."""
    order: Literal["", "written", "cost"] = ""
    """written: as `trunks` has them. cost: the cheapest first, by `cost` or else by the trunk's
    `rates`; one whose rates have no price for the number is left out. Empty: cost if any of them
    has one."""

    @property
    def is_by_cost(self) -> bool:
        """Whether the cheapest is first."""
        return self.order == "cost" or (
            not self.order and any(t.cost is not None for t in self.trunks)
        )

    @model_validator(mode="after")
    def _trunks_are_there_once(self) -> Route:
        twice = checks.repeated([trunk.name for trunk in self.trunks])
        if twice is not None:
            raise ValueError(f"{twice!r} is there twice in trunks; each may be there once")
        return self


def check(routes: list[Route], with_rates: dict[str, bool]) -> None:
    """`with_rates` says of every trunk whether it has `rates`. Raises ValueError."""
    twice = checks.repeated([prefix for route in routes for prefix in route.prefixes])
    if twice is not None:
        raise ValueError(f"the prefix {twice!r} is there twice in routes; each may be there once")
    for route in routes:
        shown = ", ".join(repr(prefix) for prefix in route.prefixes)
        for trunk in route.trunks:
            if trunk.name not in with_rates:
                known = ", ".join(with_rates) or "none"
                raise ValueError(
                    f"the route of {shown} names {trunk.name!r}, which is none of the trunks "
                    f"({known})"
                )
            if route.is_by_cost and trunk.cost is None and not with_rates[trunk.name]:
                raise ValueError(
                    f"the route of {shown} goes by cost, and {trunk.name!r} has none; write "
                    f'{{ name = "{trunk.name}", cost = ... }}, or give the trunk a file of rates'
                )
