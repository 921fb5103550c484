"""Say: a text to be spoken."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.shown import short
from outdial.didml.values import LANGUAGE, TEXT, choice
from outdial.didml.verbs.attributes import LOOP, action
from outdial.frozen import frozen


@frozen
class Say:
    """Speaks a text."""

    text: str
    voice: str = ""
    """man, woman, or "" for the server's default."""
    language: str = ""
    """Lower-case language code, or "" for the server's default."""
    loop: int = 1
    """Times to say it; 0: until the call ends."""
    action: str = ""
    """Absolute URL notified afterwards; "" for none."""
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return short(self.text)


ROW = VerbRow(
    "Say",
    "Speaks the text.",
    Say,
    Body("text", TEXT, "What to say."),
    (
        Attribute(
            "voice",
            choice("man", "woman", women="woman"),
            "",
            "Whose voice speaks.",
            "voice",
            shown_default="`speech.default_voice`: woman",
        ),
        Attribute(
            "language",
            LANGUAGE,
            "",
            "The language of the text.",
            "language",
            shown_default="`speech.default_language`: en",
        ),
        Attribute("loop", LOOP, 1, "How often to say it; 0: until the call ends.", "loop"),
        *action("Notified after the text was spoken; its answer is thrown away."),
    ),
)
