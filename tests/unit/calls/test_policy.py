"""Whom one may call, and when."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest

from doubles.legs import ANSWER
from doubles.world import Page, World, until
from outdial.calls import codes
from outdial.calls.calling_policy import CallingPolicy
from outdial.calls.policy import Hours, allowed_from, numbers_in, zones_of
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.config import Policy, Settings
from outdial.errors import ConfigError, Refused
from outdial.legs import Answered
from outdial.store.store import Store

HOURS = Hours.of("09:00-20:00")
LONDON, NEW_YORK, HONOLULU = "442079460000", "12125550123", "18085550123"
APP = "http://app.test/start"


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def then(zones: list[str], now: str) -> str:
    """When it is allowed; "" when it is now."""
    found = allowed_from(HOURS, tuple(map(ZoneInfo, zones)), utc(now))
    return "" if found is None else found.strftime("%Y-%m-%dT%H:%M")


@pytest.mark.parametrize(
    ("zones", "now", "when"),
    [
        (["Europe/London"], "2026-11-27T09:00:00", ""),
        (["Europe/London"], "2026-11-27T08:59:59", "2026-11-27T09:00"),
        (["Europe/London"], "2026-11-27T19:59:59", ""),
        (["Europe/London"], "2026-11-27T20:00:00", "2026-11-28T09:00"),
        (["Europe/London"], "2026-07-01T08:00:00", ""),  # summer time
        (["Europe/London"], "2026-07-01T07:59:00", "2026-07-01T08:00"),
        (["Europe/London"], "2026-03-28T20:00:00", "2026-03-29T08:00"),  # clocks change at night
        (["America/New_York"], "2026-11-27T13:59:00", "2026-11-27T14:00"),
        (["Asia/Kathmandu"], "2026-11-27T03:00:00", "2026-11-27T03:15"),
        (["America/New_York", "America/Los_Angeles"], "2026-11-27T14:30:00", "2026-11-27T17:00"),
        (["America/New_York", "America/Los_Angeles"], "2026-11-27T17:00:00", ""),
        (["America/New_York", "America/Los_Angeles"], "2026-11-28T01:00:00", "2026-11-28T17:00"),
        # never the right hour in all three: the middle one decides
        (["Pacific/Auckland", "Europe/London", "Pacific/Honolulu"], "2026-11-27T12:00:00", ""),
        (
            ["Pacific/Auckland", "Europe/London", "Pacific/Honolulu"],
            "2026-11-27T21:00:00",
            "2026-11-28T09:00",
        ),
    ],
)
def test_hours_are_those_at_the_callee(zones: list[str], now: str, when: str) -> None:
    assert then(zones, now) == when


def test_the_zones_of_numbers() -> None:
    assert zones_of(LONDON) == (ZoneInfo("Europe/London"),)
    assert zones_of(NEW_YORK) == (ZoneInfo("America/New_York"),)
    assert zones_of(HONOLULU) == (ZoneInfo("Pacific/Honolulu"),)
    assert len(zones_of("18005550123")) > 3
    assert zones_of("999") == (ZoneInfo("UTC"),)


def test_a_list_of_numbers() -> None:
    text = "# ours\n+44 20 7946 0000\n\n1-212-555-0123  # asked us in May\n   \n(1) 808.555.0123\n"
    assert numbers_in(text) == {LONDON, NEW_YORK, HONOLULU}


@pytest.mark.parametrize("line", ["bob", "12", "1" * 16, "1202555x0123", "１２０２５５５０１２３"])
def test_a_line_that_is_no_number_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 3 is not a number"):
        numbers_in(f"12025550123\n# -\n{line}\n")


class SetClock:
    """A wall clock that stands."""

    def __init__(self, now: str) -> None:
        self.at = utc(now)
        self.monotonic_s = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        self.monotonic_s += 2.0
        return self.monotonic_s


def refusal(check: Any, number: str) -> Refused | None:
    try:
        check(number, "to")
    except Refused as refused:
        return refused
    return None


def test_the_refusal_says_when_it_will_be_allowed() -> None:
    policy = CallingPolicy(Policy(calling_hours="09:00-20:00"), SetClock("2026-11-27T06:30:00"))
    refused = refusal(policy.check_hours, LONDON)
    assert refused is not None
    assert (refused.status, refused.code, refused.field) == (403, codes.CALLING_HOURS, "to")
    for part in ("09:00-20:00", "Europe/London", "policy.calling_hours", "2026-11-27T09:00:00"):
        assert part in refused.message
    assert refusal(policy.check_hours, "819012345678") is None  # half past three in Tokyo


def test_both_are_off_at_first() -> None:
    policy = CallingPolicy(Policy(), SetClock("2026-11-27T03:00:00"))
    assert refusal(policy.check_hours, LONDON) is None
    assert refusal(policy.check_listed, LONDON) is None


async def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(LONDON)
    policy = CallingPolicy(Policy(do_not_call=str(file)), SetClock("2026-11-27T12:00:00"))
    refused = refusal(policy.check_listed, LONDON)
    assert refused is not None
    assert (refused.status, refused.code) == (403, codes.DO_NOT_CALL)
    assert refusal(policy.check_listed, NEW_YORK) is None
    file.write_text(NEW_YORK + "\n")
    await until(lambda: refusal(policy.check_listed, NEW_YORK))
    assert refusal(policy.check_listed, LONDON) is None
    file.write_text("not a number at all")
    await until(lambda: refusal(policy.check_listed, NEW_YORK))
    os.remove(file)
    assert refusal(policy.check_listed, NEW_YORK), "what was read last holds"


@pytest.mark.parametrize("text", [None, "bob"])
def test_a_file_that_cannot_be_used_at_the_start(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "list.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match=r"policy\.do_not_call: .*list\.txt"):
        CallingPolicy(Policy(do_not_call=str(file)), SetClock("2026-11-27T12:00:00"))


@pytest.mark.parametrize(
    "text", ["9-20", "20:00-09:00", "09:00-09:00", "09:00-25:00", "24:00-24:00"]
)
def test_hours_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="write from-to"):
        Policy(calling_hours=text)


async def test_no_path_leads_to_a_number_of_the_list(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text(LONDON)
    world = World(settings=Settings(policy=Policy(do_not_call=str(file))))
    registry = Registry(world.services, cast(Store, world.store))
    await registry.start()
    for request in (CallRequest(LONDON, NEW_YORK, APP), CallRequest(NEW_YORK, LONDON)):
        with pytest.raises(Refused) as caught:
            await registry.place(request, "dev")
        assert caught.value.code == codes.DO_NOT_CALL
    world.web.pages[APP] = Page(
        f"<Response><Dial>{LONDON}</Dial><Sip>sip:{LONDON}@192.0.2.1</Sip></Response>".encode()
    )
    await registry.place(CallRequest(NEW_YORK, NEW_YORK, APP), "dev")
    (await world.signalling.next_leg()).answers(Answered(ANSWER))
    await until(lambda: not registry.health()["live"])
    assert [leg.target.number for leg in world.signalling.legs] == [NEW_YORK]
    assert [call.cause for call in world.store.calls] == ["normal-clearing"]
    refused = [event for event in world.store.timeline if event.kind == "dial.refused"]
    assert [event.data["code"] for event in refused] == [codes.DO_NOT_CALL] * 2


async def test_posts_outside_the_hours_are_refused_and_second_legs_rung() -> None:
    world = World(settings=Settings(policy=Policy(calling_hours="09:00-20:00")))
    clock = SetClock("2026-11-27T12:00:00")
    object.__setattr__(
        world.services, "policy", CallingPolicy(Policy(calling_hours="09:00-20:00"), clock)
    )
    registry = Registry(world.services, cast(Store, world.store))
    await registry.start()
    with pytest.raises(Refused) as caught:
        await registry.place(CallRequest(NEW_YORK, LONDON), "dev")  # seven in the morning
    assert caught.value.code == codes.CALLING_HOURS
    await registry.place(CallRequest(LONDON, NEW_YORK), "dev")
    (await world.signalling.next_leg()).answers(Answered(ANSWER))
    assert (await world.signalling.next_leg(2)).target.number == NEW_YORK
