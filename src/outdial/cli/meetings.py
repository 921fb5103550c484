"""`outdial conferences` and `outdial queues`: who is in them now."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import quote

import typer

from outdial.cli.options import Config, Json, Key, Server, print_line

conferences_app = typer.Typer(
    help="Look at the conferences of a running server, mute and remove members.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
queues_app = typer.Typer(
    help="Look at the queues of a running server.", no_args_is_help=True, rich_markup_mode=None
)

Room = Annotated[str, typer.Argument(metavar="NAME", help="Its name, or CF and 32 hex digits.")]
Member = Annotated[str, typer.Argument(metavar="SID", help="The call's: CA and 32 hex digits.")]


def _print(rows: list[tuple[str, ...]]) -> None:
    from outdial.cli import lines

    for line in lines.table(rows):
        print_line(line)


@conferences_app.command("ls")
def conferences_ls(
    config: Config = None, server: Server = "", key: Key = "", as_json: Json = False
) -> None:
    """List the conferences that go on, oldest first."""
    from outdial.cli.client import connect

    found = connect(config, server, key).get("/v1/conferences")["conferences"]
    if as_json:
        for one in found:
            print_line(json.dumps(one))
        return
    rows: list[tuple[str, ...]] = [("SID", "SINCE", "BEGAN", "MEMBERS", "NAME")]
    rows += [
        (
            one["sid"],
            one["created_at"],
            one["began_at"] or "waits",
            str(len(one["members"])),
            one["name"],
        )
        for one in found
    ]
    _print(rows)


@conferences_app.command("show")
def conferences_show(
    name: Room, config: Config = None, server: Server = "", key: Key = "", as_json: Json = False
) -> None:
    """Show who is in a conference."""
    from outdial.cli.client import connect

    shown = connect(config, server, key).get(f"/v1/conferences/{quote(name, safe='')}")
    _tell_members(shown, as_json=as_json)


@conferences_app.command("mute")
def conferences_mute(
    name: Room,
    call: Member,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """The others do not hear this member any more."""
    _change(config, server, key, name, call, as_json=as_json, muted=True)


@conferences_app.command("unmute")
def conferences_unmute(
    name: Room,
    call: Member,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """The others hear this member again."""
    _change(config, server, key, name, call, as_json=as_json, muted=False)


@conferences_app.command("remove")
def conferences_remove(
    name: Room,
    call: Member,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """This member leaves, and goes on with its document."""
    _change(config, server, key, name, call, as_json=as_json, remove=True)


def _change(
    config: Config, server: str, key: str, name: str, call: str, *, as_json: bool, **what: bool
) -> None:
    from outdial.cli.client import connect

    path = f"/v1/conferences/{quote(name, safe='')}/members/{quote(call, safe='')}"
    _tell_members(connect(config, server, key).post(path, what), as_json=as_json)


def _tell_members(conference: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_line(json.dumps(conference))
        return
    rows: list[tuple[str, ...]] = [("CALL", "JOINED", "STATE", "FROM", "TO")]
    rows += [
        (
            one["call_sid"],
            one["joined_at"],
            "waits" if one["waiting"] else "muted" if one["muted"] else "speaks",
            one["from"],
            one["to"],
        )
        for one in conference["members"]
    ]
    _print(rows)


@queues_app.command("ls")
def queues_ls(
    config: Config = None, server: Server = "", key: Key = "", as_json: Json = False
) -> None:
    """List the queues that were used since the server's start, empty ones too."""
    from outdial.cli.client import connect

    found = connect(config, server, key).get("/v1/queues")["queues"]
    if as_json:
        for one in found:
            print_line(json.dumps(one))
        return
    rows: list[tuple[str, ...]] = [("SID", "WAITING", "LONGEST", "AGENTS", "NAME")]
    rows += [
        (
            one["sid"],
            str(one["size"]),
            f"{one['longest_wait_s']:.0f} s",
            str(one["agents"]),
            one["name"],
        )
        for one in found
    ]
    _print(rows)


@queues_app.command("show")
def queues_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or QU and 32 hex digits.")],
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Show who waits in a queue, the next one first."""
    from outdial.cli.client import connect

    shown = connect(config, server, key).get(f"/v1/queues/{quote(name, safe='')}")
    if as_json:
        print_line(json.dumps(shown))
        return
    rows: list[tuple[str, ...]] = [("CALL", "SINCE", "WAITED", "FROM", "TO")]
    rows += [
        (
            one["call_sid"],
            one["queued_at"],
            f"{one['waited_s']:.0f} s",
            one["from"],
            one["to"],
        )
        for one in shown["members"]
    ]
    _print(rows)
