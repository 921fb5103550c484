"""SIP messages as they may be kept and shown: without digests, which are worth cracking offline."""

from __future__ import annotations

import re

_FIELD = re.compile(
    rb"(?im)^(?:proxy-)?(?:authorization|authentication-info)[ \t]*+:[^\r\n]*+"
    rb"(?:\r?\n[ \t][^\r\n]*+)*+"
)
_DIGEST = re.compile(rb'(?i)\b((?:response|rspauth)[ \t\r\n]*+=[ \t\r\n]*+)("[^"]*+|[^",;\s]++)')
_SHOWN = re.compile(rb'[^"\r\n]')


def has_digests(lower: bytes) -> bool:
    """Whether a message, in lower case, may have any."""
    return b"authorization" in lower or b"authentication-info" in lower


def without_digests(raw: bytes) -> bytes:
    """The message, as long as it was, with an ``x`` for each character of a digest (RFC 7616: the
    ``response`` of a client, the ``rspauth`` of a server). Realm, nonce and user name are no
    secrets.
    """
    return _FIELD.sub(lambda field: _DIGEST.sub(_hidden, field[0]), raw)


def _hidden(digest: re.Match[bytes]) -> bytes:
    return digest[1] + _SHOWN.sub(b"x", digest[2])
