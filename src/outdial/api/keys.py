"""Who is asking: the API key of a request."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest
from typing import Protocol

from outdial.calls import codes
from outdial.errors import Refused
from outdial.key_rules import KeyRules


class Keys(Protocol):
    """Knows the keys that are valid now; `keys.KeyRing` fulfils it."""

    def verify(self, presented: str) -> KeyRules | None:
        """What the key may do; None when it is not valid, in the same time for every such key."""


def from_headers(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The key in `apikey`, `X-API-Key` or `Authorization: Bearer`; "" when there is none.

    Raises Refused (401) for different keys in several of them: which is meant cannot be told.
    """
    found: str | None = None
    for name, value in headers:
        if name in (b"apikey", b"x-api-key"):
            presented = value.decode("latin-1").strip()
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() != "bearer":
                continue
            presented = token.strip()
        else:
            continue
        if found is not None and not compare_digest(presented.encode(), found.encode()):
            message = "The headers have different API keys; send one"
            raise Refused(401, codes.BAD_KEY, message, field="apikey")
        found = presented
    return found or ""


def authenticate(keys: Keys, presented: str, where: str, scope: str) -> KeyRules:
    """What the key may do. Raises Refused: 401, the same for every key that is not valid, and 403
    for one without the scope."""
    rules = keys.verify(presented) if presented else None
    if rules is None:
        problem = "The API key is not valid" if presented else "The API key is missing"
        raise Refused(401, codes.BAD_KEY, f"{problem}; {where}", field="apikey")
    if scope not in rules.scopes:
        raise Refused(
            403,
            codes.WRONG_SCOPE,
            f"This needs an API key with the scope {scope}; {rules.name} has "
            f"{', '.join(rules.scopes) or 'none'}",
            field="apikey",
        )
    return rules
