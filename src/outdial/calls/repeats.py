"""Posts that may be repeated: an Idempotency-Key, what it asked for, and how it was answered.

The answer is made before the call is stored and stored with it, in one transaction: whoever repeats
the post, after whatever trouble, gets the same answer, and there is one call.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable

from outdial.calls import codes
from outdial.calls.request import CallRequest
from outdial.errors import Refused
from outdial.store.records import CallRecord, IdempotencyRecord

HEADER = "Idempotency-Key"
LONGEST = 255
FORM = rf"^[!-~]{{1,{LONGEST}}}$"
"""Visible ASCII characters."""

_FORM = re.compile(FORM)


def token_of(given: list[str]) -> str:
    """The token of the header's values, "" when there is none. Raises Refused (400)."""
    if not given:
        return ""
    if len(set(given)) > 1:
        raise Refused(
            400,
            codes.REPEATED_FIELD,
            f"{HEADER} is given more than once, with different values",
            field=HEADER,
        )
    if _FORM.fullmatch(given[0]) is None:
        raise Refused(
            400,
            codes.BAD_VALUE,
            f"{HEADER} must be 1 to {LONGEST} visible ASCII characters, e.g. a UUID",
            field=HEADER,
        )
    return given[0]


def digest_of(request: CallRequest) -> str:
    """The same for every way of writing the same call: form or JSON, +1 202 or 1202."""
    text = json.dumps(request.to_json(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Repeatable:
    """The first post of a token. `record_of` is called once its call is about to be stored."""

    def __init__(
        self, key_name: str, token: str, digest: str, answer: Callable[[CallRecord], str]
    ) -> None:
        self._key_name = key_name
        self._token = token
        self._digest = digest
        self._answer = answer
        self.record: IdempotencyRecord | None = None
        """What was stored, once it was asked for."""

    def record_of(self, call: CallRecord) -> IdempotencyRecord:
        """What is stored with the call."""
        self.record = IdempotencyRecord(
            key_name=self._key_name,
            token=self._token,
            digest=self._digest,
            call_sid=call.sid,
            answer=self._answer(call),
            created_at=call.created_at,
        )
        return self.record
