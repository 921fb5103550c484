"""The helper processes: started as needed, replaced when lost, gone at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outdial.speech import frames
from outdial.speech import pool as pools
from outdial.speech.pool import HelperLost, HelperPool, JobRefused


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def speak(path: Path, text: str = "hello", engine: str = "espeakng-loader") -> frames.Head:
    return {
        "job": "speak",
        "engine": engine,
        "voice": "en-us+f3",
        "rate_wpm": 150,
        "text": text,
        "path": str(path),
    }


@pytest.fixture
async def pool() -> AsyncIterator[HelperPool]:
    made = HelperPool(2)
    yield made
    pids = made.pids
    await made.stop()
    assert not any(alive(pid) for pid in pids)


async def test_one_helper_serves_jobs_in_turn(pool: HelperPool, tmp_path: Path) -> None:
    assert pool.pids == []
    for number in range(3):
        reply = await pool.run(speak(tmp_path / "aa" / str(number)))
        assert 2000 < reply["samples"] < 12000
    assert len(pool.pids) == 1
    assert len(os.listdir(tmp_path / "aa")) == 6


async def test_no_more_helpers_than_allowed(pool: HelperPool, tmp_path: Path) -> None:
    await asyncio.gather(*(pool.run(speak(tmp_path / "aa" / str(n))) for n in range(8)))
    assert len(pool.pids) == 2


async def test_refusal_is_in_the_helpers_words(pool: HelperPool, tmp_path: Path) -> None:
    with pytest.raises(JobRefused, match="neither WAV nor MP3"):
        await pool.run({"job": "decode", "path": str(tmp_path / "a" / "x"), "max_s": 5}, b"junk")
    with pytest.raises(JobRefused, match="cannot write the prompt"):
        await pool.run(speak(Path("/proc/nowhere/x")))
    with pytest.raises(JobRefused, match="job failed: KeyError"):
        await pool.run({"job": "nonsense"})
    assert len(pool.pids) == 1, "a refusal does not cost a process"


async def test_killed_helper_is_replaced(pool: HelperPool, tmp_path: Path) -> None:
    await pool.run(speak(tmp_path / "aa" / "1"))
    (first,) = pool.pids
    os.kill(first, signal.SIGKILL)
    with pytest.raises(HelperLost, match="died"):
        await pool.run(speak(tmp_path / "aa" / "2"))
    await pool.run(speak(tmp_path / "aa" / "2"))
    assert pool.pids != [first]


async def test_retry_survives_the_loss(pool: HelperPool, tmp_path: Path) -> None:
    await pool.run(speak(tmp_path / "aa" / "1"))
    os.kill(pool.pids[0], signal.SIGKILL)
    reply = await pool.run(speak(tmp_path / "aa" / "2"), retry=True)
    assert reply["samples"] > 0


async def test_stuck_helper_is_killed(pool: HelperPool, tmp_path: Path) -> None:
    await pool.run(speak(tmp_path / "aa" / "1"))
    (stuck,) = pool.pids
    os.kill(stuck, signal.SIGSTOP)
    with pytest.raises(HelperLost, match="did not answer within"):
        await pool.run(speak(tmp_path / "aa" / "2"), timeout_s=0.1)
    assert not alive(stuck)
    assert pool.pids == []


async def test_cancelled_job_gives_its_helper_up(pool: HelperPool, tmp_path: Path) -> None:
    await pool.run(speak(tmp_path / "aa" / "1"))
    (helper,) = pool.pids
    os.kill(helper, signal.SIGSTOP)
    task = asyncio.create_task(pool.run(speak(tmp_path / "aa" / "2")))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(helper)
    assert (await pool.run(speak(tmp_path / "aa" / "3")))["samples"] > 0


async def test_sounds_leave_a_helper_for_speech(pool: HelperPool, tmp_path: Path) -> None:
    await pool.run(speak(tmp_path / "aa" / "1"))
    os.kill(pool.pids[0], signal.SIGSTOP)
    job = {"job": "decode", "path": str(tmp_path / "aa" / "s"), "max_s": 5}
    sounds = [asyncio.create_task(pool.run(job, b"junk")) for _ in range(4)]
    await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        assert (await pool.run(speak(tmp_path / "aa" / "2")))["samples"] > 0
    for task in sounds:
        task.cancel()
    await asyncio.gather(*sounds, return_exceptions=True)


async def test_too_many_waiting_fail_at_once(
    pool: HelperPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "MAX_WAITING", 0)
    with pytest.raises(HelperLost, match="too much is waiting"):
        await pool.run({"job": "describe", "engine": "espeakng-loader"})


async def test_stopped_pool_starts_nothing(pool: HelperPool) -> None:
    await pool.stop()
    with pytest.raises(HelperLost, match="shutting down"):
        await pool.run({"job": "describe", "engine": "espeakng-loader"}, retry=True)
    assert pool.pids == []


def test_helper_does_not_outlive_its_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, signal, sys\n"
        "from outdial.speech.pool import HelperPool\n"
        "async def main():\n"
        "    pool = HelperPool(2)\n"
        "    await pool.run({'job': 'describe', 'engine': 'espeakng-loader'})\n"
        "    print(*pool.pids, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    (pid,) = map(int, done.stdout.split())
    deadline = 200
    while alive(pid) and deadline:
        deadline -= 1
        subprocess.run(["sleep", "0.02"], check=True)
    assert not alive(pid)
