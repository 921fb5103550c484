"""Plain sockets that stand where a SIP server should be."""

from __future__ import annotations

import socket
import threading
from types import TracebackType


class SilentHost:
    """Takes datagrams and answers none. Use it as a context manager."""

    def __init__(self, host: str, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(0.05)
        self._received: list[bytes] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="silent host")

    def __enter__(self) -> SilentHost:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._socket.close()

    @property
    def address(self) -> str:
        """host:port"""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def received(self) -> list[bytes]:
        """The datagrams so far."""
        return list(self._received)

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                self._received.append(self._socket.recv(65536))
            except TimeoutError:
                continue
