"""Registering at SIPp: overloaded, a longer time, a stale nonce, contacts of others, silence."""

from __future__ import annotations

import time
from typing import Any

import pytest

from outdial.testing.server import OutdialServer
from outdial.testing.sipp import Sipp
from system.sipp.messages import Message, read_trace
from system.sipp.scenarios import scenario
from system.sipp.sockets import SilentHost

pytestmark = [pytest.mark.system, pytest.mark.sipp]


def trunk(name: str, address: str, prefix: str) -> dict[str, Any]:
    return {
        "name": name,
        "address": address,
        "register": True,
        "username": "acme",
        "password": "s3cret",
        "prefixes": [prefix],
        "options_interval_s": 0,
    }


def test_a_registrar_that_is_hard_to_please_and_one_that_says_nothing() -> None:
    with (
        Sipp(scenario("registrar"), trace_messages=True) as registrar,
        SilentHost("127.0.0.1") as nobody,
    ):
        trunks = [
            trunk("carrier-a", f"127.0.0.1:{registrar.port}", "1555"),
            trunk("carrier-b", nobody.address, "1666"),
        ]
        with OutdialServer({"trunks": trunks, "limits": {"destinations": ["1"]}}) as outdial:
            state = outdial.wait_for_trunk("carrier-a", "registered")
            since = time.time()
            sid = outdial.place_call(to="16661230001", **{"from": "15551230002"}, url=outdial.url())
            call = outdial.wait_until_over(sid)
            assert outdial.get("/v1/trunks/carrier-b")["state"] == "registering"
        result = registrar.wait(10)
        asked = {one.split(b" ")[0] for one in nobody.received()}
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    requests: list[Message] = [
        one for one in read_trace(result.messages) if one.start_line.startswith("REGISTER")
    ]
    assert [one.get("Expires") for one in requests] == ["3600", "3600", *["7200"] * 3, "0"]
    assert [one.get("CSeq") for one in requests] == [f"{n} REGISTER" for n in range(1, 7)]
    assert "algorithm=SHA-256" in requests[3].get("Authorization"), "the stronger of the two"
    assert 'nonce="second"' in requests[5].get("Authorization")
    assert "nc=00000002" in requests[5].get("Authorization")
    left = time.strptime(state["registered_until"].partition(".")[0], "%Y-%m-%dT%H:%M:%S")
    lasts_s = time.mktime(left) - time.mktime(time.gmtime(since))
    assert 7100 < lasts_s < 7210, "not what the contacts of others have"
    assert (call["outcome"], call["cause"]) == ("failed", "trunk-not-registered")
    assert call["detail"] == "trunk carrier-b is not registered: it is registering"
    assert asked == {b"REGISTER"}
