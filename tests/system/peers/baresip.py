"""A real SIP phone without a sound card: one baresip process, driven over its control port.

What it says is a WAV file in place of the microphone; what it hears is kept by its `sndfile`
filter, behind its jitter buffer and decoder and in front of where the loudspeaker would be. The
loudspeaker is one end of an audio bridge that nobody listens at. Needs the program `baresip`
(Debian: baresip-core); written against 1.0.0.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from outdial.testing import audio

Answers = Literal["auto", "manual"]
Codec = Literal["PCMU", "PCMA", "G722", "opus"]
Encryption = Literal["", "srtp", "srtp-mand"]
"""Of its `mediaenc`: RTP/AVP with keys, or RTP/SAVP alone."""

_CODECS: dict[str, str] = {
    "PCMU": "PCMU/8000/1",
    "PCMA": "PCMA/8000/1",
    "G722": "G722/16000/1",
    "opus": "opus/48000/2",
}
"""As its accounts name them."""
MODULES = (Path("/usr/lib/baresip/modules"), Path("/usr/local/lib/baresip/modules"))

_CONFIG = """\
poll_method epoll
net_interface 127.0.0.1
sip_listen 127.0.0.1:{sip}
{tls}
call_local_timeout 120
call_max_calls 4
audio_player aubridge,loudspeaker
audio_alert aubridge,bell
audio_source aufile,{folder}/says.wav
ausrc_srate 8000
auplay_srate 8000
ausrc_channels 1
auplay_channels 1
rtp_ports 15000-19999
jitter_buffer_delay 1-20
rtp_stats yes
snd_path {folder}
module_path {modules}
module g711.so
module g722.so
module opus.so
opus_inbandfec yes
module aufile.so
module aubridge.so
module sndfile.so
module srtp.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {control}:4444
"""


class Baresip:
    """One phone with one number. Use it as a context manager."""

    def __init__(
        self,
        number: str,
        says: audio.Sound | None = None,
        *,
        port: int = 0,
        answers: Answers = "auto",
        codec: Codec = "PCMU",
        encryption: Encryption = "",
        certificate: str = "",
    ) -> None:
        """`says`: what it speaks from the answer on; None: silence. `port` 0: a free one.

        `certificate`: a file with it and its key; SIP over TLS is then taken at the next port.
        """
        self.number = number
        self.port = port or free_port_pair()
        self.folder = Path(tempfile.mkdtemp(prefix="outdial-baresip-"))
        self._control_host = f"127.{random.randrange(1, 255)}.{random.randrange(256)}.1"
        self._answers = answers
        self._codec = codec
        self._encryption = encryption
        self._certificate = certificate
        self._says = says
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._reader: threading.Thread | None = None
        self._changed = threading.Condition()  # re-entrant
        self.events: list[dict[str, Any]] = []
        """What it told, in order: CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED, ..."""

    def __enter__(self) -> Baresip:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def address(self) -> str:
        """Where a trunk finds it."""
        return f"127.0.0.1:{self.port}"

    # ------------------------------------------------------------------ the process

    def start(self) -> None:
        """Starts it; returns once it takes calls. Raises RuntimeError with its last words."""
        self._write_settings()
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [_program(), "-f", str(self.folder)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + 10
        while "baresip is ready" not in self.log():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"baresip did not start:\n{self.log()}")
            time.sleep(0.02)
        self._control = socket.create_connection((self._control_host, 4444), timeout=5)
        self._control.settimeout(None)
        self._reader = threading.Thread(target=self._read, name="baresip-events")
        self._reader.start()

    def stop(self) -> None:
        """Ends it, whatever it does, and forgets what it heard."""
        process, control = self._process, self._control
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if control is not None:
            # shutdown wakes the reading thread where close alone would leave it waiting
            try:
                control.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            control.close()
        if self._reader is not None:
            self._reader.join()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it printed."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    # ------------------------------------------------------------------ the person at the phone

    def accept(self) -> None:
        """Takes the call that rings."""
        self._command("accept")

    def dial(self, uri: str) -> None:
        """Calls somebody."""
        self._command("dial", uri)

    def hang_up(self) -> None:
        """Hangs up; a call that rings is refused with 486."""
        self._command("hangup")

    def hold(self) -> None:
        """Puts the call on hold: a re-INVITE with `sendonly`."""
        self._command("hold")

    def resume(self) -> None:
        """Takes the call off hold: a re-INVITE with `sendrecv`."""
        self._command("resume")

    def transfer(self, uri: str) -> None:
        """Asks the other end to call that address in its place: REFER."""
        self._command("transfer", uri)

    def press(self, digits: str, pause_s: float = 0.25) -> None:
        """Presses keys: RFC 4733 events, each key held until the pause is over."""
        for digit in digits:
            self._command("sndcode", digit)
            time.sleep(pause_s)

    def received(self, kind: str) -> list[dict[str, Any]]:
        """The events of the kind up to now."""
        with self._changed:
            return [event for event in self.events if event.get("type") == kind]

    def wait_for(self, kind: str, timeout_s: float = 10.0) -> dict[str, Any]:
        """The first event of the kind, once it is there. Raises TimeoutError."""
        self.wait_until(lambda: bool(self.received(kind)), kind, timeout_s)
        return self.received(kind)[0]

    def wait_until(
        self, enough: Callable[[], bool], what: str = "it", timeout_s: float = 10.0
    ) -> None:
        """Returns once its events are enough. Raises TimeoutError with all that happened."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not enough():
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(
                        f"no {what} within {timeout_s} s: {self.events}\n{self.log()}"
                    )

    def heard(self) -> list[audio.Sound]:
        """What it heard on each call, in order; up to the moment where it put the call on hold."""
        return [audio.read_mono(path) for path in sorted(self.folder.glob("dump-*-dec.wav"))]

    def packets_received(self) -> int:
        """RTP packets of its last call, as it counted them once the call was over."""
        counts = re.findall(r"^packets: +\d+ +(\d+)", self.log(), re.MULTILINE)
        if not counts:
            raise ValueError(f"no call is over yet:\n{self.log()}")
        return int(counts[-1])

    # ------------------------------------------------------------------ the parts

    def _write_settings(self) -> None:
        modules = next((path for path in MODULES if path.is_dir()), MODULES[0])
        config = _CONFIG.format(
            sip=self.port,
            folder=self.folder,
            modules=modules,
            control=self._control_host,
            tls=f"sip_certificate {self._certificate}" if self._certificate else "",
        )
        (self.folder / "config").write_text(config)
        (self.folder / "accounts").write_text(
            f"<sip:{self.number}@127.0.0.1:{self.port}>;regint=0;answermode={self._answers};"
            f"audio_codecs={_CODECS[self._codec]}"
            f"{f';mediaenc={self._encryption}' if self._encryption else ''}\n"
        )
        (self.folder / "contacts").write_text("")
        says = self._says or audio.tone(seconds=60.0)
        (self.folder / "says.wav").write_bytes(audio.wav(says))

    def _command(self, name: str, params: str = "") -> None:
        """A command of its menu module, as a netstring (baresip's ctrl_tcp module)."""
        if self._control is None:
            raise RuntimeError("baresip was not started")
        text = json.dumps({"command": name, "params": params, "token": name}).encode()
        self._control.sendall(b"%d:%s," % (len(text), text))

    def _read(self) -> None:
        data = b""
        while self._control is not None:
            try:
                received = self._control.recv(65536)
            except OSError:
                return
            if not received:
                return
            data = self._take(data + received)

    def _take(self, data: bytes) -> bytes:
        """Keeps the events of the complete netstrings; what is left over."""
        while True:
            size, colon, rest = data.partition(b":")
            if not colon or len(rest) < int(size) + 1:
                return data
            message = json.loads(rest[: int(size)])
            data = rest[int(size) + 1 :]
            with self._changed:
                self.events.append(message)
                self._changed.notify_all()


def is_installed() -> bool:
    """Whether the program is there."""
    return shutil.which("baresip") is not None


def _program() -> str:
    path = shutil.which("baresip")
    if path is None:
        raise RuntimeError("the program baresip is not installed (Debian: baresip-core)")
    return path


def free_port_pair() -> int:
    """A port that is free together with the next one, which baresip takes for SIP over TLS.

    Below the ports that the system hands out by itself: nobody gets it between this and the start.
    """
    while True:
        port = random.randrange(11_000, 14_999, 2)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                for number in (port, port + 1):
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("127.0.0.1", number))
        except OSError:
            continue
        return port
