"""The keys of recordings: read, made, and what is said when they are wrong."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from outdial import recording_keys
from outdial.config import Storage
from outdial.errors import ConfigError
from outdial.file_watch import FileWatch
from outdial.recording_keys import new_key, of_settings, parse, read, rotate
from outdial.stored_file import key_id

RIGHT = "ork_" + "A" * 43


def test_a_key_is_256_random_bits() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    assert all(len(parse(key)) == 32 for key in made)


@pytest.mark.parametrize(
    "text", ["", "ork_", "ork_abc", "nope", "ork_" + "é" * 43, "ork_" + "=" * 43]
)
def test_what_is_no_key_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="outdial recordings key rotate"):
        parse(text)
    with pytest.raises(ConfigError) as caught:
        of_settings(Storage(encryption_keys=[SecretStr(text or " ")]))
    assert len(text) < 5 or text not in str(caught.value)
    assert "storage.encryption_keys" in str(caught.value)


def test_without_settings_nothing_is_sealed() -> None:
    assert not of_settings(Storage()).seals


def test_rotating_puts_a_new_one_first_and_keeps_all(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    first = rotate(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("# kept in the safe\n" + path.read_text())
    second = rotate(path)
    assert second[1:] == first and second[0] != first[0]
    assert [key_id(key) for key in read(path)] == second
    assert "# kept in the safe" in path.read_text()
    assert of_settings(Storage(encryption_key_file=str(path))).ids == second
    assert [one.name for one in tmp_path.iterdir()] == ["keys"]


def test_keys_of_the_settings_come_first(tmp_path: Path) -> None:
    path, key = tmp_path / "keys", new_key()
    (old,) = rotate(path)
    storage = Storage(encryption_keys=[SecretStr(key)], encryption_key_file=str(path))
    assert of_settings(storage).ids == [key_id(parse(key)), old]
    assert key not in repr(storage)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "outdial recordings key rotate"),
        ("", "must hold keys"),
        ("# only a remark\n", "must hold keys"),
        ("ork_wrong", "number 1 is not a key"),
        (f"{RIGHT}\nork_wrong\n", "number 2 is not a key"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(
    tmp_path: Path, content: str | None, said: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=said):
        of_settings(Storage(encryption_key_file=str(path)))
    if content is None:
        assert not path.exists()  # a wrong path makes no key


def test_a_file_that_others_may_read_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    rotate(path)
    path.chmod(0o644)
    read(path)
    told = capsys.readouterr()
    assert "others may read the keys" in told.out + told.err


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"outdial\[encryption\]"):
        of_settings(Storage(encryption_keys=[SecretStr(new_key())]))
    assert not recording_keys.of_settings(Storage()).seals


async def test_a_running_server_takes_the_keys_of_a_file_that_changes(tmp_path: Path) -> None:
    path, key = tmp_path / "keys", new_key()
    first = rotate(path)
    watch = FileWatch()
    keys = of_settings(Storage(encryption_key_file=str(path)), watch)
    both = of_settings(
        Storage(encryption_keys=[SecretStr(key)], encryption_key_file=str(path)), watch
    )
    hidden = keys.hide("a secret")
    second = rotate(path)
    for _ in range(2):
        await watch.look()
    assert keys.ids == second and second[1:] == first
    assert both.ids == [key_id(parse(key)), *second], "those of the settings stay the first"
    assert keys.show(hidden) == "a secret"
    assert keys.hide("a secret")[:20] != hidden[:20], "the new one encrypts"
    path.write_text("ork_wrong")
    for _ in range(2):
        await watch.look()
    assert keys.ids == second, "what was read last holds"
