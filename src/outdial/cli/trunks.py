"""`outdial trunks`: the trunks, whether a running server can call over them, and with how many."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from outdial.cli.options import Config, Json, Key, Server, print_line
from outdial.cli.routing import trunks_route
from outdial.cli.trunk_check import trunks_check

app = typer.Typer(
    help="List the trunks and how they stand.", no_args_is_help=True, rich_markup_mode=None
)


@app.command("ls")
def trunks_ls(
    config: Config = None, server: Server = "", key: Key = "", as_json: Json = False
) -> None:
    """List the trunks, with their state if a server runs.

    Where none does, those of the settings, whose state nobody knows.
    """
    from outdial.cli import lines
    from outdial.cli.client import Unreachable, connect

    try:
        found = connect(config, server, key).get("/v1/trunks")["trunks"]
    except Unreachable as error:
        if server:
            raise
        found = _of_settings(config)
        print_line(f"outdial: {error} Shown is what the settings say.", error=True)
    if as_json:
        for one in found:
            print_line(json.dumps(one))
        return
    rows: list[tuple[str, ...]] = [
        ("NAME", "ADDRESS", "TRANSPORT", "PREFIXES", "STATE", "SINCE", "CALLS", "DETAIL")
    ]
    rows += [_row(one) for one in found]
    for line in lines.table(rows):
        print_line(line)


@app.command("show")
def trunks_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As trunks ls shows it.")],
    config: Config = None,
    server: Server = "",
    key: Key = "",
    sip: Annotated[
        bool, typer.Option("--sip", help="The last SIP messages of REGISTER and OPTIONS, too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show one trunk of a running server in full."""
    from outdial.cli.client import connect
    from outdial.log import escape

    client, path = connect(config, server, key), f"/v1/trunks/{quote(name, safe='')}"
    found = client.get(path)
    messages = client.get(f"{path}/sip") if sip else {}
    if as_json:
        print_line(json.dumps({**found, "sip": messages} if sip else found))
        return
    for line in _lines(found):
        print_line(escape(line))
    for line in _message_lines(messages):
        print_line(line)


app.command("route")(trunks_route)
app.command("check")(trunks_check)


def _of_settings(config: Path | None) -> list[dict[str, Any]]:
    from outdial.cli.files import settings_of

    return [
        {
            "name": trunk.name,
            "address": trunk.address,
            "transport": trunk.transport,
            "prefixes": trunk.prefixes,
            "state": "unknown",
            "since": None,
            "detail": "",
            "live": 0,
            "concurrent_calls": trunk.concurrent_calls or None,
        }
        for trunk in settings_of(config).trunks
    ]


def _row(trunk: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        trunk["name"],
        trunk["address"],
        trunk["transport"],
        _prefixes(trunk),
        trunk["state"],
        trunk["since"] or "-",
        _calls(trunk),
        trunk["detail"] or _pause(trunk),
    )


def _pause(trunk: Mapping[str, Any]) -> str:
    until = trunk.get("paused_until")
    return f"gets no calls until {until}" if until else ""


def _prefixes(trunk: Mapping[str, Any]) -> str:
    return ", ".join(prefix or "(all)" for prefix in trunk["prefixes"])


def _calls(trunk: Mapping[str, Any]) -> str:
    most = trunk["concurrent_calls"]
    return f"{trunk['live']} of {most}" if most else str(trunk["live"])


def _lines(trunk: Mapping[str, Any]) -> Iterator[str]:
    since = f" since {trunk['since']}" if trunk["since"] else ""
    yield f"{trunk['name']}  {trunk['state']}{since}"
    told = {
        "detail": trunk["detail"],
        "address": f"{trunk['address']} over {trunk['transport']}",
        "last answer": _last_answer(trunk),
        "registered until": trunk["registered_until"],
        "gets no calls until": trunk["paused_until"],
        "avoided": "; ".join(trunk["avoided"]),
        "prefixes": _prefixes(trunk),
        "codecs": ", ".join(trunk["codecs"]),
        "calls": _calls(trunk) + (f", {trunk['queued']} wait" if trunk["queued"] else ""),
        "calls a second": trunk["calls_per_second"],
        "minutes a day": trunk["minutes_per_day"],
    }
    for name, value in told.items():
        if value:
            yield f"  {name}: {value}"


def _message_lines(messages: Mapping[str, Any]) -> Iterator[str]:
    """Each kind as a ladder with the messages below it, escaped for a terminal."""
    from outdial.calls.drawing import message_lines

    for title, kind in (("REGISTER", "registration"), ("OPTIONS", "options")):
        if kind not in messages:
            continue
        yield ""
        yield f"{title}{'' if messages[kind] else ': none since the server started'}"
        yield from message_lines(messages[kind])


def _last_answer(trunk: Mapping[str, Any]) -> str:
    if trunk["checked_at"] is None:
        return ""
    said = "none"
    if trunk["last_code"] is not None:
        said = f"{trunk['last_code']} {trunk['last_reason']}".rstrip()
        if trunk["rtt_ms"] is not None:
            said += f" after {trunk['rtt_ms']:g} ms"
    whom = f" from {trunk['target']}" if trunk["target"] else ""
    return f"{said}{whom}, {trunk['checked_at']}"
