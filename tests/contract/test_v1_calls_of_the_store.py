"""Listing calls over real HTTP from a real database: filters, pages, and cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract.conftest import Door, running
from outdial import ids
from outdial.calls import codes
from outdial.clock import SystemClock
from outdial.config import Limits
from outdial.store.records import CallRecord
from outdial.store.store import Store

START = 1_800_000_000.0
"""2027-01-15T08:00:00Z"""


@dataclass
class Listing:
    """An API before a store."""

    door: Door
    store: Store

    async def add(self, seconds: float, **fields: Any) -> str:
        """A call made so long after `START`; its sid."""
        sid = ids.new(ids.CALL)
        call = CallRecord(
            sid=sid,
            parent_sid=fields.pop("parent_sid", sid),
            direction="outbound",
            from_number=fields.pop("from_number", "18005797676"),
            to_number=fields.pop("to_number", "19499300360"),
            caller_name="",
            state=fields.pop("state", "queued"),
            created_at=START + seconds,
            request={"url": "http://127.0.0.1:9000/a.xml"},
            **fields,
        )
        await self.store.create_call(call)
        return sid

    async def page(self, **params: str) -> tuple[list[str], str]:
        """The sids of a page, and the next one's cursor."""
        status, page = await self.door.get("/v1/calls", params=params)
        assert status == 200, page
        return [call["sid"] for call in page["calls"]], page["next_cursor"]

    async def every(self, **params: str) -> list[str]:
        """The sids of all pages."""
        sids, cursor = await self.page(**params)
        while cursor:
            more, cursor = await self.page(**params, cursor=cursor)
            assert more
            sids += more
        return sids


@pytest.fixture
async def listing(tmp_path: Path) -> AsyncIterator[Listing]:
    store = await Store.open(f"sqlite:///{tmp_path / 'outdial.db'}", SystemClock())
    try:
        async with running(tmp_path, Limits(), store) as door:
            yield Listing(door, store)
    finally:
        await store.close()


@pytest.mark.parametrize("limit", ["1", "2", "3", "7", "100"])
async def test_pages_of_any_size_give_every_call_once_newest_first(
    listing: Listing, limit: str
) -> None:
    # three share a moment: the cursor has to tell them apart
    made = [(seconds, await listing.add(seconds)) for seconds in (0, 1, 1, 1, 2, 3, 4)]
    listed = await listing.every(limit=limit)
    assert sorted(listed) == sorted(sid for _, sid in made)
    moments = {sid: seconds for seconds, sid in made}
    assert [moments[sid] for sid in listed] == [4, 3, 2, 1, 1, 1, 0]
    assert listed == await listing.every(limit="100")


async def test_a_call_made_meanwhile_moves_no_page(listing: Listing) -> None:
    old, middle, new = [await listing.add(seconds) for seconds in (0, 1, 2)]
    first, cursor = await listing.page(limit="2")
    newest = await listing.add(3)
    assert first == [new, middle]
    assert await listing.page(limit="2", cursor=cursor) == ([old], "")
    assert (await listing.page(limit="1"))[0] == [newest]


async def test_filters_select_and_are_joined_by_and(listing: Listing) -> None:
    busy = await listing.add(0, state="completed", outcome="busy", to_number="12125550001")
    done = await listing.add(1, state="completed", outcome="completed", to_number="12125550001")
    rings = await listing.add(2, state="ringing", from_number="18005550100")
    leg = await listing.add(3, state="ringing", parent_sid=rings)
    for params, expected in (
        ({"state": "completed"}, [done, busy]),
        ({"outcome": "busy"}, [busy]),
        ({"to": "+12125550001"}, [done, busy]),
        ({"to": "1212555"}, []),
        ({"from": "18005550100"}, [rings]),
        ({"parent_sid": rings}, [leg, rings]),
        ({"created_after": "2027-01-15T08:00:01Z"}, [leg, rings]),
        ({"created_before": "2027-01-15T09:00:01+01:00"}, [busy]),
        ({"state": "ringing", "parent_sid": leg}, []),
        ({"to": "12125550001", "outcome": "completed"}, [done]),
        ({"created_after": "2027-01-15T08:00:00Z", "state": "completed"}, [done]),
    ):
        assert await listing.every(limit="1", **params) == expected, params
        assert await listing.page(**params) == (expected, ""), params


@pytest.mark.parametrize("cursor", ["x", "0", "1800000000.0", "1800000000.0 ", "nan CA", "é", "-"])
async def test_a_cursor_that_no_page_gave_is_refused(listing: Listing, cursor: str) -> None:
    await listing.add(0)
    status, problem = await listing.door.get("/v1/calls", params={"cursor": cursor})
    assert (status, problem["code"], problem["field"]) == (404, codes.UNKNOWN_PAGE, "cursor")


async def test_a_listed_call_is_the_call_that_is_shown(listing: Listing) -> None:
    sid = await listing.add(0, state="completed", outcome="busy", sip_code=486, ended_at=START + 2)
    _, page = await listing.door.get("/v1/calls")
    assert page["calls"] == [(await listing.door.get(f"/v1/calls/{sid}"))[1]]
    assert (page["calls"][0]["sip_code"], page["calls"][0]["outcome"]) == (486, "busy")
