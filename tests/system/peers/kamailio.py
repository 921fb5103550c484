"""A proxy between Outdial and a phone: one Kamailio process that stays in the path of every dialog.

It record-routes each INVITE, relays what comes for a dialog by its Route headers alone, refuses
what comes for a dialog without any, and writes a line for each request: the witness of what really
went through it. Needs the program `kamailio`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from system.peers.baresip import free_port_pair

MODULES = (
    Path("/usr/lib/x86_64-linux-gnu/kamailio/modules"),
    Path("/usr/lib/aarch64-linux-gnu/kamailio/modules"),
    Path("/usr/lib64/kamailio/modules"),
    Path("/usr/local/lib/kamailio/modules"),
)

_CONFIG = """\
#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
mpath="{modules}/"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "xlog.so"

request_route {{
    if (!mf_process_maxfwd_header("10")) {{
        sl_send_reply("483", "Too Many Hops");
        exit;
    }}
    if (is_method("CANCEL")) {{
        xlog("L_NOTICE", "saw: $ci $rm $pr routes=$hdrc(Route)\\n");
        if (t_check_trans()) t_relay();
        exit;
    }}
    if (has_totag()) {{
        xlog("L_NOTICE", "saw: $ci $rm $pr routes=$hdrc(Route)\\n");
        if (loose_route()) {{
            t_relay();
        }} else if (is_method("ACK")) {{
            # of a final response that is not 2xx: it belongs to this proxy's own transaction
            if (t_check_trans()) t_relay();
        }} else {{
            sl_send_reply("404", "Not of a route set");
        }}
        exit;
    }}
    if (is_method("OPTIONS")) {{
        sl_send_reply("200", "Alive");
        exit;
    }}
    if (!is_method("INVITE")) {{
        sl_send_reply("405", "Only calls here");
        exit;
    }}
    t_check_trans();
    xlog("L_NOTICE", "saw: $ci $rm $pr routes=$hdrc(Route)\\n");
    record_route();
{places}
    sl_send_reply("404", "Not Found");
}}
"""

_PLACE = """\
    if ($rU == "{number}") {{
        $ru = "sip:{number}@{address}";
        t_relay();
        exit;
    }}"""


class Kamailio:
    """One proxy that knows where a few numbers live. Use it as a context manager."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """`places`: numbers and the host:port of their phones, reached by UDP."""
        self.port = free_port_pair()
        self.folder = Path(tempfile.mkdtemp(prefix="outdial-kamailio-"))
        self._places = places
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
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
        """Where a trunk finds it, by UDP and by TCP."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it; returns once it listens. Raises RuntimeError with its last words."""
        modules = next((path for path in MODULES if path.is_dir()), MODULES[0])
        config = self.folder / "kamailio.cfg"
        config.write_text(self.config(modules))
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(_program(), "-f", str(config)),
                    # in the foreground, logging there too, with little memory
                    *("-DD", "-E", "-m", "16", "-M", "4", "-Y", str(self.folder)),
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                # in a group of its own with its children, so that none can survive the test
                start_new_session=True,
            )
        deadline = time.monotonic() + 10
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"kamailio did not start:\n{self.log()}")
            time.sleep(0.02)

    def config(self, modules: Path) -> str:
        """The whole of its configuration."""
        places = "\n".join(
            _PLACE.format(number=number, address=address)
            for number, address in self._places.items()
        )
        return _CONFIG.format(port=self.port, modules=modules, places=places)

    def stop(self) -> None:
        """Ends it and its children."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """All that it wrote."""
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def seen(self, sid: str) -> list[str]:
        """The requests of a leg in the order they came: ``INVITE udp routes=0``.

        Outdial's Call-IDs begin with the leg's id.
        """
        lines = [line.partition("saw: ")[2] for line in self.log().splitlines()]
        return [line.partition(" ")[2].strip() for line in lines if line.startswith(sid)]


def is_installed() -> bool:
    """Whether the program is there."""
    return _found() is not None


def _found() -> str | None:
    # Debian has it in sbin, which is not on everybody's path.
    return shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin")


def _program() -> str:
    path = _found()
    if path is None:
        raise RuntimeError("the program kamailio is not installed (Debian: kamailio)")
    return path


def _listens(port: int) -> bool:
    """Whether both sockets are bound."""
    wanted = f":{port:04X}"
    return all(
        any(
            line.split()[1].endswith(wanted)
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        )
        for table in ("udp", "tcp")
    )
