"""The audio side of a phone whose signalling SIPp does: one RTP socket that keeps what it hears.

A small RTP endpoint of its own, written from RFC 3550 and RFC 4733 and sharing no code with the
server, so that a mistake on both sides cannot hide.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from outdial.testing import audio

PCMU, PCMA = 0, 8
EVENTS = 101
DIGITS = "0123456789*#ABCD"
FRAME = 160
"""Samples in a packet of 20 ms."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet."""

    at: float
    """Monotonic time of its arrival."""
    marker: bool
    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Pressed:
    """A digit as its telephone-event packets said it."""

    digit: str
    at: float
    """When its first packet came, monotonic."""
    duration_ms: int
    ends: int
    """How many packets said that it has ended."""


class Ear:
    """Use it as a context manager. It answers nobody until `say`, `babble` or `press` is called."""

    def __init__(self, host: str, port: int = 0) -> None:
        """`port` 0: a free one."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(0.05)
        self._packets: list[Packet] = []
        self._other = 0
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._far: tuple[str, int] | None = None
        self._sequence, self._timestamp = 1000, 50_000
        self._listening = threading.Thread(target=self._listen, name="ear")
        self._babbling: threading.Thread | None = None
        self.loses: Callable[[], bool] = lambda: False
        """Asked for each packet of ours: whether it is lost on its way."""
        self.lost = 0

    def __enter__(self) -> Ear:
        self._listening.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._listening.join()
        if self._babbling is not None:
            self._babbling.join()
        self._socket.close()

    @property
    def host(self) -> str:
        """For the SDP, as `port`."""
        return str(self._socket.getsockname()[0])

    @property
    def port(self) -> int:
        """For the SDP."""
        return int(self._socket.getsockname()[1])

    # ------------------------------------------------------------------ hearing

    @property
    def packets(self) -> list[Packet]:
        """All that came so far."""
        with self._changed:
            return list(self._packets)

    def wait_until(self, enough: Callable[[Ear], bool], timeout_s: float = 10.0) -> None:
        """Returns once `enough`, asked at each packet. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while not enough(self):
            with self._changed:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"heard {len(self._packets)} packets and then no more")

    def wait_for_speech(self, seconds: float, timeout_s: float = 10.0) -> None:
        """Returns once so much sound was heard, pauses not counted."""
        self.wait_until(lambda ear: audio.active_s(ear.heard()) >= seconds, timeout_s)

    def heard(self, since: float = 0.0) -> audio.Sound:
        """The audio that came, each packet where its timestamp says; the gaps are silence."""
        voice = [p for p in self.packets if p.payload_type in (PCMU, PCMA) and p.at >= since]
        if not voice:
            return audio.tone(seconds=0.0)
        law, start = voice[0].payload_type, voice[0].timestamp
        line = bytearray()
        for packet in voice:
            place = (packet.timestamp - start) & 0xFFFFFFFF
            if place > 8000 * 300:
                continue
            line.extend(b"\xff" * (place - len(line)))
            line[place : place + len(packet.payload)] = packet.payload
        return audio.read_mono(_wav(bytes(line), law))

    def pressed(self) -> list[Pressed]:
        """The digits that came as telephone events, in order."""
        events: dict[tuple[int, int], list[Packet]] = {}
        for packet in self.packets:
            if packet.payload_type == EVENTS:
                events.setdefault((packet.ssrc, packet.timestamp), []).append(packet)
        return [_pressed(packets) for packets in events.values()]

    def digits(self) -> str:
        """Their names in a row, once each has ended."""
        return "".join(one.digit for one in self.pressed() if one.ends)

    # ------------------------------------------------------------------ speaking

    def say(self, sound: audio.Sound) -> None:
        """Sends the sound in real time. Raises TimeoutError when nobody has called yet."""
        payload = _ulaw(sound)
        began = time.monotonic()
        for number in range(0, len(payload) - FRAME + 1, FRAME):
            self._send(PCMU, payload[number : number + FRAME])
            time.sleep(max(0.0, began + (number / FRAME + 1) * 0.02 - time.monotonic()))

    def babble(self) -> None:
        """Sends a low tone from now on, so that the far end hears somebody."""
        frame = _ulaw(audio.tone(300, seconds=0.02, peak_dbfs=-30))

        def run() -> None:
            while not self._closing.wait(0.02):
                if self._far is not None:
                    self._send(PCMU, frame)

        self._babbling = threading.Thread(target=run, name="babble")
        self._babbling.start()

    def press(self, digits: str) -> None:
        """Sends each digit for 100 ms as telephone events, the end three times, 60 ms apart."""
        for digit in digits:
            timestamp = self._timestamp
            for step in range(1, 6):
                self._event(digit, step * FRAME, timestamp, marker=step == 1)
                time.sleep(0.02)
            for _ in range(3):
                self._event(digit, 5 * FRAME, timestamp, end=True)
            self._timestamp += 8 * FRAME
            time.sleep(0.06)

    # ------------------------------------------------------------------ the parts

    def _event(
        self, digit: str, duration: int, timestamp: int, *, marker: bool = False, end: bool = False
    ) -> None:
        payload = struct.pack("!BBH", DIGITS.index(digit), 0x80 * end | 10, duration)
        self._send(EVENTS, payload, timestamp, marker)

    def _send(
        self, kind: int, payload: bytes, timestamp: int | None = None, marker: bool = False
    ) -> None:
        if self._far is None:
            self.wait_until(lambda ear: ear._far is not None)
        header = struct.pack(
            "!BBHII",
            0x80,
            0x80 * marker | kind,
            self._sequence & 0xFFFF,
            (self._timestamp if timestamp is None else timestamp) & 0xFFFFFFFF,
            0xEA12EA12,
        )
        self._sequence += 1
        if timestamp is None:
            self._timestamp += len(payload)
        if self.loses():
            self.lost += 1
        elif self._far is not None:
            try:
                self._socket.sendto(header + payload, self._far)
            except OSError:
                return  # the call is over and its port closed

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                data, source = self._socket.recvfrom(2048)
            except TimeoutError:
                continue
            except OSError:
                continue  # what we sent met a closed port
            packet = _packet(data)
            with self._changed:
                if packet is None:
                    self._other += 1
                else:
                    self._far = source
                    self._packets.append(packet)
                self._changed.notify_all()


def _packet(data: bytes) -> Packet | None:
    """RFC 3550 section 5.1; None for what is no RTP of ours."""
    if len(data) < 12 or data[0] != 0x80:
        return None
    _, kind, sequence, timestamp, ssrc = struct.unpack_from("!BBHII", data)
    return Packet(
        time.monotonic(), bool(kind & 0x80), kind & 0x7F, sequence, timestamp, ssrc, data[12:]
    )


def _pressed(packets: list[Packet]) -> Pressed:
    code, _, _ = struct.unpack_from("!BBH", packets[0].payload)
    longest = max(struct.unpack_from("!BBH", packet.payload)[2] for packet in packets)
    ends = sum(packet.payload[1] >> 7 for packet in packets)
    return Pressed(DIGITS[code], packets[0].at, longest // 8, ends)


def _wav(line: bytes, law: int) -> bytes:
    form = struct.pack("<HHIIHH", 7 if law == PCMU else 6, 1, 8000, 8000, 1, 8)
    chunks = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(line)) + line
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _ulaw(sound: audio.Sound) -> bytes:
    """ITU-T G.711, one byte a sample."""
    encoded = bytearray()
    for value in (sound.samples * 32767).astype(int).tolist():
        sign = 0x80 if value < 0 else 0
        magnitude = min(abs(value), 32635) + 132
        segment = magnitude.bit_length() - 8
        encoded.append(~(sign | segment << 4 | (magnitude >> (segment + 3)) & 0x0F) & 0xFF)
    return bytes(encoded)
