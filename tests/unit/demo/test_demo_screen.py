"""What the demo prints, on a terminal and elsewhere."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

from outdial.demo.screen import Screen, bars
from outdial.demo.story import Line
from outdial.testing.audio import Sound


def printed(terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, soft_wrap=True)
    with Screen(console) as screen:
        screen.title("First act", "What happens")
        screen.status("leg A ringing")
        screen.tell(Line(0.0, "SIP", "leg A ──▶ INVITE"))
        screen.tell(Line(0.0, "CALL", "evil \x1b[2J text", failed=True))
        screen.waveform("", Sound(np.ones(8000), 8000))
        screen.table("Checked", [("outcome", "completed", True), ("digits", "none", False)])
    return out.getvalue()


def test_plain_output_has_no_escapes_and_one_line_each() -> None:
    text = printed(terminal=False)
    assert "\x1b" not in text
    assert "  0.000 s  SIP   leg A ──▶ INVITE\n" in text
    assert "evil \\u001b[2J text" in text
    assert re.search(r"ok    outcome +completed\n +FAIL  digits +none\n", text)


def test_a_terminal_gets_colours_and_nothing_from_outside_controls_it() -> None:
    text = printed(terminal=True)
    assert "\x1b[" in text
    assert "\x1b[2J" not in text
    assert "✔" in text and "✘" in text


def test_an_explanation_is_wrapped_where_the_terminal_is_narrow() -> None:
    out = io.StringIO()
    words = "The number is called, hears ringing while the other is called too, and they talk."
    with Screen(Console(file=out, force_terminal=True, width=40, soft_wrap=True)) as screen:
        screen.title("Click to call", words)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue())
    assert re.sub(r"[\s│]+", " ", shown).count(words) == 1


@pytest.mark.parametrize(("peak", "bar"), [(1.0, "█"), (0.0, " ")])
def test_bars_show_loudness(peak: float, bar: str) -> None:
    assert bars(Sound(np.full(800, peak), 8000), 4) == bar * 4
    assert bars(Sound(np.zeros(0), 8000), 4) == ""
