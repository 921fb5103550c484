"""Idempotency-Key on the posts that place calls, at both doors over real HTTP."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from contract.conftest import KEY, V2, Door, running
from outdial.calls import codes
from outdial.config import Limits
from outdial.errors import Refused, StoreUnavailable

CALL = {"from": "18005797676", "to": "19499300360"}
LIMITS = Limits(destinations=["1"])


async def post(
    door: Door, path: str, token: str, key: str = KEY, **changes: Any
) -> tuple[int, bytes, str | None]:
    """Status, body and Location of a JSON post with that token."""
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": token}
    body = CALL | changes
    async with door.http.post(door.base + path, json=body, headers=headers) as response:
        return response.status, await response.read(), response.headers.get("Location")


@pytest.mark.parametrize(("path", "status"), [(V2, 200), ("/v1/calls", 201)])
async def test_a_hundred_parallel_posts_make_one_call_and_equal_answers(
    door: Door, path: str, status: int
) -> None:
    answers = await asyncio.gather(*(post(door, path, "order-1") for _ in range(100)))
    assert len(door.record.placed) == 1
    assert len(set(answers)) == 1
    (sid,) = door.record.kept
    assert answers[0][0] == status
    assert sid.encode() in answers[0][1]
    # and long after, when the call is over and its record says so
    await door.record.hang_up(sid)
    assert await post(door, path, "order-1") == answers[0]
    assert len(door.record.placed) == 1


async def test_both_doors_and_all_kinds_of_body_mean_the_same_call(door: Door) -> None:
    """What counts is the call, not how it was written."""
    status, body, location = await post(door, "/v1/calls", "order-2")
    sid = json.loads(body)["sid"]
    assert (status, location) == (201, f"/v1/calls/{sid}")
    headers = {"Idempotency-Key": "order-2"}
    forms: list[dict[str, Any]] = [
        {"data": CALL | {"apikey": KEY}},
        {"data": CALL | {"apikey": KEY, "to": "+1 (949) 930-0360", "Method": "POST"}},
        {"json": CALL | {"apikey": KEY, "timeout": 60}},
    ]
    for how in forms:
        assert await door.post(V2, headers=headers, **how) == (
            200,
            {"status": True, "message": "The call is accepted.", "callSid": sid},
        )
    assert await post(door, "/v1/calls", "order-2") == (status, body, location)
    assert len(door.record.placed) == 1


@pytest.mark.parametrize("path", [V2, "/v1/calls"])
@pytest.mark.parametrize("change", [{"to": "12025550123"}, {"timeout": 30}, {"optional": "a=1"}])
async def test_another_call_under_the_same_token_is_refused(
    door: Door, path: str, change: dict[str, Any]
) -> None:
    first = await post(door, path, "order-3")
    status, body, _ = await post(door, path, "order-3", **change)
    problem = json.loads(body)
    assert (status, problem["code"]) == (422, codes.OTHER_REQUEST)
    assert problem["field"] == "Idempotency-Key"
    (sid,) = door.record.kept
    assert sid in (problem.get("message") or problem["detail"])
    assert await post(door, path, "order-3") == first


async def test_other_calls_meanwhile_are_refused_too(door: Door) -> None:
    """Posts that wait for the first one are held to its call."""
    targets = ["19499300360", "12025550123"] * 10
    answers = await asyncio.gather(*(post(door, V2, "order-4", to=to) for to in targets))
    assert sorted(status for status, _, _ in answers) == [200] * 10 + [422] * 10
    assert len(door.record.placed) == 1


async def test_a_token_belongs_to_its_api_key(door: Door) -> None:
    door.record.key_names = {KEY: "dev", "OTHERKEY": "ops"}
    answers = [await post(door, V2, "order-5", key) for key in (KEY, "OTHERKEY", KEY)]
    assert answers[0] == answers[2]
    assert answers[1][0] == 200
    assert answers[1] != answers[0]
    assert [key_name for _, key_name in door.record.placed] == ["dev", "ops"]


async def test_posts_without_a_token_are_calls_of_their_own(door: Door) -> None:
    await asyncio.gather(*(door.v2() for _ in range(5)))
    assert len(door.record.placed) == 5
    assert door.record.repeats == {}


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Refused(429, codes.QUEUE_FULL, "full", retry_after_s=5), 429),
        (StoreUnavailable("away"), 503),
        (RuntimeError("a defect"), 500),
    ],
)
async def test_nothing_is_remembered_of_a_post_that_failed(
    door: Door, failure: Exception, status: int
) -> None:
    door.record.refusal = failure
    answers = await asyncio.gather(*(post(door, V2, "order-6") for _ in range(10)))
    assert {answer[0] for answer in answers} == {status}
    door.record.refusal = None
    again = await asyncio.gather(*(post(door, V2, "order-6") for _ in range(10)))
    assert {answer[0] for answer in again} == {200}
    assert len(set(again)) == 1
    assert len(door.record.placed) == 1


async def test_when_the_first_post_fails_the_next_one_tries(door: Door) -> None:
    door.record.refusals = [StoreUnavailable("away"), StoreUnavailable("away")]
    answers = await asyncio.gather(*(post(door, V2, "order-7") for _ in range(10)))
    assert sorted(status for status, _, _ in answers) == [200] * 8 + [503] * 2
    assert len(door.record.placed) == 1


async def test_another_server_that_was_faster_gives_the_answer(door: Door) -> None:
    """The database decides between servers: the slower one answers as the faster did."""
    first = await post(door, V2, "order-8")
    door.record.blind_reads = 1  # looked up just before the other server's commit
    assert await post(door, V2, "order-8") == first
    assert door.record.blind_reads == 0
    assert len(door.record.placed) == 1


@pytest.mark.parametrize("path", [V2, "/v1/calls"])
@pytest.mark.parametrize("token", ["", "a b", "é", "x" * 256, "\t", "a\x7fb"])
async def test_a_token_that_is_none_is_refused_by_name(door: Door, path: str, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    body = json.dumps(CALL).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Idempotency-Key: {token}\r\n"
    )
    writer.write(head.encode() + b"\r\n" + body)
    answer = await reader.read()
    writer.close()
    if b"\x7f" in token.encode() and b"Invalid HTTP request" in answer:
        return  # the HTTP parser is before us
    assert answer.startswith(b"HTTP/1.1 400"), answer
    problem = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (problem["code"], problem["field"]) == (codes.BAD_VALUE, "Idempotency-Key")
    assert door.record.placed == []


@pytest.mark.parametrize("path", [V2, "/v1/calls"])
async def test_two_different_tokens_are_refused_and_the_longest_is_taken(
    door: Door, path: str
) -> None:
    headers = [("Authorization", f"Bearer {KEY}"), ("Idempotency-Key", "a")]
    two = [*headers, ("Idempotency-Key", "b")]
    status, problem = await door.post(path, json=CALL, headers=two)
    assert (status, problem["code"]) == (400, codes.REPEATED_FIELD)
    assert (await door.post(path, json=CALL, headers=[*headers, headers[1]]))[0] < 300
    assert (await post(door, path, "~" * 255))[0] < 300


async def test_each_post_counts_for_the_rate(tmp_path: Path) -> None:
    async with running(tmp_path, LIMITS.model_copy(update={"posts_per_second": 3})) as door:
        answers = [await post(door, V2, "order-9") for _ in range(5)]
    assert [status for status, _, _ in answers[:3]] == [200] * 3
    assert 429 in {status for status, _, _ in answers[3:]}
    assert len(door.record.placed) == 1
