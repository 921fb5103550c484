"""`/v1/numbers`: made, listed, shown, changed and removed; those of the settings only shown."""

from __future__ import annotations

from typing import Any

import pytest

from contract.conftest import KEY, Door
from outdial.api.numbers import NewOwnNumber, OwnNumberChange
from outdial.store.records import NumberRecord

APP = "https://app.example.com/answer.xml"
GIVEN = "18005550100"
NEW = "18005550101"


async def make(door: Door, **fields: Any) -> tuple[int, dict[str, Any]]:
    return await ask(door, "POST", "/v1/numbers", {"number": NEW, "url": APP} | fields)


async def ask(door: Door, method: str, path: str, body: object = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {KEY}"}
    url = door.base + path
    async with door.http.request(method, url, headers=headers, json=body) as response:
        return response.status, await response.json(content_type=None)


async def test_a_number_is_made_with_what_the_settings_would_have(door: Door) -> None:
    status, made = await make(door)
    assert status == 201
    assert made == {
        "number": NEW,
        "source": "api",
        "url": APP,
        "method": "POST",
        "fallback_url": "",
        "status_callback": "",
        "status_callback_events": ["completed"],
        "record": False,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert await door.get(f"/v1/numbers/{NEW}") == (200, made)


async def test_the_answer_says_where_the_number_is(door: Door) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    body = {"number": "(800) 555-0101", "url": APP}
    async with door.http.post(f"{door.base}/v1/numbers", headers=headers, json=body) as response:
        assert response.headers["Location"] == f"/v1/numbers/{NEW}"


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+1 (800) 555-0101", NEW),
        ("8005550101", NEW),
        ("+44 (0)20 7946 0000", "442079460000"),
        ("4711", "4711"),
    ],
)
async def test_numbers_are_kept_as_the_network_has_them(
    door: Door, written: str, number: str
) -> None:
    status, made = await make(door, number=written)
    assert (status, made["number"]) == (201, number)
    status, shown = await door.get(f"/v1/numbers/{written.replace(' ', '%20')}")
    assert (status, shown["number"]) == (200, number)


async def test_everything_can_be_said_and_changed(door: Door) -> None:
    everything = {
        "method": "GET",
        "fallback_url": "https://app.example.com/fallback.xml",
        "status_callback": "https://app.example.com/events",
        "status_callback_events": ["completed", "answered", "completed"],
        "record": True,
    }
    _, made = await make(door, **everything)
    assert made == made | everything | {"status_callback_events": ["completed", "answered"]}
    status, changed = await ask(
        door, "POST", f"/v1/numbers/{NEW}", {"record": False, "fallback_url": ""}
    )
    assert status == 200
    assert changed["updated_at"] >= made["updated_at"]
    later = {"record": False, "fallback_url": "", "updated_at": changed["updated_at"]}
    assert changed == made | later
    assert await door.get(f"/v1/numbers/{NEW}") == (200, changed)


async def test_a_number_can_be_made_once(door: Door) -> None:
    await make(door)
    status, problem = await make(door, number="8005550101", url="https://other.example.com/")
    assert (status, problem["code"], problem["field"]) == (409, 40903, "number")
    assert (await door.get(f"/v1/numbers/{NEW}"))[1]["url"] == APP


async def test_a_removed_number_is_gone_and_can_be_made_again(door: Door) -> None:
    await make(door)
    status, body = await ask(door, "DELETE", f"/v1/numbers/{NEW}")
    assert (status, body) == (204, None)
    status, problem = await ask(door, "DELETE", f"/v1/numbers/{NEW}")
    assert (status, problem["code"]) == (404, 40410)
    assert (await make(door))[0] == 201


async def test_numbers_are_listed_in_order_with_those_of_the_settings(door: Door) -> None:
    for number in ("18005550109", "18005550099", "4711"):
        await make(door, number=number)
    found, cursor = [], ""
    while True:
        _, page = await door.get(f"/v1/numbers?limit=1&cursor={cursor}")
        assert len(page["numbers"]) == 1
        found += [(one["number"], one["source"]) for one in page["numbers"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert found == [
        ("18005550099", "api"),
        (GIVEN, "settings"),
        ("18005550109", "api"),
        ("4711", "api"),
    ]
    _, whole = await door.get("/v1/numbers")
    assert [(one["number"], one["source"]) for one in whole["numbers"]] == found
    assert whole["next_cursor"] == ""


@pytest.mark.parametrize("cursor", ["x", "é", "-1", "1 2"])
async def test_a_cursor_nobody_gave_is_refused(door: Door, cursor: str) -> None:
    status, problem = await door.get(f"/v1/numbers?cursor={cursor}")
    assert (status, problem["code"], problem["field"]) == (404, 40404, "cursor")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/numbers", {"number": "+1 800 555 0100", "url": APP}),
        ("POST", f"/v1/numbers/{GIVEN}", {"record": True}),
        ("DELETE", f"/v1/numbers/{GIVEN}", None),
        ("DELETE", "/v1/numbers/8005550100", None),
    ],
)
async def test_numbers_of_the_settings_are_changed_there(
    door: Door, method: str, path: str, body: object
) -> None:
    status, problem = await ask(door, method, path, body)
    assert (status, problem["code"], problem["field"]) == (409, 40904, "number")
    assert "stands in the settings" in problem["detail"]
    status, shown = await door.get(f"/v1/numbers/{GIVEN}")
    assert (status, shown["source"], shown["created_at"]) == (200, "settings", None)


async def test_the_settings_go_before_what_the_api_was_told_earlier(door: Door) -> None:
    """Somebody added it to the settings since, and started the server again."""
    await make(door)
    door.record.numbers.kept[GIVEN] = NumberRecord(GIVEN, APP)
    _, page = await door.get("/v1/numbers")
    assert [(one["number"], one["source"]) for one in page["numbers"]] == [
        (GIVEN, "settings"),
        (NEW, "api"),
    ]


@pytest.mark.parametrize(
    ("fields", "status", "code", "field", "said"),
    [
        ({"number": ""}, 422, 42204, "number", "at least 1 character"),
        ({"number": "alice"}, 400, 40003, "number", "e.g. 18005550100"),
        ({"number": "12"}, 400, 40003, "number", "3 to 15 digits"),
        ({"number": "1" * 16}, 400, 40003, "number", "3 to 15 digits"),
        ({"number": 18005550101}, 400, 40003, "number", "string"),
        ({"number": "١٨٠٠٥٥٥٠١٠١"}, 400, 40003, "number", "3 to 15 digits"),
        ({"url": ""}, 422, 42204, "url", "at least 1 character"),
        ({"url": " "}, 400, 40002, "url", "url is missing"),
        ({"url": "ftp://example.com/"}, 400, 40003, "url", "it must be like https://"),
        ({"url": "http://10.0.0.1/"}, 403, 40303, "url", "is refused"),
        ({"url": "https://example.com/\n"}, 400, 40003, "url", "control characters"),
        ({"url": "https://example.com/#rc=99"}, 422, 42207, "url", "overrides"),
        ({"url": "https://example.com/" + "x" * 2048}, 422, 42204, "url", "2048"),
        ({"fallback_url": "nowhere"}, 400, 40003, "fallback_url", "it must be like https://"),
        ({"status_callback": "http://[::1]/"}, 403, 40303, "status_callback", "is refused"),
        ({"status_callback_events": ["ringing"]}, 400, 40003, "status_callback_events", "answered"),
        ({"status_callback_events": "completed"}, 400, 40003, "status_callback_events", "list"),
        ({"method": "PUT"}, 400, 40003, "method", "GET"),
        ({"record": "yes"}, 400, 40003, "record", "boolean"),
        ({"voice_url": APP}, 400, 40003, "voice_url", "not a parameter"),
    ],
)
async def test_bad_values_are_named(
    door: Door, fields: dict[str, Any], status: int, code: int, field: str, said: str
) -> None:
    got, problem = await make(door, **fields)
    assert (got, problem["code"], problem["field"]) == (status, code, field), problem
    assert said in problem["detail"]
    assert not door.record.numbers.kept


async def test_what_is_missing_is_named(door: Door) -> None:
    for name in ("number", "url"):
        body = {"number": NEW, "url": APP}
        del body[name]
        status, problem = await ask(door, "POST", "/v1/numbers", body)
        assert (status, problem["code"], problem["field"]) == (400, 40002, name)


async def test_a_change_is_held_to_the_same_rules(door: Door) -> None:
    await make(door)
    bad: list[object] = [{"url": ""}, {"url": "x"}, {"number": "18005550102"}, {"record": 1}, []]
    for body in bad:
        status, _ = await ask(door, "POST", f"/v1/numbers/{NEW}", body)
        assert status in (400, 422), body
    status, _ = await ask(door, "POST", "/v1/numbers/18005550177", {"record": True})
    assert status == 404


async def test_a_store_that_is_away_is_said_to_be(door: Door) -> None:
    await make(door)
    door.record.numbers.away = True
    for method, path, body in (
        ("GET", "/v1/numbers", None),
        ("GET", f"/v1/numbers/{NEW}", None),
        ("POST", "/v1/numbers", {"number": "18005550102", "url": APP}),
        ("POST", f"/v1/numbers/{NEW}", {"record": True}),
        ("DELETE", f"/v1/numbers/{NEW}", None),
    ):
        status, problem = await ask(door, method, path, body)
        assert (status, problem["code"]) == (503, 50301)


async def test_a_number_that_is_no_number_is_nowhere(door: Door) -> None:
    for path in ("alice", "%00", "x" * 200, "..%2f..%2fetc"):
        status, _ = await door.get(f"/v1/numbers/{path}")
        assert status == 404


def test_a_change_has_what_a_new_number_has_but_the_number() -> None:
    changes = set(OwnNumberChange.model_fields)
    assert set(NewOwnNumber.model_fields) - changes == {"number"}
