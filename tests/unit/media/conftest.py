"""A worker pool, clips and far ends for the tests with real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from doubles.far_end import FarEnd
from outdial.clock import SystemClock
from outdial.config import Media
from outdial.legs import Clip
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


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    pool = await WorkerPool.start(Media(workers=1, ports="30000-39999"), SystemClock())
    yield pool
    await pool.stop()


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
