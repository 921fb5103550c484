"""The prompts' folder: found again, kept within its size, never pulled from under a player."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from outdial.errors import ConfigError
from outdial.speech.cache import KEPT_S, ClipCache, default_folder, key_of
from outdial.testing.clock import FakeClock

KEYS = [key_of(str(number)) for number in range(20)]


def put(cache: ClipCache, key: str, samples: int = 8000) -> None:
    path = cache.path(key)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for ending in ("alaw", "ulaw"):
        Path(f"{path}.{ending}").write_bytes(bytes(samples))


def there(cache: ClipCache) -> set[str]:
    return {key for key in KEYS if os.path.exists(f"{cache.path(key)}.ulaw")}


def names(folder: Path) -> list[str]:
    return [name for _, _, files in os.walk(folder) for name in files]


async def test_added_prompt_is_found(tmp_path: Path) -> None:
    cache = ClipCache(str(tmp_path / "deep" / "cache"), 1 << 20)
    await cache.start()
    assert cache.find(KEYS[0]) is None
    put(cache, KEYS[0], 12345)
    clip = cache.add(KEYS[0], 12345)
    assert clip.duration_ms == 1543
    assert os.path.isabs(clip.ulaw_path)
    assert cache.find(KEYS[0]) is clip


async def test_prompts_survive_a_restart(tmp_path: Path) -> None:
    first = ClipCache(str(tmp_path), 1 << 20)
    await first.start()
    put(first, KEYS[0])
    clip = first.add(KEYS[0], 8000)
    second = ClipCache(str(tmp_path), 1 << 20)
    await second.start()
    assert second.find(KEYS[0]) == clip


async def test_prompt_removed_by_others_is_not_given_out(tmp_path: Path) -> None:
    cache = ClipCache(str(tmp_path), 1 << 20)
    put(cache, KEYS[0])
    clip = cache.add(KEYS[0], 8000)
    os.unlink(clip.ulaw_path)
    assert cache.find(KEYS[0]) is None


async def test_oldest_go_first(tmp_path: Path) -> None:
    clock = FakeClock()
    cache = ClipCache(str(tmp_path), 160_000, clock)
    await cache.start()
    for key in KEYS[:10]:
        put(cache, key)
        cache.add(key, 8000)
        await clock.advance(10)
    await clock.advance(KEPT_S)
    assert cache.find(KEYS[0]) is not None  # used again: now the newest
    put(cache, KEYS[10])
    cache.add(KEYS[10], 8000)
    await cache.stop()
    assert there(cache) == {KEYS[0], *KEYS[3:11]}
    assert sum(name.endswith(".alaw") for name in names(tmp_path)) == 9


async def test_what_may_be_waiting_to_be_played_stays(tmp_path: Path) -> None:
    cache = ClipCache(str(tmp_path), 32_000, FakeClock())
    for key in KEYS:
        put(cache, key)
        cache.add(key, 8000)
    await cache.stop()
    assert there(cache) == set(KEYS)


async def test_too_large_a_folder_is_cut_at_the_start(tmp_path: Path) -> None:
    cache = ClipCache(str(tmp_path), 80_000)
    for age, key in enumerate(KEYS):
        put(cache, key)
        old = 1_000_000_000 - age
        os.utime(f"{cache.path(key)}.ulaw", (old, old))
    await cache.start()
    await cache.stop()
    assert there(cache) == set(KEYS[:4])


async def test_strays_are_removed_at_the_start(tmp_path: Path) -> None:
    cache = ClipCache(str(tmp_path), 1 << 20)
    for key in KEYS[:2]:
        put(cache, key)
        os.rename(f"{cache.path(key)}.alaw", f"{cache.path(key)}.alaw.tmp")
    os.utime(f"{cache.path(KEYS[0])}.alaw.tmp", (1, 1))
    await cache.start()
    assert f"{KEYS[0]}.alaw.tmp" not in names(tmp_path)
    assert f"{KEYS[1]}.alaw.tmp" in names(tmp_path), "somebody may be writing it"


async def test_unwritable_folder_names_the_setting(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    with pytest.raises(ConfigError, match=r"storage\.cache"):
        await ClipCache(str(occupied), 1 << 20).start()


async def test_index_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outdial.speech.cache._INDEX_SIZE", 5)
    cache = ClipCache(str(tmp_path), 1 << 20)
    for key in KEYS:
        put(cache, key, 80)
        cache.add(key, 80)
    assert len(cache._index) == 5
    assert cache.find(KEYS[0]) is not None


async def test_two_evictions_do_not_run_at_once(tmp_path: Path) -> None:
    cache = ClipCache(str(tmp_path), 1)
    put(cache, KEYS[0], 80)
    cache.add(KEYS[0], 80)
    first = cache._evicting
    cache.add(KEYS[0], 80)
    assert cache._evicting is first
    await cache.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_key_parts_do_not_run_into_each_other() -> None:
    assert len({key_of("ab", "c"), key_of("a", "bc"), key_of("abc"), key_of(b"abc", "")}) == 4
    assert key_of("a") == key_of(b"a")
    assert len(key_of("\ud800")) == 64


def test_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/x")
    assert default_folder() == "/var/cache/x/outdial"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert default_folder() == "/home/someone/.cache/outdial"
