"""What is handed to a synthesizer: cleaned text, in pieces to speak one after another. Pure.

Long text is cut at sentences so that the first sounds while the next is made. A piece is also the
unit of the cache, so a sentence that is common to many texts is made once.
"""

from __future__ import annotations

import re
import unicodedata

WHOLE_UP_TO = 100
"""Text no longer than this many characters is one piece: better intonation, and fast enough."""
PIECE_UP_TO = 200
"""A sentence longer than this is cut at a comma or a space: about 12 s of speech."""

_PAUSES = frozenset(";:,)，、；：،")
_END = re.compile(r"[.!?…؟।]+[\"'”’)\]]*(?=\s)|[。！？]+")
_ABBREVIATION = re.compile(
    r"mrs?|ms|dr|prof|[sj]r|sra|ste?|ave|blvd|rd|no|nr|vs|etc|approx|ext|tel|dept|inc|ltd|co|corp"
    r"|jan|feb|mar|apr|ju[nl]|aug|sept?|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun"
    r"|e\.g|i\.e|[ap]\.m|u\.[sk]|d\.c|ee\.uu|uds?|núm|av|z\.b|d\.h|bzw|mme|mlle|[^\W\d_]",
    re.IGNORECASE,
)
"""What a full stop is part of; the last alternative are initials."""


def clean(text: str) -> str:
    """One line without control characters, private or unpaired code points, or engine commands.

    Angle brackets stay: the engines are told to take text, not markup. ``[[`` begins phonemes in
    eSpeak's input, so the brackets are set apart.
    """
    kept = "".join(
        " " if c.isspace() else c
        for c in text
        if c.isspace() or unicodedata.category(c) not in ("Cc", "Cs", "Co", "Cn")
    )
    while "[[" in kept:
        kept = kept.replace("[[", "[ [")
    return " ".join(kept.split())


def split(text: str) -> list[str]:
    """The cleaned text as pieces to speak, in order; [] when nothing can be spoken.

    A full stop inside a number, after an abbreviation or an initial, or before a small letter
    ends no sentence.
    """
    if not any(c.isalnum() or unicodedata.category(c)[0] == "S" for c in text):
        return []
    if len(text) <= WHOLE_UP_TO:
        return [text]
    pieces = []
    start = 0
    for end in _END.finditer(text):
        if _ends_sentence(text, start, end):
            pieces += _shorten(text[start : end.end()].strip())
            start = end.end()
    pieces += _shorten(text[start:].strip())
    return [piece for piece in pieces if any(c.isalnum() for c in piece)]


def _ends_sentence(text: str, start: int, end: re.Match[str]) -> bool:
    if end.group() != ".":
        return True
    after = end.end() + 1
    if after < len(text) and text[after].islower():
        return False
    word = text[max(start, text.rfind(" ", start, end.start()) + 1) : end.start()]
    return bool(word) and _ABBREVIATION.fullmatch(word.lstrip("([\"'“‘¿¡")) is None


def _shorten(piece: str) -> list[str]:
    """Cuts what is too long: after the last pause, else at a space, else anywhere."""
    cut = []
    while len(piece) > PIECE_UP_TO:
        at = _last_pause(piece) or piece.rfind(" ", 1, PIECE_UP_TO)
        if at <= 0:
            at = PIECE_UP_TO
        cut.append(piece[:at].strip())
        piece = piece[at:].strip()
    return [*cut, piece] if piece else cut


def _last_pause(piece: str) -> int:
    """Where to cut after a pause sign in the second half of what fits; 0 when there is none."""
    for at in range(PIECE_UP_TO - 1, PIECE_UP_TO // 2, -1):
        if piece[at] in _PAUSES and not piece[at + 1].isdigit():
            return at + 1
    return 0
