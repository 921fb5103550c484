"""The credentials that a server checks (RFC 2617, RFC 7616), written for the tests alone."""

from __future__ import annotations

import hashlib
import re

from system.sipp.stage import PASSWORD, USERNAME

_PARAM = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


def check_credentials(header: str, method: str, *, nonce: str, algorithm: str) -> None:
    """Checks the value of an Authorization header against what the server would compute."""
    scheme, _, rest = header.partition(" ")
    assert scheme == "Digest"
    given = {name: quoted or plain for name, quoted, plain in _PARAM.findall(rest)}
    assert (given["username"], given["realm"]) == (USERNAME, "the carrier")
    assert (given["nonce"], given["qop"], given["nc"]) == (nonce, "auth", "00000001")
    assert given.get("algorithm", "MD5") == algorithm
    assert len(given["cnonce"]) >= 8

    def hashed(*parts: str) -> str:
        return _HASHES[algorithm](":".join(parts).encode()).hexdigest()

    secret = hashed(USERNAME, "the carrier", PASSWORD)
    action = hashed(method, given["uri"])
    expected = hashed(secret, nonce, given["nc"], given["cnonce"], "auth", action)
    assert given["response"] == expected
