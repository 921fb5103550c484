"""`outdial trunks check`: what stands between these settings and a call over one trunk."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from outdial.cli import exits
from outdial.cli.options import Config, Json, Key, Server, print_line

if TYPE_CHECKING:
    from outdial.config import Settings, Trunk
    from outdial.trunk_check.walk import Step


def trunks_check(
    name: Annotated[str, typer.Argument(help="The trunk's name in the settings.")],
    call: Annotated[str, typer.Option(help="Number to call, country code first.")] = "",
    from_: Annotated[
        str, typer.Option("--from", help="Caller ID of that call; else the number itself.")
    ] = "",
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Walk a trunk step by step: settings, DNS, connection, certificate, OPTIONS or REGISTER.

    With --call also an actual call of a few seconds, with sound both ways, to a number that the
    settings let be called now. Says what is wrong and what to change. Free ports are used: a server
    may run beside it.

    Exit status: 0 well, 1 something is wrong.
    """
    import asyncio

    from outdial import log
    from outdial.cli.files import settings_of
    from outdial.cli.program import Done

    log.configure("critical")  # what happens is told in other words
    settings = settings_of(config)
    trunk, fitting = chosen(settings, name, lambda: _address_of(name, config, server, key))
    well = asyncio.run(_report(steps(fitting, trunk, call, from_), as_json=as_json))
    raise Done(exits.OK if well else exits.REFUSED)


def chosen(settings: Settings, name: str, address_of: Callable[[], str]) -> tuple[Trunk, Settings]:
    """The trunk, and the settings to check it with. Raises ConfigError for an unknown name.

    The simulated phones of a running server are one too, at an address that only it knows.
    """
    from outdial.config import Trunk
    from outdial.errors import ConfigError
    from outdial.sim.personas import PASSWORD, USERNAME

    for trunk in settings.trunks:
        if trunk.name == name:
            return trunk, settings
    if name == "sim":
        given = {"name": "sim", "address": address_of(), "username": USERNAME, "password": PASSWORD}
        sim = settings.sim.model_copy(update={"enabled": True})
        here = settings.media.model_copy(update={"address": "127.0.0.1", "public_address": ""})
        return Trunk.model_validate(given), settings.model_copy(update={"sim": sim, "media": here})
    known = ", ".join(trunk.name for trunk in settings.trunks) or "none"
    raise ConfigError("trunks", f"there is no trunk named {name}", f"there are: {known}")


def _address_of(name: str, config: Config, server: str, key: str) -> str:
    from outdial.cli.client import connect

    return str(connect(config, server, key).get(f"/v1/trunks/{name}")["address"])


async def steps(settings: Settings, trunk: Trunk, call: str, caller_id: str) -> AsyncIterator[Step]:
    """All steps; the call only where it may succeed."""
    from outdial.trunk_check.call import Trial
    from outdial.trunk_check.walk import may_call, walk

    before = []
    async for step in walk(settings, trunk):
        before.append(step)
        yield step
    if call and may_call(before):
        async for step in Trial(settings, trunk, call, caller_id or call).steps():
            yield step


async def _report(found: AsyncIterator[Step], *, as_json: bool) -> bool:
    well = True
    async for step in found:
        well = well and step.ok
        for line in shown(step, as_json=as_json):
            print_line(line)
    return well


def shown(step: Step, *, as_json: bool) -> list[str]:
    """The lines of a step."""
    from outdial.log import escape

    if as_json:
        told = {
            "step": step.name,
            "ok": step.ok,
            "diagnosis": step.row,
            "meaning": step.meaning,
            "detail": step.detail,
            "remedy": step.remedy,
            "took_ms": round(step.took_ms, 1),
        }
        return [json.dumps(told)]
    state = "ok    " if step.ok else "FAILED"
    lines = [f"{state}  {step.name:<9} {step.took_ms:7.0f} ms  {step.meaning}"]
    lines += [f"{'':30}{escape(part)}" for part in step.detail.split("; ") if part]
    if step.remedy:
        lines.append(f"{'':30}-> {step.remedy}")
    return lines
