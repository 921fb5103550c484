"""Our own recordings as sounds: an application that plays what a caller has just said gives us the
URL that we gave it, and our API would ask us for a key.

What somebody said is kept in no cache: the prompt is there as long as the call that plays it. It
stands in a folder of its own, so that what a crash leaves behind is found.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from pathlib import Path

from outdial import ids
from outdial.calls.leg import CallLeg
from outdial.calls.services import Services
from outdial.errors import SoundError
from outdial.legs import Clip
from outdial.stored_file import KeyLost, read_whole

FOLDER = "playing"
"""In the recordings folder."""
LEFT_BEHIND_S = 86400.0
"""No call is as long: who made a prompt so old is gone."""

_FILE = re.compile(r"/v1/recordings/([A-Za-z0-9]+)\.(?:wav|mp3)")


class Playback:
    """The recordings that one call plays."""

    def __init__(self, services: Services, leg: CallLeg) -> None:
        self._services = services
        self._leg = leg
        self._name = secrets.token_hex(8)
        self._decoding: dict[Path, asyncio.Future[Clip]] = {}

    def file_of(self, url: str) -> Path | None:
        """The recording at the URL; None when it is not one that we have here."""
        public, bare = self._services.public_url, url.partition("#")[0].partition("?")[0]
        match = _FILE.fullmatch(bare.removeprefix(public)) if bare.startswith(public) else None
        if match is None or not ids.is_sid(match[1], ids.RECORDING):
            return None
        path = self._services.recordings / f"{match[1]}.wav"
        return path if path.is_file() else None

    async def clip(self, path: Path) -> Clip:
        """The recording as a prompt. Raises SoundError."""
        if path not in self._decoding:
            if not self._decoding:
                name = f"played by {self._leg.sid}"
                self._services.tasks.start(self._forget_afterwards(), name)
            self._decoding[path] = asyncio.ensure_future(self._decode(path))
        return await asyncio.shield(self._decoding[path])

    async def _decode(self, path: Path) -> Clip:
        wav = await asyncio.to_thread(self._read, path)
        prompt = self._prompt(path)
        await asyncio.to_thread(prompt.parent.mkdir, mode=0o700, exist_ok=True)
        return await self._services.sounds.decoded(wav, str(prompt))

    def _prompt(self, path: Path) -> Path:
        """Where its prompt is, without the law."""
        folder = self._services.copies or path.parent / FOLDER
        return folder / f"{path.stem}-{self._name}"

    def _read(self, path: Path) -> bytes:
        most = self._services.settings.didml.max_sound_bytes
        try:
            wav = read_whole(path, self._services.sealing, most + 1)
        except OSError as error:
            raise SoundError(f"the recording cannot be read: {error.strerror}") from None
        except KeyLost as error:
            raise SoundError(f"the recording cannot be read: {error}") from None
        if len(wav) > most:
            raise SoundError(f"the recording is larger than didml.max_sound_bytes ({most})")
        return wav

    async def _forget_afterwards(self) -> None:
        await asyncio.shield(self._leg.ended)
        await asyncio.gather(*self._decoding.values(), return_exceptions=True)
        for path in self._decoding:
            for law in (".ulaw", ".alaw"):
                prompt = self._prompt(path).with_suffix(law)
                await asyncio.to_thread(prompt.unlink, missing_ok=True)


def clear(recordings: Path, now: float) -> None:
    """Removes the prompts that an earlier process left behind. `now`: wall time, seconds."""
    for prompt in (recordings / FOLDER).glob("*"):
        with contextlib.suppress(OSError):
            if now - prompt.stat().st_mtime > LEFT_BEHIND_S:
                prompt.unlink()
