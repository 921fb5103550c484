"""`outdial trunks`: what it prints and what it asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from doubles.command_line import run
from outdial.cli import client
from outdial.cli.program import app

TRUNK = {
    "name": "carrier-a",
    "address": "sip.carrier.example",
    "transport": "udp",
    "prefixes": ["", "44"],
    "codecs": ["opus", "PCMA"],
    "state": "rejected",
    "since": "2026-05-04T12:00:00.000Z",
    "detail": "403 Forbidden\x1b[31m",
    "last_code": 403,
    "last_reason": "Forbidden",
    "rtt_ms": 12.3,
    "target": "udp:198.51.100.7:5060",
    "checked_at": "2026-05-04T12:00:05.000Z",
    "registers": True,
    "registered_until": None,
    "avoided": ["udp:198.51.100.8:5060 says nothing"],
    "paused_until": None,
    "live": 3,
    "queued": 2,
    "concurrent_calls": 30,
    "calls_per_second": None,
    "minutes_per_day": None,
}


SIP = {
    "registration": [
        {
            "at": "2026-05-04T12:00:00.000Z",
            "direction": "out",
            "peer": "198.51.100.7:5060",
            "transport": "udp",
            "start_line": "REGISTER sip:carrier.example SIP/2.0",
            "text": "REGISTER sip:carrier.example SIP/2.0\r\nCSeq: 1 REGISTER\x1b[2J\r\n\r\n",
        }
    ],
    "options": [],
}


class FakeClient:
    """One trunk; keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, path: str) -> object:
        self.asked.append(path)
        if path.endswith("/sip"):
            return SIP
        return {"trunks": [TRUNK]} if path == "/v1/trunks" else TRUNK


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr(client, "connect", lambda config, server, key: fake)
    return fake


def test_trunks_are_listed_and_escaped(fake: FakeClient) -> None:
    head, row = run("trunks", "ls")
    assert head.split() == [
        "NAME", "ADDRESS", "TRANSPORT", "PREFIXES", "STATE", "SINCE", "CALLS", "DETAIL"
    ]  # fmt: skip
    assert "(all), 44  rejected  2026-05-04T12:00:00.000Z  3 of 30  403 Forbidden" in row
    assert "\x1b" not in row
    assert fake.asked == ["/v1/trunks"]


def test_trunks_as_json(fake: FakeClient) -> None:
    assert [json.loads(line) for line in run("trunks", "ls", "--json")] == [TRUNK]
    (line,) = run("trunks", "show", "carrier-a", "--json")
    assert json.loads(line) == TRUNK


def test_one_trunk_in_full(fake: FakeClient) -> None:
    lines = run("trunks", "show", "a/b")
    assert fake.asked == ["/v1/trunks/a%2Fb"]
    assert lines[0] == "carrier-a  rejected since 2026-05-04T12:00:00.000Z"
    assert "  address: sip.carrier.example over udp" in lines
    assert (
        "  last answer: 403 Forbidden after 12.3 ms from udp:198.51.100.7:5060, "
        "2026-05-04T12:00:05.000Z" in lines
    )
    assert "  calls: 3 of 30, 2 wait" in lines
    assert not any("\x1b" in line for line in lines)


def test_a_trunk_that_nobody_asked(fake: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNK, "checked_at", None)
    assert not any("last answer" in line for line in run("trunks", "show", "carrier-a"))


def test_a_trunk_that_asked_for_no_calls(fake: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    until = "2026-05-04T12:02:00.000Z"
    monkeypatch.setitem(TRUNK, "paused_until", until)
    assert f"gets no calls until: {until}" in "\n".join(run("trunks", "show", "carrier-a"))
    monkeypatch.setitem(TRUNK, "detail", "")
    assert run("trunks", "ls")[1].endswith(f"gets no calls until {until}")


def test_a_trunk_that_never_answered(fake: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRUNK, "last_code", None)
    lines = run("trunks", "show", "carrier-a")
    assert "  last answer: none from udp:198.51.100.7:5060, 2026-05-04T12:00:05.000Z" in lines


@pytest.fixture
def settings(tmp_path: Path) -> str:
    """Those of a server that does not run."""
    path = tmp_path / "outdial.toml"
    path.write_text(
        '[http]\nlisten = "127.0.0.1:1"\n'
        '[[trunks]]\nname = "a"\naddress = "sip.example.com"\n'
        'username = "u"\npassword = "hunter2"\n'
    )
    return str(path)


def test_without_a_server_the_settings_are_shown(settings: str) -> None:
    result = CliRunner().invoke(app, ["trunks", "ls", "--json", "-c", settings])
    assert result.exit_code == 0
    (shown,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (shown["name"], shown["state"]) == ("a", "unknown")
    assert "hunter2" not in result.output
    assert "is `outdial serve` running there?" in result.stderr


def test_a_server_that_was_named_must_be_there(settings: str) -> None:
    words = ["trunks", "ls", "-c", settings, "--server", "http://127.0.0.1:1"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, client.Unreachable)


# ---------------------------------------------------------------- where a number goes

SETTINGS = """
[limits]
destinations = ["1", "44"]
[policy]
do_not_call = "{folder}/never"
[[trunks]]
name = "carrier-a"
address = "192.0.2.1:5060"
rates = "{folder}/a.csv"
[[trunks]]
name = "carrier-b"
address = "192.0.2.2:5060"
[[routes]]
prefixes = ["44"]
trunks = ["carrier-a", {{ name = "carrier-b", cost = 0.02 }}]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "never").write_text("442079460999\n")
    (tmp_path / "a.csv").write_text("44,0.01\n4478,0.5\n")
    file = tmp_path / "outdial.toml"
    file.write_text(SETTINGS.format(folder=tmp_path))
    return str(file)


def route(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["trunks", "route", *words])
    return result.exit_code, result.output


def test_where_a_number_goes_and_why(config: str) -> None:
    assert route("+44 20 7946 0000", "-c", config) == (
        0,
        "442079460000: the route of prefix 44, the cheapest first\n"
        "  1. carrier-a, 0.01 a minute (unknown)\n"
        "  2. carrier-b, 0.02 a minute (unknown)\n",
    )
    assert route("447812345678", "-c", config)[1].splitlines()[1].startswith("  1. carrier-b")
    assert route("12125550100", "-c", config)[1].startswith("12125550100: trunks.prefixes: (all)")


def test_the_state_of_a_running_servers_trunks_counts(config: str, fake: FakeClient) -> None:
    code, output = route("442079460000", "-c", config)
    assert code == 0
    assert output.splitlines()[1:] == [
        "  1. carrier-b, 0.02 a minute (unknown)",
        r"  2. carrier-a, 0.01 a minute (rejected: 403 Forbidden\u001b[31m)",
    ]
    assert fake.asked == ["/v1/trunks"]


def test_a_named_trunk_goes_before_routes(config: str) -> None:
    code, output = route("442079460000", "--trunk", "carrier-b", "-c", config, "--json")
    assert code == 0
    assert json.loads(output) == {
        "number": "442079460000",
        "why": "the request names its trunk",
        "trunks": [{"name": "carrier-b", "cost": None, "state": "unknown", "detail": ""}],
    }


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        ("33142685300", "limits.destinations"),
        ("19005550100", "limits.premium_rate"),
        ("881631234567", "limits.satellite"),
        ("442079460999", "policy.do_not_call"),
        ("hello", "digits only"),
    ],
)
def test_the_rule_that_forbids_a_number_is_named(config: str, number: str, rule: str) -> None:
    code, output = route(number, "-c", config)
    assert code == 1
    assert output.startswith(f"{number} may not be dialled: ")
    assert rule in output
    code, output = route(number, "-c", config, "--json")
    assert (code, json.loads(output)["trunks"]) == (1, [])


def test_no_trunk_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "outdial.toml"
    file.write_text('[limits]\ndestinations = ["1"]\n')
    code, output = route("12125550100", "-c", str(file))
    assert code == 1
    assert "no trunk takes it" in output


def test_the_messages_of_a_trunk(fake: FakeClient) -> None:
    """As a ladder and in full, escaped for a terminal; only when they are asked for."""
    text = "\n".join(run("trunks", "show", "carrier-a", "--sip"))
    assert fake.asked == ["/v1/trunks/carrier-a", "/v1/trunks/carrier-a/sip"]
    assert "12:00:00.000  |REGISTER sip:carrier.example ---" in text
    assert "to 198.51.100.7:5060 over udp\n  REGISTER sip:carrier.example SIP/2.0" in text
    assert "  CSeq: 1 REGISTER" in text and "\x1b" not in text
    assert "OPTIONS: none since the server started" in text
    assert "REGISTER:" not in text


def test_the_messages_of_a_trunk_as_json(fake: FakeClient) -> None:
    (line,) = run("trunks", "show", "carrier-a", "--sip", "--json")
    assert json.loads(line) == {**TRUNK, "sip": SIP}
