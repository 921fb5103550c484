"""Keys and secrets: whatever goes wrong, they are neither told nor logged."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from contract.conftest import KEY, V2, Door
from outdial import log

CANARY = "canary-4f1d0c"
CALL = {"from": "18005797676", "to": "19499300360"}
WITH_CANARY: list[dict[str, Any]] = [
    {"headers": {"Authorization": f"Bearer {CANARY}"}},
    {"headers": {"Authorization": f"Basic {CANARY}"}},
    {"headers": {"apikey": CANARY}},
    {"headers": {"X-API-Key": CANARY}},
    {"headers": {"Authorization": f"Bearer {KEY}", "apikey": CANARY}},
    {"data": CALL | {"apikey": CANARY}},
    {"json": CALL | {"apikey": CANARY}},
    {"json": CALL | {"apikey": [CANARY]}},
    {"data": f'{{"apikey": "{CANARY}", '.encode(), "headers": {"Content-Type": "application/json"}},
    {"data": CALL | {"apikey": KEY, "secretKey": CANARY}},
    {"data": CALL | {"apikey": KEY, "secretKey": CANARY, "to": "none"}},
    {"data": CALL | {"apikey": KEY, "secretKey": CANARY * 40}},
    {"data": CALL | {"apikey": KEY, "secretKey": f"{CANARY}\n"}},
    {"json": CALL | {"apikey": KEY, "secretKey": {CANARY: CANARY}}},
    {"data": [*CALL.items(), ("apikey", KEY), ("secretKey", CANARY), ("secretKey", "b")]},
]


@pytest.fixture
def logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Callable[[], str]]:
    """All that was logged so far, as the server writes it and down to debug."""
    lines = io.StringIO()
    before = structlog.get_config()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", lines)
        log.configure("debug")
    structlog.configure(cache_logger_on_first_use=False)
    yield lambda: lines.getvalue() + caplog.text
    structlog.configure(**before)


@pytest.mark.parametrize("how", WITH_CANARY)
@pytest.mark.parametrize("path", [V2, "/v1/calls"])
async def test_no_answer_and_no_log_line_has_it(
    door: Door, path: str, how: dict[str, Any], logged: Callable[[], str]
) -> None:
    async with door.http.post(door.base + path, **how) as response:
        told = await response.text() + repr(response.raw_headers)
    _, metrics = await _text(door, "/metrics")
    for text in (told, metrics, logged()):
        assert CANARY not in text
        assert KEY not in text


@pytest.mark.parametrize("path", [V2, "/v1/calls"])
async def test_a_defect_does_not_tell_them_either(
    door: Door, path: str, logged: Callable[[], str]
) -> None:
    door.record.refusal = RuntimeError("a defect")
    secret = "secretKey" if path == V2 else "secret_key"
    status, answer = await door.post(
        path, json=CALL | {secret: CANARY}, headers={"Authorization": f"Bearer {KEY}"}
    )
    assert status == 500
    told = json.dumps(answer) + logged()
    assert "defect" in told
    assert CANARY not in told
    assert KEY not in told


async def test_a_call_shows_its_secret_masked(door: Door) -> None:
    await door.v2(secretKey=CANARY)
    _, shown = await _text(door, "/v1/calls")
    assert CANARY not in shown
    assert '"secret_key":"***"' in shown


async def test_headers_that_cannot_be_read_are_not_echoed(
    door: Door, logged: Callable[[], str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"GET / HTTP/1.1\r\nAuthorization: Bearer " + CANARY.encode() + b"\x00\r\n\r\n")
    told = (await reader.read()).decode()
    writer.close()
    assert told.startswith("HTTP/1.1 400 ")
    assert CANARY not in told + logged()


async def _text(door: Door, path: str) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with door.http.get(door.base + path, headers=headers) as response:
        return response.status, await response.text()
