"""Tokens of repeatable posts, and when two posts are of one call."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from outdial.calls.repeats import Repeatable, digest_of, token_of
from outdial.calls.request import CallRequest
from outdial.errors import Refused
from outdial.store.records import CallRecord

REQUEST = CallRequest(to="19499300360", from_="18005797676")


@pytest.mark.parametrize(
    ("given", "token"),
    [([], ""), (["a"], "a"), (["a", "a"], "a"), (["!~"], "!~"), (["x" * 255], "x" * 255)],
)
def test_the_token_of_a_post(given: list[str], token: str) -> None:
    assert token_of(given) == token


@pytest.mark.parametrize(
    "given", [[""], [" "], ["a b"], ["a\n"], ["\u00e9"], ["x" * 256], ["a\x7f"], ["a", "b"]]
)
def test_what_is_no_token_is_refused_by_the_headers_name(given: list[str]) -> None:
    with pytest.raises(Refused) as caught:
        token_of(given)
    assert (caught.value.status, caught.value.field) == (400, "Idempotency-Key")
    assert "Idempotency-Key" in caught.value.message


def test_a_call_that_differs_in_anything_is_another_one() -> None:
    different: dict[type, Any] = {str: "x", int: 7, bool: True, tuple: ("ringing",)}
    digests = {digest_of(REQUEST)}
    for field in fields(REQUEST):
        value = different[type(getattr(REQUEST, field.name))]
        digests.add(digest_of(replace(REQUEST, **{field.name: value})))
    assert len(digests) == 1 + len(fields(REQUEST))
    assert digest_of(CallRequest.from_json(REQUEST.to_json())) == digest_of(REQUEST)


def test_the_answer_is_made_for_the_call_that_is_stored() -> None:
    call = CallRecord("CA1", "CA1", "outbound", "1", "2", "", "queued", 12.5)
    repeatable = Repeatable("dev", "t", "d", lambda stored: f"answer for {stored.sid}")
    record = repeatable.record_of(call)
    assert repeatable.record is record
    assert (record.key_name, record.token, record.digest) == ("dev", "t", "d")
    assert (record.call_sid, record.answer) == ("CA1", "answer for CA1")
    assert record.created_at == 12.5
