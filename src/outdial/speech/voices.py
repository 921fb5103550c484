"""Which eSpeak NG voice speaks a language tag as a man or a woman. Pure.

eSpeak NG names a voice by its file and, after a plus, a variant (its docs/voices.md). A language
tag in place of the file is taken too, but then the variant is lost for half of them (1.51), so
files are always named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from outdial.errors import SpeechError, UnknownLanguage

_VARIANTS = {"man": "m3", "woman": "f3"}
"""The clearest of each on a telephone: no breath noise, little energy above 3.4 kHz."""

_PREFERRED = {
    "en": "en-us",
    "en-ca": "en-us",
    "en-ph": "en-us",
    "es": "es-419",
    "es-es": "es",
    "fr": "fr-fr",
    "pt": "pt-br",
    "pt-pt": "pt",
    "zh": "cmn",
    "zh-cn": "cmn",
    "zh-tw": "cmn",
    "zh-hk": "yue",
    "no": "nb",
    "nn": "nb",
    "iw": "he",
    "in": "id",
}

_REGIONAL = {"en": "en-gb", "es": "es-419", "pt": "pt"}
"""For a region the engine has no voice for, e.g. en-AU, es-MX, pt-AO."""


def voice_name(voice: str, language: str, available: Mapping[str, str]) -> str:
    """The engine's name of the voice, e.g. ``gmw/en-US+f3`` for woman, en.

    `language` is a tag such as en, en-US, es_MX (BCP 47; case does not matter); `available` are
    the engine's voice files by tag in lower case. Raises SpeechError naming what there is,
    UnknownLanguage where it is the language that is missing.
    """
    variant = _VARIANTS.get(voice.strip().lower())
    if variant is None:
        raise SpeechError(f"there is no voice {voice!r}; there are man and woman")
    tag = language.strip().lower().replace("_", "-")
    base, _, region = tag.partition("-")
    preferred = _PREFERRED.get(tag)
    regional = _REGIONAL.get(base) if region else _PREFERRED.get(base)
    for candidate in (preferred, tag, regional, base, _PREFERRED.get(base)):
        if candidate and candidate in available:
            return f"{available[candidate]}+{variant}"
    named = ", ".join(sorted(available)) or "none"
    raise UnknownLanguage(f"the speech engine has no language {language!r}; it has {named}")


def by_language(listed: Iterable[tuple[str, str, int]]) -> dict[str, str]:
    """Voice files by tag, from (file, tag, rank): the lowest rank wins, then the first listed.

    Rank 0 is a voice's own language; others it can stand in for come after.
    """
    voices: dict[str, str] = {}
    for file, tag, _ in sorted(listed, key=lambda entry: entry[2]):
        voices.setdefault(tag.lower(), file)
    return voices
