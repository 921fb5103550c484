"""How long a fetched sound may be used, RFC 9111."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from outdial.speech.freshness import (
    LONGEST_S,
    UNVALIDATED_S,
    VALIDATED_S,
    Freshness,
    freshness,
)

DATE = "Mon, 23 Nov 2026 20:00:00 GMT"


def said(before: Freshness | None = None, **headers: str) -> Freshness:
    return freshness(CIMultiDict({k.replace("_", "-"): v for k, v in headers.items()}), before)


@pytest.mark.parametrize(
    ("headers", "lifetime_s"),
    [
        ({}, UNVALIDATED_S),
        ({"ETag": '"a"'}, VALIDATED_S),
        ({"Last_Modified": DATE}, VALIDATED_S),
        ({"Cache_Control": "max-age=60"}, 60),
        ({"Cache_Control": "public, Max-Age = 60"}, 60),
        ({"Cache_Control": 'max-age="60"'}, 60),
        ({"Cache_Control": "max-age=60", "Age": "15"}, 45),
        ({"Cache_Control": "max-age=60", "Age": "100"}, 0),
        ({"Cache_Control": "max-age=60", "Age": "-5"}, 60),
        ({"Cache_Control": "max-age=9999999999"}, LONGEST_S),
        ({"Cache_Control": "max-age=99999999999999999999"}, LONGEST_S),
        ({"Cache_Control": "no-cache"}, 0),
        ({"Cache_Control": "no-cache, max-age=60"}, 0),
        ({"Cache_Control": "private"}, UNVALIDATED_S),
        ({"Expires": "Mon, 23 Nov 2026 20:01:00 GMT", "Date": DATE}, 60),
        ({"Expires": "Mon, 23 Nov 2026 19:00:00 GMT", "Date": DATE}, 0),
        ({"Expires": "0", "Date": DATE}, 0),
        ({"Expires": DATE}, 0),
        ({"Expires": DATE, "Cache_Control": "max-age=5"}, 5),
    ],
)
def test_lifetime(headers: dict[str, str], lifetime_s: float) -> None:
    assert said(None, **headers).lifetime_s == lifetime_s


def test_no_store_is_not_kept() -> None:
    assert not said(Cache_Control="no-store, max-age=60").storable
    assert said(Cache_Control="max-age=60").storable


def test_conditions() -> None:
    both = said(ETag='W/"a"', Last_Modified=DATE)
    assert both.conditions() == [("If-None-Match", 'W/"a"'), ("If-Modified-Since", DATE)]
    assert said().conditions() == []


def test_not_modified_keeps_what_it_does_not_repeat() -> None:
    before = said(ETag='"a"', Cache_Control="max-age=60")
    assert said(before) == before
    assert said(before, ETag='"b"', Cache_Control="max-age=5") == Freshness(5.0, True, '"b"', "")
