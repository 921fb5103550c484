"""The secrets that requests are signed with: those of the settings, or a file that may change.

The file has one secret a line, the newest first. Every secret in it signs, so that receivers can
be given a new one while the old one still holds. It is read again within a second of a change; what
cannot be read then is logged, and the secrets that were read last go on signing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from outdial import config, log, private_file
from outdial.clock import Clock
from outdial.config.checks import webhook_key
from outdial.errors import ConfigError
from outdial.file_watch import Stamp, stamp_of
from outdial.webhooks.sign import Signer, new_secret

_KEY = "webhooks.secret_file"
_MOST_BYTES = 4096
_MOST_SECRETS = 8
_SECRET_BYTES = 32
_KEPT_BY_ROTATION = 2
_EVERY_S = 1.0

_log = log.get("webhooks")


class Signing:
    """Signs every request that Outdial sends; `net.trace.Signer`. Made by `Signing.open`."""

    def __init__(self, clock: Clock, given: Sequence[str], path: Path | None = None) -> None:
        self._clock = clock
        self._signer = Signer(given)
        self._path = path
        self._stamp: Stamp | None = None
        self._troubled = False

    @classmethod
    def open(cls, settings: config.Webhooks, clock: Clock) -> Signing:
        """With the secrets of the settings, else of the file, which is made if it is not there.

        Must be called on the event loop. Raises ConfigError.
        """
        if settings.secrets:
            return cls(clock, [secret.get_secret_value() for secret in settings.secrets])
        path = Path(settings.secret_file).absolute()
        if not path.exists():
            make(path)
        stamp = stamp_of(path)
        signing = cls(clock, read(path), path)
        signing._stamp = stamp
        signing._look_later()
        return signing

    def sign(self, message_id: str, payload: bytes) -> tuple[int, str]:
        """The values of webhook-timestamp and webhook-signature."""
        timestamp = int(self._clock.now())
        return timestamp, self._signer.sign(message_id, timestamp, payload)

    def reload(self) -> None:
        """Reads the file if it has changed."""
        if self._path is None:
            return
        stamp = stamp_of(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._signer = Signer(read(self._path))
        except ConfigError as problem:
            if not self._troubled:
                _log.error("secrets cannot be read; those known hold", reason=str(problem))
            self._troubled = True
        else:
            self._troubled = False
            _log.info("secrets for signatures were read again", file=str(self._path))

    def _look_later(self) -> None:
        # a timer and not a sleeping task: nothing needs to be ended when the program ends
        asyncio.get_running_loop().call_later(_EVERY_S, self._look)

    def _look(self) -> None:
        self.reload()
        self._look_later()


def read(path: Path) -> list[str]:
    """The secrets of the file, newest first. Raises ConfigError, which never repeats its text."""
    try:
        content = private_file.read(path, _MOST_BYTES)
    except OSError as problem:
        raise ConfigError(
            _KEY,
            f"{path} cannot be read: {problem.strerror or problem}",
            "let this user read it, or name another",
        ) from None
    if not content.is_private:
        _log.warning("others may read the secrets", file=str(path), remedy="chmod 600")
    found = content.lines
    if not found or not content.is_whole or len(found) > _MOST_SECRETS:
        raise ConfigError(
            _KEY,
            f"{path} must hold 1 to {_MOST_SECRETS} secrets, one a line",
            "remove it to have a new one made, or run outdial deliveries secret rotate",
        )
    for place, secret in enumerate(found, 1):
        try:
            webhook_key(secret)
        except ValueError as problem:
            raise ConfigError(_KEY, f"{path}: number {place} {problem}") from None
    return found


def make(path: Path) -> None:
    """A file with one new secret, for the owner's eyes only. Another process may be faster; then
    its file stays. Raises ConfigError."""
    with contextlib.suppress(FileExistsError):
        _write(path, [new_secret(secrets.token_bytes(_SECRET_BYTES))], anew=True)


def rotate(path: Path) -> list[str]:
    """Puts a new secret first and keeps the one before it; the secrets there are now.

    A file that holds no secrets is replaced. Raises ConfigError.
    """
    try:
        before = read(path)
    except ConfigError:
        if path.exists() and not os.access(path, os.R_OK):
            raise  # there may be a good one in it
        before = []
    found = [new_secret(secrets.token_bytes(_SECRET_BYTES)), *before][:_KEPT_BY_ROTATION]
    _write(path, found, anew=False)
    return found


def _write(path: Path, found: Sequence[str], *, anew: bool) -> None:
    """Raises ConfigError; FileExistsError when it is to be made `anew` and is there."""
    try:
        private_file.write(path, "".join(f"{secret}\n" for secret in found), anew=anew)
    except FileExistsError:
        raise
    except OSError as problem:
        raise ConfigError(
            _KEY,
            f"{path} cannot be written: {problem.strerror or problem}",
            "name a file in a folder that this user may write to, or set webhooks.secrets",
        ) from None
