"""Whole documents: as the vendor's pages write them, as applications answer, and broken ones."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from conformance.board import TONES, Board
from conformance.requests import told_of
from conformance.say import WOMAN
from conformance.sounds import OTHER_HZ, TONE_HZ, spans, tone_heard
from conformance.talk import Check, Line, Talk
from outdial.testing import audio
from outdial.testing.web import Answer


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """An answer of the application, and what comes of it."""

    name: str
    text: str | bytes
    content_type: str = "text/xml"
    statuses: tuple[int, ...] = (200,)
    """Of its answers in turn."""
    sees: Check
    warns: tuple[tuple[int, int, str], ...] = ()
    """Line, column and a part of each warning, in order."""
    takes_s: float = 3.0

    def run(self, board: Board) -> None:
        """Places a call that gets it, and looks at what was seen."""
        with contextlib.ExitStack() as stack:
            name, mail = board.mailbox()
            phone = board.telephone("answers", stack)
            talk = Talk(board, stack, name, mail, phone, Line(phone.number))
            board.serve(f"/{name}/next", "<Response><Play>/other.wav</Play></Response>")
            text = self.text
            if isinstance(text, str):
                text = talk.filled(text).encode()
            answers = [
                Answer(status=status, body=text, content_type=self.content_type)
                for status in self.statuses
            ]
            talk.place(answers[0], "app", *answers[1:])
            talk.wait_until_over()
            warned = talk.warnings()
            assert len(warned) == len(self.warns), warned
            for warning, (line, column, part) in zip(warned, self.warns, strict=True):
                assert (warning.line, warning.column) == (line, column)
                assert part in warning.message
            if self.statuses == (200,):
                talk.check_lint(text, self.content_type)
            self.sees(talk)


def _fails(line: int, column: int, problem: str) -> Check:
    """The caller hears an apology; the timeline says where and why, and so does the call."""

    def check(talk: Talk) -> None:
        (failed,) = talk.timeline("document.failed")
        assert (failed["error"], failed["line"], failed["column"]) == ("document", line, column)
        assert problem in failed["problem"]
        _apologised(talk)

    return check


def _apologised(talk: Talk) -> None:
    end = talk.wait_until_over()
    assert (end["HangupCause"], end["HangupSource"]) == ("application-error", "application")
    assert audio.active_s(talk.heard) > 1.0
    assert talk.verbs() == []


def _fetch_failed(talk: Talk) -> None:
    (failed,) = talk.timeline("document.failed")
    assert failed["error"] == "status"
    assert "500" in failed["problem"]
    _apologised(talk)


def _spoken(talk: Talk) -> None:
    assert audio.active_s(talk.heard) > 0.3
    assert [verb for verb, _ in talk.verbs()] == ["Say", "Hangup"]


def _spoken_by_a_woman(talk: Talk) -> None:
    assert audio.active_s(talk.heard) > 0.8
    WOMAN(talk)


def _played(talk: Talk) -> None:
    assert [verb for verb, _ in talk.verbs()] == ["Play", "Hangup"]
    tone_heard(1)(talk)


def _by_get(talk: Talk) -> None:
    """A static file: after the POST it is asked for by GET, once."""
    assert [request.method for request in talk.asked("app")] == ["POST", "GET"]
    tone_heard(1)(talk)


def _gone_on(talk: Talk) -> None:
    told_of("next", "POST")(talk)
    assert len(spans(talk.heard, OTHER_HZ)) == 1


def _hung_up_at_the_end(talk: Talk) -> None:
    end = talk.wait_until_over()
    assert (end["CallOutcome"], end["HangupSource"]) == ("completed", "application")
    assert len(spans(talk.heard, TONE_HZ)) == 1


TONE = "<Play>/tone.wav</Play>"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

DOCUMENTS = [
    Whole(
        name="declared",
        text=f"{DECLARATION}<Response>\n{TONE}\n</Response>",
        sees=_hung_up_at_the_end,
    ),
    Whole(name="lower-case", text=f"<response>{TONE.lower()}</response>", sees=tone_heard(1)),
    Whole(
        name="tags-of-two-cases",
        text="<Response>\n  <Play>/tone.wav</play>\n</response>",
        sees=tone_heard(1),
        warns=(
            (2, 20, "not well-formed XML: mismatched tag"),
            (2, 18, "</play> should be </Play>"),
            (3, 1, "</response> should be </Response>"),
        ),
    ),
    Whole(
        name="values-without-quotation-marks",
        text="<Response>\n  <Play loop=2>/tone.wav</Play>\n</Response>",
        sees=tone_heard(2),
        warns=((2, 14, "not well-formed"), (2, 3, "value of loop in <Play> should stand in quot")),
    ),
    Whole(
        name="pin-of-the-manual",
        text="<Response>\n  <Say voice=women>Your pin is 8 9 70</Say>\n</Response>",
        sees=_spoken_by_a_woman,
        warns=((2, 14, "not well-formed"), (2, 3, "value of voice in <Say> should stand in quo")),
    ),
    Whole(
        name="text/html",
        text=f"<Response>{TONE}</Response>",
        content_type="text/html",
        sees=tone_heard(1),
    ),
    Whole(name="no-type", text=f"<Response>{TONE}</Response>", content_type="", sees=tone_heard(1)),
    Whole(
        name="text/plain",
        text="Good morning.",
        content_type="text/plain; charset=utf-8",
        sees=_spoken,
    ),
    Whole(
        name="audio/wav",
        text=audio.wav(TONES["/tone.wav"]),
        content_type="audio/wav",
        sees=_played,
    ),
    Whole(name="relative", text="<Response><Redirect>next</Redirect></Response>", sees=_gone_on),
    Whole(
        name="unknown-verb",
        text=f"<Response>\n  <Sya>Hello</Sya>{TONE}\n</Response>",
        sees=tone_heard(1),
        warns=((2, 3, "<Sya> is not a verb; skipped; did you mean Say?"),),
    ),
    Whole(
        name="wrong-place",
        text=f"<Response>\n  <Gather timeout='1' tries='1'>\n    <Dial>1</Dial></Gather>\n"
        f"{TONE}</Response>",
        sees=tone_heard(1),
        warns=((3, 5, "Dial does not belong into Gather; skipped"),),
    ),
    Whole(
        name="wrong-root",
        text="<html>\n  <body/>\n</html>",
        sees=_fails(1, 1, "the root element is <html>, not <Response>"),
    ),
    Whole(
        name="doctype",
        text='<?xml version="1.0"?>\n <!DOCTYPE Response>\n<Response/>',
        sees=_fails(2, 2, "not allowed; begin with <Response>"),
    ),
    Whole(
        name="source-code",
        text="<?php echo 1; ?>\n<Response/>",
        sees=_fails(1, 1, "is the program's source being served?"),
    ),
    Whole(name="empty", text=" \n", sees=_fails(0, 0, "the document is empty; <Response/>")),
    Whole(
        name="json",
        text='{"say": "hello"}',
        content_type="application/json",
        sees=_fails(0, 0, "such as text/xml"),
    ),
    Whole(
        name="static-file",
        text=f"<Response>{TONE}</Response>",
        statuses=(405, 200),
        sees=_by_get,
        warns=((0, 0, "takes no POST (405)"),),
    ),
    Whole(name="error-500", text="oops", statuses=(500,), sees=_fetch_failed),
]
