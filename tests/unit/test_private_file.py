"""Files of secrets: for their owner's eyes, and whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outdial.private_file import read, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


def test_what_is_written_is_read_without_remarks_and_empty_lines(path: Path) -> None:
    write(path, "# both\n\n one \ntwo\n")
    assert read(path, 100) == (["one", "two"], True, True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_too_long_or_open_to_others_is_told(path: Path) -> None:
    write(path, "12345\n")
    assert read(path, 6).is_whole and not read(path, 5).is_whole
    for mode, is_private in ((0o400, True), (0o640, False), (0o604, False)):
        path.chmod(mode)
        assert read(path, 100).is_private is is_private


def test_nothing_but_latin_1_is_fine_as_well(path: Path) -> None:
    path.write_bytes(b"\xff\x00\n")
    assert read(path, 100).lines == ["\xff\x00"]


def test_what_is_there_is_replaced_or_kept_as_a_whole(path: Path) -> None:
    write(path, "one\n", anew=True)
    with pytest.raises(FileExistsError):
        write(path, "two\n", anew=True)
    assert path.read_text() == "one\n"
    before = path.stat().st_ino
    write(path, "three\n")
    assert path.read_text() == "three\n" and path.stat().st_ino != before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_when_the_disk_is_full_the_file_of_before_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path, "one\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, "two\n")
    assert path.read_text() == "one\n"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
