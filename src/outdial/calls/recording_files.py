"""Where recordings and faxes are kept, what they are sealed with, and where a copy may be clear.

Who plays a recording plays a prompt that is made of it: a file that the media worker maps. Beside a
sealed recording that file is in memory (tmpfs), never on a disk; its folder is this process's, and
what a killed one has left there the next start removes.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path

from outdial import recording_keys
from outdial.config import Settings
from outdial.errors import ConfigError
from outdial.file_watch import FileWatch
from outdial.stored_file import SealingKeys

_PLACES = ("/dev/shm", "/run/user/{uid}")  # noqa: S108 - a folder of our own in it
_NAME = re.compile(r"outdial-([0-9]+)-[0-9a-f]{16}")


class RecordingFiles:
    """Made by `open` at the start, ended by `close`."""

    def __init__(self, folder: Path, keys: SealingKeys, copies: Path | None) -> None:
        self.folder = folder
        """Absolute, and there."""
        self.keys = keys
        self.copies = copies
        """In memory, for this process; None: nothing is sealed, and copies may be in `folder`."""

    @classmethod
    def open(cls, settings: Settings, watch: FileWatch | None = None) -> RecordingFiles:
        """Raises ConfigError when the folder cannot be written, or the keys cannot be had."""
        folder = _folder(settings)
        keys = recording_keys.of_settings(settings.storage, watch)
        return cls(folder, keys, _in_memory() if keys.seals else None)

    def close(self) -> None:
        """Nothing is played any more."""
        if self.copies is not None:
            shutil.rmtree(self.copies, ignore_errors=True)


def _folder(settings: Settings) -> Path:
    folder = Path(settings.storage.recordings).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".outdial-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            "storage.recordings",
            f"{folder} cannot be written: {error.strerror or error}",
            "name a folder that this user may write to",
        ) from None
    return folder


def _in_memory() -> Path:
    """A folder of this process's own that is on no disk. Raises ConfigError."""
    held = _mounted_in_memory()
    for place in _PLACES:
        above = Path(place.format(uid=os.getuid()))
        if str(above) not in held or not os.access(above, os.W_OK | os.X_OK):
            continue
        _clear(above)
        made = above / f"outdial-{os.getpid()}-{secrets.token_hex(8)}"
        try:
            made.mkdir(mode=0o700)
        except OSError:
            continue
        return made
    raise ConfigError(
        "storage.encryption_key_file",
        "encrypted recordings are played from memory, and there is no tmpfs to write to at "
        + " or ".join(place.format(uid=os.getuid()) for place in _PLACES),
        "mount one at /dev/shm",
    )


def _mounted_in_memory() -> set[str]:
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return set()
    fields = [line.split() for line in lines]
    return {found[1] for found in fields if len(found) > 2 and found[2] in ("tmpfs", "ramfs")}


def _clear(above: Path) -> None:
    """What processes have left there that are no more."""
    for entry in above.glob("outdial-*"):
        name = _NAME.fullmatch(entry.name)
        if name is None or entry.is_symlink() or entry.stat().st_uid != os.getuid():
            continue
        if not Path(f"/proc/{name[1]}").exists():
            shutil.rmtree(entry, ignore_errors=True)
