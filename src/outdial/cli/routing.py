"""`outdial trunks route`: where a number would go, and why; or which rule forbids it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outdial.cli.exits import REFUSED
from outdial.cli.options import Config, Json, Key, Server, print_line

if TYPE_CHECKING:
    from outdial.config import Settings


def trunks_route(
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="As a post would have it.")],
    trunk: Annotated[str, typer.Option(help="The trunk that the post names.")] = "",
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Show which trunks a number would be dialled on, in which order and why.

    Goes by the settings, and by the trunks' state if a server runs. Nothing is dialled.
    """
    from outdial.cli.files import settings_of
    from outdial.errors import Refused
    from outdial.log import escape

    settings = settings_of(config)
    try:
        found = route_of(settings, number, trunk, _states(config, server, key))
    except Refused as refused:
        found = {
            "number": number,
            "refused": refused.message,
            "code": refused.code,
            "trunks": [],
        }
    if as_json:
        print_line(json.dumps(found))
    else:
        for line in _lines(found):
            print_line(escape(line))
    if not found["trunks"]:
        raise typer.Exit(REFUSED)


def route_of(
    settings: Settings, number: str, trunk: str, states: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """What would become of a post, as JSON values. Raises Refused by the rule that forbids it."""
    from outdial.calls.calling_policy import CallingPolicy
    from outdial.calls.numbers import check_destination, normalise
    from outdial.calls.rates import read_rates
    from outdial.calls.routes import Routes
    from outdial.clock import SystemClock

    digits = normalise(number, "the number")
    check_destination(digits, settings.limits, "the number", sim=settings.sim.enabled)
    policy = CallingPolicy(settings.policy, SystemClock())
    policy.check_listed(digits, "the number")
    policy.check_hours(digits, "the number")

    is_down: Callable[[str], bool] = lambda name: _is_last(states.get(name, {}))  # noqa: E731
    routes = Routes(settings.trunks, is_down, settings.routes, read_rates(settings.trunks))
    chosen = routes.chosen(digits, trunk)
    costs = {one.name: cost for one, cost in zip(chosen.trunks, chosen.costs, strict=False)}
    return {
        "number": digits,
        "why": chosen.why,
        "trunks": [
            {
                "name": one.name,
                "cost": costs.get(one.name),
                "state": states.get(one.name, {}).get("state", "unknown"),
                "detail": states.get(one.name, {}).get("detail", ""),
            }
            for one in routes.to(digits, trunk)
        ],
    }


def _is_last(state: dict[str, Any]) -> bool:
    """As `TrunkState.is_last_choice` has it."""
    well = state.get("state", "unknown") in ("unknown", "up", "registered")
    return not well or bool(state.get("paused_until"))


def _states(config: Path | None, server: str, key: str) -> dict[str, dict[str, Any]]:
    """Of the trunks, by name; empty when no server runs."""
    from outdial.cli.client import Unreachable, connect

    try:
        found = connect(config, server, key).get("/v1/trunks")["trunks"]
    except Unreachable:
        if server:
            raise
        return {}
    return {one["name"]: one for one in found}


def _lines(found: dict[str, Any]) -> Iterator[str]:
    if "refused" in found:
        yield f"{found['number']} may not be dialled: {found['refused']} (code {found['code']})"
        return
    yield f"{found['number']}: {found['why']}"
    if not found["trunks"]:
        yield "  no trunk takes it: see routes and trunks.prefixes in the settings"
    for place, one in enumerate(found["trunks"], 1):
        cost = "" if one["cost"] is None else f", {one['cost']:g} a minute"
        detail = f": {one['detail']}" if one["detail"] else ""
        yield f"  {place}. {one['name']}{cost} ({one['state']}{detail})"
