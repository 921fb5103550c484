"""`outdial calls`: look at calls, follow one, and change it while it goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from outdial.cli import exits
from outdial.cli.options import Config, Json, Key, Server, print_line

app = typer.Typer(
    help="Look at the calls of a running server, follow them and change them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Sid = Annotated[str, typer.Argument(metavar="SID", help="The call's: CA and 32 hex digits.")]
ACTIONS = ("start", "pause", "resume", "stop")


@app.command("ls")
def calls_ls(
    state: Annotated[
        str, typer.Option(help="Only these: queued, dialling, ringing, answered, completed.")
    ] = "",
    outcome: Annotated[
        str, typer.Option(help="Only these: completed, busy, no-answer, failed, canceled.")
    ] = "",
    direction: Annotated[str, typer.Option(help="Only these: outbound, inbound.")] = "",
    to: Annotated[str, typer.Option(help="Only those to this number.")] = "",
    from_: Annotated[str, typer.Option("--from", help="Only those from this number.")] = "",
    parent: Annotated[str, typer.Option(help="Only the legs of the call of this sid.")] = "",
    since: Annotated[
        str, typer.Option(help="Placed after: RFC 3339, e.g. 2026-05-04T12:00:00Z.")
    ] = "",
    until: Annotated[str, typer.Option(help="Placed before.")] = "",
    limit: Annotated[int, typer.Option(help="How many, 1 to 100.")] = 20,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """List calls, newest first."""
    from outdial.cli import lines
    from outdial.cli.client import connect

    wanted: dict[str, str | int] = {
        "state": state,
        "outcome": outcome,
        "direction": direction,
        "to": to,
        "from": from_,
        "parent_sid": parent,
        "created_after": since,
        "created_before": until,
        "limit": limit,
    }
    given = {name: value for name, value in wanted.items() if value != ""}
    calls = connect(config, server, key).get("/v1/calls", **given)["calls"]
    if as_json:
        for one in calls:
            print_line(json.dumps(one))
        return
    rows = [("SID", "CREATED", "FROM", "TO", "STATE", "OUTCOME", "SECONDS")]
    rows += [
        (
            one["sid"],
            one["created_at"],
            one["from"],
            one["to"],
            one["state"],
            one["outcome"] or "",
            "" if one["duration_s"] is None else str(one["duration_s"]),
        )
        for one in calls
    ]
    for line in lines.table(rows):
        print_line(line)


@app.command("show")
def calls_show(
    sid: Annotated[str, typer.Argument(help="The call's sid: CA and 32 hex digits.")],
    sip: Annotated[
        bool, typer.Option("--sip", help="Each SIP message in full, below the ladder.")
    ] = False,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Show a call in full.

    What was asked for, its timeline, its callbacks, and its SIP messages as a ladder. With --json
    they are there in full as well.
    """
    from outdial.cli import lines
    from outdial.cli.client import connect
    from outdial.cli.follow import whole_timeline

    client = connect(config, server, key)
    path = f"/v1/calls/{quote(sid, safe='')}"
    shown = client.get(path)
    timeline = whole_timeline(client, path)
    callbacks = client.get(f"/v1/deliveries?call_sid={quote(sid, safe='')}")["deliveries"]
    messages = client.get(f"{path}/ladder")["messages"]
    if as_json:
        everything = {
            "call": shown,
            "events": timeline,
            "deliveries": callbacks,
            "messages": messages,
        }
        print_line(json.dumps(everything))
        return
    for line in lines.call_lines(shown, timeline, callbacks, messages, whole=sip):
        print_line(line)


@app.command("pcap")
def calls_pcap(
    sid: Sid,
    output: Annotated[
        str, typer.Option("--output", "-o", help="File; - for standard output; else SID.pcap.")
    ] = "",
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Fetch a call's SIP messages as a capture file, for Wireshark and its like.

    A file that is there is not written over.
    """
    from outdial.calls.capture import HEAD
    from outdial.cli.client import ApiError, connect
    from outdial.cli.new_file import new_file
    from outdial.log import escape

    parts: list[bytes] = []
    client = connect(config, server, key)
    client.download(f"/v1/calls/{quote(sid, safe='')}/sip.pcap", parts.append)
    capture = b"".join(parts)
    if capture == HEAD:
        raise ApiError(
            f"no SIP messages of {escape(sid)} are kept: it was not dialled yet, "
            "or retention.ladders_days is over"
        )
    if output == "-":
        sys.stdout.buffer.write(capture)
        sys.stdout.buffer.flush()
        return
    target = Path(output or f"{Path(sid).name}.pcap")
    with new_file(target) as file:
        file.write(capture)
    told = {"file": str(target), "size_bytes": len(capture)}
    print_line(json.dumps(told) if as_json else f"{escape(str(target))}  {len(capture)} bytes")


@app.command("tail")
def calls_tail(
    sid: Sid,
    after: Annotated[int, typer.Option(help="Begin behind this event; else with the first.")] = -1,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Show a call's timeline as it happens, until the call is over.

    A connection that breaks is made again where it was. Ctrl-C leaves; the call goes on.
    """
    from outdial.cli.client import connect
    from outdial.cli.follow import tail

    try:
        tail(connect(config, server, key), sid, after, print_line, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(exits.INTERRUPTED) from None


@app.command("hangup")
def calls_hangup(
    sids: Annotated[list[str], typer.Argument(metavar="SID...", help="The calls' sids.")],
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Hang up; calls that wait or ring are cancelled."""
    for sid in sids:
        _change(config, server, key, sid, {"hangup": True}, as_json=as_json)


@app.command("redirect")
def calls_redirect(
    sid: Sid,
    url: Annotated[str, typer.Option(help="Where the other document is.")] = "",
    method: Annotated[str, typer.Option(help="GET or POST, how --url is fetched; else POST.")] = "",
    fallback_url: Annotated[str, typer.Option(help="Fetched when --url fails.")] = "",
    document: Annotated[
        str, typer.Option(metavar="FILE", help="The document itself; - for standard input.")
    ] = "",
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Run another document on a call, at once."""
    if bool(url) == bool(document):
        raise typer.BadParameter("give one of --url and --document")
    wanted: dict[str, Any] = {"document": _read(document)} if document else {"url": url}
    if method:
        wanted["method"] = method.upper()
    if fallback_url:
        wanted["fallback_url"] = fallback_url
    _change(config, server, key, sid, wanted, as_json=as_json)


@app.command("digits")
def calls_digits(
    sid: Sid,
    digits: Annotated[
        str,
        typer.Argument(help="0-9*#A-D, w waits 0.5 s, W 1 s; - reads them from standard input."),
    ],
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Send digits to the far end of a call."""
    given = sys.stdin.readline().strip() if digits == "-" else digits
    _change(config, server, key, sid, {"send_digits": given}, as_json=as_json)


@app.command("mute")
def calls_mute(
    sid: Sid, config: Config = None, server: Server = "", key: Key = "", as_json: Json = False
) -> None:
    """What the party says is neither heard by others nor recorded."""
    _change(config, server, key, sid, {"muted": True}, as_json=as_json)


@app.command("unmute")
def calls_unmute(
    sid: Sid, config: Config = None, server: Server = "", key: Key = "", as_json: Json = False
) -> None:
    """It is heard and recorded again."""
    _change(config, server, key, sid, {"muted": False}, as_json=as_json)


@app.command("record")
def calls_record(
    sid: Sid,
    action: Annotated[str, typer.Argument(help=", ".join(ACTIONS))],
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Start, pause, resume or stop the recording of a call."""
    if action not in ACTIONS:
        raise typer.BadParameter(f"{action!r} is none of {', '.join(ACTIONS)}")
    _change(config, server, key, sid, {"recording": action}, as_json=as_json)


def _read(name: str) -> str:
    if name == "-":
        return sys.stdin.read()
    try:
        return Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{name} cannot be read: {error}") from None


def _change(
    config: Path | None, server: str, key: str, sid: str, wanted: object, *, as_json: bool
) -> None:
    from outdial.cli import lines
    from outdial.cli.client import connect

    client = connect(config, server, key)
    call = client.post(f"/v1/calls/{quote(sid, safe='')}", wanted)
    if as_json:
        print_line(json.dumps(call))
        return
    stands = lines.standing(call) if call["outcome"] is None else lines.ending(call)
    recording = f"  recording {call['recording_sid']}" if call["recording_sid"] else ""
    pending = "  (asked for; see outdial calls tail)" if client.status == 202 else ""
    print_line(f"{call['sid']}  {stands}{recording}{pending}")
