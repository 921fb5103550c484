"""The web server of the measured calls: documents, prompts, status callbacks.

One asyncio protocol and a dictionary: what it costs must not be what is measured.
"""

from __future__ import annotations

import asyncio
import io
import math
import re
import time
import wave
from array import array
from dataclasses import dataclass, field
from typing import cast

FIRST_LEG = "9180"
SECOND_LEG = "9199"
"""Called numbers are one of these and eight digits; the far end itself ends a second leg."""
EVENTS = ("initiated", "ringing", "answered", "completed")
_TERMINAL = frozenset(("completed", "busy", "no-answer", "failed", "canceled"))
# Servers name the state in their own way; in-progress is what some call an answered call.
_STATE = re.compile(rb"(?i)\bcall_?status\"?\s*[=:]\s*\"?([a-z-]+)")
_SYNONYMS = {"in-progress": "answered", "queued": "initiated"}
_SECOND_LEG = b"To=" + SECOND_LEG.encode()
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")


@dataclass(slots=True)
class Placed:
    """One call of the benchmark; times are those of the wall clock, in seconds."""

    posted: float
    status: int = 0
    """The API's answer: 0 none yet, -1 none came."""
    answered_post: float = 0.0
    document: float = 0.0
    """When its document was fetched."""
    events: list[tuple[str, float]] = field(default_factory=list)
    text: str = ""
    """What Say says, for documents that speak."""

    @property
    def over(self) -> bool:
        """Whether nothing more is awaited of it."""
        refused = self.status < 0 or self.status >= 300
        return refused or any(name in _TERMINAL for name, _ in self.events)

    def fault(self, length_s: float) -> str:
        """Why it counts as failed, or an empty string. `length_s`: from answered to completed."""
        names = tuple(name for name, _ in self.events)
        if not 200 <= self.status < 300:
            return f"API answered {self.status}"
        if not self.document:
            return "document not fetched"
        if names != EVENTS:
            return "callbacks " + ",".join(names)
        talked = self.events[3][1] - self.events[2][1]
        if not length_s - 0.3 <= talked <= length_s + 2.0:
            return f"lasted {talked:.0f} s, not {length_s:g} s"
        return ""


class Sink:
    """Serves /play, /dial and /say documents, /tone prompts, and takes /status callbacks."""

    def __init__(self) -> None:
        self.calls: dict[str, Placed] = {}
        self._tones: dict[str, bytes] = {}
        self._server: asyncio.Server | None = None
        self.base = ""

    async def start(self) -> None:
        """Listens on a free loopback port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", 0, backlog=2048
        )
        port = self._server.sockets[0].getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"

    def close(self) -> None:
        """Takes no more connections."""
        if self._server is not None:
            self._server.close()

    def answer(self, target: str, body: bytes) -> tuple[bytes, bytes]:
        """The content type and the body for one request."""
        path, _, query = target.partition("?")
        call = self.calls.get(_value(query, "cid"))
        kind, _, argument = path[1:].partition("/")
        if kind == "tone":
            return b"audio/wav", self._tone(argument.removesuffix(".wav"))
        if kind == "status":
            if call is not None:
                _take_event(call, body)
            return b"text/plain", b"ok"
        if call is not None and not call.document:
            call.document = time.time()
        return b"application/xml", self._document(kind, argument, call)

    def _document(self, kind: str, argument: str, call: Placed | None) -> bytes:
        if kind == "play":
            verbs = f"<Play>{self.base}/tone/{argument}.wav</Play><Hangup/>"
        elif kind == "dial":
            verbs = f"<Dial><Number>{argument}</Number></Dial>"
        else:
            verbs = f"<Say>{call.text if call else ''}</Say><Hangup/>"
        return f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'.encode()

    def _tone(self, seconds: str) -> bytes:
        if seconds not in self._tones:
            self._tones[seconds] = tone(float(seconds))
        return self._tones[seconds]


def tone(seconds: float) -> bytes:
    """A WAV file with a swelling tone of 440 Hz, 8 kHz, 16 bits."""
    samples = array(
        "h",
        (
            int(7000 * math.sin(2 * math.pi * 440 * i / 8000) * (0.6 + 0.4 * math.sin(i / 900)))
            for i in range(int(8000 * seconds))
        ),
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    return file.getvalue()


def _value(query: str, name: str) -> str:
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if key == name:
            return value
    return ""


def _take_event(call: Placed, body: bytes) -> None:
    if _SECOND_LEG in body:  # it reports to the same address
        return
    found = _STATE.search(body)
    state = found[1].decode().lower() if found else "unreadable"
    call.events.append((_SYNONYMS.get(state, state), time.time()))


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (request := self._next()) is not None:
            head, body = request
            content_type, answer = self._sink.answer(head.split(b" ", 2)[1].decode(), body)
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
                % (content_type, len(answer), answer)
            )

    def _next(self) -> tuple[bytes, bytes] | None:
        """Head and body of the next whole request. All measured servers send Content-Length."""
        head, gap, rest = self._pending.partition(b"\r\n\r\n")
        if not gap:
            return None
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return None
        self._pending = rest[size:]
        return head, rest[:size]
