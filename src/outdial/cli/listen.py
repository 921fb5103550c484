"""`outdial deliveries listen`: a receiver of callbacks that prints them, for trying things out.

It is a server that strangers may find: everything it reads is bounded, in size and in time.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl

from outdial import config, log
from outdial.cli.callback_lines import param_lines
from outdial.config.checks import webhook_key
from outdial.errors import ConfigError
from outdial.webhooks import secret_file
from outdial.webhooks.sign import SignatureError, verify

_MOST_BODY = 1 << 20
_MOST_CONNECTIONS = 64
_PATIENCE_S = 15.0

Say = Callable[[str], None]


def secrets_of(settings: config.Webhooks | None, given: Sequence[str]) -> list[str]:
    """The secrets of the command line, else of the settings, else of their file.

    [] when there is no file yet. Raises ConfigError.
    """
    for secret in given:
        try:
            webhook_key(secret)
        except ValueError as problem:
            raise ConfigError("--secret", str(problem)) from None
    if given or settings is None:
        return list(given)
    if settings.secrets:
        return [secret.get_secret_value() for secret in settings.secrets]
    path = Path(settings.secret_file)
    return secret_file.read(path) if path.exists() else []


class Listener(ThreadingHTTPServer):
    """The receiver. `port` is the one it got. Raises ConfigError when it cannot listen there."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        host: str,
        port: int,
        secrets: Sequence[str],
        status: int,
        say: Say,
        *,
        count: int = 0,
        as_json: bool = False,
    ) -> None:
        self.secrets = list(secrets)
        self.status = status
        self.as_json = as_json
        self._say = say
        self._left = count
        self._lock = Lock()
        self._room = BoundedSemaphore(_MOST_CONNECTIONS)
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Request)
        except (OSError, OverflowError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise ConfigError(
                "--port", f"{host}:{port} cannot be listened on: {reason}", "choose a free port"
            ) from None
        self.port = int(self.server_address[1])

    def tell(self, told: dict[str, Any]) -> None:
        """Prints a request."""
        lines = [json.dumps(told)] if self.as_json else list(_lines(told))
        with self._lock:
            for line in lines:
                self._say(line)

    def count(self) -> None:
        """One was answered; the last that was asked for ends the server."""
        with self._lock:
            self._left -= 1
            if self._left == 0:
                # on a thread of its own: it waits for the loop that this one belongs to
                Thread(target=self.shutdown, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """A thread for each connection, as long as there is room."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever breaks off has nothing to tell."""


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = _PATIENCE_S
    server: Listener

    def do_GET(self) -> None:
        self._take(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY:
            self.close_connection = True
            self._answer(411 if not length else 413)
            return
        self._take(self.rfile.read(int(length)))

    def _take(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        path, _, query = self.path.partition("?")
        payload = body if self.command == "POST" else query.encode("latin-1", "replace")
        text = query if self.command == "GET" else body.decode("utf-8", "replace")
        with contextlib.suppress(ValueError):
            params = parse_qsl(text, keep_blank_values=True, max_num_fields=1000)
            self.server.tell(
                {
                    "at": _now(),
                    "method": self.command,
                    "path": path,
                    "webhook_id": headers.get("webhook-id", ""),
                    "signature": _judge(self.server.secrets, headers, payload),
                    "params": dict(params),
                    "status": self.server.status,
                }
            )
        self._answer(self.server.status)
        self.server.count()

    def _answer(self, status: int) -> None:
        self.send_response(status)
        if status >= 200 and status not in (204, 304):
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """What there is to say is said by `take`."""


def _judge(secrets: Sequence[str], headers: dict[str, str], payload: bytes) -> str:
    if not secrets:
        return "not verified: no secret is known here; give --secret"
    try:
        verify(secrets, headers, payload, time.time())
    except SignatureError as problem:
        return f"WRONG: {problem}"
    return "right"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _lines(told: dict[str, Any]) -> list[str]:
    params = told["params"]
    what = params.get("CallStatus") or "request"
    call = params.get("callSid", "")
    at = told["at"].partition("T")[2].rstrip("Z")
    head = f"{at}  {log.escape(what)} {log.escape(call)}".rstrip()
    where = f"{told['method']} {log.escape(told['path'])} -> {told['status']}"
    return [
        f"{head}  {where}",
        f"  webhook-id {log.escape(told['webhook_id']) or '-'}, signature {told['signature']}",
        *param_lines(params.items()),
    ]


def run(
    host: str,
    port: int,
    secrets: Sequence[str],
    status: int,
    count: int,
    say: Say,
    *,
    as_json: bool = False,
) -> None:
    """Receives until `count` requests came (0: for ever) or Ctrl-C. Raises ConfigError."""
    with Listener(host, port, secrets, status, say, count=count, as_json=as_json) as listener:
        shown = f"[{host}]" if ":" in host else host
        ready = {"listening": f"http://{shown}:{listener.port}/", "answers": status}
        say(
            json.dumps(ready)
            if as_json
            else f"listening at {ready['listening']}, answering {status}; Ctrl-C ends it"
        )
        with contextlib.suppress(KeyboardInterrupt):
            listener.serve_forever(poll_interval=0.1)
