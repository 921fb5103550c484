"""What is kept of REGISTER and OPTIONS: bounded, and without digests."""

from __future__ import annotations

import pytest

from outdial.legs import TracedMessage
from outdial.sip.exchanges import LONGEST, MOST, MOST_BYTES, Exchange


def traced(raw: bytes, at: float = 0.0) -> TracedMessage:
    return TracedMessage(at, True, "198.51.100.7:5060", "udp", raw)


def test_the_last_ones_are_shown() -> None:
    exchange = Exchange()
    assert exchange.shown() == ()
    for number in range(MOST + 10):
        exchange.add(traced(b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", number))
    assert [message.at for message in exchange.shown()] == list(range(10, MOST + 10))


@pytest.mark.parametrize("size", [100, 5_000, LONGEST, 65_000])
def test_a_registrar_that_sends_much_is_not_worth_the_memory(size: int) -> None:
    exchange = Exchange()
    for number in range(200):
        exchange.add(traced(b"SIP/2.0 200 OK\r\n" + b"x" * size, number))
        kept = exchange.shown()
        assert len(kept) <= MOST
        assert sum(len(message.raw) for message in kept) <= MOST_BYTES
        assert kept[-1].at == number
        assert len(kept[-1].raw) <= LONGEST
    assert exchange._size == sum(len(message.raw) for message in exchange.shown())


def test_digests_are_not_kept() -> None:
    exchange = Exchange()
    raw = b'REGISTER sip:a SIP/2.0\r\nAuthorization: Digest username="u", response="%s"\r\n\r\n'
    exchange.add(traced(raw % (b"a1b2" * 8)))
    (kept,) = exchange.shown()
    assert kept.raw == raw % (b"x" * 32)


def test_a_digest_at_the_end_of_what_is_kept_is_hidden_too() -> None:
    """It is cut behind the hiding, not before."""
    exchange = Exchange()
    head = b"REGISTER sip:a SIP/2.0\r\nAuthorization: Digest response="
    raw = head + b'"' + b"f" * (2 * LONGEST) + b'"\r\n\r\n'
    exchange.add(traced(raw))
    (kept,) = exchange.shown()
    assert b"f" not in kept.raw[len(head) :]
