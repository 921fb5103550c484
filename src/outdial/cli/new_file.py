"""A file that a command fetches something into."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from outdial.errors import OutdialError


class FileProblem(OutdialError):
    """The file cannot be made or written."""


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """The file, made now, which is removed again when not all of it came. Raises FileProblem."""
    try:
        file = path.open("xb")
    except OSError as error:
        raise FileProblem(f"{path} cannot be written: {error.strerror}") from None
    try:
        with file:
            yield file
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(path)
        if isinstance(error, OSError):
            raise FileProblem(f"{path} cannot be written: {error.strerror}") from None
        raise
