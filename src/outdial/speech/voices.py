"""Which eSpeak NG voice speaks a language tag as a man or a woman. Pure.

eSpeak NG names a voice by language and, after a plus, a variant (its docs/voices.md).
"""

from __future__ import annotations

from collections.abc import Set

from outdial.errors import SpeechError

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


def voice_name(voice: str, language: str, available: Set[str]) -> str:
    """The engine's name of the voice, e.g. ``en-us+f3`` for woman, en.

    `language` is a tag such as en, en-US, es_MX (BCP 47; case does not matter); `available` are
    the tags the engine has, in lower case. Raises SpeechError naming what there is.
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
            return f"{candidate}+{variant}"
    named = ", ".join(sorted(available)) or "none"
    raise SpeechError(f"the speech engine has no language {language!r}; it has {named}")
