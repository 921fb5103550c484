"""The same script in virtual time and over SIP: what comes of it is the same."""

from __future__ import annotations

from typing import Any

import pytest

from kit.conftest import Serve
from outdial.testing import audio
from outdial.testing.rehearsal.rehearsal import Rehearsal

AGENT = "12025550199"
pytestmark = pytest.mark.system

SEEN: dict[str, dict[str, Any]] = {}
"""What each mode came to."""


@pytest.fixture(params=["virtual", "real"])
def outdial_mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_call_with_everything(outdial: Rehearsal, serve: Serve, outdial_mode: str) -> None:
    serve('<Record action="{base}/recorded" finishOnKey="#"/>', "/chosen")
    serve(f'<Dial action="{{base}}/after" timeout="20">{AGENT}</Dial>', "/recorded")
    serve("<Say>Goodbye.</Say>", "/after")
    agent = outdial.phone(AGENT).answers(after_s=0.5).hears("hello").presses("5").hangs_up()
    caller = outdial.phone().answers(after_s=0.3).hears("press 1", interrupting=True).presses("1")
    caller.hears_tone("beep").speaks(1.5, after_s=0.2).presses("#").hears_tone("ringback")
    caller.waits(1.5).says("Hello?").hears("goodbye")
    url = serve('<Gather action="{base}/chosen" numDigits="1"><Say>Press 1, please.</Say></Gather>')
    call = outdial.call(caller, url)
    (recording,) = call.recordings
    (leg,) = call.legs
    paths = [one.url.rpartition("/")[2] for one in call.requests]
    seen = {
        "said": call.said,
        "tones": call.tones,
        "verbs": call.verbs,
        "callbacks": [(one.event, one.status) for one in call.callbacks],
        "asked": [path for path in paths if path != "callbacks"],
        "digits": [one.params["Digits"] for one in call.requests if "Digits" in one.params],
        "ends": [(one.outcome, one.cause, one.hung_up_by) for one in (call, leg)],
        "heard": [caller.heard, agent.heard],
        "keyed": [caller.digits, agent.digits],
    }
    assert seen["keyed"] == ["5", ""]
    assert seen["heard"] == [["Press 1, please.", "Goodbye."], ["Hello?"]]
    assert audio.active_s(recording.audio[0]) == pytest.approx(1.5, abs=0.3)
    assert audio.active_s(caller.calls[0].audio) > 1
    assert audio.active_s(agent.calls[0].audio) > 0.2
    SEEN[outdial_mode] = seen


def test_both_came_to_the_same() -> None:
    if set(SEEN) != {"virtual", "real"}:
        pytest.skip("only one of the modes was run")
    assert SEEN["virtual"] == SEEN["real"]
