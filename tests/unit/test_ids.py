"""Identifiers: unique, recognisable, and those of calls in the order they were made."""

from __future__ import annotations

import pytest

from outdial import ids


@pytest.mark.parametrize("kind", [ids.CALL, ids.RECORDING, ids.DELIVERY, ids.KEY, ids.REQUEST])
def test_an_id_is_its_kind_and_32_digits_and_there_is_none_like_it(kind: str) -> None:
    made = {ids.new(kind) for _ in range(1000)}
    assert len(made) == 1000
    assert all(ids.is_sid(one, kind) and len(one) == 34 for one in made)


def test_calls_are_in_the_order_of_their_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([1_700_000_000_000, 1_700_000_000_001, 1_800_000_000_000])
    monkeypatch.setattr("outdial.ids.time.time_ns", lambda: next(times) * 1_000_000)
    made = [ids.new(ids.CALL) for _ in range(3)]
    assert made == sorted(made)
    assert int(made[1][2:14], 16) == 1_700_000_000_001


def test_ids_of_events_and_deliveries_lead_back_to_their_call() -> None:
    call = ids.new(ids.CALL)
    event, delivery = ids.of_event(call, 7), ids.of_delivery(call, 7)
    assert ids.is_sid(event, ids.EVENT) and ids.is_sid(delivery, ids.DELIVERY)
    assert event == ids.of_event(call, 7) != ids.of_event(call, 8)
    assert delivery != ids.of_delivery(call, 7, 1)
    for sid in (event, delivery):
        first, last = ids.calls_of(sid)
        assert first <= call <= last
        assert not first <= "CA" + "0" * 32 <= last
