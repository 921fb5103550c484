"""SIP over TLS with others' TLS: Kamailio's, OpenSSL's own programs, and a telephone's."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from doubles.certificates import Authority, Made
from outdial.testing import audio
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers import kamailio_tls
from system.peers.baresip import Baresip, free_port_pair
from system.peers.kamailio_tls import KamailioTls
from system.peers.observed import wait_until_at_rest

pytestmark = [
    pytest.mark.system,
    pytest.mark.kamailio,
    pytest.mark.baresip,
    pytest.mark.skipif(
        not kamailio_tls.is_installed(),
        reason="Kamailio has no TLS: make test-programs, or apt install kamailio-tls-modules",
    ),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl program"),
]

ALICE, EXPIRED_FIRST, WRONG_NAME, SELF_SIGNED, OURS = (f"1555123000{n}" for n in range(1, 6))
HERE = "127.0.0.1"


@contextmanager
def s_server(made: Made) -> Iterator[int]:
    """OpenSSL's own server with the certificate; its port. It answers nothing."""
    port = free_port_pair()
    process = subprocess.Popen(
        ["openssl", "s_server", "-accept", f"{HERE}:{port}", "-quiet",
         "-cert", str(made.path), "-key", str(made.key_path)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((HERE, port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "s_server does not listen"
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.communicate()


@dataclass(frozen=True)
class Path:
    """Outdial, the proxy, and where the phone behind it listens."""

    outdial: OutdialServer
    proxy: KamailioTls
    phone_port: int
    sip_port: int
    authority: Authority


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    own = authority.make("outdial", [HERE])
    phone_port, sip_port = free_port_pair(), free_port_pair()
    places = dict.fromkeys((ALICE, EXPIRED_FIRST), f"{HERE}:{phone_port}")
    expired = authority.make("carrier", [HERE], days=(-9, -1))
    other = authority.make("carrier", ["sip.other.example"])
    alone = authority.make("carrier", [HERE], self_signed=True)
    with (
        KamailioTls(places, authority.make("proxy", [HERE])) as proxy,
        s_server(expired) as expired_port,
        s_server(other) as other_port,
        s_server(alone) as alone_port,
    ):

        def trunk(name: str, port: int, *prefixes: str) -> dict[str, Any]:
            return {
                "name": name,
                "address": f"{HERE}:{port}",
                "transport": "tls",
                "tls_ca": authority.path,
                "prefixes": list(prefixes),
                "options_interval_s": 0,
                "srtp": "off",
            }

        settings = {
            "sip": {
                "listen": [f"tls:{HERE}:{sip_port}"],
                "tls_certificate": str(own.path),
                "tls_key": str(own.key_path),
            },
            "trunks": [
                trunk("expired", expired_port, EXPIRED_FIRST),
                trunk("proxy", proxy.tls_port, ALICE, EXPIRED_FIRST),
                trunk("wrong-name", other_port, WRONG_NAME),
                trunk("self-signed", alone_port, SELF_SIGNED),
            ],
            "limits": {"destinations": ["1555"]},
            "numbers": [{"number": OURS, "url": "http://127.0.0.1:9/none"}],
        }
        with OutdialServer(settings) as outdial:
            yield Path(outdial, proxy, phone_port, sip_port, authority)


@pytest.fixture
def stay(web: WebServer) -> str:
    """An application that stays for a moment."""
    return web.serve("/stay.xml", '<Response><Pause length="1"/></Response>')


def placed(path: Path, number: str, url: str) -> dict[str, Any]:
    sid = path.outdial.place_call(to=number, **{"from": OURS}, url=url)
    return path.outdial.wait_until_over(sid)


def test_a_proxy_that_record_routes_over_tls(path: Path, stay: str) -> None:
    with Baresip(ALICE, audio.tone(1330, seconds=5), port=path.phone_port):
        call = placed(path, ALICE, stay)
    assert (call["outcome"], call["cause"]) == ("completed", "normal-clearing")
    assert path.proxy.seen(call["sid"]) == [
        "INVITE tls routes=0",
        "ACK tls routes=2",
        "BYE tls routes=2",
    ]
    wait_until_at_rest(path.outdial)


def test_an_expired_certificate_leads_to_the_next_trunk(path: Path, stay: str) -> None:
    with Baresip(EXPIRED_FIRST, port=path.phone_port):
        call = placed(path, EXPIRED_FIRST, stay)
    assert (call["outcome"], call["trunk"]) == ("completed", "proxy")
    events = path.outdial.get(f"/v1/calls/{call['sid']}/events")["events"]
    (failed,) = [event["data"] for event in events if event["kind"] == "trunk.failed"]
    assert failed["trunk"] == "expired"
    assert failed["reason"] == "the certificate has expired"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (WRONG_NAME, "the certificate is for sip.other.example, not for 127.0.0.1"),
        (SELF_SIGNED, "the certificate is self-signed, and not one that is trusted"),
    ],
)
def test_a_certificate_that_is_not_good_ends_the_call_in_words(
    path: Path, stay: str, number: str, words: str
) -> None:
    call = placed(path, number, stay)
    assert (call["outcome"], call["cause"], call["sip_code"]) == (
        "failed", "trunk-unreachable", 503,
    )  # fmt: skip
    assert words in call["detail"]


def test_s_client_sees_our_certificate_and_is_answered(path: Path) -> None:
    asked = (
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"
        "From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    process = subprocess.Popen(
        ["openssl", "s_client", "-connect", f"{HERE}:{path.sip_port}", "-CAfile",
         path.authority.path, "-verify_return_error", "-brief", "-ign_eof"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(asked.encode())
        process.stdin.flush()
        assert process.stdout.readline() == b"SIP/2.0 200 OK\r\n"
    finally:
        process.kill()
        _, said = process.communicate()
    assert b"Verification: OK" in said
    assert b"TLSv1.3" in said


def test_a_telephone_calls_us_over_tls(path: Path) -> None:
    made = path.authority.make("phone", [HERE])
    both = made.path.with_suffix(".both")
    both.write_bytes(made.key_path.read_bytes() + made.path.read_bytes())
    with Baresip("15551239998", certificate=str(both)) as phone:
        phone.dial(f"sip:{OURS}@{HERE}:{path.sip_port};transport=tls")
        phone.wait_for("CALL_CLOSED")
    calls = path.outdial.get(f"/v1/calls?to={OURS}")["calls"]
    (call,) = [one for one in calls if one["direction"] == "inbound"]
    messages = path.outdial.get(f"/v1/calls/{call['sid']}/ladder")["messages"]
    assert {message["transport"] for message in messages} == {"tls"}
    invite = next(one["text"] for one in messages if one["text"].startswith("INVITE"))
    assert "SIP/2.0/TLS" in invite
