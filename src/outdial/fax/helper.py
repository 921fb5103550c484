"""A process that receives one fax: RTP in, RTP out, a PDF in the end.

``python -m outdial.fax.helper``; `receiver` starts it. Its first line of input is a JSON object:
{address, port, payload_type, ident, path, longest_s, draft, seal}. It answers in lines of JSON on
its output: {"port": n} once it listens, {"pages": n} whenever a page was confirmed, and last
{"end": {...}}. An input line ``hang-up`` says that the call is over; the end of the input, that
nobody wants the fax.

Whatever happens here, a crash in the library included, harms nothing but this fax.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final

from outdial.errors import FaxError
from outdial.fax import document, spandsp
from outdial.fax.intake import Intake
from outdial.media.core.pcm import audioop
from outdial.stored_file import Seal, create

_MEMORY_BYTES: Final = 512 << 20
_FILE_BYTES: Final = 64 << 20
_TICK_S: Final = 0.02
_SAMPLES: Final = 160
_MOST_BEHIND_S: Final = 0.2
"""Ticks that are later than that are left out."""
_HEADER: Final = struct.Struct("!BBHII")
_MOST_PACKET: Final = 2048
_ULAW: Final = 0


class Line:
    """The audio of the call: a socket to the media worker's, and the order of what comes."""

    def __init__(self, address: str, port: int, payload_type: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((address, 0))
        self.socket.connect((address, port))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]
        self.intake = Intake(time.monotonic())
        self._payload_type = payload_type
        self._sequence = secrets.randbits(15)
        self._timestamp = secrets.randbits(31)
        self._ssrc = secrets.randbits(32)

    def receive(self, now: float) -> None:
        """Takes all packets that are there."""
        while True:
            try:
                packet = self.socket.recv(_MOST_PACKET)
            except OSError:  # none, or the other end has gone
                return
            if len(packet) <= _HEADER.size or packet[0] != 0x80:
                continue
            _, kind, _, timestamp, _ = _HEADER.unpack_from(packet)
            if kind & 0x7F == self._payload_type:
                self.intake.put(timestamp, packet[_HEADER.size :], now)

    def send(self, pcm: bytes) -> None:
        """The next packet."""
        to_law = audioop.lin2ulaw if self._payload_type == _ULAW else audioop.lin2alaw
        head = _HEADER.pack(0x80, self._payload_type, self._sequence, self._timestamp, self._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + len(pcm) // 2) & 0xFFFFFFFF
        try:
            self.socket.send(head + to_law(pcm, 2))
        except OSError:
            pass  # the next one may do better

    def linear(self, payload: bytes) -> bytes:
        """A payload as samples."""
        to_linear = audioop.ulaw2lin if self._payload_type == _ULAW else audioop.alaw2lin
        return to_linear(payload, 2)


class Fax:
    """One reception."""

    def __init__(self, terminal: spandsp.Terminal, line: Line, longest_s: float) -> None:
        self._terminal = terminal
        self._line = line
        self._until = time.monotonic() + longest_s
        self._told = 0
        self.is_wanted = True

    def run(self) -> None:
        """Until it is over."""
        poll = select.poll()
        poll.register(self._line.socket, select.POLLIN)
        poll.register(sys.stdin, select.POLLIN)
        tick_at = time.monotonic()
        while self._terminal.ended is None and self.is_wanted:
            left_s = tick_at - time.monotonic()
            for file, _ in poll.poll(max(0, left_s * 1000)):
                if file == sys.stdin.fileno():
                    self._obey()
            now = time.monotonic()
            self._line.receive(now)
            self._hear(now)
            while tick_at <= now and self._terminal.ended is None:
                self._line.send(self._terminal.speak(_SAMPLES))
                tick_at = tick_at + _TICK_S if now - tick_at < _MOST_BEHIND_S else now + _TICK_S
            if self._terminal.pages > self._told:
                self._told = self._terminal.pages
                tell({"pages": self._told})
            if now > self._until:
                self._terminal.terminate()

    def _hear(self, now: float) -> None:
        for piece in self._line.intake.take(now):
            if piece.payload:
                self._terminal.hear(self._line.linear(piece.payload))
            elif piece.is_lost:
                self._terminal.miss(piece.samples)
            else:
                self._terminal.hear(bytes(2 * piece.samples))

    def _obey(self) -> None:
        order = os.read(sys.stdin.fileno(), 4096)
        if not order:
            self.is_wanted = False
        elif b"hang-up" in order:
            self._terminal.terminate()


def tell(what: dict[str, Any]) -> None:
    """A line for who started this."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def receive(order: dict[str, Any]) -> dict[str, Any]:
    """Receives the fax; what became of it. The PDF is at ``path`` if it has pages."""
    path = Path(order["path"])
    draft, content = Path(order["draft"]), b""
    terminal = spandsp.Terminal(spandsp.load(), calling=False, ident=order["ident"], file=draft)
    try:
        line = Line(order["address"], order["port"], order["payload_type"])
        tell({"port": line.port})
        fax = Fax(terminal, line, order["longest_s"])
        fax.run()
        terminal.close()  # the file is complete only now
        pages = document.pages_of(draft.read_bytes()) if draft.exists() and fax.is_wanted else []
        # some hang up in place of the last word, when all has been confirmed
        is_whole = bool(pages) and (terminal.ended == 0 or terminal.is_whole)
        if pages:
            content = document.to_pdf(pages, f"Fax to {order['ident']}")
            _write(path, content, order["seal"])
        return {
            "ok": is_whole,
            "reason": "" if is_whole else terminal.reason,
            "pages": len(pages),
            "confirmed": terminal.pages,
            "from": terminal.far_ident,
            "bytes": len(content),
            "lost": line.intake.lost + line.intake.late,
        }
    finally:
        terminal.close()
        draft.unlink(missing_ok=True)


def _write(path: Path, content: bytes, seal: list[str] | None) -> None:
    """All of it or nothing; sealed, if there is something to do it with."""
    part = path.with_suffix(".part")
    file = create(part, Seal(*map(bytes.fromhex, seal)) if seal else None)
    try:
        file.append(content)
    finally:
        file.close()
    part.replace(path)


def main() -> None:
    """Receives one fax."""
    # systemd's SIGTERM goes to every process of the service: the calls that are up go on
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        end = receive(json.loads(os.read(0, 65536)))
    except (FaxError, OSError) as error:
        end = {"ok": False, "reason": str(error), "pages": 0, "confirmed": 0, "bytes": 0}
    tell({"end": end})


if __name__ == "__main__":
    main()
