"""The audio side of a fax machine that sends: a process with libspandsp and an RTP socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from doubles.faxes import Picture, tiff_of

TESTS = Path(__file__).parents[2]


class FaxMachine:
    """Use it as a context manager. It sends as soon as it hears something."""

    def __init__(self, host: str, pictures: list[Picture]) -> None:
        self.pictures = pictures
        self._folder = tempfile.TemporaryDirectory(prefix="outdial-fax-")
        path = Path(self._folder.name) / "sent.tif"
        path.write_bytes(tiff_of(pictures))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "doubles.fax_sender", host, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(TESTS)},
        )
        assert self._process.stdout is not None
        self._told = self._process.stdout
        self.port = int(self._told.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._told.close()
        self._folder.cleanup()

    def result(self) -> dict[str, Any]:
        """How sending went, once it is over."""
        told: dict[str, Any] = json.loads(self._told.readline())
        return told
