"""The keys that recordings and faxes are encrypted with: of the settings, or of a file.

The file has one key a line, the newest first: that one encrypts, all of them decrypt. A server
reads it again when it changes. It is never made by itself: what would be encrypted with a key that
a wrong path had made is lost with it.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from functools import partial
from pathlib import Path

from outdial import log, private_file
from outdial.config import Storage
from outdial.errors import ConfigError
from outdial.file_watch import FileWatch
from outdial.stored_file import KEY_BYTES, SealingKeys, key_id, warm_up

PREFIX = "ork_"
_FILE = "storage.encryption_key_file"
_MOST_BYTES = 65_536

_log = log.get("recordings")


def new_key() -> str:
    """A new key as text."""
    return PREFIX + urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")


def parse(text: str) -> bytes:
    """The key that the text is. Raises ValueError, which does not repeat it."""
    body = text.removeprefix(PREFIX)
    try:
        key = urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except ValueError:
        key = b""
    if not text.startswith(PREFIX) or len(key) != KEY_BYTES:
        raise ValueError(
            f"is not a key: it must be {PREFIX} and the Base64 of {KEY_BYTES} random bytes, "
            "as `outdial recordings key rotate` makes them"
        )
    return key


def of_settings(storage: Storage, watch: FileWatch | None = None) -> SealingKeys:
    """All that the settings name; none, unless they name some. With a `watch` those of the file
    change with it. Raises ConfigError."""
    given = []
    for place, secret in enumerate(storage.encryption_keys, 1):
        try:
            given.append(parse(secret.get_secret_value()))
        except ValueError as problem:
            raise ConfigError("storage.encryption_keys", f"number {place} {problem}") from None
    keys = SealingKeys(given)
    if storage.encryption_key_file:
        path = Path(storage.encryption_key_file).absolute()

        def take(found: list[bytes]) -> None:
            keys.become([*given, *found])

        if watch is None:
            take(read(path))
        else:
            watch.add(path, partial(read, path), take)
    if keys.seals:
        try:
            warm_up()
        except ImportError:
            raise ConfigError(
                _FILE,
                "encrypting needs the Python package cryptography, which is not installed",
                "pip install 'outdial[encryption]'",
            ) from None
    return keys


def read(path: Path) -> list[bytes]:
    """The keys of the file, newest first. Raises ConfigError, which never repeats its text."""
    try:
        found = private_file.read(path, _MOST_BYTES)
    except FileNotFoundError:
        raise ConfigError(
            _FILE,
            f"there is no {path}",
            "put the file back, or make one by outdial recordings key rotate",
        ) from None
    except OSError as problem:
        raise ConfigError(
            _FILE,
            f"{path} cannot be read: {problem.strerror or problem}",
            "let this user read it, or name another",
        ) from None
    if not found.is_private:
        _log.warning("others may read the keys of recordings", file=str(path), remedy="chmod 600")
    if not found.lines or not found.is_whole:
        raise ConfigError(
            _FILE, f"{path} must hold keys, one a line", "run outdial recordings key rotate"
        )
    keys = []
    for place, text in enumerate(found.lines, 1):
        try:
            keys.append(parse(text))
        except ValueError as problem:
            raise ConfigError(_FILE, f"{path}: number {place} {problem}") from None
    return keys


def rotate(path: Path) -> list[str]:
    """Puts a new key first, behind which all others stay; the ids of all. Raises ConfigError."""
    before = path.read_text("latin-1") if path.exists() else ""
    known = read(path) if before.strip() else []
    text = new_key()
    try:
        private_file.write(path, f"{text}\n{before}")
    except OSError as problem:
        raise ConfigError(
            _FILE,
            f"{path} cannot be written: {problem.strerror or problem}",
            "name a file in a folder that this user may write to",
        ) from None
    return [key_id(key) for key in (parse(text), *known)]
