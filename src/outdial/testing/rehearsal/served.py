"""A voice application served for a test: WSGI, ASGI or the standard library's, on a free port."""

from __future__ import annotations

import contextlib
import inspect
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import uvicorn

_START_S = 30.0


class Served:
    """Use it as a context manager. Raises TypeError for what is no application."""

    def __init__(self, application: Any) -> None:
        self._server = _server_of(application)
        self.url = ""
        """Where it is, without a slash at the end."""

    def __enter__(self) -> Served:
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop()


class _Threaded:
    """A server of `socketserver`."""

    def __init__(self, server: socketserver.TCPServer) -> None:
        self._server = server
        self.port = int(server.socket.getsockname()[1])
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="application"
        )
        self._thread.daemon = True

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Asgi:
    """An ASGI application on uvicorn, with its lifespan if it has one."""

    def __init__(self, application: Any) -> None:
        config = uvicorn.Config(
            application, "127.0.0.1", 0, log_config=None, access_log=False, lifespan="auto"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="application", daemon=True)
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + _START_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the application did not start")
            time.sleep(0.005)
        self.port = int(self._server.servers[0].sockets[0].getsockname()[1])

    def _run(self) -> None:
        with contextlib.suppress(SystemExit):  # it has said why it does not start
            self._server.run()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()


class _ThreadingWsgi(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class _QuietWsgi(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """The test has the requests of the call."""


class _ThreadingHttp(ThreadingHTTPServer):
    request_queue_size = 128


def _server_of(application: Any) -> _Threaded | _Asgi:
    if isinstance(application, socketserver.TCPServer):
        return _Threaded(application)
    if isinstance(application, type) and issubclass(application, BaseHTTPRequestHandler):
        return _Threaded(_ThreadingHttp(("127.0.0.1", 0), application))
    if not callable(application):
        raise TypeError(
            f"{application!r} is neither a WSGI nor an ASGI application, nor a request handler or "
            "a server of http.server"
        )
    call = application if inspect.isroutine(application) else application.__call__
    if inspect.iscoroutinefunction(call) or isinstance(application, type):
        return _Asgi(application)
    server = _ThreadingWsgi(("127.0.0.1", 0), _QuietWsgi)
    server.set_app(application)
    return _Threaded(server)
