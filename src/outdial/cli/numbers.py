"""`outdial numbers`: which numbers calls are taken for, and the applications that take them."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from outdial.cli.options import Config, Json, Key, Server, print_line

app = typer.Typer(
    help="List, add and remove the numbers that calls are taken for, on a running server.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="Country code first.")]


@app.command("ls")
def numbers_ls(
    config: Config = None, server: Server = "", key: Key = "", as_json: Json = False
) -> None:
    """List all numbers, those of the settings too."""
    from outdial.cli import lines
    from outdial.cli.client import connect

    client = connect(config, server, key)
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = client.get("/v1/numbers", limit=100, cursor=cursor)
        found += page["numbers"]
        cursor = page["next_cursor"]
        if not cursor:
            break
    if as_json:
        for one in found:
            print_line(json.dumps(one))
        return
    rows: list[tuple[str, ...]] = [("NUMBER", "FROM", "RECORDED", "METHOD", "URL")]
    rows += [
        (
            one["number"],
            one["source"],
            "yes" if one["record"] else "",
            one["method"],
            one["url"],
        )
        for one in found
    ]
    for line in lines.table(rows):
        print_line(line)


@app.command("add")
def numbers_add(
    number: Number,
    url: Annotated[str, typer.Option(help="The voice application that takes its calls.")],
    method: Annotated[str, typer.Option(help="GET or POST, how --url is fetched.")] = "POST",
    fallback_url: Annotated[str, typer.Option(help="Fetched when the application fails.")] = "",
    status_callback: Annotated[str, typer.Option(help="URL told what becomes of calls.")] = "",
    events: Annotated[str, typer.Option(help="Of what: answered,completed.")] = "completed",
    record: Annotated[bool, typer.Option("--record", help="Record its calls.")] = False,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Take calls to a number from now on, on every server of the database."""
    from outdial.cli.client import connect
    from outdial.log import escape

    wanted = {
        "number": number,
        "url": url,
        "method": method.upper(),
        "fallback_url": fallback_url,
        "status_callback": status_callback,
        "status_callback_events": [word.strip().lower() for word in events.split(",")],
        "record": record,
    }
    made = connect(config, server, key).post("/v1/numbers", wanted)
    print_line(
        json.dumps(made) if as_json else f"{escape(made['number'])} is taken by {escape(url)}"
    )


@app.command("rm")
def numbers_rm(
    number: Number,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Take no more calls to a number. Those that are up go on."""
    from outdial.cli.client import connect
    from outdial.log import escape

    connect(config, server, key).delete(f"/v1/numbers/{quote(number, safe='')}")
    told = {"number": number, "removed": True}
    print_line(json.dumps(told) if as_json else f"{escape(number)}  removed")
