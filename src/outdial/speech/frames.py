"""How a helper process is spoken to: length-prefixed JSON, then as many raw bytes as it says.

::

    u32 length of the JSON (big endian) | JSON object | "body_size" bytes, none by default

Requests and replies have the same form and come strictly in turn.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

LENGTH = struct.Struct(">I")
MAX_HEAD_BYTES = 1 << 20

Head = dict[str, Any]


def encode(head: Head, body: bytes = b"") -> bytes:
    """One frame."""
    return encode_head(head, len(body)) + body


def encode_head(head: Head, body_size: int) -> bytes:
    """A frame up to its body."""
    text = json.dumps({**head, "body_size": body_size} if body_size else head).encode()
    return LENGTH.pack(len(text)) + text


def decode_head(text: bytes) -> Head:
    """The JSON object of a frame. Raises ValueError."""
    head = json.loads(text)
    if not isinstance(head, dict):
        raise ValueError("a frame's head is not an object")
    return head


def read(stream: BinaryIO) -> tuple[Head, bytes] | None:
    """The next frame of a blocking stream; None at its end. Raises EOFError when cut short."""
    prefix = stream.read(LENGTH.size)
    if not prefix:
        return None
    if len(prefix) < LENGTH.size:
        raise EOFError("the other side went away in the middle of a frame")
    head = decode_head(_exactly(stream, LENGTH.unpack(prefix)[0]))
    return head, _exactly(stream, head.get("body_size", 0))


def write(stream: BinaryIO, head: Head, body: bytes = b"") -> None:
    """Sends one frame and flushes."""
    stream.write(encode(head, body))
    stream.flush()


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size) if size else b""
    if len(data) != size:
        raise EOFError("the other side went away in the middle of a frame")
    return data
