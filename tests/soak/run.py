"""Calls with tones both ways through SIPp, over a line that loses packets, and what must hold.

The server runs in the near end of the line, SIPp in the far end. There are always so many calls at
once; each plays a tone, is recorded, and is hung up by its document. When it is over its recording
is looked at: the tone of either side must be in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from doubles.memory import own_kib
from outdial.media.core import g711
from outdial.testing import audio
from outdial.testing.audio import Sound
from outdial.testing.server import OutdialServer, Usage
from outdial.testing.web import WebServer
from soak.line import FAR, FAR_HZ, NEAR, NEAR_HZ

NUMBER: Final = "12025550123"
MOST_SLOPE_KIB: Final = 1024
"""An hour."""
LEAST_MINUTES: Final = 15.0
"""In less the slope says nothing."""
MOST_LATE_MS: Final = 5.0
_FRAME = 160
_SIP_PORT = 5060
_SETTLED_WITHIN_S = 100.0
_GAUGES = (
    *("sip_client_transactions", "sip_server_transactions", "sip_calls", "sip_dialogs"),
    *("sip_early_dialogs", "sip_timers", "media_legs", "media_plays", "media_streams"),
    *("media_started", "media_recordings", "media_rooms", "media_descriptors", "tasks"),
    *("callbacks_held", "callbacks_under_way", "calls_live", "calls_queued"),
)


@dataclass(frozen=True)
class Plan:
    """How many, how long, how bad."""

    minutes: float = 30.0
    calls: int = 50
    loss: float = 0.02
    call_s: int = 30
    """How long a call plays."""
    seed: int = 1

    @property
    def lanes(self) -> int:
        """Calls that follow one another: more than are wanted at once, for between two there is a
        moment in which one lane has none."""
        return self.calls + self.calls // 6 + 1

    @property
    def warm_up_s(self) -> float:
        """Before memory is watched: half of it, 15 minutes at most. So long it takes until what is
        bounded is full: pages of the record, headers that were read before."""
        return min(900.0, 30 * self.minutes)


@dataclass
class Report:
    """What was seen."""

    figures: dict[str, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def rows(self) -> list[tuple[str, str]]:
        """For a table."""
        return [*self.figures.items(), ("promises broken", str(len(self.broken)))]

    def __str__(self) -> str:
        lines = [f"{what:<52}{value}" for what, value in self.rows()]
        return "\n".join([*lines, *(f"BROKEN: {one}" for one in self.broken[:40])])


class Soak:
    """One run. `run` gives the report; it needs root, and a network namespace of its own."""

    def __init__(self, plan: Plan, say: Callable[[str], None] = print) -> None:
        self._plan = plan
        self._say = say
        self._report = Report()
        self._lock = threading.Lock()
        self._over: Counter[str] = Counter()
        self._heard: list[tuple[float, float]] = []
        """Of each call, the parts of the time in which the far and the near tone were heard."""
        self._memory: list[tuple[float, float]] = []
        self._live_low = plan.calls

    _outdial: OutdialServer
    _url: str

    def run(self) -> Report:
        """From the first call to the last."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outdial-soak-")))
            far = stack.enter_context(_far_end())
            line = stack.enter_context(_line(far, self._plan))
            stack.enter_context(_phones(far, folder, self._plan))
            web = stack.enter_context(WebServer())
            web.serve("/tone.wav", audio.wav(audio.tone(NEAR_HZ, seconds=10.0)), "audio/wav")
            loops = max(1, self._plan.call_s // 10)
            web.serve(
                "/app",
                f'<Response><Play loop="{loops}">/tone.wav</Play><Hangup/></Response>',
            )
            self._url = web.url("/app")
            self._outdial = stack.enter_context(OutdialServer(_settings(self._plan), folder))
            self._calls()
            self._judge_line(json.loads(_ended(line)))
        return self._report

    # ------------------------------------------------------------------ the calls

    def _calls(self) -> None:
        self._one_call()  # everything is loaded, the prompt is in the cache
        start, usage = self._settled(None), self._outdial.usage()
        self._heard.clear()
        self._over.clear()
        began = time.monotonic()
        until = began + 60 * self._plan.minutes
        with ThreadPoolExecutor(self._plan.lanes) as pool:
            lanes = [
                pool.submit(self._lane, until, number * self._spread_s)
                for number in range(self._plan.lanes)
            ]
            self._watch(began, until)
            for lane in lanes:
                lane.result()
        end = self._settled(start)
        self._judge_calls(time.monotonic() - began)
        self._judge_counters(start, end)
        self._judge_usage(usage, self._outdial.usage())
        self._judge_log()

    @property
    def _spread_s(self) -> float:
        """Between two first calls: so that later ones do not all begin at once either."""
        return min(self._plan.call_s, 30 * self._plan.minutes) / self._plan.lanes

    def _lane(self, until: float, after_s: float) -> None:
        time.sleep(after_s)
        while time.monotonic() < until:
            try:
                self._one_call()
            except (OSError, TimeoutError, ValueError, RuntimeError) as error:
                with self._lock:
                    self._report.broken.append(f"a call: {error!r}"[:300])

    def _one_call(self) -> None:
        """From the post to the look at its recording."""
        sid = self._outdial.place_call(
            **{"from": "18005550100", "to": NUMBER, "url": self._url, "record": "true"}
        )
        deadline = time.monotonic() + self._plan.call_s + 90
        call: dict[str, Any] = {}
        time.sleep(self._plan.call_s)
        while not call.get("outcome"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sid} is stuck")
            time.sleep(1.0)
            call = self._outdial.get(f"/v1/calls/{sid}")
        ended = f"{call['outcome']}, {call['cause']}"
        with self._lock:
            self._over[ended] += 1
        if call["outcome"] == "completed":
            self._listen(sid, call.get("media") or {})

    def _listen(self, sid: str, media: dict[str, Any]) -> None:
        rows: list[dict[str, Any]] = []
        deadline = time.monotonic() + 20
        while not rows and time.monotonic() < deadline:
            rows = self._outdial.get(f"/v1/recordings?call_sid={sid}")["recordings"]
            time.sleep(0 if rows else 0.5)
        if not rows:
            raise ValueError(f"{sid} has no recording")
        far, near = audio.read_wav(self._outdial.get_bytes(rows[0]["wav"]))
        heard = (tone_part(far, FAR_HZ), tone_part(near, NEAR_HZ))
        with contextlib.suppress(urllib.error.HTTPError):
            self._outdial.delete(f"/v1/recordings/{rows[0]['sid']}")
        with self._lock:
            self._heard.append(heard)
            if min(heard) < self._least:
                came, lost = (media.get(f"packets_{what}") for what in ("received", "lost"))
                self._report.broken.append(
                    f"{sid} heard {heard[0]:.0%}, played {heard[1]:.0%} of {far.duration_s:.1f} s; "
                    f"{came} packets came, {lost} were lost"
                )

    @property
    def _least(self) -> float:
        """How much of a call's time its tones must be heard: some is lost, and it begins late."""
        return 0.9 - 2 * self._plan.loss

    def _watch(self, began: float, until: float) -> None:
        told = 0.0
        while (now := time.monotonic()) < until:
            usage = self._outdial.usage()
            if now - began > self._plan.warm_up_s:
                self._memory.append((now - began, own_kib(self._outdial.pids)))
                self._live_low = min(self._live_low, usage.live_calls)
            if now - told > 30:
                told = now
                kib = own_kib(self._outdial.pids)
                calls = f"{usage.live_calls} calls, {sum(self._over.values())} over"
                self._say(f"{now - began:.0f} s: {calls}, {usage.descriptors} files, {kib:,} KiB")
            time.sleep(5.0)

    # ------------------------------------------------------------------ the judgement

    def _judge_calls(self, took_s: float) -> None:
        figures, plan = self._report.figures, self._plan
        figures["calls at once, duration, loss each way"] = (
            f"{plan.calls} (never under {self._live_low}), {took_s / 60:.1f} min, {plan.loss:.0%}"
        )
        figures["calls"] = ", ".join(f"{n:,} {how}" for how, n in self._over.most_common())
        ill = sum(self._over.values()) - self._over["completed, normal-clearing"]
        if ill:
            self._report.broken.append(f"{ill} calls did not end as they should")
        far, near = ([one[way] for one in self._heard] for way in (0, 1))
        figures["calls listened to"] = f"{len(self._heard):,}"
        for what, parts in (("far end's tone in recordings", far), ("our tone in them", near)):
            figures[f"{what}: least, mean"] = (
                f"{min(parts, default=0):.1%}, {sum(parts) / max(1, len(parts)):.1%}"
            )
        if len(self._heard) != self._over["completed, normal-clearing"] or not self._heard:
            self._report.broken.append("not every call could be listened to")
        slope = _slope_an_hour(self._memory)
        figures["memory after warm-up, slope"] = (
            f"{self._memory[0][1] if self._memory else 0:,.0f} KiB, {slope:+,.0f} KiB an hour "
            f"over {len(self._memory)} looks"
        )
        if slope > MOST_SLOPE_KIB and self._plan.minutes >= LEAST_MINUTES:
            self._report.broken.append(f"memory grows by {slope:,.0f} KiB an hour")

    def _judge_line(self, seen: dict[str, Any]) -> None:
        figures = self._report.figures
        figures["packets carried, lost on the line"] = f"{seen['carried']:,}, {seen['lost']:,}"
        for where, streams in seen["streams"].items():
            long = [one for one in streams if one[1] >= 3]
            deaf = [one for one in long if one[2] < 0.9 * one[1]]
            figures[f"streams {where}, without the tone"] = f"{len(long):,}, {len(deaf):,}"
            if deaf or len(long) < sum(self._over.values()):
                self._report.broken.append(f"{len(long)} streams {where}, {len(deaf)} untrue")
        errors = seen["errors"]
        p50, p99, most = (_share(errors, share) for share in (0.5, 0.99, 1.0))
        figures["our packets off their time: p50, p99, max"] = (
            f"{p50:.1f}, {p99:.1f}, {most:.1f} ms"
        )
        figures["our packets off by more than 5 ms"] = (
            f"{sum(n for tenths, n in errors if tenths > 50):,} of {sum(n for _, n in errors):,}"
        )
        if p99 > MOST_LATE_MS or not errors:
            self._report.broken.append(f"p99 of pacing is {p99:.1f} ms")

    def _settled(self, wanted: dict[str, float] | None) -> dict[str, float]:
        deadline = time.monotonic() + _SETTLED_WITHIN_S
        while True:
            gauges = self._outdial.gauges()
            held = {name: gauges[f"outdial_{name}"] for name in _GAUGES}
            zeros = dict.fromkeys(_GAUGES, 0.0) | {
                n: held[n] for n in ("tasks", "media_descriptors")
            }
            if held == zeros | (wanted or {}) or time.monotonic() > deadline:
                return held
            time.sleep(0.5)

    def _judge_counters(self, start: dict[str, float], end: dict[str, float]) -> None:
        moved = {name: end[name] for name, value in start.items() if end[name] != value}
        self._report.figures["counters that are not back"] = str(len(moved))
        self._report.broken += [f"{n} is {v:.0f}, and was {start[n]:.0f}" for n, v in moved.items()]

    def _judge_usage(self, start: Usage, end: Usage) -> None:
        self._report.figures["processes, descriptors, threads: growth"] = (
            f"{end.processes - start.processes:+}, {end.descriptors - start.descriptors:+}, "
            f"{end.threads - start.threads:+}"
        )
        if end.processes > start.processes or end.descriptors > start.descriptors + 8:
            self._report.broken.append(f"{start} became {end}")

    def _judge_log(self) -> None:
        text = self._outdial.log_path.read_text(encoding="utf-8", errors="replace")
        wrong = [str(line) for line in self._outdial.log() if line.get("level") == "error"]
        wrong += text.split("Traceback (most")[1:]
        self._report.figures["errors in the log"] = str(len(wrong))
        self._report.broken += [f"in the log: {one[:500]}" for one in wrong[:5]]


def tone_part(sound: Sound, hertz: int) -> float:
    """In which part of its packet times a sound is that tone."""
    count = len(sound.samples) // _FRAME
    if not count:
        return 0.0
    frames = sound.samples[: count * _FRAME].reshape(count, _FRAME)
    power = np.abs(np.fft.rfft(frames)) ** 2
    at = round(hertz * _FRAME / sound.rate)
    # a frame of the recording begins anywhere in a packet, so that one with a gap counts as half
    right = power[:, at - 1 : at + 2].sum(axis=1) > 0.8 * power.sum(axis=1)
    loud = power.sum(axis=1) > 1.0
    return float((right & loud).mean())


def _slope_an_hour(points: list[tuple[float, float]]) -> float:
    """By least squares; 0 with too few points."""
    if len(points) < 3:
        return 0.0
    slope, _ = np.polyfit([at for at, _ in points], [kib for _, kib in points], 1)
    return 3600 * float(slope)


def _share(errors: list[list[int]], share: float) -> float:
    """Milliseconds that such a share of the packets is not beyond."""
    left = share * sum(count for _, count in errors)
    for tenths, count in errors:
        left -= count
        if left <= 0:
            return (tenths + 1) / 10
    return 0.0


def _settings(plan: Plan) -> dict[str, Any]:
    return {
        "sip": {"listen": [f"udp:{NEAR}:{_SIP_PORT}"]},
        "media": {"address": NEAR},
        "limits": {
            "destinations": ["1"],
            "calls_per_second": 100,
            "concurrent_calls": 2 * plan.calls,
        },
        "log": {"level": "warning"},
        "trunks": [{"name": "line", "address": f"{FAR}:{_SIP_PORT}", "options_interval_s": 0}],
    }


@contextlib.contextmanager
def _far_end() -> Iterator[int]:
    """A network namespace of its own; gives a process in it."""
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


@contextlib.contextmanager
def _line(far: int, plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "soak.line", str(far), str(plan.loss), str(plan.seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise RuntimeError("there is no line: it needs root and /dev/net/tun")
        yield process
        process.terminate()


def _ended(line: subprocess.Popen[bytes]) -> bytes:
    output, _ = line.communicate(b"")
    return output


@contextlib.contextmanager
def _phones(far: int, folder: Path, plan: Plan) -> Iterator[None]:
    """SIPp in the far end, which answers every call and plays its tone."""
    tone = folder / "far.ulaw"
    samples = (audio.tone(FAR_HZ, seconds=10.0).samples * 32767).astype("<i2").tobytes()
    tone.write_bytes(g711.encode(samples, 0))
    scenario = folder / "phone.xml"
    text = (Path(__file__).parent / "phone.xml").read_text(encoding="utf-8")
    scenario.write_text(text.replace("@tone@", tone.name), encoding="utf-8")
    command = [
        *("nsenter", "--net", "--target", str(far), "sipp", "-sf", str(scenario)),
        *("-i", FAR, "-p", str(_SIP_PORT), "-mi", FAR, "-nostdin", "-trace_err"),
        *("-rtp_threadtasks", "10", "-l", str(4 * plan.calls)),
    ]
    with (folder / "sipp.screen").open("wb") as screen:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=screen, stderr=screen
        )
    try:
        yield
        if process.poll() is not None:
            said = (folder / "sipp.screen").read_text(errors="replace")[-1500:]
            said += "".join(one.read_text(errors="replace") for one in folder.glob("*errors.log"))
            raise RuntimeError(f"SIPp ended with {process.returncode}: {said[-3000:]}")
    finally:
        process.terminate()
        process.wait()


def enter_namespace() -> None:
    """Starts this program again in a network namespace of its own, unless it is in one."""
    if os.environ.get("OUTDIAL_SOAK_INSIDE"):
        return
    environment = {**os.environ, "OUTDIAL_SOAK_INSIDE": "1"}
    inside = [
        "sh",
        "-c",
        'ip link set lo up && exec "$@"',
        "sh",
        sys.executable,
        "-u",
        "-m",
        "soak",
    ]
    os.execvpe("unshare", ["unshare", "--net", *inside, *sys.argv[1:]], environment)
