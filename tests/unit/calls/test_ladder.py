"""The SIP ladder of a leg: what it keeps, and what it hides."""

from __future__ import annotations

import asyncio

import pytest

from doubles.world import World
from outdial.calls.ladder import MOST, MOST_BYTES, Ladder
from outdial.legs import TracedMessage

SID = "CA" + "0" * 32


class Kept(World):
    """A ladder whose messages are read before they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.ladder = Ladder(SID, self.services.journal, asyncio.get_running_loop())

    def raw(self, raw: bytes) -> bytes:
        self.ladder.add(TracedMessage(0.0, False, "192.0.2.1:5060", "udp", raw))
        return self.ladder._messages[-1].raw


@pytest.mark.parametrize(
    ("head", "body", "kept"),
    [
        (
            b"Content-Type: application/dtmf-relay",
            b"Signal=5\r\nDuration=160\r\n",
            b"Signal=x\r\nD",
        ),
        (
            b"Content-Type: application/dtmf-relay",
            b"signal = #\r\nDuration=160",
            b"signal = x\r\nD",
        ),
        (b"c: application/DTMF", b"9", b"x"),
        (b"Content-Type: application/dtmf", b" * \r\n", b" x \r\n"),
        (
            b"Content-Type: multipart/mixed",
            b"--a\r\nc: application/dtmf-relay\r\n\r\nSignal=1",
            b"",
        ),
    ],
)
async def test_a_key_told_by_info_is_hidden(head: bytes, body: bytes, kept: bytes) -> None:
    start = b"INFO sip:a@b SIP/2.0\r\n" + head + b"\r\n\r\n"
    raw = Kept().raw(start + body)
    assert raw.startswith(start)
    assert kept in raw
    assert len(raw) == len(start + body)
    assert not set(b"123456789#*") & set(raw[len(start) :].partition(b"Duration")[0])


@pytest.mark.parametrize(
    "raw",
    [
        b"INFO sip:a@b SIP/2.0\r\nContent-Type: application/media_control+xml\r\n\r\n<a n='5'/>",
        b"INVITE sip:5@b SIP/2.0\r\nContent-Type: application/sdp\r\n\r\na=x dtmf Signal=5",
        b"INFO sip:5@b SIP/2.0\r\n\r\n",
    ],
)
async def test_other_messages_are_kept_as_they_are(raw: bytes) -> None:
    assert Kept().raw(raw) == raw


async def test_a_peer_that_sends_without_end_is_not_worth_the_memory() -> None:
    kept = Kept()
    for _ in range(MOST + 10):
        kept.raw(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n")
    assert len(kept.ladder._messages) == MOST


async def test_a_peer_whose_messages_are_huge_is_not_either() -> None:
    kept = Kept()
    huge = b"OPTIONS sip:a@b SIP/2.0\r\n\r\n".ljust(65_000, b"x")
    for _ in range(MOST):
        kept.raw(huge)
    assert sum(len(message.raw) for message in kept.ladder._messages) <= MOST_BYTES
    kept.raw(b"BYE sip:a@b SIP/2.0\r\n\r\n")
    assert kept.ladder._messages[-1].raw.startswith(b"BYE"), "the small one still fits"


async def test_digests_of_passwords_are_hidden() -> None:
    """They are worth cracking, and the ladder is sent to carriers and kept in the store."""
    start = b'INVITE sip:a@b SIP/2.0\r\nAuthorization: Digest username="u", response="'
    raw = Kept().raw(start + b"a1b2" * 8 + b'", nc=00000001\r\n\r\n')
    assert raw == start + b"x" * 32 + b'", nc=00000001\r\n\r\n'


KEY = b"NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj"


@pytest.mark.parametrize(
    "line",
    [
        b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:%s\r\n",
        b"A=CRYPTO:1 AES_CM_128_HMAC_SHA1_32 INLINE:%s|2^20|1:4\r\n",
        b"a=crypto:2 X inline:%s|2^20|1:4;inline:%s\n",
        b"a=crypto:2 X inline:%s\r",
        b"a=x inline:%s inline:%s y",
    ],
)
@pytest.mark.parametrize("start", [b"INVITE sip:a@b SIP/2.0", b"SIP/2.0 200 OK", b"INFO x SIP/2.0"])
async def test_keys_of_encrypted_audio_are_hidden(line: bytes, start: bytes) -> None:
    body = b"v=0\r\n" + line.replace(b"%s", KEY) + b"a=sendrecv\r\n"
    raw = Kept().raw(start + b"\r\nc: application/sdp\r\n\r\n" + body)
    assert KEY not in raw
    assert raw == (start + b"\r\nc: application/sdp\r\n\r\n" + body).replace(KEY, b"x" * 40)


async def test_a_digit_and_a_key_in_one_message_are_both_hidden() -> None:
    raw = Kept().raw(
        b"INFO x SIP/2.0\r\nc: application/dtmf-relay\r\n\r\nSignal=5\r\ninline:" + KEY
    )
    assert raw.endswith(b"\r\n\r\nSignal=x\r\ninline:" + b"x" * 40)
