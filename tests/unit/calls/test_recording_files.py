"""Where copies of sealed recordings are while they are played: in memory, and then nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from outdial.calls import recording_files
from outdial.calls.recording_files import RecordingFiles
from outdial.config import Settings, Storage
from outdial.errors import ConfigError
from outdial.recording_keys import new_key


def settings(tmp_path: Path, *, sealed: bool) -> Settings:
    keys = [SecretStr(new_key())] if sealed else []
    return Settings(storage=Storage(recordings=str(tmp_path / "r"), encryption_keys=keys))


def test_without_keys_copies_are_beside_the_recordings(tmp_path: Path) -> None:
    files = RecordingFiles.open(settings(tmp_path, sealed=False))
    assert (files.folder, files.copies) == (tmp_path / "r", None)
    assert files.folder.is_dir() and not files.keys.seals
    files.close()


def test_with_keys_they_are_in_memory_and_go_with_the_server(tmp_path: Path) -> None:
    files = RecordingFiles.open(settings(tmp_path, sealed=True))
    copies = files.copies
    assert copies is not None and files.keys.seals
    assert copies.stat().st_mode & 0o777 == 0o700
    assert str(copies.parent) in recording_files._mounted_in_memory()
    (copies / "a.ulaw").write_bytes(b"said")
    files.close()
    assert not copies.exists()


def test_what_a_killed_server_left_goes_with_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "shm"
    memory.mkdir()
    monkeypatch.setattr(recording_files, "_PLACES", (str(memory),))
    monkeypatch.setattr(recording_files, "_mounted_in_memory", lambda: {str(memory)})
    left = memory / f"outdial-4194305-{'0' * 16}"  # no process has such a number
    lives = memory / f"outdial-{os.getpid()}-{'1' * 16}"
    others = memory / "outdial-notes"
    for folder in (left, lives, others):
        folder.mkdir()
        (folder / "a").write_bytes(b"said")
    files = RecordingFiles.open(settings(tmp_path, sealed=True))
    assert not left.exists()
    assert lives.exists() and others.exists()
    files.close()


def test_a_machine_without_a_tmpfs_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_files, "_mounted_in_memory", set)
    with pytest.raises(ConfigError, match="mount one at /dev/shm"):
        RecordingFiles.open(settings(tmp_path, sealed=True))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("a file")
    with pytest.raises(ConfigError, match=r"storage\.recordings"):
        RecordingFiles.open(settings(tmp_path, sealed=False))
