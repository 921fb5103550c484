"""Files that are sealed are read and written like others, and tell nothing to who has no key."""

from __future__ import annotations

import io
import os
import random
import secrets
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outdial.stored_file import (
    PIECE_BYTES,
    KeyLost,
    SealedFile,
    SealingKeys,
    create,
    key_id,
    open_file,
    open_sealed,
)

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = SealingKeys([NEW, OLD])
NONE = SealingKeys()
WORDS = b"Nobody may read this. "


def made(path: Path, content: bytes, keys: SealingKeys = KEYS) -> Path:
    file = create(path, keys.new())
    file.append(content)
    file.close()
    return path


def read(path: Path, keys: SealingKeys = KEYS) -> bytes:
    file = open_file(path, keys)
    try:
        return file.read(file.size, 0)
    finally:
        file.close()


@pytest.mark.parametrize("size", [0, 1, 44, 4095, 4096, 4097, 8192, 100_000])
def test_what_is_written_is_read_and_not_on_the_disk(tmp_path: Path, size: int) -> None:
    content = (WORDS * (size // len(WORDS) + 1))[:size]
    path = made(tmp_path / "a", content)
    assert read(path) == content
    raw = path.read_bytes()
    assert b"Nobody" not in raw
    pieces = -(-size // PIECE_BYTES)
    assert len(raw) == 64 + size + 28 * pieces
    assert path.stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_same_content_is_never_the_same_bytes(tmp_path: Path) -> None:
    first, second = (made(tmp_path / name, WORDS).read_bytes() for name in "ab")
    assert first[:16] == second[:16]
    assert first[16:48] != second[16:48]
    assert first[64:] != second[64:]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.integers(0, 9000)),
            st.tuples(st.just("put"), st.integers(0, 40)),
            st.tuples(st.just("cut"), st.integers(0, 20_000)),
            st.tuples(st.just("again"), st.just(0)),
        ),
        max_size=12,
    )
)
def test_it_is_like_a_file_in_memory(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "a"
    dice = random.Random(7)
    model = io.BytesIO()
    file = create(path, KEYS.new())
    for what, number in steps:
        size = len(model.getvalue())
        if what == "append":
            data = dice.randbytes(number)
            file.append(data)
            model.seek(size)
            model.write(data)
        elif what == "put" and number + 4 <= size:
            file.put(b"WAVE", number)
            model.seek(number)
            model.write(b"WAVE")
        elif what == "cut":
            file.cut(min(number, size))
            model.truncate(min(number, size))
        elif what == "again":
            file.close()
            file = open_file(path, KEYS, to_change=True)
        assert file.size == len(model.getvalue())
    start = dice.randrange(file.size + 1)
    assert file.read(5000, start) == model.getvalue()[start : start + 5000]
    file.close()
    assert read(path) == model.getvalue()


def test_every_range_is_that_of_the_content(tmp_path: Path) -> None:
    content = random.Random(1).randbytes(20_000)
    file = open_file(made(tmp_path / "a", content), KEYS)
    for start in (0, 1, 4095, 4096, 8191, 19_999, 20_000, 30_000):
        for count in (0, 1, 4096, 4097, 100_000):
            assert file.read(count, start) == content[start : start + count]
    file.close()


@pytest.mark.parametrize("at", [0, 8, 20, 60, 64, 70, 80, 64 + 4124, 64 + 4124 + 4000, -1])
def test_no_byte_can_be_changed(tmp_path: Path, at: int) -> None:
    path = made(tmp_path / "a", bytes(10_000))
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)
    if at == 0:  # not a sealed file any more: what is read is no secret of ours
        assert read(path) == bytes(raw)
        return
    with pytest.raises((OSError, KeyLost)):
        read(path)


def test_pieces_cannot_change_places_nor_files(tmp_path: Path) -> None:
    path = made(tmp_path / "a", bytes(2 * PIECE_BYTES))
    raw = path.read_bytes()
    one, two = raw[64 : 64 + 4124], raw[64 + 4124 :]
    path.write_bytes(raw[:64] + two + one)
    with pytest.raises(OSError, match="damaged or was changed"):
        read(path)
    other = made(tmp_path / "b", bytes(2 * PIECE_BYTES))
    path.write_bytes(other.read_bytes()[:64] + one + two)
    with pytest.raises(OSError, match="damaged or was changed"):
        read(path)


@pytest.mark.parametrize("text", ["s", "a secret", "ü" * 256, "\ud800", ""])
def test_a_secret_is_hidden_and_shown(text: str) -> None:
    hidden = KEYS.hide(text)
    assert KEYS.show(hidden) == text
    assert SealingKeys([OLD, NEW]).show(hidden) == text
    assert not text or (hidden[0] == "\x01" and hidden != KEYS.hide(text))
    assert len(text) < 8 or text not in hidden
    assert NONE.hide(text) == text and NONE.show(text) == text


def test_a_hidden_secret_cannot_be_had_without_its_key_nor_changed() -> None:
    hidden = KEYS.hide("a secret")
    for keys in (NONE, SealingKeys([OLD])):
        with pytest.raises(KeyLost, match=key_id(NEW)):
            keys.show(hidden)
    with pytest.raises(ValueError, match="changed"):
        KEYS.show(hidden[:-3] + ("A" if hidden[-3] != "A" else "B") + hidden[-2:])


def test_a_lost_key_is_named(tmp_path: Path) -> None:
    path = made(tmp_path / "a", WORDS, SealingKeys([OLD]))
    assert read(path) == WORDS  # the newer key is there too
    for keys in (SealingKeys([NEW]), NONE):
        with pytest.raises(KeyLost, match=key_id(OLD)) as caught:
            read(path, keys)
        assert "storage.encryption_key_file" in str(caught.value)
    assert OLD.hex() not in key_id(OLD)


def test_the_newest_key_seals_and_files_without_a_seal_are_read(tmp_path: Path) -> None:
    assert read(made(tmp_path / "a", WORDS), SealingKeys([NEW])) == WORDS
    assert read(made(tmp_path / "b", WORDS, NONE), KEYS) == WORDS
    assert (tmp_path / "b").read_bytes() == WORDS
    assert (KEYS.seals, NONE.seals, NONE.new()) == (True, False, None)
    assert KEYS.ids == [key_id(NEW), key_id(OLD)]


def test_the_key_of_one_file_opens_no_other(tmp_path: Path) -> None:
    seal = KEYS.new()
    assert seal is not None and NEW not in (seal.key, seal.head)
    file = create(tmp_path / "a", seal)
    file.append(WORDS)
    file.close()
    opened = open_sealed(tmp_path / "a", seal.key)
    assert opened.read(100, 0) == WORDS
    opened.close()
    other = made(tmp_path / "b", WORDS)
    with pytest.raises(OSError, match="damaged or was changed"):
        open_sealed(other, seal.key).read(1, 0)


@pytest.mark.parametrize("gone", [1, 15, 27, 28, 29, 100, 3000, 4123])
def test_what_a_crash_tears_is_cut_off(tmp_path: Path, gone: int) -> None:
    content = random.Random(2).randbytes(3 * PIECE_BYTES + 100)
    path = made(tmp_path / "a", content)
    os.truncate(path, path.stat().st_size - gone)
    file = open_file(path, KEYS, to_change=True)
    left = file.size
    assert len(content) - gone - PIECE_BYTES <= left <= len(content)
    assert file.read(left, 0) == content[:left]
    file.append(b"and on")
    file.close()
    assert read(path) == content[:left] + b"and on"


def test_a_full_disk_leaves_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = random.Random(3).randbytes(PIECE_BYTES + 500)
    file = create(tmp_path / "a", KEYS.new())
    file.append(content)
    pwrite, calls = os.pwrite, []

    def full(number: int, data: memoryview, at: int) -> int:
        calls.append(at)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        return pwrite(number, data[:100], at) if len(calls) == 2 else pwrite(number, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        file.append(bytes(PIECE_BYTES * 2))
    monkeypatch.undo()
    size = file.size
    file.cut(size)
    file.close()
    assert size >= len(content)
    assert read(tmp_path / "a")[: len(content)] == content


def test_links_and_folders_are_not_opened(tmp_path: Path) -> None:
    made(tmp_path / "a", WORDS)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for name in ("link", ".", "missing"):
        with pytest.raises(OSError):
            open_file(tmp_path / name, KEYS)


def test_a_nonce_is_never_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With AES-GCM that would give the key away."""
    nonces: list[bytes] = []
    token_bytes = secrets.token_bytes

    def noting(count: int) -> bytes:
        nonces.append(token_bytes(count))
        return nonces[-1]

    monkeypatch.setattr(secrets, "token_bytes", noting)
    file = create(tmp_path / "a", KEYS.new())
    for _ in range(50):
        file.append(b"a" * 300)
        file.put(b"RIFF")
    file.cut(10)
    file.close()
    assert len(nonces) > 100 and len(set(nonces)) == len(nonces)
    assert isinstance(file, SealedFile)
