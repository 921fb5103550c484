"""A PostgreSQL server of a test's own, on a free port and in a folder of its own::

    with PostgresqlServer() as postgresql:
        OutdialServer({"store": {"url": postgresql.new_database()}})

It is made from the programs that Debian's package `postgresql` (or any other) has installed; no
cluster of the machine is touched. `pause`, `resume`, `kill` and `start` give it trouble.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

from outdial.testing.server import family, free_port

_READY_WITHIN_S = 30.0
_USERS = ("postgres", "nobody")
"""Whom it runs as when we are root, which PostgreSQL refuses to be."""
_OWNER = "outdial"


class NoPostgresql(Exception):
    """There are no programs to make a server from, or nobody to run it as; says which."""


def programs() -> Path:
    """The folder of PostgreSQL's programs, the newest there is. Raises NoPostgresql."""
    found = shutil.which("postgres")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    if not versions:
        raise NoPostgresql("PostgreSQL is not installed (package postgresql)")
    return versions[-1].parent


class PostgresqlServer:
    """Use it as a context manager. Commits are on the disk when they return, as by default.

    `options` are PostgreSQL's, e.g. ``{"fsync": "off"}``. Raises NoPostgresql.
    """

    def __init__(self, options: dict[str, str] | None = None, folder: Path | None = None) -> None:
        self._programs = programs()
        self._user = _user()
        self._options = options or {}
        self._own_folder = folder is None
        # short, because the path of a socket may have no more than 107 characters
        self.folder = folder or Path(tempfile.mkdtemp(prefix="outdial-pg-", dir="/tmp"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    def __enter__(self) -> PostgresqlServer:
        try:
            self._make()
            self.start()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clean_up()  # without the time that an orderly end takes: nobody needs the data

    # ------------------------------------------------------------------ databases

    def url(self, database: str) -> str:
        """The `store.url` of a database."""
        return f"postgresql://{_OWNER}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Makes an empty database; its URL."""
        self._databases += 1
        name = f"outdial{self._databases}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", _OWNER, name)
        return self.url(name)

    def query(self, url: str, sql: str) -> str:
        """What psql prints: rows as lines, columns with | between them."""
        return self._run("psql", "-X", "-A", "-t", "-c", sql, url).stdout.strip()

    # ------------------------------------------------------------------ trouble

    def start(self) -> None:
        """Starts it on the data that is there, and waits until it answers."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            **self._options,
        }
        command = [str(self._programs / "postgres"), "-D", str(self.folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program of this machine
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                extra_groups=[] if self._user is not None else None,
            )
        deadline = time.monotonic() + _READY_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{self._tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ends it in an orderly way: transactions are cut off, what is committed is kept."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """Ends all its processes at once, as a power failure would, and waits until they are gone:
        the next one does not start while one of them still has the memory they share."""
        if self._process is not None:
            self._signal(signal.SIGSTOP)  # none begins while the others are being counted
            pids = family(self._process.pid)
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
            deadline = time.monotonic() + _READY_WITHIN_S
            while any(map(_runs, pids)) and time.monotonic() < deadline:
                time.sleep(0.01)

    def pause(self) -> None:
        """It holds its breath: connections stay, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on."""
        self._signal(signal.SIGCONT)

    # ------------------------------------------------------------------ the parts

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        for pid in family(self._process.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _make(self) -> None:
        if self._user is not None:
            os.chown(self.folder, self._user, -1)
        data = self.folder / "data"
        self._run(
            *("initdb", "-D", str(data), "-U", _OWNER, "-A", "trust", "-E", "UTF8"),
            *("--locale=C", "--no-sync", "--no-instructions"),
        )

    def _answers(self) -> bool:
        command = [
            str(self._programs / "pg_isready"),
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        return subprocess.run(command, check=False).returncode == 0  # noqa: S603

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - a program of this machine
            [str(self._programs / program), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
            extra_groups=[] if self._user is not None else None,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")
        return done

    def _tail(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def _clean_up(self) -> None:
        self.kill()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def _user() -> int | None:
    """Whom to run it as; None: whoever we are. Raises NoPostgresql."""
    if os.geteuid() != 0:
        return None
    for name in _USERS:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise NoPostgresql(f"PostgreSQL does not run as root, and there is no user {_USERS[0]}")


def _version(path: Path) -> tuple[int, ...]:
    text = path.parts[-3]
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _runs(pid: int) -> bool:
    """Whether the process is there, and more than the record of its end (proc(5))."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"
