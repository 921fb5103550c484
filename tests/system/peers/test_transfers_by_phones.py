"""An agent's real telephone (baresip) transfers the other party with its own REFER."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from outdial.testing import audio
from outdial.testing.server import OutdialServer
from system.peers.baresip import Baresip, free_port_pair
from system.peers.observed import kinds, wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.baresip]

PARTY, AGENT, TARGET = "15551230001", "15551230002", "15551230003"
PREMIUM = "19005550111"
PARTY_HZ, AGENT_HZ, TARGET_HZ = 620.0, 1330.0, 1850.0


@pytest.fixture(scope="module")
def places() -> dict[str, int]:
    return {number: free_port_pair() for number in (PARTY, AGENT, TARGET)}


@pytest.fixture(scope="module")
def outdial(places: dict[str, int]) -> Iterator[OutdialServer]:
    trunks = [
        {
            "name": f"to-{number}",
            "address": f"127.0.0.1:{port}",
            "prefixes": [number],
            "options_interval_s": 0,
            "refer": "allow" if number == AGENT else "refuse",
        }
        for number, port in places.items()
    ]
    with OutdialServer({"trunks": trunks, "limits": {"destinations": ["1555"]}}) as server:
        yield server
        wait_until_at_rest(server)


def tone(frequency_hz: float) -> audio.Sound:
    return audio.tone(frequency_hz, seconds=30)


def wait_for(outdial: OutdialServer, sid: str, kind: str, count: int = 1) -> None:
    """Returns once the timeline has as many of the kind."""
    deadline = time.monotonic() + 30
    while (told := kinds(outdial, sid)).count(kind) < count:
        assert time.monotonic() < deadline, told
        time.sleep(0.05)


def test_the_party_talks_to_whom_the_agent_transfers_it_to(
    outdial: OutdialServer, places: dict[str, int]
) -> None:
    with (
        Baresip(PARTY, tone(PARTY_HZ), port=places[PARTY]) as party,
        Baresip(AGENT, tone(AGENT_HZ), port=places[AGENT]) as agent,
        Baresip(TARGET, tone(TARGET_HZ), port=places[TARGET]) as target,
    ):
        sid = outdial.place_call(to=PARTY, **{"from": AGENT})
        agent.wait_for("CALL_ESTABLISHED", 30)
        wait_for(outdial, sid, "bridged")
        agent.transfer(f"sip:{TARGET}@127.0.0.1")
        target.wait_for("CALL_ESTABLISHED", 30)
        wait_for(outdial, sid, "bridged", 2)
        target.press("1")  # the time that it takes is heard, too
        target.press("2")
        target.hang_up()
        call = outdial.wait_until_over(sid)
        party.wait_for("CALL_CLOSED", 30)
        (party_heard,) = party.heard()
        (target_heard,) = target.heard()
    assert (call["outcome"], call["cause"]) == ("completed", "normal-clearing")
    assert audio.tone_share(party_heard, TARGET_HZ) > 0.05
    assert audio.tone_share(target_heard, PARTY_HZ) > 0.5
    legs = outdial.get(f"/v1/calls?parent_sid={sid}")["calls"]
    assert sorted(leg["to"] for leg in legs) == sorted((PARTY, AGENT, TARGET))


def test_whom_nobody_may_call_nobody_is_transferred_to(
    outdial: OutdialServer, places: dict[str, int]
) -> None:
    """The number as the telephone writes it, at the host that it is registered with. This one hangs
    up on a party that it cannot transfer."""
    with (
        Baresip(PARTY, tone(PARTY_HZ), port=places[PARTY]),
        Baresip(AGENT, tone(AGENT_HZ), port=places[AGENT]) as agent,
    ):
        sid = outdial.place_call(to=PARTY, **{"from": AGENT})
        wait_for(outdial, sid, "bridged")
        agent.transfer(f"sip:{PREMIUM}@127.0.0.1")
        wait_for(outdial, sid, "transfer.refused")
        outdial.wait_until_over(sid)
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    (refused,) = [event["data"] for event in events if event["kind"] == "transfer.refused"]
    assert "premium" in refused["text"]
    assert [event["data"]["to"] for event in events if event["kind"] == "dial.leg"] == [AGENT]
