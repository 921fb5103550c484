"""The commands and their options. What a command needs is imported when it runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from outdial.cli import bans, calls, deliveries, exits, keys, meetings, numbers, recordings, trunks
from outdial.cli.options import Config, Json, Key, Server, Sim, print_line

_USAGE_OF_TYPER = 2
_EPILOG = "Exit status: 0 well, 1 refused or failed, 64 a wrong command line."

app = typer.Typer(
    help="Outdial calls a number over your SIP trunk and runs your voice application on the call.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=_EPILOG,
)
app.add_typer(bans.app, name="bans")
app.add_typer(calls.app, name="calls")
app.add_typer(meetings.conferences_app, name="conferences")
app.add_typer(meetings.queues_app, name="queues")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(numbers.app, name="numbers")
app.add_typer(recordings.app, name="recordings")
app.add_typer(keys.app, name="keys")
app.add_typer(trunks.app, name="trunks")


def _tell_version(wanted: bool) -> None:
    if wanted:
        import outdial

        typer.echo(f"outdial {outdial.__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_tell_version
        ),
    ] = False,
    ca: Annotated[
        str,
        typer.Option(
            help="PEM file of whom to trust over https; else OUTDIAL_CA, else the system."
        ),
    ] = "",
) -> None:
    """What goes before the command."""
    if ca:
        os.environ["OUTDIAL_CA"] = ca


@app.command()
def serve(
    config: Config = None,
    sim: Sim = False,
) -> None:
    """Run the server until SIGTERM or SIGINT. Live calls may end first; a second signal ends them.

    Without settings no number may be dialled: begin with --sim. Requests need an API key: see
    outdial keys add.
    """
    from outdial.cli.files import settings_of

    # read before the server's parts are imported: a wrong setting is told at once
    settings = settings_of(config, {"sim.enabled": True} if sim else None)
    from outdial.app import run

    run(settings)


@app.command()
def call(
    to: Annotated[str, typer.Argument(help="Number to dial, country code first.")],
    from_: Annotated[
        str, typer.Option("--from", help="Caller ID; without --url also who is connected.")
    ],
    url: Annotated[
        str, typer.Option(help="Voice application; without it --from is called too and connected.")
    ] = "",
    method: Annotated[str, typer.Option(help="GET or POST, how --url is fetched; else POST.")] = "",
    send_digits: Annotated[
        str, typer.Option(help="Sent after the answer: 0-9*#A-D, w and W wait.")
    ] = "",
    status_callback: Annotated[str, typer.Option(help="URL told what becomes of the call.")] = "",
    events: Annotated[
        str, typer.Option(help="Of what: initiated,ringing,answered,completed; else completed.")
    ] = "",
    timeout: Annotated[int, typer.Option(help="Seconds to let it ring.")] = 60,
    time_limit: Annotated[
        int, typer.Option(help="Seconds after the answer when it is ended.")
    ] = 14_400,
    record: Annotated[
        bool, typer.Option("--record", help="Record the call on the server.")
    ] = False,
    trunk: Annotated[str, typer.Option(help="Use only this trunk.")] = "",
    caller_name: Annotated[str, typer.Option(help="Display name of the caller ID.")] = "",
    sip_header: Annotated[
        list[str] | None,
        typer.Option(help='A further header, e.g. "X-Account: 42"; may be repeated.'),
    ] = None,
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Place a call on a running server and follow it to its end. Ctrl-C hangs up.

    Exit status: 0 completed, 2 busy, 3 no answer, 4 failed, 5 canceled, 1 refused or unreachable.
    """
    from outdial.cli.client import connect
    from outdial.cli.follow import place_and_follow

    wanted: dict[str, Any] = {
        "to": to,
        "from": from_,
        "url": url,
        "send_digits": send_digits,
        "status_callback": status_callback,
        "timeout": timeout,
        "time_limit": time_limit,
        "record": record,
        "trunk": trunk,
        "caller_name": caller_name,
    }
    if sip_header:
        lines = [line.partition(":") for line in sip_header]
        wanted["sip_headers"] = {name.strip(): value.strip() for name, _, value in lines}
    if method:
        wanted["method"] = method.upper()
    if events:
        wanted["status_callback_event"] = [word.strip().lower() for word in events.split(",")]
    client = connect(config, server, key)
    raise Done(place_and_follow(client, wanted, print_line, as_json=as_json))


@app.command()
def usage(
    since: Annotated[str, typer.Option(help="RFC 3339, e.g. 2026-05-04T12:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="The same; else now.")] = "",
    config: Config = None,
    server: Server = "",
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Show what calls came to in the last 24 hours, or that time, and what goes on now."""
    from outdial.cli import lines
    from outdial.cli.client import connect

    given = {name: value for name, value in (("since", since), ("until", until)) if value}
    shown = connect(config, server, key).get("/v1/usage", **given)
    if as_json:
        print_line(json.dumps(shown))
        return
    for line in lines.usage_lines(shown):
        print_line(line)


@app.command()
def doctor(config: Config = None, sim: Sim = False, as_json: Json = False) -> None:
    """Check settings, ports, trunks, speech, store and folders.

    Says what to do about each that fails, and leaves nothing behind.

    Exit status: 0 all is well, 1 something is not.
    """
    import asyncio
    from dataclasses import asdict

    from outdial import log
    from outdial.cli.doctor import Finding, report
    from outdial.cli.files import settings_of

    log.configure("error")
    settings = settings_of(config, {"sim.enabled": True} if sim else None)

    def tell(finding: Finding) -> None:
        if as_json:
            print_line(json.dumps(asdict(finding)))
            return
        verdict = "ok" if finding.ok else "FAILED"
        print_line(f"{verdict:<7} {finding.check:<16} {log.escape(finding.detail)}")
        if finding.remedy:
            print_line(f"{'':<24} -> {log.escape(finding.remedy)}")

    raise Done(exits.OK if asyncio.run(report(settings, tell)) else exits.REFUSED)


@app.command()
def sim(
    listen: Annotated[
        str, typer.Option(help="Where to take calls: transport:host:port.")
    ] = "udp:127.0.0.1:5090",
    http: Annotated[
        str, typer.Option(help="Where /sim/phones is answered: host:port.")
    ] = "127.0.0.1:8090",
    media_ports: Annotated[str, typer.Option(help="Range of its RTP ports.")] = "30000-39999",
    allow: Annotated[
        list[str] | None,
        typer.Option(help="Network that may call, e.g. 10.0.0.0/8; else this machine."),
    ] = None,
    config: Config = None,
) -> None:
    """Run the simulated phones alone, as a carrier to test against.

    Prints the trunk to put into the settings of a server, and the numbers of the phones.
    """
    from outdial.cli.files import settings_of
    from outdial.sim.main import LOOPBACK, run

    settings = settings_of(config)
    run(
        [listen],
        http,
        allow or LOOPBACK,
        media_ports=media_ports,
        settings=settings,
        say=print_line,
    )


@app.command()
def lint(
    source: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="The document; - for standard input.")
    ],
    method: Annotated[str, typer.Option(help="POST or GET, how a URL is fetched.")] = "POST",
    base: Annotated[
        str, typer.Option(help="URL that a file's relative URLs are relative to.")
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Read a document as the server would, and say what is wrong with it or will surprise.

    Exit status: 0 it can be run, 1 it cannot, or cannot be had.
    """
    from outdial.cli.files import settings_of
    from outdial.cli.lint import check, read

    settings = settings_of(config)
    if method.upper() not in ("GET", "POST"):
        raise typer.BadParameter(f"{method!r} is neither GET nor POST", param_hint="--method")
    report = check(read(source, settings, method.upper(), base), settings)
    if as_json:
        for found in report.objects():
            print_line(json.dumps(found, ensure_ascii=False))
    else:
        for line in report.lines():
            print_line(line)
    raise Done(exits.OK if report.is_well(strict=strict) else exits.REFUSED)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the recorded audio goes.")] = Path(
        "demo-output"
    ),
) -> None:
    """Watch two calls to simulated phones; nothing else is needed.

    From the post to the last callback, on a server of its own that is gone afterwards.
    """
    from outdial.demo.main import run

    raise Done(run(folder))


class Done(Exception):
    """A command is through; its exit status. Not SystemExit: typer uses that for wrong usage."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(status)


def main() -> NoReturn:
    """Runs the command line; every error that was foreseen is one line on standard error."""
    from outdial.errors import OutdialError

    # The store, prompts and recordings hold what people said and keys to their applications.
    os.umask(0o077)
    try:
        app(prog_name="outdial")
    except Done as done:
        sys.exit(done.status)
    except OutdialError as error:
        print_line(f"outdial: {error}", error=True)
        sys.exit(exits.REFUSED)
    except SystemExit as end:
        sys.exit(exits.USAGE if end.code == _USAGE_OF_TYPER else end.code)
    sys.exit(exits.OK)
