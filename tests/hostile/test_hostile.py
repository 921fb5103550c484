"""Twenty thousand hostile messages, short enough for every run; `make hostile` sends millions."""

from __future__ import annotations

import pytest
import uvloop

from hostile.corpus import Mutator, corpus, torture
from hostile.siege import Plan, Report, Siege

SHORT = Plan(count=20_000, warm_up=8_000, most_growth_kib=16 * 1024, t1_s=0.02)
"""So few do not fill what is bounded: it goes on to fill behind the warm-up."""
TIMED = "p99 of OPTIONS"
"""How soon it answers is for `make hostile`: here other tests run beside it."""


def test_the_same_seed_makes_the_same_messages() -> None:
    messages = corpus(3)
    assert messages == corpus(3)
    assert len(torture()) > 80
    one, other = Mutator(3, messages), Mutator(3, messages)
    altered = [one.alter(data) for data in messages]
    assert altered == [other.alter(data) for data in messages]
    assert sum(a != b for a, b in zip(altered, messages, strict=True)) > len(messages) / 2


@pytest.mark.system
@pytest.mark.long
def test_a_server_goes_on_working_among_hostile_messages() -> None:
    said: list[str] = []
    report: Report = uvloop.run(Siege(SHORT, said.append).run())
    wrong = [one for one in report.broken if not one.startswith(TIMED)]
    assert not wrong, f"{report}\n{said}"
    assert report.up > 0, str(report)
