"""The control side of a reception: a helper process for each fax, and never many."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import Any

from outdial import log
from outdial.errors import FaxError
from outdial.fax import spandsp
from outdial.frozen import frozen
from outdial.stored_file import Seal

PACKAGE = spandsp.PACKAGE
START_S = 10.0
"""A helper that does not listen by then will not."""
LAST_PAGE_S = 5.0
"""How long what was received may take to become a file when the call is over."""
_MOST_LINE_BYTES = 65_536

_log = log.get("fax")


@frozen
class FaxOrder:
    """What a helper needs to know."""

    address: str
    """Of the media worker's stream and of the helper's: both are on this machine."""
    port: int
    """The stream's."""
    payload_type: int
    """0 or 8: G.711 in the law of the call."""
    ident: str
    """What the sending machine shows: our number."""
    path: Path
    """Where the PDF goes."""
    longest_s: float
    drafts: Path
    """Folder of what is not yet a PDF."""
    seal: Seal | None = field(default=None, repr=False)
    """What the PDF is sealed with."""


@frozen
class FaxEnd:
    """What became of it."""

    is_whole: bool
    """The sender said that this was all, and all was confirmed."""
    pages: int = 0
    """In the PDF; 0: there is none."""
    confirmed: int = 0
    sender: str = ""
    """What the sending machine calls itself."""
    size_bytes: int = 0
    reason: str = ""
    """Why it is not whole, for a person."""


@cache
def missing() -> str:
    """Why no fax can be received here; "" when one can.

    The library is looked for in a process of its own: it is never loaded into this one.
    """
    import subprocess

    command = [sys.executable, "-c", "from outdial.fax import spandsp; spandsp.load()"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=START_S, check=False)  # noqa: S603 - our own
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no helper process could be started: {error}"
    if done.returncode == 0:
        return ""
    last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    return (
        last[0].partition("FaxError: ")[2]
        if last and "FaxError" in last[0]
        else (f"libspandsp cannot be loaded; reinstall {spandsp.PACKAGE}")
    )


class Reception:
    """One fax under way. Made by `begin`; `close` it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.port = 0
        """Where the helper listens."""

    @classmethod
    async def begin(cls, order: FaxOrder) -> Reception:
        """Starts a helper and waits until it listens. Raises FaxError."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-W", "ignore::DeprecationWarning", "-m", "outdial.fax.helper"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_MOST_LINE_BYTES,
                start_new_session=True,
            )
        except OSError as error:
            raise FaxError(f"no helper process could be started: {error.strerror}") from None
        reception = cls(process)
        try:
            reception._write({**_order_json(order)})
            async with asyncio.timeout(START_S):
                first = await reception._read()
            if "port" not in first:
                raise FaxError(str(first.get("end", {}).get("reason", "")) or "the helper died")
            reception.port = int(first["port"])
        except TimeoutError:
            await reception.close()
            raise FaxError(f"the helper was not ready within {START_S:g} s") from None
        except BaseException:
            await reception.close()
            raise
        return reception

    @property
    def pid(self) -> int:
        """The helper."""
        return self._process.pid

    async def end(self, on_page: Callable[[int], None]) -> FaxEnd:
        """What becomes of the fax; `on_page` is called with the number of each confirmed page."""
        while True:
            told = await self._read()
            if "pages" in told:
                on_page(int(told["pages"]))
            elif "end" in told:
                return _end_of(told["end"])
            else:
                code = await self._process.wait()
                return FaxEnd(False, reason=f"the helper process died ({code})")

    def hang_up(self) -> None:
        """The call is over: `end` says what there is by now."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.transport.is_closing():
            stdin.write(b"hang-up\n")

    async def close(self) -> None:
        """Ends the helper, and what it has received with it. Idempotent."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(1.0):
                await self._process.wait()
        except TimeoutError:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            await self._process.wait()

    def _write(self, what: dict[str, Any]) -> None:
        stdin = self._process.stdin
        if stdin is not None and not stdin.transport.is_closing():
            stdin.write(json.dumps(what).encode() + b"\n")

    async def _read(self) -> dict[str, Any]:
        """The helper's next line; {} when there is none any more."""
        stdout = self._process.stdout
        try:
            line = await stdout.readline() if stdout is not None else b""
            told = json.loads(line) if line.endswith(b"\n") else {}
        except ValueError:
            told = {}
        return told if isinstance(told, dict) else {}


def _order_json(order: FaxOrder) -> dict[str, Any]:
    return {
        "address": order.address,
        "port": order.port,
        "payload_type": order.payload_type,
        "ident": order.ident,
        "path": str(order.path),
        "longest_s": order.longest_s,
        "draft": str(order.drafts / f"{order.path.stem}.tif"),
        "seal": [part.hex() for part in order.seal] if order.seal else None,
    }


def _end_of(told: dict[str, Any]) -> FaxEnd:
    return FaxEnd(
        is_whole=bool(told.get("ok")),
        pages=int(told.get("pages", 0)),
        confirmed=int(told.get("confirmed", 0)),
        sender=str(told.get("from", ""))[:40],
        size_bytes=int(told.get("bytes", 0)),
        reason=str(told.get("reason", "")),
    )
