"""A carrier that asks for time, call after call, in virtual time."""

from __future__ import annotations

from outdial.testing.carrier.faults import FAULTS
from outdial.testing.rehearsal.call import Call
from outdial.testing.rehearsal.rehearsal import Rehearsal


def test_a_carrier_that_asks_for_two_minutes_gets_them() -> None:
    with Rehearsal(faults=[FAULTS["retry-after"], FAULTS["none"]]) as outdial:
        url = outdial.web().serve("/app", "<Response><Hangup/></Response>")
        line = outdial.lines["retry-after"]
        (carrier,) = line.carriers

        def place(number: str = line.number) -> Call:
            call = outdial.call(number, url, wait=False)
            outdial.wait_until_over()
            return call

        assert [place().cause, len(carrier.calls)] == ["carrier-failure", 1]
        second = place()
        assert (second.outcome, second.cause) == ("failed", "carrier-failure")
        assert "asked for no calls for 120 s" in (second.record.detail or "")
        assert len(carrier.calls) == 1
        state = outdial.get("/v1/trunks/retry-after-0")
        assert state["paused_until"] is not None
        assert state["avoided"][0].endswith("asked for no calls for 120 s")
        assert place(outdial.lines["none"].number).outcome == "completed", "others are unharmed"

        outdial.advance(100)
        place()
        assert len(carrier.calls) == 1
        outdial.advance(30)
        assert outdial.get("/v1/trunks/retry-after-0")["paused_until"] is None
        place()
        assert len(carrier.calls) == 2
