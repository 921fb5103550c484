"""Files that are read again while the server runs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from outdial import file_watch
from outdial.errors import ConfigError
from outdial.file_watch import FileWatch


class Reader:
    """Reads a file of one number, and notes what was taken of it.

    Each change must change the length: two within a few milliseconds can have one time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taken: list[int] = []
        self.reads = 0

    def read(self) -> int:
        self.reads += 1
        try:
            return int(self.path.read_text())
        except (OSError, ValueError) as error:
            raise ConfigError("x.y", f"{self.path.name}: {error}") from None


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    path = tmp_path / "number"
    path.write_text("1")
    return Reader(path)


def watching(reader: Reader) -> FileWatch:
    watch = FileWatch()
    watch.add(reader.path, reader.read, reader.taken.append)
    return watch


async def test_it_is_read_at_once_and_then_only_when_it_has_changed(reader: Reader) -> None:
    watch = watching(reader)
    assert reader.taken == [1]
    for _ in range(3):
        await watch.look()
    assert reader.reads == 1


async def test_a_file_that_is_being_written_is_waited_for(reader: Reader) -> None:
    watch = watching(reader)
    for half in ("23", "234", "2345"):
        reader.path.write_text(half)
        await watch.look()
        assert reader.taken == [1]
    await watch.look()
    assert reader.taken == [1, 2345]
    await watch.look()
    assert reader.reads == 2


async def test_another_file_under_the_name_is_a_change(reader: Reader, tmp_path: Path) -> None:
    watch = watching(reader)
    before = reader.path.stat()
    beside = tmp_path / "beside"
    beside.write_text("7")
    os.utime(beside, ns=(before.st_atime_ns, before.st_mtime_ns))
    beside.replace(reader.path)
    await watch.look()
    await watch.look()
    assert reader.taken == [1, 7]


async def test_what_was_read_last_holds_and_trouble_is_told_once(reader: Reader) -> None:
    watch = watching(reader)
    with capture_logs() as told:
        reader.path.unlink()
        for _ in range(4):
            await watch.look()
        reader.path.write_text("many")
        for _ in range(4):
            await watch.look()
        assert reader.taken == [1]
        reader.path.write_text("2")
        for _ in range(4):
            await watch.look()
    assert reader.taken == [1, 2]
    assert [one["event"] for one in told] == [
        "file not read again",
        "file not read again",
        "file read again",
    ]
    assert "No such file" in told[0]["problem"] and "'many'" in told[1]["problem"]
    assert {one["file"] for one in told} == {str(reader.path)}


async def test_a_change_while_it_is_read_is_seen(reader: Reader) -> None:
    watch = FileWatch()

    def read() -> int:
        found = reader.read()
        if found < 100:
            reader.path.write_text(f"{found}0")
        return found

    watch.add(reader.path, read, reader.taken.append)
    for _ in range(4):
        await watch.look()
    assert reader.taken == [1, 10, 100]


def test_trouble_at_the_start_is_raised(tmp_path: Path) -> None:
    reader = Reader(tmp_path / "none")
    with pytest.raises(ConfigError, match="No such file"):
        watching(reader)


async def test_it_looks_by_itself_until_it_is_stopped(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_watch, "EVERY_S", 0.001)
    changed = asyncio.Event()
    watch = FileWatch()
    watch.add(reader.path, reader.read, lambda number: changed.set() if number == 22 else None)
    watch.start()
    reader.path.write_text("22")
    async with asyncio.timeout(10):
        await changed.wait()
    watch.stop()
    assert watch._timer is not None and watch._timer.cancelled()


async def test_without_files_there_is_no_timer() -> None:
    watch = FileWatch()
    watch.start()
    assert watch._timer is None
    watch.stop()
