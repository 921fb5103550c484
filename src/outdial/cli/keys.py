"""`outdial keys`: make, list, rotate and revoke API keys."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outdial.cli.options import Config, Json, print_line

if TYPE_CHECKING:
    from outdial.key_keeper import MadeKey

app = typer.Typer(
    help="Make, list, rotate and revoke API keys, whether the server runs or not.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhd])")
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_Expires = Annotated[
    str,
    typer.Option(help="When it ceases to be valid: a date, an RFC 3339 time, or e.g. 90d."),
]


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is called in logs and listings.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="call, read or admin; else all. May be repeated.")
    ] = None,
    from_: Annotated[
        list[str] | None,
        typer.Option("--from", help="Caller ID that it may show, or 1800* for those; else any."),
    ] = None,
    destination: Annotated[
        list[str] | None,
        typer.Option(help="Prefix that it may call, of those that the settings allow; else all."),
    ] = None,
    calls_per_second: Annotated[float, typer.Option(min=0, help="0: no limit of its own.")] = 0,
    concurrent_calls: Annotated[int, typer.Option(min=0, help="0: no limit of its own.")] = 0,
    minutes_per_day: Annotated[float, typer.Option(min=0, help="0: no limit of its own.")] = 0,
    expires: _Expires = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make an API key and show it, once.

    Only its hash is stored. A running server takes it within a second.
    """
    from outdial.cli import keyring
    from outdial.cli.files import settings_of
    from outdial.config import checks
    from outdial.store.records import KeyRecord

    wanted = KeyRecord(
        "",
        name,
        "",
        "",
        0.0,
        scopes=_each(scope, _scope, "--scope"),
        callers=_each(from_, checks.caller, "--from"),
        destinations=_each(destination, checks.prefix, "--destination"),
        calls_per_second=calls_per_second,
        concurrent_calls=concurrent_calls,
        minutes_per_day=minutes_per_day,
        expires_at=_moment(expires),
    )
    _show_once(asyncio.run(keyring.add(settings_of(config), wanted)), as_json=as_json)


@app.command("rotate")
def rotate(
    name: Annotated[str, typer.Argument(help="Name or id of a key made by keys add.")],
    grace: Annotated[
        str, typer.Option(help="How long the old secret is good yet, e.g. 0s, 30m, 24h, 7d.")
    ] = "24h",
    expires: _Expires = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Give a key a new secret and show it, once. What it may do stays.

    The old secret goes on for --grace, so that programs can change over.
    """
    from outdial.cli import keyring
    from outdial.cli.files import settings_of

    made = asyncio.run(
        keyring.rotate(settings_of(config), name, _span(grace, "--grace"), _moment(expires))
    )
    _show_once(made, as_json=as_json)


@app.command("ls")
def ls(config: Config = None, as_json: Json = False) -> None:
    """List the API keys of settings and store: what they may, and when they were used."""
    from outdial.api.api_keys import shown, shown_given
    from outdial.cli import keyring, lines
    from outdial.cli.files import settings_of

    settings = settings_of(config)
    found = [shown_given(key) for key in settings.keys]
    found += [shown(key) for key in asyncio.run(keyring.stored(settings))]
    if as_json:
        for one in found:
            print_line(json.dumps(one))
        return
    rows = [
        ("NAME", "STARTS", "SCOPES", "RULES", "CREATED", "LAST USED", "EXPIRES", "REVOKED", "ID")
    ]
    rows += [
        (
            one["name"],
            one["prefix"] or "",
            ",".join(one["scopes"]),
            _rules(one),
            one["created_at"] or "(configuration)",
            one["last_used_at"] or "-",
            one["expires_at"] or "-",
            one["revoked_at"] or "-",
            one["id"] or "",
        )
        for one in found
    ]
    for line in lines.table(rows):
        print_line(line)


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="Name or id of a key made by keys add.")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make an API key invalid, for ever; of a rotated one its old secret too.

    A running server refuses it within a second. Keys of the settings are taken out there.
    """
    from outdial.cli import keyring
    from outdial.cli.files import settings_of
    from outdial.log import escape

    for key in asyncio.run(keyring.revoke(settings_of(config), name)):
        told = {"id": key.id, "name": key.name, "revoked": True}
        print_line(json.dumps(told) if as_json else f"{key.id}  {escape(key.name)}  revoked")


def _show_once(made: MadeKey, *, as_json: bool) -> None:
    from outdial.api.api_keys import shown

    if as_json:
        print_line(json.dumps(shown(made.record) | {"key": made.secret}))
        return
    print_line(made.secret)
    print_line("Keep it: it cannot be shown again.", error=True)


def _rules(key: dict[str, Any]) -> str:
    """What a key has of its own, in few words."""
    parts = [
        f"{name} {' '.join(key[name]) or 'none'}"
        for name in ("from", "destinations")
        if key[name] is not None
    ]
    parts += [
        f"{key[name]:g} {unit}"
        for name, unit in (
            ("calls_per_second", "calls/s"),
            ("concurrent_calls", "at once"),
            ("minutes_per_day", "minutes/day"),
        )
        if key[name]
    ]
    return ", ".join(parts) or "-"


def _each(
    given: Sequence[str] | None, check: Callable[[str], str], option: str
) -> tuple[str, ...] | None:
    """The words of an option that may be repeated, or have commas between; None: not given."""
    if given is None:
        return None
    words = [word.strip() for text in given for word in text.split(",") if word.strip()]
    try:
        return tuple(dict.fromkeys(check(word) for word in words)) if words else None
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint=option) from None


def _scope(word: str) -> str:
    from outdial.key_rules import SCOPES

    if word not in SCOPES:
        raise ValueError(f"{word!r} is no scope; there are {', '.join(SCOPES)}")
    return word


def _moment(text: str) -> float | None:
    """When a key expires. Raises BadParameter."""
    from outdial.clock import SystemClock
    from outdial.config import checks

    if _SPAN.fullmatch(text):
        return SystemClock().now() + _span(text, "--expires")
    try:
        return checks.optional_moment(text)
    except ValueError as problem:
        raise typer.BadParameter(f"{problem}, or 90d", param_hint="--expires") from None


def _span(text: str, option: str) -> float:
    """Seconds of 30m, 24h, 7d. Raises BadParameter."""
    found = _SPAN.fullmatch(text)
    if found is None:
        problem = f"{text!r} is no time; write e.g. 0s, 30m, 24h or 7d"
        raise typer.BadParameter(problem, param_hint=option)
    return float(found[1]) * _UNITS_S[found[2]]
