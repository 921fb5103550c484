"""Measures a media worker: CPU, pacing, relay delay, memory.

    python bench/media_bench.py prompts --streams 100 --seconds 10
    python bench/media_bench.py bridges --streams 200
    python bench/media_bench.py rooms --streams 50 --size 50
    python bench/media_bench.py bridges --streams 100 --codecs opus,PCMU
    python bench/media_bench.py calls --streams 1000
    python bench/media_bench.py rate --rate 100 --seconds 15

With `--codecs` the streams take these in turn; what comes of G.722 and opus is a real encoder's,
and neither pacing nor delay is measured.

`calls` opens, starts, plays 0.1 s and closes so many streams one after the other, and measures the
CPU of both processes, the time from `queue` to the first packet of the clip, and what is left.
`rate` begins so many calls a second, each a prompt of 2 s to a far end that says nothing and reads
nothing, and measures the worker's CPU per call.

The far ends are one process with one socket; packets are stamped by the kernel as they arrive, so
that its own delays do not count. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from outdial.clock import SystemClock
from outdial.config import Media
from outdial.legs import (
    Clip,
    Codec,
    CryptoSuite,
    MediaEvent,
    MediaKeys,
    MediaLeg,
    MediaParams,
    MediaStats,
    Room,
)
from outdial.media.coders import coders
from outdial.media.plane import WorkerPool

SO_TIMESTAMPNS = 35
SO_RCVBUFFORCE = 33


# --------------------------------------------------------------------------- far end process


def far_end() -> None:
    """Prints its port, reads one JSON order, works for its seconds, prints what it saw."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8_000_000)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    print(sock.getsockname()[1], flush=True)
    while not select.select([sys.stdin], [], [], 0.005)[0]:
        drain(sock)
    order = json.loads(sys.stdin.readline())
    drain(sock)
    targets = [("127.0.0.1", port) for port in order["targets"]]
    words = {name: said_in(Codec[name.upper()]) for name in order["codecs"] if name != "PCMU"}
    names = order["codecs"]
    arrivals: dict[int, list[tuple[int, int]]] = {}
    delays: list[int] = []
    end = time.monotonic() + order["seconds"]
    sequence, turn, start = 0, 0, time.monotonic()
    while (now := time.monotonic()) < end:
        if targets:
            # Spread evenly: one target every 20 ms / n.
            due = int((now - start) / 0.02 * len(targets))
            while turn < due:
                index = turn % len(targets)
                sequence = turn // len(targets)
                codec = Codec[names[index % len(names)].upper()]
                header = struct.pack(
                    "!BBHII",
                    *(0x80, codec.value, sequence & 0xFFFF),
                    *(sequence * (codec.rtp_hz // 50) & 0xFFFFFFFF, index + 1),
                )
                said = words.get(codec.encoding)
                payload = (
                    said[sequence % len(said)] if said else struct.pack("!Q", time.time_ns()) * 20
                )
                sock.sendto(header + payload, targets[index])
                turn += 1
        select.select([sock], [], [], 0.0005 if targets else 0.01)
        try:
            while True:
                data, ancillary, _, _ = sock.recvmsg(2048, 64)
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                at = seconds * 1_000_000_000 + nanoseconds
                if len(data) != 172:
                    continue  # a report
                _, _, number, _, ssrc = struct.unpack_from("!BBHII", data)
                arrivals.setdefault(ssrc, []).append((number, at))
                if order["delays"] and data[12:20] == data[20:28] and data[12] not in (0xFF, 0xD5):
                    delays.append(at - struct.unpack_from("!Q", data, 12)[0])
        except BlockingIOError:
            pass
    print(json.dumps(summary(arrivals, delays, turn)), flush=True)


def said_in(codec: Codec) -> list[bytes]:
    """Four seconds of something like speech, 20 ms each: pitch and level go up and down."""
    encoder, made = coders(codec).encoder(), []
    for packet in range(200):
        level = 6000 * (1 + math.sin(packet / 7)) / 2
        pitch = 120 + 60 * math.sin(packet / 23)
        samples = array("h")
        for n in range(160):
            at = (packet * 160 + n) / 8000
            voice = sum(math.sin(2 * math.pi * pitch * k * at) / k for k in range(1, 9))
            samples.append(int(level * voice / 2.7 + random.uniform(-80, 80)))
        made.append(encoder.encode(samples.tobytes()))
    return made


def drain(sock: socket.socket) -> None:
    """Forgets what has arrived."""
    try:
        while True:
            sock.recv(2048)
    except BlockingIOError:
        return


def summary(
    arrivals: dict[int, list[tuple[int, int]]], delays: list[int], sent: int
) -> dict[str, Any]:
    """Packets, gaps in the sequence, and distance of every packet from its stream's 20 ms grid."""
    errors: list[float] = []
    lost = 0
    for packets in arrivals.values():
        first, began = packets[0]
        offsets = []
        for number, at in packets:
            index = (number - first) & 0xFFFF
            offsets.append((at - began) / 1e6 - index * 20)
        lost += ((packets[-1][0] - first) & 0xFFFF) + 1 - len(packets)
        middle = sorted(offsets)[len(offsets) // 2]
        errors.extend(abs(offset - middle) for offset in offsets)
    return {
        "streams": len(arrivals),
        "packets": sum(map(len, arrivals.values())),
        "lost": lost,
        "sent_by_far_end": sent,
        "pacing_error_ms": percentiles(errors),
        "relay_delay_ms": percentiles([delay / 1e6 for delay in delays]),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """p50, p99, most."""
    if not values:
        return {}
    values = sorted(values)
    return {
        "p50": round(values[len(values) // 2], 3),
        "p99": round(values[int(len(values) * 0.99)], 3),
        "max": round(values[-1], 3),
    }


# --------------------------------------------------------------------------- our end


class Usage:
    """CPU seconds and resident bytes of processes, from /proc."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids

    def cpu_s(self) -> float:
        total = 0.0
        for pid in self._pids:
            total += int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
        return total

    def rss_bytes(self) -> int:
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids)
        return pages * os.sysconf("SC_PAGE_SIZE")


async def run(
    mode: str,
    streams: int,
    seconds: float,
    talk: bool,
    workers: int,
    size: int = 50,
    suite: str = "",
    codecs: Sequence[str] = ("PCMU",),
) -> dict[str, Any]:
    settings = Media(workers=workers, ports="40000-59999")
    pool = await WorkerPool.start(settings, SystemClock(), encrypts=bool(suite))
    far = subprocess.Popen(  # noqa: ASYNC220 - before anything is measured
        [sys.executable, __file__, "far"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert far.stdin is not None and far.stdout is not None
    port = int(far.stdout.readline())
    usage = Usage(pool.pids)
    before_bytes = usage.rss_bytes()
    ends: list[MediaEvent] = []
    legs: list[MediaLeg] = []
    rooms: list[Room] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder))
        for index in range(streams):
            leg = None
            while leg is None:
                near = legs[-1] if mode == "bridges" and index % 2 else None
                try:
                    leg = pool.open(f"leg-{index}", ends.append, near)
                except Exception:
                    await asyncio.sleep(0.005)
            keys = new_keys(suite) if suite else None
            codec = Codec[codecs[index % len(codecs)].upper()]
            leg.start(MediaParams("127.0.0.1", port, codec, 101, remote_rtcp_port=port, keys=keys))
            if mode == "prompts":
                leg.queue(clip, 0)
            elif mode == "bridges" and index % 2:
                leg.bridge(legs[-1])
            elif mode == "rooms":
                if index % size == 0:
                    rooms.append(pool.room(f"room-{index}", lambda event: None))
                leg.join(rooms[-1])
            legs.append(leg)
            await asyncio.sleep(0.0013)
        await asyncio.sleep(0.5)
        order = {
            "targets": [leg.port for leg in legs] if mode != "prompts" or talk else [],
            "seconds": seconds + 1,
            "delays": mode == "bridges",
            "codecs": list(codecs),
        }
        far.stdin.write(json.dumps(order) + "\n")
        far.stdin.flush()
        await asyncio.sleep(0.3)
        cpu, began = usage.cpu_s(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu = (usage.cpu_s() - cpu) / (time.monotonic() - began)
        live_bytes = usage.rss_bytes()
        seen = json.loads(await asyncio.to_thread(far.stdout.readline))
        stats = await pool.stats()
        for holder in (*rooms, *legs):
            holder.close()
        await asyncio.sleep(0.3)
        await pool.stop()
        far.wait()
    units = streams / (200 if mode == "bridges" else 100)
    totals = [event for event in ends if isinstance(event, MediaStats)]
    return {
        "mode": mode,
        "codecs": ",".join(codecs),
        "streams": streams,
        "cpu_percent": round(100 * cpu, 2),
        "cpu_percent_per_100": round(100 * cpu / units, 2) if units else 0,
        "idle_worker_mib": round(before_bytes / 2**20 / workers, 1),
        "kib_per_stream": round((live_bytes - before_bytes) / 1024 / max(1, streams), 1),
        "ticks_late": sum(total.ticks_late for total in totals),
        "lost_on_the_way_in": sum(total.packets_lost for total in totals),
        "far_end": seen,
        "wakeups_per_s": round(stats["wakeups"] / (seconds + 2)),
        "lateness": {name: stats[name] for name in stats if name.startswith("late_")},
    }


async def run_calls(count: int) -> dict[str, Any]:
    pool = await WorkerPool.start(Media(workers=1, ports="40000-59999"), SystemClock())
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    port = sock.getsockname()[1]
    usage, own = Usage(pool.pids), Usage([os.getpid()])
    waits: list[float] = []
    readings: list[tuple[float, float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder), 800)
        for index in range(count):
            if index in (count // 5, count - 1):
                readings.append((own.cpu_s(), usage.cpu_s(), usage.rss_bytes()))
            drain(sock)
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            leg = pool.open("leg", partial(end, ended))
            leg.start(MediaParams("127.0.0.1", port, Codec.PCMU, 101, remote_rtcp_port=port))
            # As in a call: the document is fetched between the answer and the prompt.
            await asyncio.sleep(0.003 + 0.017 * (index % 16) / 16)
            asked = time.time_ns()
            playing = leg.queue(clip)
            await playing
            waits.append((clip_arrival(sock) - asked) / 1e6)
            leg.close()
            await ended
    await pool.stop()
    sock.close()
    (own_a, worker_a, rss_a), (own_b, worker_b, rss_b) = readings
    calls = count - 1 - count // 5
    return {
        "mode": "calls",
        "calls": calls,
        "control_cpu_us_per_call": round(1e6 * (own_b - own_a) / calls, 1),
        "worker_cpu_us_per_call": round(1e6 * (worker_b - worker_a) / calls, 1),
        "queue_to_first_packet_ms": percentiles(waits),
        "worker_growth_bytes_per_call": round((rss_b - rss_a) / calls, 1),
    }


async def run_rate(rate: float, seconds: float) -> dict[str, Any]:
    pool = await WorkerPool.start(Media(workers=1, ports="40000-59999"), SystemClock())
    usage, own = Usage(pool.pids), Usage([os.getpid()])
    ends: list[MediaEvent] = []
    fars = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(rate * 3))]
    for far in fars:
        far.bind(("127.0.0.1", 0))
    calls: set[asyncio.Task[None]] = set()
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder), 16_000)

        async def call(port: int) -> None:
            leg = pool.open("leg", ends.append)
            await asyncio.sleep(0.004)  # INVITE and answer
            leg.start(MediaParams("127.0.0.1", port, Codec.PCMU, 101, remote_rtcp_port=port + 1))
            await asyncio.sleep(0.003)  # the document
            await leg.queue(clip)
            leg.close()

        began, made = time.monotonic(), 0
        readings: list[tuple[int, float, float, int]] = []
        for phase in (3.0, 3.0 + seconds):
            while (now := time.monotonic()) - began < phase:
                while made < (now - began) * rate:
                    port = fars[made % len(fars)].getsockname()[1]
                    task = asyncio.create_task(call(port))
                    calls.add(task)
                    task.add_done_callback(calls.discard)
                    made += 1
                await asyncio.sleep(0.5 / rate)
            wakeups = (await pool.stats())["wakeups"]
            readings.append((len(ends), own.cpu_s(), usage.cpu_s(), wakeups))
        await asyncio.gather(*calls)
        await asyncio.sleep(0.1)
    await pool.stop()
    for far in fars:
        far.close()
    (ended_a, own_a, worker_a, wake_a), (ended_b, own_b, worker_b, wake_b) = readings
    count = ended_b - ended_a
    totals = [event for event in ends if isinstance(event, MediaStats)]
    return {
        "mode": "rate",
        "calls": count,
        "worker_cpu_us_per_call": round(1e6 * (worker_b - worker_a) / count, 1),
        "control_cpu_us_per_call": round(1e6 * (own_b - own_a) / count, 1),
        "wakeups_per_call": round((wake_b - wake_a) / count, 2),
        "packets_per_call": round(sum(total.packets_sent for total in totals) / len(totals), 1),
        "ticks_late": sum(total.ticks_late for total in totals),
    }


def end(ended: asyncio.Future[None], event: MediaEvent) -> None:
    ended.set_result(None)


def clip_arrival(sock: socket.socket) -> int:
    """When the first packet that is not silence arrived, by the kernel, in nanoseconds."""
    while True:
        data, ancillary, _, _ = sock.recvmsg(2048, 64)
        if len(data) == 172 and data[12:] != b"\xff" * 160:
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            return int(seconds * 1_000_000_000 + nanoseconds)


def new_keys(suite: str) -> MediaKeys:
    """Both directions' keys."""
    chosen = CryptoSuite[suite]
    return MediaKeys(chosen, os.urandom(chosen.key_bytes), os.urandom(chosen.key_bytes))


def make_clip(folder: Path, size: int = 80_000) -> Clip:
    """Something that is not silence."""
    data = (bytes(range(1, 251)) * (size // 250 + 1))[:size]
    for name in ("clip.ulaw", "clip.alaw"):
        (folder / name).write_bytes(data)
    return Clip(str(folder / "clip.ulaw"), str(folder / "clip.alaw"), size // 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["prompts", "bridges", "rooms", "calls", "rate", "far"])
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=100.0, help="calls a second")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--size", type=int, default=50, help="members a room")
    parser.add_argument("--codecs", default="PCMU", help="with commas, e.g. opus,PCMU")
    parser.add_argument("--talk", action="store_true", help="the far ends of prompts talk too")
    parser.add_argument(
        "--srtp",
        choices=["", *CryptoSuite.__members__],
        default="",
        help="encrypt prompts; the far ends do not, so with --talk nothing of theirs is taken",
    )
    arguments = parser.parse_args()
    if arguments.mode == "far":
        far_end()
        return
    if arguments.mode == "calls":
        print(json.dumps(asyncio.run(run_calls(arguments.streams)), indent=2))
        return
    if arguments.mode == "rate":
        print(json.dumps(asyncio.run(run_rate(arguments.rate, arguments.seconds)), indent=2))
        return
    result = asyncio.run(
        run(
            arguments.mode,
            arguments.streams,
            arguments.seconds,
            arguments.talk,
            arguments.workers,
            arguments.size,
            arguments.srtp,
            arguments.codecs.split(","),
        )
    )
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
