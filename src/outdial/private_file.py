"""Files of secrets, one a line, that are for their owner's eyes: how they are read and written."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import NamedTuple


class Secrets(NamedTuple):
    """What stands in a file."""

    lines: list[str]
    """Without empty ones and remarks (``#``)."""
    is_whole: bool
    """False when it is longer than was read."""
    is_private: bool
    """Nobody but its owner may read it."""


def read(path: Path, most_bytes: int) -> Secrets:
    """The file, as far as so many bytes go. Raises OSError."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        content = file.read(most_bytes + 1)
    lines = [line.strip() for line in content.decode("latin-1").splitlines()]
    return Secrets(
        [line for line in lines if line and not line.startswith("#")],
        is_whole=len(content) <= most_bytes,
        is_private=not stat.S_IMODE(mode) & 0o077,
    )


def write(path: Path, text: str, *, anew: bool = False) -> None:
    """Whole or not at all: a server may be reading it. Raises OSError; FileExistsError when it is
    to be made `anew` and is there."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if anew:
            os.link(beside, path)
        else:
            beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
