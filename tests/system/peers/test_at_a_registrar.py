"""Registering at a real registrar: Kamailio with digest, nonce counts and a table of contacts.

The carrier hands every call to the contact that is registered, so that one Outdial is both ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers.kamailio_registrar import PASSWORD, REALM, USER, KamailioRegistrar

pytestmark = [pytest.mark.system, pytest.mark.kamailio]

CALLED = "15551230001"


def trunk(carrier: KamailioRegistrar, name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "address": carrier.address,
        "register": True,
        "from_domain": REALM,
        "username": USER,
        "password": PASSWORD,
        **more,
    }


@pytest.fixture(scope="module")
def carrier() -> Iterator[KamailioRegistrar]:
    with KamailioRegistrar() as made:
        yield made


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_registered_called_and_taken_back(
    carrier: KamailioRegistrar, web: WebServer, transport: str
) -> None:
    said = web.serve("/said.xml", '<Response><Pause length="1"/></Response>')
    taken = web.serve("/taken.xml", "<Response><Say>Hello</Say></Response>")
    before = len(carrier.notes())
    settings = {
        "sip": {"listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]},
        "trunks": [
            trunk(carrier, "carrier-a", transport=transport, prefixes=["1555"]),
            trunk(carrier, "wrong", password="wrong", prefixes=["1666"]),
        ],
        "numbers": [{"number": CALLED, "url": taken}],
        "limits": {"destinations": ["1"]},
    }
    with OutdialServer(settings) as outdial:
        state = outdial.wait_for_trunk("carrier-a", "registered")
        assert (state["last_code"], state["detail"]) == (200, "")
        assert state["target"] == f"{transport}:{carrier.address}"
        wrong = outdial.wait_for_trunk("wrong", "rejected")
        notes = len(carrier.notes())
        for _ in range(2):
            sid = outdial.place_call(to=CALLED, **{"from": "15551230002"}, url=said)
            call = outdial.wait_until_over(sid)
            assert call["outcome"] == "completed", call["detail"]
        inbound = outdial.get("/v1/calls?direction=inbound")["calls"]
        assert [(one["to"], one["trunk"]) for one in inbound] == [(CALLED, "carrier-a")] * 2
        sid = outdial.place_call(to="16661230001", **{"from": "15551230002"}, url=said)
        refused = outdial.wait_until_over(sid)
    registering, calls = carrier.notes()[before:notes], carrier.notes()[notes:-1]
    (saved,) = [one for one in registering if one != "register challenged"]
    assert re.fullmatch(rf"register saved expires=3600 <sip:{USER}@127.0.0.1:\d+.*", saved)
    contact = saved.rpartition(" ")[2].partition(";expires")[0]
    known = f"invite to {CALLED} from {REALM} contact {contact}"
    assert calls == ["invite challenged", known, known], "the second call needs no challenge"
    assert carrier.notes()[-1].startswith("register saved expires=0 ")
    assert wrong["detail"] == "401 Unauthorized: it does not take the user name and password"
    assert (refused["outcome"], refused["cause"]) == ("failed", "trunk-not-registered")
    assert refused["detail"] == f"trunk wrong is not registered: {wrong['detail']}"
