"""A trunk that is known to be down costs calls nothing while there is another one."""

from __future__ import annotations

from outdial.testing.carrier.fault import Fault
from outdial.testing.carrier.refusals import answers, silent
from outdial.testing.rehearsal.rehearsal import Rehearsal

SILENT_FIRST = Fault(
    "silent-first", silent, second=answers, trunk={"options_interval_s": 30}, stays_s=1
)
DOCUMENT = '<Response><Pause length="1"/><Hangup/></Response>'


def test_calls_go_to_the_other_trunk_at_once_and_come_back() -> None:
    with Rehearsal(faults=[SILENT_FIRST]) as outdial:
        first, second = outdial.lines["silent-first"].carriers
        number = outdial.lines["silent-first"].number
        url = outdial.web().serve("/x", DOCUMENT)

        def state(way: int) -> str:
            return str(outdial.get(f"/v1/trunks/silent-first-{way}")["state"])

        first.answers_options = False
        outdial.advance(10)
        assert (state(0), state(1)) == ("down", "up")
        call = outdial.call(number, url)
        assert (call.outcome, call.record.trunk) == ("completed", "silent-first-1")
        assert call.record.answered_at is not None
        assert call.record.answered_at - call.record.created_at < 1
        assert first.calls == [], "32 s of silence saved"

        first.answers_options, first.script = True, answers
        outdial.advance(31)
        assert state(0) == "up"
        call = outdial.call(number, url)
        assert (call.outcome, call.record.trunk) == ("completed", "silent-first-0")
        assert len(second.calls) == 1


def test_the_only_trunk_is_tried_all_the_same_and_a_call_that_it_takes_makes_it_up() -> None:
    deaf = Fault("deaf", answers, trunk={"options_interval_s": 30})
    with Rehearsal(faults=[deaf]) as outdial:
        (carrier,) = outdial.lines["deaf"].carriers
        carrier.answers_options = False
        outdial.advance(10)
        assert outdial.get("/v1/trunks/deaf-0")["state"] == "down"
        url = outdial.web().serve("/x", DOCUMENT)
        assert outdial.call(outdial.lines["deaf"].number, url).outcome == "completed"
        outdial.advance(100)
        shown = outdial.get("/v1/trunks/deaf-0")
        assert (shown["state"], shown["detail"]) == ("up", "")
