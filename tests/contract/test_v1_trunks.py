"""`/v1/trunks`, over HTTP."""

from __future__ import annotations

from contract.conftest import Door
from outdial.legs import TracedMessage
from outdial.trunk_state import TrunkMessages, TrunkState

CARRIER = {
    "name": "carrier",
    "address": "sip.carrier.example",
    "transport": "udp",
    "prefixes": [""],
    "codecs": ["PCMU", "PCMA"],
    "state": "rejected",
    "since": "1970-01-01T00:01:00.000Z",
    "detail": "403 Forbidden",
    "last_code": 403,
    "last_reason": "Forbidden",
    "rtt_ms": 12.3,
    "target": "udp:198.51.100.7:5060",
    "checked_at": "1970-01-01T00:02:00.000Z",
    "registers": True,
    "registered_until": None,
    "live": 0,
    "queued": 0,
    "avoided": ["udp:198.51.100.7:5060 says nothing"],
    "paused_until": "1970-01-01T00:03:00.000Z",
    "concurrent_calls": 30,
    "calls_per_second": None,
    "minutes_per_day": None,
}


def rejected() -> TrunkState:
    return TrunkState(
        "carrier",
        "rejected",
        since=60.0,
        last_code=403,
        last_reason="Forbidden",
        rtt_ms=12.3456,
        target="udp:198.51.100.7:5060",
        checked_at=120.0,
        detail="403 Forbidden",
        registers=True,
        avoided=("udp:198.51.100.7:5060 says nothing",),
        paused_until=180.0,
    )


async def test_trunks_are_listed_in_the_order_of_the_settings(door: Door) -> None:
    door.record.trunk_states = [rejected()]
    status, answer = await door.get("/v1/trunks")
    assert status == 200
    assert answer["trunks"][0] == CARRIER
    spare = answer["trunks"][1]
    assert (spare["name"], spare["prefixes"]) == ("spare", ["1", "44"])
    assert (spare["state"], spare["since"], spare["checked_at"]) == ("unknown", None, None)


async def test_one_trunk(door: Door) -> None:
    door.record.trunk_states = [rejected()]
    assert await door.get("/v1/trunks/carrier") == (200, CARRIER)
    status, problem = await door.get("/v1/trunks/nope")
    assert (status, problem["code"], problem["field"]) == (404, 40405, "name")


async def test_what_goes_to_and_fro_outside_of_calls(door: Door) -> None:
    asked = TracedMessage(
        60.0, True, "198.51.100.7:5060", "udp", b"REGISTER sip:carrier.example SIP/2.0\r\n\r\n"
    )
    probed = TracedMessage(61.5, False, "198.51.100.7:5060", "udp", b"SIP/2.0 200 OK\r\n\r\n")
    door.record.trunk_messages = TrunkMessages((asked,), (probed,))
    status, answer = await door.get("/v1/trunks/carrier/sip")
    assert status == 200
    assert answer == {
        "registration": [
            {
                "at": "1970-01-01T00:01:00.000Z",
                "direction": "out",
                "peer": "198.51.100.7:5060",
                "transport": "udp",
                "start_line": "REGISTER sip:carrier.example SIP/2.0",
                "text": "REGISTER sip:carrier.example SIP/2.0\r\n\r\n",
            }
        ],
        "options": [
            {
                "at": "1970-01-01T00:01:01.500Z",
                "direction": "in",
                "peer": "198.51.100.7:5060",
                "transport": "udp",
                "start_line": "SIP/2.0 200 OK",
                "text": "SIP/2.0 200 OK\r\n\r\n",
            }
        ],
    }
    status, problem = await door.get("/v1/trunks/nope/sip")
    assert (status, problem["code"], problem["field"]) == (404, 40405, "name")


async def test_of_a_trunk_that_was_never_asked_there_is_nothing(door: Door) -> None:
    status, answer = await door.get("/v1/trunks/spare/sip")
    assert (status, answer) == (200, {"registration": [], "options": []})


async def test_a_key_is_needed(door: Door) -> None:
    for path in ("/v1/trunks", "/v1/trunks/carrier", "/v1/trunks/carrier/sip"):
        async with door.http.get(door.base + path) as answer:
            assert answer.status == 401
