"""docs/reference/causes.md says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from outdial.calls.endings import CAUSES, of_rejection
from outdial.legs import Outcome, Rejected, Source

PAGE = (Path(__file__).parents[2] / "docs/reference/causes.md").read_text()


def test_every_cause_stands_there_with_its_meaning() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", PAGE, re.M))
    assert rows == CAUSES


def test_the_statuses_lead_where_the_page_says() -> None:
    rows = re.findall(
        r"^\| ([0-9]{3}[0-9, ]*)[^|0-9]*\| `([a-z-]+)` \| `([a-z-]+)` \|$", PAGE, re.M
    )
    assert len(rows) == 7
    for statuses, outcome, cause in rows:
        for status in statuses.split(","):
            ending = of_rejection(Rejected(int(status), ""))
            assert (ending.outcome.value, ending.cause) == (outcome, cause), status


def test_every_outcome_and_source_is_named() -> None:
    for word in (*Outcome, *Source):
        assert f"`{word.value}`" in PAGE
