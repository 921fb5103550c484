"""Every URL that could lead inside, at every field of the API that takes one: refused, by name.

Only names may pass: where they lead is judged when they are asked for
(`tests/unit/calls/test_no_fetch_gets_inside.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from contract.conftest import KEY, V2, Door, running
from doubles.inside import table
from outdial.calls import codes
from outdial.config import Limits

GOOD = "https://app.example.com/answer.xml"
CALL = {"to": "19499300360", "from": "18005797676"}
OURS = "18005550101"
FIELDS = (
    (V2, "url"),
    (V2, "statusCallback"),
    (V2, "fallbackUrl"),
    ("/v1/calls", "url"),
    ("/v1/calls", "fallback_url"),
    ("/v1/calls", "status_callback"),
    ("/v1/calls/{sid}", "url"),
    ("/v1/calls/{sid}", "fallback_url"),
    ("/v1/numbers", "url"),
    ("/v1/numbers", "fallback_url"),
    ("/v1/numbers", "status_callback"),
    (f"/v1/numbers/{OURS}", "url"),
    (f"/v1/numbers/{OURS}", "fallback_url"),
    (f"/v1/numbers/{OURS}", "status_callback"),
)


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[Door]:
    """No private address may be asked."""
    async with running(tmp_path, Limits(destinations=["1"]), allow_private=()) as opened:
        yield opened


async def asked(door: Door, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return await door.post(path, json=body, headers={"Authorization": f"Bearer {KEY}"})


@pytest.mark.parametrize(("path", "field"), FIELDS)
async def test_what_can_be_told_at_once_is_refused(strict: Door, path: str, field: str) -> None:
    body: dict[str, Any] = {"url": GOOD}
    if path in (V2, "/v1/calls"):
        body |= CALL
    elif path == "/v1/numbers":
        body |= {"number": "18005550102"}
    elif path.startswith("/v1/numbers/"):
        status, _ = await asked(strict, "/v1/numbers", {"number": OURS, "url": GOOD})
        assert status == 201
    else:
        _, call = await asked(strict, "/v1/calls", CALL)
        strict.record.kept[call["sid"]].state = "answered"
        path = path.format(sid=call["sid"])
    kept = dict(strict.record.numbers.kept)
    calls = len(strict.record.kept)
    refused: dict[int, int] = {}
    for url in table(9):
        status, answer = await asked(strict, path, body | {field: url})
        if status < 300 or status == 409:  # the second good one of a number is there already
            assert ".example" in url, url
        else:
            assert status in (400, 403, 422), (url, answer)
            named = answer.get("field", field)
            assert named == field and field in str(answer), (url, answer)
            refused[int(answer["code"])] = refused.get(int(answer["code"]), 0) + 1
    assert refused[codes.REFUSED_ADDRESS] > 40 and refused[codes.BAD_VALUE] > 15
    if path.startswith("/v1/calls/"):
        assert all(".example" in str(command) for _, command, _ in strict.record.commands)
    assert len(strict.record.kept) - calls < 40 and len(strict.record.numbers.kept) <= len(kept) + 1
