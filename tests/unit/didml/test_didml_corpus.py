"""Documents as vendors' samples and PHP programs write them: each must run, with a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from outdial.didml.parse import parse
from outdial.didml.verbs import Dial, Hangup, Number, Pause, Play, Redirect, Say, Sip, Verb

CORPUS = Path(__file__).parent / "corpus"
BASE = "http://app.example.test/ivr/start.php"

EXPECTED: dict[str, tuple[Verb, ...]] = {
    "bare-values.xml": (
        Say("Bienvenido", voice="woman", language="es", loop=2, line=2),
        Play("http://app.example.test/a.mp3", loop=10, line=3),
    ),
    "bare-ampersands.xml": (
        Play("http://app.example.test/sound.php?call=1&kind=2&copy=3", line=3),
        Redirect("http://app.example.test/ivr/next.php?a=1&b=2", method="GET", line=4),
    ),
    "mixed-case.xml": (Say("Hello", voice="man", line=2), Pause(700, line=2), Hangup(line=2)),
    "php-notice.xml": (Say("Your pin is 8 9 70", line=5),),
    "dial-numbers.xml": (
        Dial(
            (
                Number(
                    "1 202 555 0177",
                    send_digits="WW42",
                    status_callback="http://app.example.test/events",
                    status_callback_events=("answered", "completed"),
                    timeout_s=15,
                    line=3,
                ),
                Sip("sip:desk@phones.example.test", line=4),
            ),
            action="http://app.example.test/ivr/after.php",
            caller_id="1202-555-0100",
            timeout_s=20,
            time_limit_s=600,
            line=2,
        ),
    ),
    "never-closed.xml": (Say("Good morning", line=1), Pause(500, line=1)),
    "typographic.xml": (Say("Café open", voice="man", line=1),),
    "mark-and-wrong-encoding.xml": (Say("Mañana", line=2),),
    "latin1-called-utf8.xml": (Say("Mañana", language="es", line=2),),
}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_it_runs_with_a_warning(name: str) -> None:
    document = parse((CORPUS / name).read_bytes(), "text/xml", BASE)
    assert document.verbs == EXPECTED[name]
    assert document.warnings


def test_every_sample_is_expected() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(EXPECTED)
