"""What doctor says of the keys that recordings are encrypted with."""

from __future__ import annotations

from pathlib import Path

from outdial import recording_keys
from outdial.cli.doctor import _encryption
from outdial.config import Settings, Storage


def of(path: str) -> Settings:
    return Settings(storage=Storage(encryption_key_file=path))


def test_without_keys_it_says_that_they_are_not_encrypted() -> None:
    found = _encryption(Settings())
    assert found.ok and "not encrypted" in found.detail


def test_the_key_that_encrypts_is_named_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    recording_keys.rotate(path)
    newest, old = recording_keys.rotate(path)
    found = _encryption(of(str(path)))
    assert found.ok and newest in found.detail and "1 older ones decrypt" in found.detail
    assert old not in found.detail
    assert not any(line in repr(found) for line in path.read_text().split())


def test_a_missing_file_fails_with_what_to_do(tmp_path: Path) -> None:
    found = _encryption(of(str(tmp_path / "nowhere")))
    assert not found.ok
    assert "outdial recordings key rotate" in found.remedy
