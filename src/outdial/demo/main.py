"""Runs the demo: a server with simulated phones, two calls, and a look at what the phones heard.

Everything goes over the public interfaces, as a user's program would do it: the calls are posted
over HTTP, the document and the callbacks come to a web server of the demo's own.
"""

from __future__ import annotations

import shutil
import time
import urllib.error
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from outdial.demo.screen import Screen
from outdial.demo.story import Follower, request_line
from outdial.errors import ConfigError
from outdial.testing.audio import Sound, active_s, level_dbfs, read_mono
from outdial.testing.server import API_KEY, OutdialServer
from outdial.testing.web import Received, WebServer

CALLER_ID = "18005797676"
PIN_PHONE = "15005550001"
TALKING_PHONE = "15005550014"
PIN_DOCUMENT = """\
<?xml version="1.0" encoding="UTF-8"?>
<Response>
  <Say voice="woman">Your pin is 8 9 70</Say>
</Response>
"""
API_PATH = "/didforsaleapi/index.php/api/V2/CallTermination/"
EVENTS = "initiated,ringing,answered,completed"

LOUD_ENOUGH_DBFS = -35.0
PATIENCE_S = 25.0
LOOK_EVERY_S = 0.1


class DemoFailed(Exception):
    """The demo cannot go on; says why."""


@dataclass(slots=True)
class Checks:
    """What was looked at and whether it was right."""

    rows: list[tuple[str, str, bool]] = field(default_factory=list)

    def add(self, what: str, found: str, good: bool) -> None:
        """One row."""
        self.rows.append((what, found, good))

    @property
    def failed(self) -> list[str]:
        """What was not right."""
        return [f"{what}: {found}" for what, found, good in self.rows if not good]


class Demo:
    """One run. `run` gives the exit code."""

    def __init__(self, folder: Path, screen: Screen) -> None:
        self._folder = folder
        self._screen = screen
        self._checks = Checks()
        self._files: list[Path] = []
        self._outdial = OutdialServer(
            {
                "sim": {"enabled": True},
                "storage": {"cache": str(folder / "cache")},
            },
            folder,
        )
        self._web = WebServer(on_request=self._on_request)

    def run(self) -> int:
        """Both calls and their checks; 0 when all is right."""
        began = time.monotonic()
        try:
            with self._screen, self._web:
                self._start()
                self._pin_call()
                self._click_to_call()
                self._screen.status("stopping")
                self._outdial.stop()
        except (DemoFailed, RuntimeError, TimeoutError, OSError) as error:
            self._screen.note(f"\nThe demo failed: {error}", "bold red")
            self._screen.note(f"The server's log: {self._outdial.log_path}")
            return 1
        finally:
            self._outdial.kill()
        return self._conclude(time.monotonic() - began)

    def _start(self) -> None:
        self._screen.title(
            "Outdial",
            "A voice server, with simulated phones that answer over real SIP and RTP on this",
            "machine. No carrier, no cloud, no phone bill.",
        )
        self._screen.status("starting the server")
        self._outdial.start()
        self._screen.status("")
        self._screen.say("API", f"outdial serve listens on {self._outdial.url()}")
        self._screen.say("WEB", f"the sample voice application is at {self._web.url()}")

    # ------------------------------------------------------------------ the two calls

    def _pin_call(self) -> None:
        path = f"/apidemo/{PIN_PHONE}-authenticate.xml"
        url = self._web.serve(path, PIN_DOCUMENT)
        self._screen.title(
            "1. Tell a customer a PIN",
            "Post a number; when it answers, the document at `url` is fetched and runs:",
            *(f"    {line}" for line in PIN_DOCUMENT.splitlines()[1:]),
        )
        sid = self._post(PIN_PHONE, "/event.php", url=url, optional="token=123456")
        call = self._follow(sid, lambda call: False)
        self._expect_callbacks("/event.php", sid, "PIN call")
        fetched = len(self._web.received(path))
        self._checks.add(
            "PIN call: document fetched",
            "once" if fetched == 1 else f"{fetched} times",
            fetched == 1,
        )
        self._expect_completed(call, "PIN call")
        self._listen_to(PIN_PHONE, "PIN call", "pin-call", least_s=1.2)

    def _click_to_call(self) -> None:
        self._screen.title(
            "2. Click to call",
            "The same post without `url`: the number is called, hears ringing while `from` is",
            "called too, and the two are connected. One of them talks and presses 1 2 3 4.",
        )
        sid = self._post(TALKING_PHONE, "/event2.php")
        call = self._follow(sid, lambda _: self._digits_of(CALLER_ID) == "1234")
        self._expect_callbacks("/event2.php", sid, "leg A")
        legs = self._outdial.get(f"/v1/calls?parent_sid={sid}")["calls"]
        for leg in legs:
            if leg["sid"] != sid:
                self._expect_callbacks("/event2.php", leg["sid"], "leg B")
        self._expect_completed(call, "click to call")
        digits = self._digits_of(CALLER_ID)
        self._checks.add("leg B: digits through the bridge", digits or "none", digits == "1234")
        self._listen_to(TALKING_PHONE, "leg A", "click-to-call-leg-a", least_s=0.4)
        self._listen_to(CALLER_ID, "leg B", "click-to-call-leg-b", least_s=1.5)

    def _post(self, to: str, events_path: str, **more: str) -> str:
        params = {
            "from": CALLER_ID,
            "to": to,
            "statusCallback": self._web.collect(events_path),
            "statusCallbackEvent": EVENTS,
            **more,
        }
        self._screen.say("API", f"POST {API_PATH}")
        for name, value in params.items():
            self._screen.say("API", f"     {name}={value}")
        try:
            answer = self._outdial.post(API_PATH, {"apikey": API_KEY, **params})
        except urllib.error.HTTPError as error:
            with error:
                raise DemoFailed(f"the API refused the call: {error.read().decode()}") from None
        self._screen.say("API", f"200 {answer['message']} callSid {answer['callSid']}")
        return str(answer["callSid"])

    def _follow(self, sid: str, enough: Callable[[Any], bool]) -> dict[str, Any]:
        """Shows a call until it is over; hangs it up once it has been `enough`."""
        followers = {sid: Follower(self._outdial.get, sid, "A", self._screen.tell)}
        deadline = time.monotonic() + PATIENCE_S
        hung_up = False
        while time.monotonic() < deadline:
            for follower in followers.values():
                follower.look()
            states = (f"leg {f.leg} {f.state}" for f in followers.values())
            self._screen.status(", ".join(states))
            self._screen.settle()
            call: dict[str, Any] = self._outdial.get(f"/v1/calls/{sid}")
            if call["outcome"] and all(f.state == "completed" for f in followers.values()):
                self._last_look(followers)
                return call
            for leg in self._outdial.get(f"/v1/calls?parent_sid={sid}")["calls"]:
                if leg["sid"] not in followers:
                    followers[leg["sid"]] = Follower(
                        self._outdial.get, leg["sid"], "B", self._screen.tell
                    )
            if not hung_up and enough(call):
                hung_up = True
                self._screen.say("API", f"POST /v1/calls/{sid} hangup=true")
                self._outdial.post(f"/v1/calls/{sid}", {"hangup": True})
            time.sleep(LOOK_EVERY_S)
        raise DemoFailed(f"the call {sid} is not over after {PATIENCE_S:.0f} s")

    def _last_look(self, followers: dict[str, Follower]) -> None:
        """The ladder of a leg is complete a moment after the leg is."""
        time.sleep(2 * LOOK_EVERY_S)
        for follower in followers.values():
            follower.look()

    def _on_request(self, request: Received) -> None:
        self._screen.tell(request_line(request))

    # ------------------------------------------------------------------ what is checked

    def _expect_completed(self, call: dict[str, Any], name: str) -> None:
        outcome, seconds = call["outcome"], call["duration_s"]
        self._checks.add(f"{name}: outcome", f"{outcome} after {seconds} s", outcome == "completed")

    def _expect_callbacks(self, path: str, sid: str, name: str) -> None:
        def of_leg(requests: list[Received]) -> list[str]:
            return [r.params["CallStatus"] for r in requests if r.params.get("callSid") == sid]

        wanted = EVENTS.split(",")
        try:
            got = of_leg(
                self._web.wait_until(path, lambda all_: "completed" in of_leg(all_), timeout_s=5)
            )
        except TimeoutError:
            got = of_leg(self._web.received(path))
        self._checks.add(f"{name}: callbacks", " ".join(got) or "none", got == wanted)

    def _digits_of(self, number: str) -> str:
        figures = self._heard_figures(number)
        return str(figures["digits"]) if figures else ""

    def _heard_figures(self, number: str) -> dict[str, Any] | None:
        try:
            figures: dict[str, Any] = self._outdial.get(
                f"/sim/phones/{number}/heard?format=json&wait=0"
            )
        except urllib.error.HTTPError as error:
            error.close()
            return None
        return figures

    def _listen_to(self, number: str, name: str, file_name: str, least_s: float) -> None:
        """Fetches what the phone heard, keeps it, and checks that it was speech."""
        try:
            audio = self._outdial.get_bytes(f"/sim/phones/{number}/heard?format=wav")
        except urllib.error.HTTPError as error:
            with error:
                self._checks.add(f"{name}: heard", error.read().decode(), False)
            return
        path = self._folder / f"{file_name}-heard-by-{number}.wav"
        path.write_bytes(audio)
        self._files.append(path)
        self._judge(name, read_mono(audio), least_s)

    def _judge(self, name: str, sound: Sound, least_s: float) -> None:
        level, seconds = level_dbfs(sound), active_s(sound)
        self._screen.say("PHONE", f"{name}: heard {seconds:.1f} s of sound at {level:.1f} dBFS")
        self._screen.waveform("", sound)
        self._checks.add(
            f"{name}: heard sound",
            f"{seconds:.1f} s at {level:.1f} dBFS",
            seconds >= least_s and level > LOUD_ENOUGH_DBFS,
        )

    def _conclude(self, seconds: float) -> int:
        self._screen.table("What the demo checked", self._checks.rows)
        self._screen.note("")
        for path in self._files:
            self._screen.note(f"Listen: {path}")
        failed = self._checks.failed
        if failed:
            self._screen.note(f"\nThe demo failed: {'; '.join(failed)}", "bold red")
            self._screen.note(f"The server's log: {self._outdial.log_path}")
            return 1
        self._screen.note(f"\nAll is well, in {seconds:.0f} seconds.", "bold green")
        return 0


def run(folder: str | Path = "demo-output") -> int:
    """`outdial demo`: leaves recordings and the server's log in the folder; gives the exit code.

    Raises ConfigError when the folder cannot be written.
    """
    path = Path(folder).resolve()
    try:
        _clear(path)
    except OSError as error:
        problem = f"{path} cannot be written: {error.strerror or error}"
        raise ConfigError(
            "--folder", problem, "name a folder that this user may write to"
        ) from None
    return Demo(path, Screen()).run()


def _clear(folder: Path) -> None:
    """An empty folder; only what an earlier demo left is removed, never anything else."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("cache", "recordings"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in (
        "*-heard-by-*.wav",
        "outdial.db*",
        "outdial*.secret",
        "outdial.log",
        "outdial.toml",
    ):
        for path in folder.glob(pattern):
            path.unlink()
