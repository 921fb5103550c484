"""Digests in messages that are shown: of any form, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.sip.core.digest import Challenge, answer
from outdial.sip.core.redaction import has_digests, without_digests

SECRET = b"6629fae49393a05397450978507c4ef1"
HIDDEN = b"x" * 32


def message(*lines: bytes) -> bytes:
    return b"".join(
        line + b"\r\n" for line in (b"REGISTER sip:carrier.example SIP/2.0", *lines, b"")
    )


@pytest.mark.parametrize(
    "line",
    [
        b'Authorization: Digest username="u", realm="r", nonce="n", uri="sip:r", response="%s"',
        b'Proxy-Authorization: Digest response="%s", username="u"',
        b'authorization : Digest username="u",RESPONSE="%s",cnonce="c"',
        b'Authorization:Digest username="u",\r\n response = "%s",\r\n\tqop=auth',
        b"Authorization: Digest response=%s, username=u",
        b'Authentication-Info: nextnonce="n", rspauth="%s"',
        b'Authorization: Digest username="u", response="%s',
    ],
)
def test_a_digest_is_not_shown(line: bytes) -> None:
    raw = message(b"Call-ID: c", line % SECRET, b"Content-Length: 0")
    assert has_digests(raw.lower())
    assert without_digests(raw) == message(b"Call-ID: c", line % HIDDEN, b"Content-Length: 0")


@pytest.mark.parametrize(
    "line",
    [
        b'WWW-Authenticate: Digest realm="r", nonce="%s"' % SECRET,
        b"Subject: response=%s" % SECRET,
        b'X-Authorization-Of: response="%s"' % SECRET,
        b'Authorization: Digest username="response", nonce="%s"' % SECRET,
    ],
)
def test_what_is_no_digest_stays(line: bytes) -> None:
    raw = message(line)
    assert without_digests(raw) == raw


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256-sess"])
@pytest.mark.parametrize("qop", ["", "auth"])
def test_what_we_send_is_hidden(algorithm: str, qop: str) -> None:
    challenge = Challenge("r", "n", algorithm, qop)
    value = answer(challenge, "u", "secret", "REGISTER", "sip:r", b"", 1, "c")
    given = value.partition('response="')[2].partition('"')[0]
    assert len(given) >= 32
    shown = without_digests(message(b"Authorization: " + value.encode()))
    assert given.encode() not in shown
    assert b'response="' + b"x" * len(given) + b'"' in shown


PIECES = st.sampled_from(
    [b"Authorization: ", b"response=", b'"', b"x", b"\r\n", b" ", b",", b"rspauth", b"=", b"\\"]
)


@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_a_message_keeps_its_length_and_its_lines(raw: bytes) -> None:
    shown = without_digests(raw)
    assert len(shown) == len(raw)
    assert [len(line) for line in shown.split(b"\r\n")] == [
        len(line) for line in raw.split(b"\r\n")
    ]
