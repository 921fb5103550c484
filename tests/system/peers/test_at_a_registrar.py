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


def settings(carrier: KamailioRegistrar, transport: str, url: str, **more: Any) -> dict[str, Any]:
    trunk = {
        "name": "carrier-a",
        "address": carrier.address,
        "transport": transport,
        "register": True,
        "from_domain": REALM,
        "username": USER,
        "password": PASSWORD,
    }
    return {
        "sip": {"listen": ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]},
        "trunks": [trunk | more],
        "numbers": [{"number": CALLED, "url": url}],
        "limits": {"destinations": ["1555"]},
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
    with OutdialServer(settings(carrier, transport, taken)) as outdial:
        state = outdial.wait_for_trunk("carrier-a", "registered")
        assert (state["last_code"], state["detail"]) == (200, "")
        assert state["target"] == f"{transport}:{carrier.address}"
        for _ in range(2):
            sid = outdial.place_call(to=CALLED, **{"from": "15551230002"}, url=said)
            call = outdial.wait_until_over(sid)
            assert call["outcome"] == "completed", call["detail"]
        inbound = outdial.get("/v1/calls?direction=inbound")["calls"]
        assert [(one["to"], one["trunk"]) for one in inbound] == [(CALLED, "carrier-a")] * 2
    first, saved, *calls, last = carrier.notes()[before:]
    assert first == "register challenged"
    assert re.fullmatch(rf"register saved expires=3600 <sip:{USER}@127.0.0.1:\d+.*", saved)
    contact = saved.rpartition(" ")[2].partition(";expires")[0]
    known = f"invite to {CALLED} from {REALM} contact {contact}"
    assert calls == ["invite challenged", known, known], "the second call needs no challenge"
    assert last.startswith("register saved expires=0 ")


def test_a_wrong_password(carrier: KamailioRegistrar, web: WebServer) -> None:
    url = web.serve("/x.xml", "<Response/>")
    with OutdialServer(settings(carrier, "udp", url, password="wrong")) as outdial:
        state = outdial.wait_for_trunk("carrier-a", "rejected")
        assert state["detail"] == "401 Unauthorized: it does not take the user name and password"
        sid = outdial.place_call(to=CALLED, **{"from": "15551230002"}, url=url)
        call = outdial.wait_until_over(sid)
    assert (call["outcome"], call["cause"]) == ("failed", "trunk-not-registered")
    assert call["detail"] == f"trunk carrier-a is not registered: {state['detail']}"
