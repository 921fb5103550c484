"""`outdial bans`: the addresses whose SIP messages a running server does not listen to."""

from __future__ import annotations

import json
from typing import Annotated
from urllib.parse import quote

import typer

from outdial.cli.options import Config, Json, Key, Server, print_line

app = typer.Typer(
    help="List the addresses that a running server does not listen to, and lift bans.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("ls")
def bans_ls(
    config: Config = None, server: Server = "", key: Key = "", as_json: Json = False
) -> None:
    """List the bans that hold, oldest first."""
    from outdial.cli import lines
    from outdial.cli.client import connect

    found = connect(config, server, key).get("/v1/bans")["bans"]
    if as_json:
        for one in found:
            print_line(json.dumps(one))
        return
    rows: list[tuple[str, ...]] = [("ADDRESS", "REASON", "OFFENCES", "SINCE", "UNTIL")]
    rows += [
        (one["address"], one["reason"], str(one["offences"]), one["since"], one["until"])
        for one in found
    ]
    for line in lines.table(rows):
        print_line(line)


@app.command("lift")
def bans_lift(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="As bans ls shows it.")],
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Listen to an address again. Its offences are counted anew."""
    from outdial.cli.client import connect
    from outdial.log import escape

    connect(config, server, key).delete(f"/v1/bans/{quote(address, safe='')}")
    told = {"address": address, "lifted": True}
    print_line(json.dumps(told) if as_json else f"{escape(address)}  is listened to again")
