"""A web server for a test: serves documents and sounds, takes callbacks, and fails on request.

Real HTTP on a free loopback port, in threads, so that it serves plain and asyncio tests alike::

    with WebServer() as web:
        web.serve("/hello.xml", "<Response><Say>Hello</Say></Response>")
        web.script("/events", Answer(status=500), Answer(failure="reset"), Answer())
        ...
        web.wait_for("/events", count=3)
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from outdial.frozen import frozen

MAX_BODY = 1 << 20
MAX_REQUESTS = 100_000


@frozen
class Answer:
    """What one request gets."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    """Waits so long before it answers."""
    failure: Literal["", "hang", "reset", "cut", "drip"] = ""
    """hang: never answers; reset: TCP RST; cut: closes after half of the body; drip: sends the
    header and then, without end, a byte of the body every 50 ms."""


@frozen
class Received:
    """One request as it arrived."""

    at: float
    """Wall time, seconds."""
    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    form: tuple[tuple[str, str], ...]
    """Fields of a form or the members of a flat JSON object."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    raw_query: str = ""
    """What stood behind the question mark."""

    @property
    def params(self) -> dict[str, str]:
        """Query and form in one; the form wins."""
        return dict(self.query + self.form)


class WebServer:
    """Use it as a context manager. Paths without an answer give 404."""

    def __init__(
        self,
        port: int = 0,
        on_request: Callable[[Received], None] | None = None,
        *,
        host: str = "127.0.0.1",
        certificate: str = "",
    ) -> None:
        """`on_request` is called, on the connection's thread, before each answer. `host` is the
        address it is at. With a `certificate`, a PEM file with its key in it, it speaks HTTPS."""
        self._answers: dict[str, list[Answer]] = {}
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._on_request = on_request
        self.requests: list[Received] = []
        """Everything received, in order."""
        self._server = _Server((host, port), self)
        self._origin = f"http://{host}:{self.port}"
        if certificate:
            self._origin = f"https://{host}:{self.port}"
            self._server.secure(certificate)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="web"
        )

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def url(self, path: str = "/") -> str:
        """The address of a path."""
        return f"{self._origin}{path}"

    def serve(
        self, path: str, body: str | bytes, content_type: str = "text/xml; charset=utf-8"
    ) -> str:
        """Gives the body at the path from now on; returns its address."""
        data = body.encode() if isinstance(body, str) else body
        self.script(path, Answer(body=data, content_type=content_type))
        return self.url(path)

    def collect(self, path: str) -> str:
        """Answers 200 and nothing else at the path, as a callback sink does."""
        self.script(path, Answer())
        return self.url(path)

    def script(self, path: str, *answers: Answer) -> None:
        """The answers the path gives in turn; the last one for ever."""
        with self._changed:
            self._answers[path] = list(answers)

    def received(self, path: str) -> list[Received]:
        """What has arrived at the path."""
        with self._changed:
            return [request for request in self.requests if request.path == path]

    def wait_for(self, path: str, count: int = 1, timeout_s: float = 10.0) -> list[Received]:
        """What has arrived at the path, once it is `count` requests. Raises TimeoutError."""
        return self.wait_until(path, lambda got: len(got) >= count, timeout_s)

    def wait_until(
        self, path: str, enough: Callable[[list[Received]], bool], timeout_s: float = 10.0
    ) -> list[Received]:
        """What has arrived at the path, once it is enough. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not enough(got := [r for r in self.requests if r.path == path]):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(got)} requests at {path} within {timeout_s} s: {got}")
            return got

    def take(self, request: Received) -> Answer:
        """Records the request and says what it gets. Called by the connections."""
        with self._changed:
            if len(self.requests) < MAX_REQUESTS:
                self.requests.append(request)
            self._changed.notify_all()
            answers = self._answers.get(request.path)
            if not answers:
                answer = Answer(status=404, body=b"nothing here\n")
            else:
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if self._on_request is not None:
            self._on_request(request)
        return answer

    @property
    def closing(self) -> bool:
        """Whether the server is being closed: nothing may go on."""
        return self._closing.is_set()

    def pause(self, seconds: float | None) -> None:
        """Waits on a connection's thread; ends early when the server closes."""
        self._closing.wait(seconds)


class _Server(ThreadingHTTPServer):
    request_queue_size = 512
    # The threads are joined at the end: a test leaves nothing running behind.
    daemon_threads = False

    def __init__(self, address: tuple[str, int], web: WebServer) -> None:
        self.web = web
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Connection)

    def secure(self, certificate: str) -> None:
        """Speaks TLS from now on; the handshake is made on the connection's thread."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news to a test."""

    def close_connections(self) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Header and body leave in one segment each; with Nagle the second would wait for an ACK.
    disable_nagle_algorithm = True
    server: _Server

    def handle_any(self) -> None:
        """One request, whatever its method."""
        web = self.server.web
        answer = web.take(self._read())
        if answer.delay_s:
            web.pause(answer.delay_s)
        if answer.failure == "hang":
            web.pause(None)
            self.close_connection = True
        elif answer.failure == "reset":
            self._reset()
        elif answer.failure == "drip":
            self._drip(answer)
        else:
            self._send(answer)

    # The names http.server looks for.
    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def _read(self) -> Received:
        length = self.headers.get("Content-Length", "0")
        size = min(int(length), MAX_BODY) if length.isdecimal() else 0
        body = self.rfile.read(size)
        url = urlsplit(self.path)
        return Received(
            at=time.time(),
            method=self.command,
            path=url.path,
            query=tuple(parse_qsl(url.query, keep_blank_values=True)),
            form=_form(self.headers.get("Content-Type", ""), body),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            raw_query=url.query,
        )

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.failure == "cut":
            self.wfile.write(answer.body[: len(answer.body) // 2])
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(answer.body)

    def _drip(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Length", str(MAX_BODY))
        self.end_headers()
        self.close_connection = True
        try:
            while not self.server.web.closing:
                self.wfile.write(b".")
                self.server.web.pause(0.05)
        except OSError:
            return  # whom it was for has had enough

    def _reset(self) -> None:
        # SO_LINGER of zero seconds makes close send RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """The test reads `requests` instead."""


def _form(content_type: str, body: bytes) -> tuple[tuple[str, str], ...]:
    kind = content_type.partition(";")[0].strip().lower()
    text = body.decode("utf-8", "replace")
    if kind == "application/x-www-form-urlencoded":
        return tuple(parse_qsl(text, keep_blank_values=True))
    if kind == "application/json":
        try:
            value = json.loads(text)
        except ValueError:
            return ()
        if isinstance(value, dict):
            return tuple((str(key), str(member)) for key, member in value.items())
    return ()
