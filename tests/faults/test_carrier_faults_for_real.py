"""Every line of docs/reference/carrier-faults.md once more, over sockets: a whole server, and RTP.

All calls are made side by side, and it takes as long as the slowest of them: `make faults` runs it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from faults.sockets import RealCarriers, RealLine
from faults.test_carrier_faults import PROMISES, SEEN
from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.faults import FAULTS
from outdial.testing.server import OutdialServer, free_port
from outdial.testing.web import WebServer

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]

NAMES = list(FAULTS)
HEALTHY = 10
A_SECOND = 20
LATEST_S = 4.0
"""The machine has other things to do."""
LONGEST_S = 300.0
LINGER_S = 64 * 0.5 + 10
HELD = (
    *("sip_client_transactions", "sip_server_transactions", "sip_calls", "sip_dialogs"),
    *("sip_early_dialogs", "sip_timers", "media_legs", "media_streams", "calls_live"),
)


class Happened(NamedTuple):
    """What became of the calls, once all were over."""

    lines: dict[str, RealLine]
    calls: dict[str, dict[str, Any]]
    events: dict[str, list[str]]
    """By sid."""
    healthy: list[dict[str, Any]]
    left: dict[str, float]
    errors: list[str]


@pytest.fixture(scope="module")
def happened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Happened]:
    lines = {name: RealLine(place, FAULTS[name]) for place, name in enumerate(NAMES)}
    settings: dict[str, Any] = {
        "limits": {"destinations": ["1"], "calls_per_second": 200},
        "trunks": [trunk for line in lines.values() for trunk in line.trunks()],
        "log": {"level": "warning"},
    }
    folder: Path = tmp_path_factory.mktemp("faults")
    with RealCarriers(lines.values()) as carriers, WebServer() as web:
        settings["sip"] = {"nameservers": [carriers.names.address]}
        server = OutdialServer(settings, folder, ready_within_s=60.0)
        listen = [f"udp:127.0.0.1:{server.sip_port}", f"tcp:127.0.0.1:{free_port()}"]
        server.settings["sip"]["listen"] = listen
        with server:
            yield _run(server, web, lines)


def _run(server: OutdialServer, web: WebServer, lines: dict[str, RealLine]) -> Happened:
    web.serve("/events", "")

    def place(name: str) -> str:
        stays_s = FAULTS[name].stays_s
        path = f"/stays/{stays_s}"
        web.serve(path, f'<Response><Pause length="{stays_s}"/><Hangup/></Response>')
        return server.place_call(
            **{"from": "18005550100", "to": lines[name].number, "url": web.url(path)},
            statusCallback=web.url("/events"),
            statusCallbackEvent=["initiated", "ringing", "answered", "completed"],
        )

    sids: dict[str, str] = {}
    well: list[str] = []
    for number, name in enumerate(NAMES):
        sids[name] = place(name)
        if number % (len(NAMES) // HEALTHY) == 0:
            well.append(place("none"))
        time.sleep(1 / A_SECOND)
    with ThreadPoolExecutor(8) as pool:
        ended = list(
            pool.map(lambda sid: server.wait_until_over(sid, LONGEST_S), [*sids.values(), *well])
        )
    left = _left(server)
    events: dict[str, list[str]] = {}
    for request in web.requests:
        if request.path == "/events":
            events.setdefault(request.params["callSid"], []).append(request.params["CallStatus"])
    errors = [str(line) for line in server.log() if line.get("level") == "error"]
    calls = dict(zip(sids, ended, strict=False))
    return Happened(lines, calls, events, ended[len(sids) :], left, errors)


def _left(server: OutdialServer) -> dict[str, float]:
    deadline = time.monotonic() + LINGER_S
    while True:
        gauges = server.gauges()
        left = {name: gauges[f"outdial_{name}"] for name in HELD if gauges[f"outdial_{name}"]}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.5)


def carrier_call(happened: Happened, name: str, way: int = 0) -> CarrierCall:
    """The call as the fault's carrier had it; those that nothing is wrong with come last."""
    return happened.lines[name].carriers[way].calls[0]


def lasted_s(call: dict[str, Any], since: str = "created_at") -> float:
    begin, end = (datetime.fromisoformat(call[name]) for name in (since, "ended_at"))
    return (end - begin).total_seconds()


@pytest.mark.parametrize("name", NAMES)
def test_a_call_ends_as_the_page_says(happened: Happened, name: str) -> None:
    call, wanted = happened.calls[name], PROMISES[name]
    told = happened.events[call["sid"]]
    assert told == ["initiated", *wanted.events, "completed"]
    ended = (call["outcome"], call["cause"], call["sip_code"], call["hangup_source"])
    assert ended == (wanted.outcome, wanted.cause, wanted.code, wanted.by)
    assert wanted.after_s - 0.3 <= lasted_s(call) <= wanted.after_s + LATEST_S
    failures = [one for carrier in happened.lines[name].carriers for one in carrier.failures]
    assert failures == []


def test_calls_that_nothing_is_wrong_with_do_not_notice(happened: Happened) -> None:
    assert len(happened.healthy) >= HEALTHY
    for call in happened.healthy:
        told = happened.events[call["sid"]]
        assert told == ["initiated", "ringing", "answered", "completed"]
        assert (call["outcome"], call["cause"]) == ("completed", "normal-clearing")
        assert lasted_s(call, "answered_at") == pytest.approx(5, abs=1.0)


def test_nothing_is_left_and_nothing_was_raised(happened: Happened) -> None:
    assert happened.left == {}
    assert happened.errors == []


@pytest.mark.parametrize("name", SEEN)
def test_the_carrier_sees_what_it_should(happened: Happened, name: str) -> None:
    SEEN[name](carrier_call(happened, name))


@pytest.mark.parametrize("name", [name for name in NAMES if FAULTS[name].second])
def test_the_second_trunk_is_asked_once(happened: Happened, name: str) -> None:
    assert len(happened.lines[name].carriers[-1].calls) == 1
