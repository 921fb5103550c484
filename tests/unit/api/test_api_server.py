"""The port: taken at once, given back, and clear words when it cannot be had."""

from __future__ import annotations

import socket

import pytest

from outdial.api.server import HttpServer
from outdial.errors import ConfigError


async def test_a_port_in_use_is_named_with_a_remedy() -> None:
    first = HttpServer("127.0.0.1", 0)
    try:
        with pytest.raises(ConfigError) as caught:
            HttpServer("127.0.0.1", first.port)
    finally:
        await first.stop()
    assert caught.value.key == "http.listen"
    assert str(first.port) in caught.value.problem
    assert "another port" in caught.value.remedy


@pytest.mark.parametrize(
    ("host", "port"), [("203.0.113.7", 8080), ("127.0.0.1", 99_999), ("no such host", 80)]
)
def test_an_address_that_is_not_ours(host: str, port: int) -> None:
    with pytest.raises(ConfigError) as caught:
        HttpServer(host, port)
    assert caught.value.key == "http.listen"


async def test_stop_without_start_gives_the_port_back() -> None:
    server = HttpServer("127.0.0.1", 0)
    await server.stop()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", server.port))
