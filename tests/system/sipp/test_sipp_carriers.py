"""Carriers with several servers, found by a real name server: one is dead, one is silent, one takes
the call. And two carriers, of which the cheaper one is full."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from outdial.testing.server import OutdialServer, free_port
from outdial.testing.sipp import Sipp
from system.sipp.dnsmasq import Dnsmasq, program
from system.sipp.scenarios import scenario
from system.sipp.sockets import SilentHost

pytestmark = pytest.mark.skipif(program() is None, reason="dnsmasq is not installed")

MANY, POINTED, CHEAP = "12025550111", "12025550112", "12025550113"
RINGS = "12025550114"
_SETTLED_S = 0.8
FULL = "503 Service Unavailable\nRetry-After: 300"


class Carriers:
    """What stands at the ends of the trunks."""

    def __init__(self) -> None:
        self.dead = free_port(socket.SOCK_DGRAM)
        self.silent = SilentHost("127.0.0.1")
        self.alive = Sipp(scenario("reject", status="486 Busy Here"), calls=9)
        self.rings = Sipp(scenario("no-answer"), calls=1, trace_messages=True)
        self.full = Sipp(scenario("reject", status=FULL), calls=9, trace_messages=True)

    @property
    def records(self) -> list[str]:
        alive, silent = self.alive.port, self.silent.address.rpartition(":")[2]
        return [
            "--host-record=s1.test,127.0.0.1",
            "--cname=s2.test,s1.test",
            f"--srv-host=_sip._udp.many.test,s1.test,{self.dead},10,50",
            f"--srv-host=_sip._udp.many.test,s1.test,{silent},20,50",
            f"--srv-host=_sip._udp.many.test,s1.test,{alive},30,50",
            f"--srv-host=_sip._udp.rings.test,s1.test,{silent},10,50",
            f"--srv-host=_sip._udp.rings.test,s1.test,{self.rings.port},20,50",
            "--naptr-record=pointed.test,10,10,S,SIP+D2T,,_sip._tcp.else.test",
            "--naptr-record=pointed.test,20,10,S,SIP+D2U,,_sip._udp.else.test",
            f"--srv-host=_sip._udp.else.test,s2.test,{alive},1,1",
        ]

    def settings(self, name_server: str) -> dict[str, Any]:
        def trunk(name: str, address: str, *prefixes: str) -> dict[str, Any]:
            more = {"options_interval_s": 0, "target_timeout_s": 1.0}
            return {"name": name, "address": address, "prefixes": list(prefixes), **more}

        return {
            "sip": {"nameservers": [name_server]},
            "limits": {"destinations": ["1"]},
            "trunks": [
                trunk("many", "many.test", MANY),
                trunk("pointed", "pointed.test", POINTED),
                trunk("rings", "rings.test", RINGS),
                trunk("dear", f"127.0.0.1:{self.alive.port}"),
                trunk("cheap", f"127.0.0.1:{self.full.port}"),
            ],
            "routes": [
                {
                    "prefixes": [CHEAP],
                    "trunks": [{"name": "dear", "cost": 0.02}, {"name": "cheap", "cost": 0.01}],
                }
            ],
        }


@pytest.fixture(scope="module")
def carriers() -> Iterator[Carriers]:
    one = Carriers()
    with one.silent, one.alive, one.full, one.rings:
        yield one


@pytest.fixture(scope="module")
def outdial(carriers: Carriers) -> Iterator[OutdialServer]:
    with (
        Dnsmasq(carriers.records) as names,
        OutdialServer(carriers.settings(names.address)) as server,
    ):
        yield server


def busy_call(outdial: OutdialServer, to: str) -> list[tuple[str, dict[str, Any]]]:
    """Kind and data of what stands on the timeline of a call that ends as busy."""
    sid = outdial.place_call(**{"to": to, "from": "12025550100", "url": "http://127.0.0.1:9/x"})
    call = outdial.wait_until_over(sid)
    assert (call["outcome"], call["sip_code"]) == ("busy", 486)
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    return [(event["kind"], event["data"]) for event in events]


def failed_targets(events: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, int]]:
    return [(data["target"], data["status"]) for kind, data in events if kind == "target.failed"]


def test_the_server_that_takes_the_call_is_found_and_remembered(
    outdial: OutdialServer, carriers: Carriers
) -> None:
    silent = f"udp:{carriers.silent.address}"
    first = failed_targets(busy_call(outdial, MANY))
    assert first == [(f"udp:127.0.0.1:{carriers.dead}", 503), (silent, 408)]
    assert failed_targets(busy_call(outdial, MANY)) == []
    avoided = outdial.get("/v1/trunks/many")["avoided"]
    assert avoided[1] == f"{silent} says nothing"
    gauges = outdial.gauges()
    assert gauges['outdial_trunk_servers{state="avoided",trunk="many"}'] == 2
    assert gauges['outdial_trunk_server_failures_total{reason="silent",trunk="many"}'] == 1
    assert gauges['outdial_trunk_server_failures_total{reason="unreachable",trunk="many"}'] == 1
    assert {data.split()[0] for data in carriers.silent.received()} == {b"INVITE"}


def test_the_domain_says_over_which_transport(outdial: OutdialServer) -> None:
    """UDP, since nothing of the server's listens on TCP; the server's name is an alias."""
    assert failed_targets(busy_call(outdial, POINTED)) == []


def test_the_cheaper_carrier_is_full_and_gets_no_further_call(
    outdial: OutdialServer, carriers: Carriers
) -> None:
    first = dict(busy_call(outdial, CHEAP))
    assert first["state.dialling"] == {
        "trunks": ["cheap", "dear"],
        "why": f"the route of prefix {CHEAP}, the cheapest first",
        "costs": {"cheap": 0.01, "dear": 0.02},
    }
    assert first["trunk.failed"]["trunk"] == "cheap"
    second = dict(busy_call(outdial, CHEAP))
    assert second["state.dialling"]["trunks"] == ["dear", "cheap"]
    assert "trunk.failed" not in second
    assert outdial.get("/v1/trunks/cheap")["paused_until"] is not None
    gauges = outdial.gauges()
    assert gauges['outdial_trunk_servers{state="paused",trunk="cheap"}'] == 1
    assert gauges['outdial_trunk_server_failures_total{reason="paused",trunk="cheap"}'] == 1


def test_killed_while_the_second_server_rings_that_one_is_cancelled(
    outdial: OutdialServer, carriers: Carriers
) -> None:
    """What is kept of the call is the INVITE that is under way, not the one that was given up."""
    url = "http://127.0.0.1:9/x"
    sid = outdial.place_call(**{"to": RINGS, "from": "12025550100", "url": url})
    deadline = time.monotonic() + 15
    while outdial.get(f"/v1/calls/{sid}")["state"] != "ringing":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(_SETTLED_S)
    outdial.kill()
    outdial.start()
    assert outdial.wait_until_over(sid)["cause"] == "server-restart"
    result = carriers.rings.wait(15)
    assert result.successful == 1, result.complaints
    assert result.messages.count("INVITE sip:") == 1, "nothing is dialled twice"
    assert result.messages.count("CANCEL sip:") == 1
