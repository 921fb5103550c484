"""What every case stands on: a server, a web server, and telephones whose signalling SIPp does.

Each kind of telephone is one SIPp process for all cases, behind a trunk of its own. A telephone's
number says which kind it is and on which port its ear listens: ``1212`` ``kk`` ``ppppp``. SIPp
reads the port off the number that was called and names it in its description, so that hundreds of
telephones hear their own audio though a handful of processes answer for them.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import av

from outdial.testing import audio
from outdial.testing.server import OutdialServer
from outdial.testing.sipp import Sipp
from outdial.testing.web import Answer, Received, WebServer
from system.sipp.ear import Ear
from system.sipp.messages import Message, read_trace
from system.sipp.scenarios import scenario

CALLER = "18005550100"
"""The caller ID of every call that we place."""
CALLED_BY = "12025550123"
"""Who calls us."""
PATIENCE_S = 30.0
"""For whatever a case waits for, beyond what it takes on an idle machine."""

KINDS: dict[str, dict[str, str]] = {
    "answers": {"name": "answer"},
    "leaves": {"name": "hangs-up", "talk_ms": "2500"},
    "stays": {"name": "hangs-up", "talk_ms": "4500"},
    "slow": {"name": "slow-ring", "ring_ms": "2000"},
    "busy": {"name": "reject", "status": "486 Busy Here"},
    "rings": {"name": "no-answer"},
    "texts": {"name": "answers-and-takes-messages"},
}
"""The kinds of telephone: their scenario, and its values.

answers: until it is hung up on; leaves, stays: hangs up after 2.5 s, 4.5 s; slow: as answers, but
rings for 2 s; busy; rings: until the call is given up; texts: as answers, and takes text messages.
"""
_END = audio.tone(seconds=0.1)
TONES = {
    "/tone.wav": audio.joined(audio.tone(700, seconds=0.3), _END),
    "/other.wav": audio.joined(audio.tone(1900, seconds=0.3), _END),
}
"""What the web server has to be played."""
_CODES = {kind: str(50 + place) for place, kind in enumerate(KINDS)}
_INBOUND = 60
"""Numbers of ours that cases may have called."""
_QUIET = {"Connection": "close"}
_PORT_OF_NUMBER = """<recv request="INVITE">
    <action>
      <ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>
      <ereg regexp=".*" search_in="hdr" header="From:" assign_to="caller"/>
      <ereg regexp=".*" search_in="hdr" header="To:" assign_to="called"/>
      <ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="target"/>
      <ereg regexp="1212[0-9][0-9]([0-9]*)" search_in="hdr" header="To:" assign_to="number,ear"/>
    </action>
  </recv>
  <Reference variables="via,caller,called,target,number,ear"/>"""
_SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=phone 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio [$ear] RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15"""


@dataclass(slots=True)
class Telephone:
    """One of a kind, with a number of its own."""

    kind: str
    number: str
    ear: Ear

    def heard(self) -> audio.Sound:
        """All that it heard, from the first packet on."""
        return self.ear.heard()

    def wait_until(self, enough: Callable[[Ear], bool], what: str) -> None:
        """Looks ten times a second. Raises TimeoutError with `what` did not come."""
        _wait(lambda: enough(self.ear), f"{self.number}: {what}")

    def hears_for(self, seconds: float) -> None:
        """Returns once it heard sound for so long."""
        self.wait_until(lambda ear: audio.active_s(ear.heard()) >= seconds, f"{seconds} s of sound")


@dataclass(slots=True)
class Mail:
    """The requests whose path begins with one name, as they come."""

    _all: list[Received] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, request: Received) -> None:
        """One more."""
        with self._changed:
            self._all.append(request)
            self._changed.notify_all()

    def at(self, path: str) -> list[Received]:
        """Those for the path so far."""
        with self._changed:
            return [request for request in self._all if request.path == path]

    def wait_for(
        self, path: str, enough: Callable[[list[Received]], bool], timeout_s: float = PATIENCE_S
    ) -> list[Received]:
        """Those for the path once it is enough. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not enough(got := [r for r in self._all if r.path == path]):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(got)} requests at {path}, and then no more")
            return got


class Board:
    """Use it as a context manager."""

    def __init__(self) -> None:
        net = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        self._hosts = {kind: f"{net}.{place}" for place, kind in enumerate(KINDS, 1)}
        self._server_host, self._carrier = f"{net}.250", f"{net}.240"
        self._ports = itertools.count(20000, 2)
        self._names = (f"c{number}" for number in itertools.count(1))
        self._lock = threading.Lock()
        self._mail: dict[str, Mail] = {}
        self._phones: dict[str, Sipp] = {}
        self._stack = contextlib.ExitStack()
        self._inbound = iter(range(_INBOUND))
        self.web = WebServer(on_request=self._arrived)
        self.outdial = OutdialServer(self._settings())

    def __enter__(self) -> Board:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.web)
            stack.enter_context(self.outdial)
            for path, sound in TONES.items():
                self.serve(path, audio.wav(sound), "audio/wav")
            self.serve("/tone.mp3", _mp3(TONES["/tone.wav"]), "audio/mpeg")
            for kind, values in KINDS.items():
                text = scenario(**values, invite=_PORT_OF_NUMBER, sdp=_SDP)
                self._phones[kind] = stack.enter_context(
                    Sipp(
                        text,
                        host=self._hosts[kind],
                        port=5060,
                        calls=100_000,
                        timeout_s=900,
                        trace_messages=True,
                    )
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def _settings(self) -> dict[str, Any]:
        trunks: list[dict[str, Any]] = [
            {"name": kind, "address": f"{host}:5060", "prefixes": [f"1212{_CODES[kind]}"]}
            for kind, host in self._hosts.items()
        ]
        # A trunk of no numbers: its host may call us.
        trunks.append({"name": "carrier", "address": self._carrier, "prefixes": ["1999"]})
        for trunk in trunks:
            trunk["options_interval_s"] = 0
        numbers = [
            {
                "number": _number_of_ours(place),
                "url": self.web.url(f"/in{place}/app"),
                "status_callback": self.web.url(f"/in{place}/events"),
            }
            for place in range(_INBOUND)
        ]
        return {
            "sip": {"t1_ms": 100, "listen": [f"udp:{self._server_host}:5060"]},
            "limits": {"destinations": ["1"], "calls_per_second": 100, "concurrent_calls": 500},
            "speech": {"rate_wpm": 300},
            "fax": {"concurrent": 40},
            "media": {"workers": 1, "address": self._server_host, "ports": "20000-24999"},
            "trunks": trunks,
            "numbers": numbers,
        }

    # ------------------------------------------------------------------ what a case takes

    def telephone(self, kind: str, stack: contextlib.ExitStack) -> Telephone:
        """A new one; its ear is open as long as the stack."""
        with self._lock:
            port = next(self._ports)
        ear = stack.enter_context(Ear(self._hosts[kind], port))
        return Telephone(kind, f"1212{_CODES[kind]}{port}", ear)

    def mailbox(self) -> tuple[str, Mail]:
        """A name that no other has, and what is requested below it."""
        with self._lock:
            name = next(self._names)
            mail = self._mail[name] = Mail()
        return name, mail

    def number_of_ours(self) -> tuple[str, str, Mail]:
        """A number that may be called: its digits, the name of its web pages, their requests."""
        with self._lock:
            place = next(self._inbound)
            mail = self._mail[f"in{place}"] = Mail()
        return _number_of_ours(place), f"in{place}", mail

    def serve(self, path: str, body: str | bytes, content_type: str = "text/xml") -> None:
        """Gives the body at the path."""
        data = body.encode() if isinstance(body, str) else body
        self.web.script(path, Answer(body=data, content_type=content_type, headers=_QUIET))

    def caller(self, stack: contextlib.ExitStack) -> Telephone:
        """A telephone at the carrier, which may call us."""
        with self._lock:
            port = next(self._ports)
        return Telephone("calls", CALLED_BY, stack.enter_context(Ear(self._carrier, port)))

    def call_in(
        self,
        caller: Telephone,
        number: str,
        rest: str,
        stack: contextlib.ExitStack,
        **values: str,
    ) -> Sipp:
        """Has it call a number of ours; `rest` is the piece of what it expects then."""
        values = {"back": "4", "cseq": "1", "ear": str(caller.ear.port), **values}
        return stack.enter_context(
            Sipp(
                scenario("caller", called=number, rest=f"@{rest}@", **values),
                target=f"{self._server_host}:5060",
                host=self._carrier,
                timeout_s=PATIENCE_S,
                trace_messages=True,
            )
        )

    def messages(self, kind: str, number: str, start: str) -> list[Message]:
        """What the telephones of the kind got so far with the number in To, and begins so."""
        return [
            message
            for message in received_by(self._phones[kind], start)
            if number in message.get("To")
        ]

    def complaints(self) -> Iterator[str]:
        """What the telephones did not expect; that a message was repeated is no reason to."""
        for kind, sipp in self._phones.items():
            path = sipp.folder / "errors"
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            if "Aborting call" in text:
                yield f"{kind}: {text}"

    def back_at_rest(self) -> None:
        """Returns once nothing of any call is left. Raises TimeoutError."""
        held = ("calls_live", "sip_dialogs", "media_legs", "conference_members", "queue_callers")

        def is_at_rest() -> bool:
            gauges = self.outdial.gauges()
            return not any(gauges[f"outdial_{name}"] for name in held)

        _wait(is_at_rest, "the server is at rest")

    def _arrived(self, request: Received) -> None:
        mail = self._mail.get(request.path.split("/")[1])
        if mail is not None:
            mail.put(request)


def received_by(sipp: Sipp, start: str) -> list[Message]:
    """What it got so far that begins so."""
    trace = (sipp.folder / "messages").read_text(encoding="utf-8", errors="replace")
    return [
        message
        for message in read_trace(trace)
        if not message.sent and message.start_line.startswith(start)
    ]


def _number_of_ours(place: int) -> str:
    return f"180055502{place:02}"


def _mp3(sound: audio.Sound) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=sound.rate)
        stream.layout = "mono"
        data = (sound.samples * 32767).astype("<i2").tobytes()
        frame = av.AudioFrame("s16", "mono", len(data) // 2)
        frame.sample_rate = sound.rate
        plane = frame.planes[0]
        plane.update(data + bytes(plane.buffer_size - len(data)))
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return target.getvalue()


def _wait(is_there: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_there():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {PATIENCE_S} s: {what}")
        time.sleep(0.1)
