"""Play's files: fetched, decoded to prompts, kept by content, looked after by URL.

The decoded prompt is found by the hash of the file, so that two URLs with one file, and a file
fetched again unchanged, are decoded once. What is known of a URL (`freshness`) is kept in memory
only: after a restart each is fetched once more.
"""

from __future__ import annotations

import asyncio
import struct
from collections import OrderedDict

from outdial.clock import Clock, SystemClock
from outdial.errors import FetchError, SoundError
from outdial.frozen import frozen
from outdial.legs import Clip
from outdial.net.client import HttpClient, HttpResponse
from outdial.speech.cache import ClipCache, key_of
from outdial.speech.flights import Flights
from outdial.speech.freshness import Freshness, freshness
from outdial.speech.pool import HelperLost, HelperPool, JobRefused

MAX_SOUND_S = 1800.0
"""Longest sound played."""
REDIRECTS = 3
_KNOWN = 4096
_SMALL_BYTES = 65536
_VERSION = "2"
"""Part of every key: to be changed when `decoder` makes something different of the same file."""
_PASSING = frozenset(("resolve", "connect", "timeout", "protocol"))


@frozen
class _Known:
    """What a URL gave last."""

    key: str
    error: str
    """Why the file cannot be played; "" when it can."""
    said: Freshness
    until: float
    """Monotonic time up to which the server need not be asked."""


class Sounds:
    """Fetches sounds. One for the whole program; `stop` it."""

    def __init__(
        self,
        client: HttpClient,
        cache: ClipCache,
        pool: HelperPool,
        *,
        max_bytes: int = 10_000_000,
        timeout_s: float = 10.0,
        clock: Clock | None = None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._pool = pool
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._flights: Flights[str, Clip] = Flights()

    async def fetch(self, url: str) -> Clip:
        """The prompt for the WAV or MP3 file at the URL.

        Costs nothing while the URL is fresh, else one (conditional) GET however many want it. A
        server that is away does not silence a sound that was played before. Raises FetchError
        (status: any but 200), SoundError.
        """
        known = self._known.get(url)
        if known is not None and self._clock.monotonic() < known.until:
            self._known.move_to_end(url)
            clip = self._recall(known)
            if clip is not None:
                return clip
        try:
            return await asyncio.shield(self._flights.begin(url, lambda: self._load(url)))
        except FetchError as failure:  # anew: others wait for the same and raise it too
            raise FetchError(failure.kind, str(failure), failure.status) from None
        except SoundError as failure:
            raise SoundError(str(failure)) from None

    async def decoded(self, file: bytes, path: str) -> Clip:
        """The prompt for the WAV or MP3 file, as ``path.ulaw`` and ``path.alaw``.

        It is the caller's: the cache does not have it. Raises SoundError.
        """
        samples = await self._decoded_to(path, file)
        return Clip(f"{path}.ulaw", f"{path}.alaw", samples // 8)

    async def check(self) -> None:
        """Decodes a tenth of a second of silence. Raises SoundError when nothing can be decoded."""
        samples = bytes(1600)
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
        data = form + struct.pack("<4sI", b"data", len(samples)) + samples
        await self._decode("check", b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data)

    async def stop(self) -> None:
        """Gives up what is being fetched."""
        await self._flights.stop()

    def _recall(self, known: _Known) -> Clip | None:
        if known.error:
            raise SoundError(known.error)
        return self._cache.find(known.key)

    async def _load(self, url: str) -> Clip:
        known = self._known.get(url)
        if known is not None and not known.error and self._cache.find(known.key) is None:
            known = None  # the prompt is gone: the whole file is needed
        try:
            response = await self._client.request(
                "GET",
                url,
                headers=known.said.conditions() if known else (),
                timeout_s=self._timeout_s,
                max_bytes=self._max_bytes,
                follow=REDIRECTS,
            )
            if response.status == 304 and known is not None:
                said = freshness(response.headers, known.said)
                return self._keep(url, known.key, known.error, said)
            if response.status != 200:
                raise FetchError(
                    "status", f"the sound's server answered {response.status}", response.status
                )
        except FetchError as failure:
            clip = self._stale(known, failure)
            if clip is None:
                raise
            return clip
        return await self._take(url, response)

    def _stale(self, known: _Known | None, failure: FetchError) -> Clip | None:
        """What was played before, when the server is only away (RFC 9111 section 4.2.4)."""
        away = failure.kind in _PASSING or (failure.status or 0) >= 500
        return self._recall(known) if known is not None and away else None

    async def _take(self, url: str, response: HttpResponse) -> Clip:
        body = response.body
        if len(body) <= _SMALL_BYTES:
            key = key_of("sound", _VERSION, body)
        else:  # 10 MB take 20 ms
            key = await asyncio.to_thread(key_of, "sound", _VERSION, body)
        error = ""
        if self._cache.find(key) is None:
            try:
                await self._decode(key, body)
            except SoundError as failure:
                error = str(failure)
        return self._keep(url, key, error, freshness(response.headers))

    def _keep(self, url: str, key: str, error: str, said: Freshness) -> Clip:
        known = _Known(key, error, said, self._clock.monotonic() + said.lifetime_s)
        if said.storable:
            self._known[url] = known
            self._known.move_to_end(url)
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        else:
            self._known.pop(url, None)
        clip = self._recall(known)
        if clip is None:
            raise SoundError("the prompt vanished from the cache folder")
        return clip

    async def _decode(self, key: str, body: bytes) -> None:
        self._cache.add(key, await self._decoded_to(self._cache.path(key), body))

    async def _decoded_to(self, path: str, body: bytes) -> int:
        if not body:
            raise SoundError("the file is empty")
        job = {"job": "decode", "path": path, "max_s": MAX_SOUND_S}
        try:
            reply = await self._pool.run(job, body)
        except (JobRefused, HelperLost) as failure:
            raise SoundError(str(failure)) from None
        samples: int = reply["samples"]
        return samples
