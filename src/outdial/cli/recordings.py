"""`outdial recordings`: listed, fetched and deleted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from outdial.cli.new_file import new_file
from outdial.cli.options import Config, Json, Key, Server, print_line

app = typer.Typer(
    help="List, fetch and delete the recordings of a running server; keep them encrypted.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


key_app = typer.Typer(
    help="The keys that recordings and faxes are encrypted with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(key_app, name="key")

Sid = Annotated[str, typer.Argument(metavar="SID", help="RE and 32 hex digits.")]


@app.command("ls")
def recordings_ls(
    call: Annotated[str, typer.Option(help="Only those of the call of this sid.")] = "",
    kind: Annotated[str, typer.Option(help="Only these: call, message, conference.")] = "",
    since: Annotated[str, typer.Option(help="RFC 3339, e.g. 2026-05-04T12:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="The same.")] = "",
    limit: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 20,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """List recordings, newest first."""
    from outdial.cli import lines
    from outdial.cli.client import connect

    wanted: dict[str, str | int] = {
        "call_sid": call,
        "kind": kind,
        "created_after": since,
        "created_before": until,
        "limit": limit,
    }
    given = {name: value for name, value in wanted.items() if value != ""}
    found = connect(config, server, key).get("/v1/recordings", **given)["recordings"]
    if as_json:
        for one in found:
            print_line(json.dumps(one))
        return
    rows: list[tuple[str, ...]] = [("SID", "BEGAN", "KIND", "SECONDS", "BYTES", "CALL", "ERROR")]
    rows += [
        (
            one["sid"],
            one["created_at"],
            one["kind"],
            "" if one["duration_ms"] is None else f"{one['duration_ms'] / 1000:.1f}",
            "" if one["size_bytes"] is None else str(one["size_bytes"]),
            one["call_sid"],
            one["error"],
        )
        for one in found
    ]
    for line in lines.table(rows):
        print_line(line)


@app.command("get")
def recordings_get(
    sid: Sid,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File; - for standard output; else SID.wav.")
    ] = "",
    mp3: Annotated[bool, typer.Option("--mp3", help="As MP3, a quarter of the size.")] = False,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Fetch the sound of a recording into a file. A file that is there is not written over."""
    from outdial.cli.client import connect
    from outdial.log import escape

    ending = "mp3" if mp3 else "wav"
    client = connect(config, server, key)
    path = f"/v1/recordings/{quote(sid, safe='')}.{ending}"
    if output == "-":
        client.download(path, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return
    target = Path(output or f"{Path(sid).name}.{ending}")
    with new_file(target) as file:
        size = client.download(path, file.write)
    told = {"file": str(target), "size_bytes": size}
    print_line(json.dumps(told) if as_json else f"{escape(str(target))}  {size} bytes")


@app.command("rm")
def recordings_rm(
    sid: Sid,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Delete a recording, for ever."""
    from outdial.cli.client import connect
    from outdial.log import escape

    connect(config, server, key).delete(f"/v1/recordings/{quote(sid, safe='')}")
    told = {"sid": sid, "deleted": True}
    print_line(json.dumps(told) if as_json else f"{escape(sid)}  deleted")


@app.command("decrypt")
def recordings_decrypt(
    file: Annotated[Path, typer.Argument(help="A recording or fax of storage.recordings.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="File; - for standard output; else by its name.")
    ] = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write an encrypted recording or fax in clear into a file. No server needs to run.

    One that is not encrypted is copied. A file that is there is not written over.
    """
    from outdial import recording_keys
    from outdial.cli.files import settings_of
    from outdial.errors import StoredFileError
    from outdial.log import escape
    from outdial.stored_file import open_file

    keys = recording_keys.of_settings(settings_of(config).storage)
    try:
        stored = open_file(file, keys)
        try:
            if output == "-":
                stored.copy_to(sys.stdout.buffer.write)
                sys.stdout.buffer.flush()
                return
            target = Path(output or file.name)
            with new_file(target) as made:
                size = stored.copy_to(made.write)
        finally:
            stored.close()
    except OSError as error:
        raise StoredFileError(f"{file} cannot be read: {error.strerror or error}") from None
    told = {"file": str(target), "size_bytes": size}
    print_line(json.dumps(told) if as_json else f"{escape(str(target))}  {size} bytes")


@key_app.command("rotate")
def key_rotate(config: Config = None, as_json: Json = False) -> None:
    """Put a new key first into storage.encryption_key_file, which is made if it is not there.

    Running servers see it within two seconds and encrypt what they record from then on with it; the
    keys before it stay, to decrypt.
    Keep a copy of the file where the recordings are not: without it they are lost.
    """
    from outdial import recording_keys
    from outdial.cli.files import settings_of
    from outdial.errors import ConfigError

    name = settings_of(config).storage.encryption_key_file
    if not name:
        raise ConfigError(
            "storage.encryption_key_file", "is not set", "name the file, e.g. recordings.keys"
        )
    _tell_keys(recording_keys.rotate(Path(name).absolute()), as_json=as_json)


@key_app.command("ls")
def key_ls(config: Config = None, as_json: Json = False) -> None:
    """List the ids of the keys, newest first, which tell nothing of them."""
    from outdial import recording_keys
    from outdial.cli.files import settings_of

    keys = recording_keys.of_settings(settings_of(config).storage)
    _tell_keys(keys.ids, as_json=as_json)


def _tell_keys(ids: list[str], *, as_json: bool) -> None:
    for place, name in enumerate(ids):
        told = {"id": name, "encrypts": not place}
        print_line(
            json.dumps(told) if as_json else f"{name}  {'' if place else 'encrypts'}".strip()
        )
