"""The web server of the calls: documents, a sound, and a receiver of callbacks that misbehaves.

What it answered to which callback is remembered. A receiver that never failed would prove little:
some requests get 500, some no answer at all, some a reset connection; how often for the callbacks
of one call is bounded, so that a run has an end.
"""

from __future__ import annotations

import asyncio
import io
import math
import random
import re
import time
import wave
from array import array
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl

_LENGTH = re.compile(rb"(?i)\r\ncontent-length:\s*(\d+)")
_EVENT_ID = re.compile(rb"(?i)\r\nwebhook-id:\s*(\S+)")
_OK, _FAILS, _HANGS, _RESETS = "ok", "500", "hang", "reset"

DOCUMENTS = {
    "say": "<Say>This is a call from Outdial.</Say>",
    "play": "<Play>{base}/tone.wav</Play>",
    "pause": '<Pause length="1"/>',
    "long": '<Pause length="5"/>',
    "both": '<Play>{base}/tone.wav</Play><Pause length="1"/><Say>Goodbye.</Say>',
}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One attempt of a callback."""

    at: float
    event: str
    sequence: int
    event_id: str
    """The header webhook-id; "" without."""
    answer: str
    """ok, 500, hang or reset."""


class Sink:
    """Made by `start`."""

    def __init__(self, seed: int, trouble: float, failures_per_call: int) -> None:
        self._random = random.Random(seed)
        self._trouble = trouble
        self._failures_per_call = failures_per_call
        self._failed: Counter[str] = Counter()
        self.arrivals: defaultdict[str, list[Arrival]] = defaultdict(list)
        """By callSid, in order."""
        self.documents = 0
        self.unreadable = 0
        self._tone = _tone()

    base: str
    _server: asyncio.Server

    @classmethod
    async def start(
        cls, seed: int = 1, *, trouble: float = 0.04, failures_per_call: int = 1
    ) -> Sink:
        """Listens on a free loopback port. `trouble`: the share of callbacks that fail."""
        sink = cls(seed, trouble, failures_per_call)
        loop = asyncio.get_running_loop()
        sink._server = await loop.create_server(
            lambda: _Connection(sink), "127.0.0.1", 0, backlog=4096
        )
        sink.base = f"http://127.0.0.1:{sink._server.sockets[0].getsockname()[1]}"
        return sink

    def close(self) -> None:
        """Takes no more connections."""
        self._server.close()

    def behave(self) -> None:
        """No more failures from now on."""
        self._trouble = 0.0

    def document(self, name: str) -> bytes:
        """The voice application of that name."""
        self.documents += 1
        verbs = DOCUMENTS[name].format(base=self.base)
        return f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'.encode()

    def sound(self) -> bytes:
        """Half a second of WAV."""
        return self._tone

    def take(self, head: bytes, body: bytes) -> str:
        """A callback; how it is answered."""
        told = dict(parse_qsl(body.decode()))
        try:
            sid, event, sequence = told["callSid"], told["CallStatus"], int(told["SequenceNumber"])
        except (KeyError, ValueError):
            self.unreadable += 1
            return _OK
        lane = told.get("ParentCallSid") or sid
        answer = _OK
        if self._failed[lane] < self._failures_per_call and self._random.random() < self._trouble:
            self._failed[lane] += 1
            answer = self._random.choices((_FAILS, _HANGS, _RESETS), (6, 1, 3))[0]
        found = _EVENT_ID.search(head)
        event_id = found[1].decode() if found else ""
        self.arrivals[sid].append(Arrival(time.time(), event, sequence, event_id, answer))
        return answer


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._pending = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (request := self._next()) is not None:
            self._serve(*request)

    def _next(self) -> tuple[bytes, bytes] | None:
        """Head and body of the next whole request."""
        head, gap, rest = self._pending.partition(b"\r\n\r\n")
        if not gap:
            return None
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(rest) < size:
            return None
        self._pending = rest[size:]
        return head, rest[:size]

    def _serve(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].partition(b"?")[0]
        kind, _, name = path[1:].decode().partition("/")
        if kind == "document":
            self._answer(b"200 OK", b"application/xml", self._sink.document(name))
        elif kind == "tone.wav":
            self._answer(b"200 OK", b"audio/wav", self._sink.sound())
        elif kind == "events":
            answer = self._sink.take(head, body)
            if answer == _OK:
                self._answer(b"200 OK", b"text/plain", b"ok")
            elif answer == _FAILS:
                self._answer(b"500 Internal Server Error", b"text/plain", b"out of order")
            elif answer == _RESETS:
                self._transport.abort()
        else:
            self._answer(b"404 Not Found", b"text/plain", b"")

    def _answer(self, status: bytes, kind: bytes, body: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (status, kind, len(body), body)
        )


def _tone(seconds: float = 0.5) -> bytes:
    """A WAV file with a tone of 440 Hz, 8 kHz, 16 bits."""
    samples = array(
        "h", (int(7000 * math.sin(math.tau * 440 * i / 8000)) for i in range(int(8000 * seconds)))
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 8000, 0, "NONE", ""))
        out.writeframes(samples.tobytes())
    return file.getvalue()
