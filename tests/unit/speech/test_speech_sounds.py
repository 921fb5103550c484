"""Play's files over real HTTP: fetched, decoded, kept, asked for again."""

from __future__ import annotations

import asyncio
import math
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from outdial.errors import FetchError, SoundError
from outdial.legs import Clip
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient
from outdial.speech.cache import ClipCache
from outdial.speech.freshness import UNVALIDATED_S, VALIDATED_S
from outdial.speech.pool import HelperPool
from outdial.speech.sounds import Sounds
from outdial.testing.audio import _ULAW_TABLE, Sound, tone_share
from outdial.testing.clock import FakeClock


def tone(frequency_hz: float, rate_hz: int = 16000, seconds: float = 0.5) -> bytes:
    count = round(rate_hz * seconds)
    wave = [round(12000 * math.sin(2 * math.pi * frequency_hz * n / rate_hz)) for n in range(count)]
    data = struct.pack(f"<{count}h", *wave)
    form = struct.pack("<HHIIHH", 1, 1, rate_hz, rate_hz * 2, 2, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data))
    return b"RIFF" + struct.pack("<I", len(chunks) + len(data)) + chunks + data


class Site:
    """A web server whose answer the test sets."""

    def __init__(self) -> None:
        self.body = tone(1000)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.requests: list[dict[str, str]] = []
        self.pause_s = 0.0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append({k.lower(): v for k, v in request.headers.items()})
        await asyncio.sleep(self.pause_s)
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": "/sound.wav"})
        if request.path == "/inside":
            return web.Response(status=302, headers={"Location": "http://10.0.0.1/s.wav"})
        etag = self.headers.get("ETag")
        if etag and request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=self.headers)
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site()
    application = web.Application()
    application.router.add_get("/{name}", made.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", 0)
    await listener.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sounds(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Sounds]:
    client = HttpClient(AddressPolicy(["127.0.0.0/8"]))
    pool = HelperPool(2)
    cache = ClipCache(str(tmp_path), 1 << 24)
    made = Sounds(client, cache, pool, max_bytes=100_000, timeout_s=5, clock=clock)
    yield made
    await made.stop()
    await pool.stop()
    await cache.stop()
    await client.close()


def size(path: str) -> int:
    return os.path.getsize(path)


def heard(clip: Clip) -> Sound:
    return Sound(_ULAW_TABLE[np.fromfile(clip.ulaw_path, np.uint8)], 8000)


async def test_sound_is_decoded(site: Site, sounds: Sounds) -> None:
    clip = await sounds.fetch(f"{site.url}/sound.wav")
    assert clip.duration_ms == pytest.approx(500, abs=5)
    assert size(clip.alaw_path) == size(clip.ulaw_path) == clip.duration_ms * 8
    assert tone_share(heard(clip), 1000) > 0.97


async def test_many_at_once_cost_one_request(site: Site, sounds: Sounds) -> None:
    site.pause_s = 0.02
    clips = await asyncio.gather(*(sounds.fetch(f"{site.url}/sound.wav") for _ in range(50)))
    assert len(set(clips)) == 1
    assert len(site.requests) == 1


@pytest.mark.parametrize(
    ("headers", "fresh_s"),
    [
        ({"Cache-Control": "max-age=60"}, 60),
        ({"ETag": '"a"'}, VALIDATED_S),
        ({}, UNVALIDATED_S),
    ],
)
async def test_fresh_sound_costs_nothing(
    site: Site, sounds: Sounds, clock: FakeClock, headers: dict[str, str], fresh_s: float
) -> None:
    site.headers = headers
    first = await sounds.fetch(f"{site.url}/sound.wav")
    await clock.advance(fresh_s - 0.01)
    assert await sounds.fetch(f"{site.url}/sound.wav") is first
    assert len(site.requests) == 1
    await clock.advance(0.02)
    assert await sounds.fetch(f"{site.url}/sound.wav") == first
    assert len(site.requests) == 2


async def test_stale_sound_is_asked_for_conditionally(
    site: Site, sounds: Sounds, clock: FakeClock
) -> None:
    site.headers = {"ETag": '"a"', "Cache-Control": "no-cache"}
    first = await sounds.fetch(f"{site.url}/sound.wav")
    assert await sounds.fetch(f"{site.url}/sound.wav") == first
    assert site.requests[1]["if-none-match"] == '"a"'
    site.headers["ETag"] = '"b"'
    site.body = tone(2000)
    changed = await sounds.fetch(f"{site.url}/sound.wav")
    assert tone_share(heard(changed), 2000) > 0.97
    assert tone_share(heard(first), 1000) > 0.97, "who still plays the old one is not disturbed"


async def test_prompt_that_was_removed_is_fetched_whole(
    site: Site, sounds: Sounds, clock: FakeClock
) -> None:
    site.headers = {"ETag": '"a"', "Cache-Control": "max-age=60"}
    clip = await sounds.fetch(f"{site.url}/sound.wav")
    os.unlink(clip.ulaw_path)
    assert size((await sounds.fetch(f"{site.url}/sound.wav")).ulaw_path) > 0
    assert "if-none-match" not in site.requests[1]


async def test_no_store_is_asked_for_each_time(site: Site, sounds: Sounds) -> None:
    site.headers = {"Cache-Control": "no-store", "ETag": '"a"'}
    for _ in range(2):
        await sounds.fetch(f"{site.url}/sound.wav")
    assert [request.get("if-none-match") for request in site.requests] == [None, None]


async def test_redirect_is_followed_within_the_rules(site: Site, sounds: Sounds) -> None:
    assert (await sounds.fetch(f"{site.url}/moved")).duration_ms > 0
    with pytest.raises(FetchError) as caught:
        await sounds.fetch(f"{site.url}/inside")
    assert caught.value.kind == "refused-address"


@pytest.mark.parametrize("status", [404, 403, 500, 204, 206])
async def test_other_statuses(site: Site, sounds: Sounds, status: int) -> None:
    site.status = status
    with pytest.raises(FetchError) as caught:
        await sounds.fetch(f"{site.url}/sound.wav")
    assert (caught.value.kind, caught.value.status) == ("status", status)


async def test_server_that_is_away_does_not_silence_what_was_played(
    site: Site, sounds: Sounds, clock: FakeClock
) -> None:
    first = await sounds.fetch(f"{site.url}/sound.wav")
    await clock.advance(60)
    site.status = 503
    assert await sounds.fetch(f"{site.url}/sound.wav") == first
    site.status = 404
    with pytest.raises(FetchError):
        await sounds.fetch(f"{site.url}/sound.wav")


async def test_too_large(site: Site, sounds: Sounds) -> None:
    site.body = tone(1000, seconds=4)
    with pytest.raises(FetchError) as caught:
        await sounds.fetch(f"{site.url}/sound.wav")
    assert caught.value.kind == "too-large"


@pytest.mark.parametrize("body", [b"", b"<html>not found</html>", b"RIFF\0\0\0\0WAVEfmt "])
async def test_what_is_no_sound(site: Site, sounds: Sounds, clock: FakeClock, body: bytes) -> None:
    site.body = body
    failures = []
    for _ in range(2):
        with pytest.raises(SoundError) as caught:
            await sounds.fetch(f"{site.url}/sound.wav")
        failures.append(caught.value)
    assert len(site.requests) == 1, "a broken file is not decoded for every call"
    assert failures[0] is not failures[1]
    await clock.advance(60)
    site.body = tone(1000)
    assert (await sounds.fetch(f"{site.url}/sound.wav")).duration_ms > 0


async def test_same_file_at_two_addresses_is_kept_once(site: Site, sounds: Sounds) -> None:
    one = await sounds.fetch(f"{site.url}/one.wav")
    other = await sounds.fetch(f"{site.url}/two.wav")
    assert one == other


async def test_forbidden_address(sounds: Sounds) -> None:
    with pytest.raises(FetchError) as caught:
        await sounds.fetch("http://192.168.0.1/sound.wav")
    assert caught.value.kind == "refused-address"
    with pytest.raises(FetchError, match="are not fetched"):
        await sounds.fetch("file:///etc/passwd")


async def test_check(sounds: Sounds) -> None:
    await sounds.check()


async def test_known_addresses_are_bounded(
    site: Site, sounds: Sounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outdial.speech.sounds._KNOWN", 3)
    for number in range(6):
        await sounds.fetch(f"{site.url}/{number}.wav")
    assert len(sounds._known) == 3


async def test_a_file_of_the_callers_own_is_in_no_cache(sounds: Sounds, tmp_path: Path) -> None:
    path = str(tmp_path / "RE1")
    clip = await sounds.decoded(tone(800), path)
    assert clip == Clip(f"{path}.ulaw", f"{path}.alaw", clip.duration_ms)
    assert clip.duration_ms == pytest.approx(500, abs=5)
    assert tone_share(heard(clip), 800) > 0.9
    with pytest.raises(SoundError, match="neither WAV nor MP3"):
        await sounds.decoded(b"no sound at all", path)
