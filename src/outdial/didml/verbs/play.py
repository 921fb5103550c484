"""Play: an audio file, or digits to send."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.shown import URL_IN_SUMMARY, shown_url
from outdial.didml.values import DIGITS, URL
from outdial.didml.verbs.attributes import LOOP
from outdial.frozen import frozen


@frozen
class Play:
    """Plays an audio file, or digits."""

    url: str = ""
    """"" when there is nothing to play but digits."""
    digits: str = ""
    """Sent as DTMF before the file."""
    loop: int = 1
    """Times to play it; 0: until the call ends."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        if not self.digits:
            return shown_url(self.url, URL_IN_SUMMARY)
        count = sum(letter not in "wW" for letter in self.digits)
        return f"{count} digits {shown_url(self.url, URL_IN_SUMMARY)}".rstrip()


ROW = VerbRow(
    "Play",
    "Plays an audio file. A file that cannot be had or decoded is skipped with a note. The URL of "
    "a recording that this server made is played from its disk, and needs no key.",
    Play,
    Body("url", URL, "Where the WAV or MP3 file is. Not needed with `digits`.", unless="digits"),
    (
        Attribute("loop", LOOP, 1, "How often to play it; 0: until the call ends.", "loop"),
        Attribute(
            "digits",
            DIGITS,
            "",
            "DTMF to send, once, before the file: an extension. The timeline says how many digits "
            "there are, not which.",
            "digits",
        ),
    ),
)
