"""What a Gather's hints may be, and the grammar they make. Pure.

The grammar is in the Java Speech Grammar Format, which PocketSphinx reads: the words of each hint
in order, one hint and nothing else. Words are those of the CMU Pronouncing Dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable

from outdial.frozen import frozen

_WORD = re.compile(r"[^\W\d_]+(?:['.][^\W\d_]+)*|[0-9]+")
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_AND = {"&": " and ", "+": " plus ", "@": " at ", "%": " percent "}


@frozen
class Grammar:
    """The hints as one grammar."""

    jsgf: str
    """"" when no hint can be recognised."""
    meanings: dict[str, str]
    """The hint by the words that the recogniser gives."""
    unknown: tuple[str, ...]
    """Hints with a word that the dictionary does not have."""


def grammar_of(hints: Iterable[str], is_known: Callable[[str], bool]) -> Grammar:
    """The grammar of the hints; `is_known` says whether the dictionary has a word."""
    meanings: dict[str, str] = {}
    unknown = []
    for hint in hints:
        ways = [way for way in ways_to_say(hint) if all(map(is_known, way.split()))]
        if not ways:
            unknown.append(hint)
        for way in ways:
            meanings.setdefault(way, hint)
    jsgf = ""
    if meanings:
        jsgf = f"#JSGF V1.0;\ngrammar hints;\npublic <hint> = {' | '.join(meanings)};\n"
    return Grammar(jsgf, meanings, tuple(unknown))


def ways_to_say(hint: str) -> list[str]:
    """The hint in words, in lower case; a number digit by digit and, to 99, as a number too."""
    # café is in the dictionary as cafe
    plain = unicodedata.normalize("NFKD", hint.lower().replace("’", "'"))
    text = "".join(letter for letter in plain if not unicodedata.combining(letter))
    for sign, spoken in _AND.items():
        text = text.replace(sign, spoken)
    words = _WORD.findall(text)
    ways = [""]
    for word in words:
        said = _numbers(word) if word.isdigit() else [word]
        ways = [f"{way} {one}".strip() for way in ways for one in said][:16]
    return [way for way in ways if way]


def _numbers(digits: str) -> list[str]:
    one_by_one = [" ".join(_DIGITS[int(digit)] for digit in digits)]
    if "0" in digits:
        one_by_one.append(one_by_one[0].replace("zero", "oh"))
    value = int(digits[:3])
    if len(digits) != 2 or value < 10:
        return one_by_one
    if value < 20:
        return [_TEENS[value - 10], *one_by_one]
    tens, ones = _TENS[value // 10 - 2], _DIGITS[value % 10]
    return [f"{tens} {ones}" if value % 10 else tens, *one_by_one]
