"""Files of recordings and faxes: as they are, or sealed with a key so that a disk that is lost or
copied tells nothing.

A sealed file is a head of 64 bytes and pieces. The head has a magic word, the id of the key and a
salt: key and salt make the key of this one file (HMAC-SHA-256), which is all that a process which
writes or reads it needs. A piece is a nonce, 4,096 bytes of the file (the last one fewer) in
AES-256-GCM, and the tag. The head and the piece's number are authenticated with it, so pieces can
neither be changed, nor change places, nor come from another file. A piece that is written again
gets another nonce. That pieces are missing at the end is not noticed here: what a crash leaves is
read as far as it goes, and a WAV says itself how long it is.

Any range can be read, and what is appended is on the disk when `append` returns.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from outdial.errors import StoredFileError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
PIECE_BYTES: Final = 4096
"""Of the file in a piece: a telephone call's quarter of a second."""

_MAGIC: Final = b"OUTDIAL\x01"
_HEAD: Final = struct.Struct("<8s8s32sI12x")
_HIDDEN: Final = "\x01sealed:"
"""Nobody can give a text that begins so: control characters are refused."""
_ID: Final = 8
_NUMBER: Final = struct.Struct("<Q")
_NONCE: Final = 12
_MORE: Final = _NONCE + 16
_WHOLE: Final = PIECE_BYTES + _MORE
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHANGE: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE: Final = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE: Final = 0o640
_COPY_BYTES: Final = 1 << 20


class KeyLost(StoredFileError):
    """A file is sealed with a key that is not among those of the settings."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(
            f"it is encrypted with the key {key_id}, which is not in storage.encryption_key_file "
            "(nor storage.encryption_keys): put it back there, behind the newer ones"
        )


class Seal(NamedTuple):
    """What one file is sealed with. `key` is good for that file alone."""

    head: bytes
    key: bytes


NO_SEAL = Seal(b"", b"")


def key_id(key: bytes) -> str:
    """What a key is called: it tells nothing of it."""
    import hashlib

    return hashlib.sha256(b"outdial key id" + key).hexdigest()[:16]


class SealingKeys:
    """The keys of the settings, newest first: the first seals, all open. Without any nothing is
    sealed."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._keys: dict[bytes, bytes] = {}
        self.become(keys)

    def become(self, keys: Sequence[bytes]) -> None:
        """They are these from now on. Files that are being written keep the seal they have."""
        self._keys = {bytes.fromhex(key_id(key)): key for key in keys}

    @property
    def seals(self) -> bool:
        """Whether new files are sealed."""
        return bool(self._keys)

    @property
    def ids(self) -> list[str]:
        """Of all keys, newest first."""
        return [name.hex() for name in self._keys]

    def hide(self, text: str) -> str:
        """A secret as it may be stored; as it is where nothing is sealed."""
        if not text or (newest := self._newest()) is None:
            return text
        name, key = newest
        nonce = _drawn(_NONCE)
        sealed = _cipher(_text_key(key)).encrypt(nonce, text.encode("utf-8", "surrogatepass"), name)
        return _HIDDEN + urlsafe_b64encode(name + nonce + sealed).decode()

    def show(self, stored: str) -> str:
        """The secret that `hide` has made this of; what it has not made is as it is. Raises
        KeyLost, ValueError."""
        if not stored.startswith(_HIDDEN):
            return stored
        from cryptography.exceptions import InvalidTag

        raw = urlsafe_b64decode(stored.removeprefix(_HIDDEN))
        name, nonce, sealed = raw[:_ID], raw[_ID : _ID + _NONCE], raw[_ID + _NONCE :]
        key = self._keys.get(name)
        if key is None:
            raise KeyLost(name.hex())
        try:
            shown = _cipher(_text_key(key)).decrypt(nonce, sealed, name)
        except InvalidTag:
            raise ValueError("the stored secret was changed") from None
        return shown.decode("utf-8", "surrogatepass")

    def new(self) -> Seal | None:
        """For a new file; None: it is not sealed."""
        if (newest := self._newest()) is None:
            return None
        name, key = newest
        head = _HEAD.pack(_MAGIC, name, _drawn(32), PIECE_BYTES)
        return Seal(head, _file_key(key, head))

    def of(self, head: bytes) -> Seal | None:
        """Of a file that begins with these bytes; None: it is not sealed. Raises KeyLost."""
        if len(head) < _HEAD.size or not head.startswith(_MAGIC):
            return None
        head = head[: _HEAD.size]
        _, name, _, piece_bytes = _HEAD.unpack(head)
        key = self._keys.get(name)
        if key is None or piece_bytes != PIECE_BYTES:
            raise KeyLost(name.hex())
        return Seal(head, _file_key(key, head))

    def _newest(self) -> tuple[bytes, bytes] | None:
        """Its name and the key."""
        return next(iter(self._keys.items()), None)


def _text_key(key: bytes) -> bytes:
    return _digest(key, b"outdial text")


def _file_key(key: bytes, head: bytes) -> bytes:
    return _digest(key, b"outdial file" + head)


# Imported here, because media workers import this file and few need what OpenSSL weighs: 2 MB each.


def _digest(key: bytes, text: bytes) -> bytes:
    import hmac

    return hmac.digest(key, text, "sha256")


def _drawn(count: int) -> bytes:
    import secrets

    return secrets.token_bytes(count)


class PlainFile:
    """A file as it is. Everything may raise OSError."""

    def __init__(self, file: int) -> None:
        self._file = file

    @property
    def size(self) -> int:
        """Bytes of what is in it."""
        return os.fstat(self._file).st_size

    @property
    def seal(self) -> Seal | None:
        """What it is sealed with."""
        return None

    def read(self, count: int, at: int) -> bytes:
        """So many bytes from there on, fewer at the end."""
        return os.pread(self._file, count, at)

    def copy_to(self, write: Callable[[bytes], object]) -> int:
        """Hands over all of it; its size."""
        at = 0
        while chunk := self.read(_COPY_BYTES, at):
            write(chunk)
            at += len(chunk)
        return at

    def append(self, data: bytes | memoryview) -> None:
        """At the end; where only a part can be written, that is there."""
        at, view = self.size, memoryview(data)
        while view:
            count = os.pwrite(self._file, view, at)
            at, view = at + count, view[count:]

    def put(self, data: bytes, at: int = 0) -> None:
        """In place of what is there, within the first piece."""
        os.pwrite(self._file, data, at)

    def cut(self, size: int) -> None:
        """What is behind it goes."""
        os.ftruncate(self._file, size)

    def close(self) -> None:
        """Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class SealedFile(PlainFile):
    """A sealed file, which is read and written as if it were not. `file` is owned."""

    def __init__(self, file: int, seal: Seal) -> None:
        super().__init__(file)
        self._seal = seal
        self._cipher = _cipher(seal.key)
        self._size = _size_in(os.fstat(file).st_size)
        self._last = b""
        """The last piece, open, when it is not full."""
        if self._size % PIECE_BYTES:
            self._last = self._open(self._size // PIECE_BYTES)

    @classmethod
    def begin(cls, file: int, seal: Seal) -> SealedFile:
        """In an empty file."""
        os.pwrite(file, seal.head, 0)
        return cls(file, seal)

    @property
    def size(self) -> int:
        """Bytes of what is in it."""
        return self._size

    @property
    def seal(self) -> Seal | None:
        """What it is sealed with."""
        return self._seal

    def read(self, count: int, at: int) -> bytes:
        """So many bytes from there on, fewer at the end."""
        end = min(at + count, self._size)
        if at >= end:
            return b""
        first = at // PIECE_BYTES
        found = [self._open(number) for number in range(first, -(-end // PIECE_BYTES))]
        start = first * PIECE_BYTES
        return b"".join(found)[at - start : end - start]

    def append(self, data: bytes | memoryview) -> None:
        """At the end; where only a part can be written, whole pieces of it are there."""
        view = memoryview(self._last + bytes(data))
        number = self._size // PIECE_BYTES
        while view:
            piece, view = view[:PIECE_BYTES], view[PIECE_BYTES:]
            self._close_piece(number, piece)
            self._size = number * PIECE_BYTES + len(piece)
            self._last = bytes(piece) if len(piece) < PIECE_BYTES else b""
            number += 1

    def put(self, data: bytes, at: int = 0) -> None:
        """In place of what is there, within the first piece."""
        first = self._last if self._size < PIECE_BYTES else self._open(0)
        changed = first[:at] + data + first[at + len(data) :]
        self._close_piece(0, changed)
        if self._size < PIECE_BYTES:
            self._last = changed

    def cut(self, size: int) -> None:
        """What is behind it goes; so does what a write that failed has left there."""
        number, rest = divmod(min(size, self._size), PIECE_BYTES)
        if number == self._size // PIECE_BYTES:
            kept = self._last[:rest]
        else:
            kept = self._open(number)[:rest] if rest else b""
        if rest:
            self._close_piece(number, kept)
        os.ftruncate(self._file, _HEAD.size + number * _WHOLE + (rest + _MORE if rest else 0))
        self._size, self._last = number * PIECE_BYTES + rest, kept

    def _close_piece(self, number: int, piece: bytes | memoryview) -> None:
        nonce = _drawn(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, piece, self._bound(number))
        at, view = _HEAD.size + number * _WHOLE, memoryview(sealed)
        while view:
            count = os.pwrite(self._file, view, at)
            at, view = at + count, view[count:]

    def _open(self, number: int) -> bytes:
        from cryptography.exceptions import InvalidTag

        sealed = os.pread(self._file, _WHOLE, _HEAD.size + number * _WHOLE)
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], self._bound(number))
        except (InvalidTag, ValueError):
            problem = f"the encrypted file is damaged or was changed (piece {number})"
            raise OSError(errno.EIO, problem) from None

    def _bound(self, number: int) -> bytes:
        return self._seal.head + _NUMBER.pack(number)


def _size_in(there: int) -> int:
    """Bytes of the file that are in so many on the disk; a piece that was torn has none."""
    whole, rest = divmod(max(0, there - _HEAD.size), _WHOLE)
    return whole * PIECE_BYTES + max(0, rest - _MORE)


def _cipher(key: bytes) -> AESGCM:
    # the package is wanted only where files are sealed; importing it takes 50 ms
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def warm_up() -> None:
    """Imports what sealing needs. Raises ImportError where it is not installed."""
    _cipher(_digest(_drawn(KEY_BYTES), b""))


def create(path: str | os.PathLike[str], seal: Seal | None) -> PlainFile:
    """A new file, in place of one that is there. Raises OSError."""
    file = os.open(path, _CREATE, _MODE)
    return PlainFile(file) if seal is None else SealedFile.begin(file, seal)


def open_file(
    path: str | os.PathLike[str], keys: SealingKeys, *, to_change: bool = False
) -> PlainFile:
    """A plain file that is there, sealed or not; links are not followed. Raises OSError, KeyLost.

    One to be changed that was torn where it ends is cut to what is whole.
    """
    file = os.open(path, _CHANGE if to_change else _READ)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        seal = keys.of(os.pread(file, _HEAD.size, 0))
        if seal is None:
            return PlainFile(file)
        if to_change:
            _cut_torn(file, seal)
        return SealedFile(file, seal)
    except BaseException:
        os.close(file)
        raise


def read_whole(path: str | os.PathLike[str], keys: SealingKeys, most: int = 1 << 40) -> bytes:
    """All of a file, up to so many bytes. Raises OSError, KeyLost."""
    file = open_file(path, keys)
    try:
        return file.read(min(most, file.size), 0)
    finally:
        file.close()


def open_sealed(path: str | os.PathLike[str], key: bytes) -> PlainFile:
    """A file of which one has only its own key (`Seal.key`); b"": it is not sealed. Raises
    OSError."""
    file = os.open(path, _READ)
    if not key:
        return PlainFile(file)
    try:
        return SealedFile(file, Seal(os.pread(file, _HEAD.size, 0), key))
    except BaseException:
        os.close(file)
        raise


def _cut_torn(file: int, seal: Seal) -> None:
    """Takes off the last piece where the power went while it was written."""
    there = os.fstat(file).st_size
    whole, rest = divmod(max(0, there - _HEAD.size), _WHOLE)
    if not rest:
        return
    try:
        SealedFile(os.dup(file), seal).close()
    except OSError:
        os.ftruncate(file, _HEAD.size + whole * _WHOLE)
