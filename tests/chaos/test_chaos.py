"""The kill tests, short enough for every run; `make chaos` and its like are the long ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import uvloop

from chaos import dial, kill, stop
from chaos.stage import Setting
from chaos.verdict import Verdict

pytestmark = [pytest.mark.system, pytest.mark.chaos, pytest.mark.long]


def test_nothing_is_lost_when_it_is_killed_at_any_time() -> None:
    verdict = uvloop.run(kill.run(kill.short(Setting())))
    _promised(verdict)


def test_nobody_is_dialled_twice_when_it_is_killed_while_dialling() -> None:
    plan = dial.Plan(kills=15, longest_s=40.0, setting=Setting(t1_s=0.1))
    _promised(uvloop.run(dial.run(plan)))


def test_stopping_under_load_is_orderly() -> None:
    _promised(uvloop.run(stop.run(stop.short(Setting()))))


def test_nothing_is_lost_when_one_of_two_nodes_is_killed(new_database: Callable[[], str]) -> None:
    setting = Setting(store_url=new_database(), nodes=2)
    _promised(uvloop.run(kill.run(kill.short(setting))))


def _promised(verdict: Verdict) -> None:
    assert not verdict.broken, str(verdict)
