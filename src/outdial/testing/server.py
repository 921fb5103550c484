"""A real `outdial serve` process for a test, on free ports and in a folder of its own::

    with OutdialServer({"sim": {"enabled": True}}) as outdial:
        requests.post(outdial.url("/v1/calls"), ...)

`usage` before and after a test shows what it left behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from outdial.frozen import frozen

API_KEY = "test-key-0123456789"


_CONNECTIONS = (
    'outdial_http_connections{state="idle"}',
    'outdial_http_connections{state="busy"}',
    "outdial_api_connections",
)


@frozen
class Usage:
    """What a server and its processes hold."""

    processes: int
    descriptors: int
    threads: int
    live_calls: int
    memory_kib: int
    """Proportional set size, 0 where the kernel does not tell."""


class OutdialServer:
    """Use it as a context manager.

    `settings` are those of outdial.toml as nested mappings; ports, store, recordings, a key and
    permission to reach loopback are filled in where they are not given. With keys of your own the
    first of them is used, without any every request is refused. With ``http.tls_certificate`` it
    is asked over HTTPS: `ca` names a PEM file of whom to believe, under the address 127.0.0.1;
    without it that is whoever has the certificate of the settings, whatever name it is for.
    """

    def __init__(
        self,
        settings: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        *,
        ready_within_s: float = 20.0,
        ca: str = "",
    ) -> None:
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="outdial-test-"))
        self.http_port = free_port(socket.SOCK_STREAM)
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self.settings = _filled(settings or {}, self)
        self.key = str(next((row.get("key", "") for row in self.settings["keys"]), ""))
        """The API key that its own requests carry."""
        self._ready_within_s = ready_within_s
        self._ca = ca
        self._secrecy: ssl.SSLContext | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> OutdialServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ------------------------------------------------------------------ the process

    def start(self) -> None:
        """Starts it and waits until `/readyz` is 200. Raises RuntimeError with its last words."""
        self._secrecy = self._trust()
        config = self.folder / "outdial.toml"
        config.write_text(toml(self.settings), encoding="utf-8")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and settings
                [sys.executable, "-m", "outdial", "serve", "--config", str(config)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
            )
        self._wait_until_ready()

    def stop(self, timeout_s: float = 15.0) -> int:
        """Asks it to end, insists when calls keep it; returns the exit status.

        Raises RuntimeError, with its last words, when it had to be killed.
        """
        if self._process is None:
            return 0
        process, self._process = self._process, None
        for patience_s in (timeout_s / 3, timeout_s * 2 / 3):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                return process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        process.kill()
        process.wait()
        raise RuntimeError(f"still running {timeout_s} s after SIGTERM:\n{self.tail()}")

    def kill(self) -> None:
        """Ends it at once, as a power failure would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def wait(self, timeout_s: float) -> int:
        """The exit status once it has ended by itself. Raises TimeoutError."""
        if self._process is None:
            return 0
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"still running after {timeout_s} s:\n{self.tail()}") from None
        self._process = None
        return status

    @property
    def pid(self) -> int:
        """The control process."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """The control process and all that descend from it: media workers, speech helpers."""
        return family(self.pid)

    @property
    def secret_path(self) -> Path:
        """The secrets that its requests are signed with, one a line, newest first."""
        return self.folder / "outdial-webhooks.secret"

    @property
    def log_path(self) -> Path:
        """Its standard error."""
        return self.folder / "outdial.log"

    def log(self) -> list[dict[str, Any]]:
        """The log lines that are JSON objects."""
        lines = self.log_path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def tail(self, lines: int = 30) -> str:
        """The end of the log."""
        if not self.log_path.exists():
            return ""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    # ------------------------------------------------------------------ its HTTP API

    def url(self, path: str = "/") -> str:
        """The address of a path of the API."""
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://127.0.0.1:{self.http_port}{path}"

    def get(self, path: str) -> Any:
        """The JSON at the path, asked for with the key. Raises HTTPError on 400 and above."""
        return self._ask("GET", path, None)

    def get_bytes(self, path: str) -> bytes:
        """What is at the path, as it is: audio, for one. Raises HTTPError on 400 and above."""
        return self._fetch("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON answer to a JSON body. Raises HTTPError on 400 and above."""
        return self._ask("POST", path, json.dumps(body).encode())

    def delete(self, path: str) -> None:
        """Raises HTTPError on 400 and above."""
        self._fetch("DELETE", path, None)

    def place_call(self, **params: Any) -> str:
        """Posts to the V2 API with the key; returns the call's sid."""
        answer = self.post(
            "/didforsaleapi/index.php/api/V2/CallTermination/", {"apikey": self.key, **params}
        )
        return str(answer["callSid"])

    def wait_until_over(self, sid: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """The call once it has ended. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            call: dict[str, Any] = self.get(f"/v1/calls/{sid}")
            if call.get("outcome"):
                return call
            time.sleep(0.05)
        raise TimeoutError(f"{sid} is not over after {timeout_s} s:\n{self.tail()}")

    # ------------------------------------------------------------------ what it holds

    def wait_for_trunk(self, name: str, state: str, timeout_s: float = 15.0) -> dict[str, Any]:
        """The trunk as `/v1/trunks/{name}` shows it, once it is in that state."""
        deadline = time.monotonic() + timeout_s
        while True:
            trunk: dict[str, Any] = self.get(f"/v1/trunks/{name}")
            if trunk["state"] == state:
                return trunk
            if time.monotonic() > deadline:
                raise TimeoutError(f"trunk {name} is not {state} but {trunk}")
            time.sleep(0.02)

    def usage(self) -> Usage:
        """What its processes hold now."""
        pids = family(self.pid)
        return Usage(
            processes=len(pids),
            descriptors=sum(_count(f"/proc/{pid}/fd") for pid in pids),
            threads=sum(_count(f"/proc/{pid}/task") for pid in pids),
            live_calls=self._live_calls(),
            memory_kib=sum(_memory_kib(pid) for pid in pids),
        )

    def gauges(self) -> dict[str, float]:
        """What `/metrics` says, by name; with labels: ``name{label="value"}``."""
        text = self.get_bytes("/metrics").decode()
        samples = (line.rpartition(" ") for line in text.splitlines() if line[:1] not in ("#", ""))
        return {name: float(value) for name, _, value in samples}

    def own_descriptors(self) -> int:
        """The open files and sockets of the control process."""
        return _count(f"/proc/{self.pid}/fd")

    def at_work(self) -> tuple[int, int]:
        """Its processes, and the descriptors of the control process, that do not merely wait.

        Left out is what is kept for who needs it next: HTTP connections and speech helpers, with
        the two pipes to each.
        """
        gauges = self.gauges()
        helpers = int(gauges["outdial_speech_helpers"])
        connections = sum(gauges[name] for name in _CONNECTIONS)
        return len(self.pids) - helpers, self.own_descriptors() - int(connections) - 2 * helpers

    def open_files(self) -> list[str]:
        """What those descriptors are, as proc(5) names them: paths, ``socket:[inode]``, ..."""
        folder = f"/proc/{self.pid}/fd"
        names = []
        for number in _listed(folder):
            with contextlib.suppress(OSError):  # closed meanwhile
                names.append(os.readlink(f"{folder}/{number}"))
        return sorted(names)

    def wait_until_back_at(self, start: Usage, timeout_s: float = 10.0, spare: int = 0) -> Usage:
        """The usage once it is not above `start` any more: nothing leaked.

        `spare` descriptors may remain: kept-alive connections of the HTTP client and of the test.
        Raises AssertionError naming what is still held.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            now = self.usage()
            if (
                now.live_calls <= start.live_calls
                and now.descriptors <= start.descriptors + spare
                and now.processes <= start.processes
            ):
                return now
            if time.monotonic() > deadline:
                raise AssertionError(f"left behind: {start} became {now}")
            time.sleep(0.1)

    # ------------------------------------------------------------------ the parts

    def _ask(self, method: str, path: str, body: bytes | None) -> Any:
        return json.loads(self._fetch(method, path, body))

    def _fetch(self, method: str, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(  # noqa: S310 - the address is our own
            self.url(path),
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(  # noqa: S310
            request, timeout=30, context=self._secrecy
        ) as answer:
            data: bytes = answer.read()
            return data

    @property
    def _certificate(self) -> str:
        """The file of its certificate; "": it speaks plain HTTP."""
        return str(self.settings["http"].get("tls_certificate", ""))

    def _trust(self) -> ssl.SSLContext | None:
        """Whom to believe over HTTPS. Raises OSError for a file that cannot be read."""
        if not self._certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self._ca:
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(self.folder / (self._ca or self._certificate))
        return context

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_within_s
        while time.monotonic() < deadline:
            process = self._process
            if process is None or process.poll() is not None:
                status = None if process is None else process.returncode
                raise RuntimeError(f"outdial serve ended with {status}:\n{self.tail()}")
            if self._is_ready():
                return
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"not ready after {self._ready_within_s} s:\n{self.tail()}")

    def _live_calls(self) -> int:
        try:
            readiness = self._fetch("GET", "/readyz", None)
        except urllib.error.HTTPError as error:  # 503: not ready, or draining
            with error:
                readiness = error.read()
        return int(json.loads(readiness)["live"])

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(  # noqa: S310
                self.url("/readyz"), timeout=5, context=self._secrecy
            ) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                self.kill()
                raise RuntimeError(f"its certificate is not believed: {error.reason}") from None
            return False
        except OSError:
            return False


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port nobody listens on now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def toml(settings: Mapping[str, Any]) -> str:
    """The settings as TOML: sections of values, and lists of such sections; tables in
    these are written inline."""
    lines: list[str] = []
    for name, section in settings.items():
        for rows, heading in _sections(name, section):
            lines.append(heading)
            lines += [f"{key} = {_value(value)}" for key, value in rows.items()]
            lines.append("")
    return "\n".join(lines)


def _sections(name: str, section: Any) -> list[tuple[Mapping[str, Any], str]]:
    if isinstance(section, Mapping):
        return [(section, f"[{name}]")]
    return [(rows, f"[[{name}]]") for rows in section]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key} = {_value(one)}" for key, one in value.items())
        return f"{{ {inside} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    # What JSON writes for strings, numbers, booleans and lists of them is TOML as well.
    return json.dumps(value, ensure_ascii=True)


def _filled(settings: Mapping[str, Any], server: OutdialServer) -> dict[str, Any]:
    """The settings over the defaults of a test."""
    defaults: dict[str, Any] = {
        "http": {"listen": f"127.0.0.1:{server.http_port}"},
        "sip": {"listen": [f"udp:127.0.0.1:{server.sip_port}"]},
        "store": {"url": f"sqlite:///{server.folder / 'outdial.db'}"},
        "storage": {
            "recordings": str(server.folder / "recordings"),
        },
        "webhooks": {"allow_private": ["127.0.0.0/8"]},
        "keys": [{"name": "test", "key": API_KEY}],
    }
    return merged(defaults, settings)


def merged(defaults: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings over the defaults, section by section."""
    filled = dict(defaults)
    for name, section in settings.items():
        known = filled.get(name)
        if isinstance(known, Mapping) and isinstance(section, Mapping):
            filled[name] = {**known, **section}
        else:
            filled[name] = section
    return filled


def _environment() -> dict[str, str]:
    """Ours, without settings that would reach into the server under test."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OUTDIAL_")}


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in _listed(f"/proc/{parent}/task"):
            try:
                children = Path(f"/proc/{parent}/task/{task}/children").read_text().split()
            except OSError:
                continue
            found += [int(child) for child in children if int(child) not in found]
    return found


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _count(folder: str) -> int:
    return len(_listed(folder))


def _memory_kib(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
