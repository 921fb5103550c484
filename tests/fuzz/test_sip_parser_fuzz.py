"""The parser and the framer against generated messages.

OUTDIAL_FUZZ sets how many (20,000 without it), OUTDIAL_FUZZ_SEED where they start. Bytes that
break something are kept in fuzz-failures/.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fuzz.sip_messages import MessageMaker, examine, examine_stream, messages, run
from outdial.sip.core.parser import parse_message
from outdial.sip.core.stream import KeepAlive, StreamFramer

COUNT = int(os.environ.get("OUTDIAL_FUZZ", "20000"))
SEED = int(os.environ.get("OUTDIAL_FUZZ_SEED", "1"))

HEAD = (
    "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
    "From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
)

# What makes careless patterns go back and forth, near the limits of a line and of a message.
LONG_VALUES = [
    *(mark * 8_000 for mark in '"\\<>;,=:@%[]()?&/. \t*#+-a1é'),
    *('";', ";a", "; ", " ;", "a=", ',"', '\\"', "<>", "a,", "@:", ":a@", "%4", "%41", "::", "1:"),
]


def pathological_messages() -> list[bytes]:
    """Each long text as the value of each header that is parsed, and in the Request-URI."""
    found = []
    for value in LONG_VALUES:
        text = value * (8_000 // len(value))
        names = ("Via", "Contact", "Route", "Content-Type", "Reason", "Session-Expires")
        for name in names:
            for before in ("", '"', "<sip:", "sip:a@b;", "SIP/2.0/UDP h;", "1;", "a/b;"):
                found.append(f"{HEAD}{name}: {before}{text}\r\n\r\n".encode())
        found.append(HEAD.replace("bob", text).encode() + b"\r\n")
        found.append((HEAD + f"X: {text}\r\n" * 7 + "\r\n").encode())
    return found


def test_generated_messages_break_nothing(tmp_path: Path) -> None:
    keep = Path("fuzz-failures") if "OUTDIAL_FUZZ" in os.environ else tmp_path
    tally = run(COUNT, SEED, keep)
    assert tally["accepted"] > COUNT / 10
    assert tally["refused"] > COUNT / 10


def test_the_same_seed_makes_the_same_messages() -> None:
    assert list(messages(7, 50)) == list(messages(7, 50))
    assert list(messages(7, 50)) != list(messages(8, 50))


def once_each(found: list[bytes | KeepAlive]) -> list[bytes | KeepAlive]:
    """Without repeated keep-alives: those that arrive together are answered once."""
    return [
        item
        for item, before in zip(found, [None, *found], strict=False)
        if not (isinstance(item, KeepAlive) and item is before)
    ]


def test_streams_break_nothing() -> None:
    maker = MessageMaker(SEED)
    for _ in range(COUNT // 40):
        data = b"".join(maker.broken() for _ in range(3))
        pieces = maker.cuts(data)
        assert once_each(examine_stream(pieces)) == once_each(examine_stream([data]))


def test_the_framer_cuts_valid_messages_wherever_the_stream_breaks() -> None:
    maker = MessageMaker(SEED)
    for _ in range(COUNT // 100):
        whole = [parse_message(maker.valid()).encode() for _ in range(3)]
        framer = StreamFramer()
        cut = [item for piece in maker.cuts(b"".join(whole)) for item in framer.feed(piece)]
        assert cut == whole


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"\0", b"\r\n\r\n", b"\r\n\r\n\r\n\r\n", b"\n" * 70_000]
)
def test_nothing_at_all(data: bytes) -> None:
    assert examine(data) is None


def test_pathological_messages_take_no_longer_than_others_of_their_size() -> None:
    """A pattern that goes back on 8,000 characters takes 30 million steps, which is seconds."""
    for data in pathological_messages():
        before = time.process_time()
        examine(data)
        assert time.process_time() - before < 0.5, data[:300]
