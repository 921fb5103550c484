"""Somebody sprays packets at a call's ports from before its answer on (RTP bleed and injection).

Real workers and sockets: a thread sends 1,000 packets a second to each RTP and RTCP port, loud
audio, keys, reports and goodbyes, under several payload types, as valid as any.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.far_end import FarEnd, Listener, power_at, tone
from outdial.legs import Digit, MediaLeg, MediaStats, RecordingDone, RecordingPlan
from outdial.media.core import dtmf, g711, rtcp, rtp
from outdial.media.plane import WorkerPool

RATE_PPS = 1000
SPRAYED_HZ, SPOKEN_HZ, OTHERS_HZ = 1700, 400, 700
STRANGER = "127.0.9.66"
"""No neighbour of anybody here."""
_ROUND_S = 0.01


def encoded(frequency_hz: int, length_ms: int, level: int = 8000) -> list[bytes]:
    """A tone as PCMU, 20 ms a piece."""
    data = g711.encode(tone(frequency_hz, length_ms, level), rtp.PCMU)
    return [data[at : at + 160] for at in range(0, len(data), 160)]


class Spray(threading.Thread):
    """Sends until it is told to stop; what it got is in `caught`."""

    def __init__(self, host: str, ports: list[int], sources: tuple[str, ...]) -> None:
        super().__init__(daemon=True)
        self._sockets = []
        for source in sources:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((source, 0))
            made.setblocking(False)
            self._sockets.append(made)
        self._targets = [(host, port) for port in ports]
        self._over = threading.Event()
        self._loud = encoded(SPRAYED_HZ, 1000, 20_000)
        self.sent = 0
        """To each port."""
        self.caught: list[bytes] = []

    def packets(self, number: int) -> tuple[bytes, bytes]:
        """One for an RTP port, and one for an RTCP port."""
        loud = self._loud[number % len(self._loud)]
        media = [
            rtp.build(0, number & 0xFFFF, 160 * number, 1, loud, marker=number < 2),
            rtp.build(8, number & 0xFFFF, 160 * number, 2, loud),
            rtp.build(101, number & 0xFFFF, 160 * number, 3, dtmf.payload("9", 800, end=True)),
            b"\x80",
        ][number % 4]
        report = rtcp.sender_report(1, number << 32, 160 * number, number, 160 * number)
        return media, report + rtcp.bye(1)

    def run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(_ROUND_S):
            due = int((time.monotonic() - began) * RATE_PPS)
            for number in range(self.sent, due):
                sender = self._sockets[number % len(self._sockets)]
                media, report = self.packets(number)
                for target in self._targets:
                    try:
                        sender.sendto(report if target[1] % 2 else media, target)
                    except OSError:
                        pass  # nobody listens there any more
            self.sent = max(self.sent, due)

    def catch(self) -> None:
        """Reads what came back."""
        for one in self._sockets:
            while True:
                try:
                    self.caught.append(one.recv(2048))
                except BlockingIOError:
                    break
                except OSError:
                    continue  # a port was closed meanwhile

    def stop(self) -> None:
        """Ends it."""
        self._over.set()
        self.join()
        self.catch()
        for one in self._sockets:
            one.close()


@contextmanager
def spraying(*legs: MediaLeg, sources: tuple[str, ...]) -> Iterator[Spray]:
    """From now on, at all ports of the legs."""
    ports = [port for leg in legs for port in (leg.port, leg.port + 1)]
    spray = Spray(legs[0].address, ports, sources)
    spray.start()
    try:
        yield spray
    finally:
        if spray.is_alive():
            spray.stop()


def side(path: str, channel: int) -> bytes:
    """One side of a recording."""
    with wave.open(path) as file:
        return array("h", file.readframes(file.getnframes()))[channel::2].tobytes()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("behind_nat", "early"),
    [(False, False), (True, False), (True, True)],
    ids=["as negotiated", "learnt", "learnt twice"],
)
async def test_who_sprays_is_not_heard_not_recorded_and_gets_nothing(
    pool: WorkerPool,
    far: FarEnd,
    other_far: FarEnd,
    tmp_path: Path,
    behind_nat: bool,
    early: bool,
) -> None:
    listener, path = Listener(), str(tmp_path / "sprayed.wav")
    leg = pool.open("CA1", listener)
    other = pool.open("CA2", Listener(), near=leg)
    # a learnt address may be a neighbour's, so that only strangers can be told from the caller
    sources = (STRANGER,) if behind_nat else (STRANGER, "127.0.0.66", "127.0.0.1")
    phone = FarEnd("127.0.0.9") if behind_nat else far
    try:
        with spraying(leg, other, sources=sources) as spray:
            while spray.sent < 200:  # noqa: ASYNC110 - it is another thread
                await asyncio.sleep(_ROUND_S)
            said = far.params(learn_address=behind_nat, signalling_address="192.0.2.1")
            leg.start(replace(said, early=early))
            other.start(other_far.params())
            leg.bridge(other)
            leg.record(RecordingPlan("RE1", path))
            await phone.talk(leg, encoded(SPOKEN_HZ, 300))
            if early:
                leg.update(said)
            for payload in encoded(OTHERS_HZ, 300):
                other_far.send(other, payload)
            await phone.talk(leg, encoded(SPOKEN_HZ, 300))
            leg.stop_recording("RE1")
            await listener.wait(RecordingDone)
            leg.close()
            other.close()
            stats = (await listener.wait(MediaStats))[0]
            spray.stop()
    finally:
        if behind_nat:
            phone.socket.close()
    assert spray.sent > 600
    assert spray.caught == [], "not one packet of audio and not one report"
    assert listener.of(Digit) == []
    assert 25 <= stats.packets_received <= 30
    heard = side(path, 0)
    assert power_at(heard, SPRAYED_HZ) < 50
    assert power_at(heard, SPOKEN_HZ) > 2000
    loud = set(spray._loud)
    bridged = [payload for _, payload in other_far.drain()]
    returned = [payload for _, payload in phone.drain()] if not behind_nat else []
    assert not loud & {*bridged, *returned}
    assert sum(payload in set(encoded(SPOKEN_HZ, 300)) for payload in bridged) >= 25
