"""Strangers before a real server: what they get, what they cost, and how one is let off."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.memory import own_kib
from outdial.testing.server import OutdialServer, free_port

pytestmark = pytest.mark.system

TRUNK, STRANGER = "127.0.0.2", "127.66.1.1"
AFTER = 200
FLOOD = 5_000
MOST_CONNECTIONS = 50
METHODS = ("INVITE", "OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "BYE", "CANCEL", "ACK", "FOO")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutdialServer]:
    folder: Path = tmp_path_factory.mktemp("strangers")
    settings = {
        "sip": {"strangers": "refuse", "ban_after": AFTER},
        "trunks": [{"name": "carrier", "address": f"{TRUNK}:5060", "options_interval_s": 0}],
    }
    made = OutdialServer(settings, folder)
    made.tcp_port = free_port()  # type: ignore[attr-defined]
    made.settings["sip"]["listen"].append(f"tcp:127.0.0.1:{made.tcp_port}")  # type: ignore[attr-defined]
    with made:
        yield made


class Peer:
    """A UDP socket at an address, and how many bytes went either way."""

    def __init__(self, host: str, server: OutdialServer) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._target = ("127.0.0.1", server.sip_port)
        self.host, self.port = self._socket.getsockname()
        self.sent = self.got = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, method: str, number: int, padding: int = 0) -> None:
        data = request(method, number, self.host, self.port, padding)
        self.sent += self._socket.sendto(data, self._target)

    def answer(self, timeout_s: float = 5.0) -> bytes:
        """The next one, b"" when there is none in time."""
        self._socket.settimeout(timeout_s)
        try:
            data = self._socket.recv(65_536)
        except TimeoutError:
            return b""
        self.got += len(data)
        return data


def request(method: str, number: int, host: str, port: int, padding: int = 0) -> bytes:
    return (
        f"{method} sip:1@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKs{method}{number}\r\n"
        f"From: <sip:a@{host}>;tag=1\r\nTo: <sip:1@127.0.0.1>\r\n"
        f"Call-ID: {method}{number}@{host}\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:a@{host}:{port}>\r\nMax-Forwards: 70\r\n"
        f"Subject: {'x' * padding}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def held(server: OutdialServer) -> dict[str, float]:
    """What a message can make the server hold."""
    gauges = server.gauges()
    names = ("sip_server_transactions", "sip_calls", "sip_dialogs", "sip_timers", "tasks")
    return {name: gauges[f"outdial_{name}"] for name in names}


def command(server: OutdialServer, *words: str) -> str:
    """What a command of the server's owner prints."""
    done = subprocess.run(
        [sys.executable, "-m", "outdial", *words],
        cwd=server.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_a_flood_gets_less_than_it_sends_and_leaves_nothing_and_its_source_is_let_off_by_hand(
    server: OutdialServer,
) -> None:
    command(server, "bans", "ls")  # connections that are kept are there from now on
    before, memory_kib = held(server), own_kib(server.pids)
    with Peer(TRUNK, server) as trunk, Peer(STRANGER, server) as stranger:
        for number in range(FLOOD):
            stranger.send(METHODS[number % len(METHODS)], number, padding=number % 300)
            if number % 50 == 0:
                trunk.send("OPTIONS", number)
                assert trunk.answer().startswith(b"SIP/2.0 200 ")
        assert held(server) == before
        answers = 0
        while (answer := stranger.answer(0.05)) != b"":
            answers += 1
            assert answer.startswith(b"SIP/2.0 403 ")
        assert 0 < answers <= AFTER
        assert stranger.got <= stranger.sent
        assert own_kib(server.pids) - memory_kib < 4096
        (ban,) = server.get("/v1/bans")["bans"]
        assert (ban["address"], ban["offences"]) == (STRANGER, AFTER)
        assert server.gauges()['outdial_sip_dropped_total{reason="banned"}'] >= FLOOD - AFTER - 600
        assert STRANGER in command(server, "bans", "ls")
        command(server, "bans", "lift", STRANGER)
        assert server.get("/v1/bans")["bans"] == []
        stranger.send("OPTIONS", FLOOD + 1, padding=300)
        assert stranger.answer().startswith(b"SIP/2.0 403 ")


def test_connections_of_strangers_are_few_and_a_trunk_finds_room_beside_them(
    server: OutdialServer,
) -> None:
    target = ("127.0.0.1", server.tcp_port)  # type: ignore[attr-defined]
    opened = [
        socket.create_connection(target, 5.0, (f"127.66.2.{1 + number % 200}", 0))
        for number in range(3 * MOST_CONNECTIONS)
    ]
    try:
        with socket.create_connection(target, 5.0, (TRUNK, 0)) as trunk:
            host, port = trunk.getsockname()
            data = request("OPTIONS", 1, host, port).replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP")
            trunk.sendall(data)
            assert trunk.recv(65_536).startswith(b"SIP/2.0 200 ")
            assert server.gauges()["outdial_sip_connections"] == MOST_CONNECTIONS + 1
    finally:
        for one in opened:
            one.close()
    deadline = time.monotonic() + 5
    while server.gauges()["outdial_sip_connections"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.gauges()["outdial_sip_connections"] == 0
