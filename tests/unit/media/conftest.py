"""A worker pool, clips and far ends for the tests with real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from doubles.far_end import PATIENCE_S, FarEnd
from outdial.clock import SystemClock
from outdial.config import Media
from outdial.legs import Clip, MediaLeg
from outdial.media.core import g711, rtp
from outdial.media.plane import WorkerPool


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bytes], Clip]:
    """Makes a clip of 16-bit samples."""
    folder: Path = tmp_path_factory.mktemp("clips")

    def make(name: str, samples: bytes) -> Clip:
        ulaw, alaw = folder / f"{name}.ulaw", folder / f"{name}.alaw"
        ulaw.write_bytes(g711.encode(samples, rtp.PCMU))
        alaw.write_bytes(g711.encode(samples, rtp.PCMA))
        return Clip(str(ulaw), str(alaw), len(samples) // 16)

    return make


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_pool() -> AsyncIterator[WorkerPool]:
    """One process for the tests of a module, which share a loop for it: they mark themselves."""
    pool = await WorkerPool.start(Media(workers=1, ports="30000-39999"), SystemClock())
    yield pool
    await pool.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def pool(shared_pool: WorkerPool) -> AsyncIterator[WorkerPool]:
    """A pool without streams; those of the test are closed after it."""
    legs: list[MediaLeg] = []
    open_leg = shared_pool.open

    def noting(*arguments: Any, **options: Any) -> MediaLeg:
        legs.append(open_leg(*arguments, **options))
        return legs[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_pool, "open", noting)
        yield shared_pool
    for leg in legs:
        leg.close()
    async with asyncio.timeout(PATIENCE_S):
        while (await shared_pool.stats())["legs"]:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.005)


@pytest.fixture
def far() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.socket.close()


@pytest.fixture
def other_far() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.socket.close()
