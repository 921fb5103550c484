"""Applications of all kinds, served."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from fastapi import FastAPI

from outdial.testing.rehearsal.served import Served


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here is " + environ["PATH_INFO"].encode()]


class WsgiObject:
    """As Flask and Django have it."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        return wsgi(environ, start_response)


asgi = FastAPI()


@asgi.get("/{name}")
async def read_name(name: str) -> str:
    return name


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here is " + self.path.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


def asked(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        data: bytes = answer.read()
        return data


@pytest.mark.parametrize("application", [wsgi, WsgiObject(), Handler], ids=lambda a: str(a)[:20])
def test_it_is_served_on_a_port_of_its_own(application: Any) -> None:
    with Served(application) as one, Served(application) as other:
        assert one.url != other.url
        assert asked(f"{one.url}/there") == b"here is /there"
    with pytest.raises(urllib.error.URLError):
        asked(one.url)


def test_asgi_is_served() -> None:
    with Served(asgi) as served:
        assert asked(f"{served.url}/there") == b'"there"'


def test_a_server_is_served_where_it_is() -> None:
    server = HTTPServer(("127.0.0.1", 0), Handler)
    with Served(server) as served:
        assert served.url == f"http://127.0.0.1:{server.server_port}"
        assert asked(f"{served.url}/") == b"here is /"
    assert server.socket.fileno() == -1


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(TypeError, match="neither a WSGI nor an ASGI application"):
        Served("http://127.0.0.1:9000")


def test_an_application_that_does_not_start_says_so() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="did not start"), Served(broken):
        pass


@pytest.mark.parametrize("application", [wsgi, Handler])
def test_nothing_is_left_open(application: Any) -> None:
    with Served(application) as served:
        port = int(served.url.rpartition(":")[2])
    with socket.socket() as again:
        again.bind(("127.0.0.1", port))
