"""`outdial deliveries`: what became of callbacks, sending them again, receiving them, secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from outdial.cli.options import Config, Json, Key, Server, print_line

app = typer.Typer(
    help="Look at status callbacks, send them again, receive them, and show what signs them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
secret_app = typer.Typer(
    help="The secrets in webhooks.secret_file, with which requests are signed.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(secret_app, name="secret")


@app.command("ls")
def deliveries_ls(
    state: Annotated[str, typer.Option(help="Only these: pending, done, dead.")] = "",
    call: Annotated[str, typer.Option(help="Only those of the call of this sid.")] = "",
    limit: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 20,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """List callbacks, newest first; those of one call in the order they were made."""
    from outdial.cli import lines
    from outdial.cli.client import connect

    wanted: dict[str, str | int] = {"state": state, "call_sid": call, "limit": limit}
    given = {name: value for name, value in wanted.items() if value != ""}
    found = connect(config, server, key).get("/v1/deliveries", **given)["deliveries"]
    if as_json:
        for one in found:
            print_line(json.dumps(one))
        return
    rows = [("ID", "CREATED", "EVENT", "STATE", "TRIES", "LAST", "URL")]
    rows += [
        (
            one["id"],
            one["created_at"],
            one["event"],
            one["state"],
            str(one["attempts"]),
            str(one["last_status"] or one["last_error"][:40]),
            one["url"][:80],
        )
        for one in found
    ]
    for line in lines.table(rows):
        print_line(line)


@app.command("show")
def deliveries_show(
    id_: Annotated[str, typer.Argument(metavar="ID", help="DE and 32 hex digits.")],
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Show a callback in full: the request, and every attempt with what was answered."""
    from urllib.parse import quote

    from outdial.cli.callback_lines import delivery_lines
    from outdial.cli.client import connect

    shown = connect(config, server, key).get(f"/v1/deliveries/{quote(id_, safe='')}")
    if as_json:
        print_line(json.dumps(shown))
        return
    for line in delivery_lines(shown):
        print_line(line)


@app.command("replay")
def deliveries_replay(
    id_: Annotated[str, typer.Argument(metavar="[ID]", help="DE and 32 hex digits.")] = "",
    dead: Annotated[
        bool, typer.Option("--dead", help="All that were given up, in place of one.")
    ] = False,
    call: Annotated[str, typer.Option(help="With --dead: only those of this call.")] = "",
    since: Annotated[
        str, typer.Option(help="With --dead: only those made since, e.g. 2026-05-04T12:00:00Z.")
    ] = "",
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Deliver a callback once more, or all that were given up, with the same webhook-id."""
    from urllib.parse import quote

    from outdial.cli.client import connect
    from outdial.log import escape

    if bool(id_) == dead or (not dead and (call or since)):
        raise typer.BadParameter("give either an ID, or --dead with or without --call and --since")
    client = connect(config, server, key)
    if dead:
        wanted = {"state": "dead", "call_sid": call, "since": since}
        answer = client.post(
            "/v1/deliveries/replay", {name: value for name, value in wanted.items() if value}
        )
        print_line(json.dumps(answer) if as_json else f"{answer['count']} are delivered once more")
        return
    answer = client.post(f"/v1/deliveries/{quote(id_, safe='')}/replay", {})
    print_line(json.dumps(answer) if as_json else f"{escape(answer['id'])} is delivered once more")


@app.command("listen")
def deliveries_listen(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 9000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret: Annotated[
        list[str] | None,
        typer.Option(help="What signs them; else webhooks.secrets, else webhooks.secret_file."),
    ] = None,
    status: Annotated[int, typer.Option(help="What to answer: 200 to 599.")] = 200,
    count: Annotated[int, typer.Option(help="End after so many requests; 0: go on.")] = 0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Receive callbacks on this machine and print each, and whether its signature is right.

    Ctrl-C ends it.
    """
    from outdial.cli import listen
    from outdial.cli.files import settings_of

    if not 200 <= status <= 599:
        raise typer.BadParameter("--status must be 200 to 599")
    secrets = listen.secrets_of(None if secret else settings_of(config).webhooks, secret or ())
    listen.run(host, port, secrets, status, count, print_line, as_json=as_json)


@secret_app.command("show")
def secret_show(config: Config = None, as_json: Json = False) -> None:
    """Show the secrets, newest first. Each is valid."""
    from outdial.webhooks.secret_file import read

    _print_secrets(read(_secret_file(config)), as_json)


@secret_app.command("rotate")
def secret_rotate(config: Config = None, as_json: Json = False) -> None:
    """Put a new secret first and keep the one before it.

    A running server signs with both within a second.
    """
    from outdial.webhooks.secret_file import rotate

    _print_secrets(rotate(_secret_file(config)), as_json)


def _secret_file(config: Path | None) -> Path:
    """Raises ConfigError when the secrets stand in the settings."""
    from outdial.cli.files import settings_of
    from outdial.errors import ConfigError

    settings = settings_of(config).webhooks
    if settings.secrets:
        raise ConfigError(
            "webhooks.secrets",
            "is set, so that the file is not used",
            "change the secrets there, the newest first, and start the server again",
        )
    return Path(settings.secret_file).absolute()


def _print_secrets(secrets: list[str], as_json: bool) -> None:
    for place, secret in enumerate(secrets):
        print_line(json.dumps({"secret": secret, "newest": place == 0}) if as_json else secret)
