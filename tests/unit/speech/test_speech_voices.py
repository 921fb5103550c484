"""Language tags to eSpeak NG voices."""

from __future__ import annotations

import pytest

from outdial.errors import SpeechError
from outdial.speech.voices import by_language, voice_name

TAGS = "en en-us en-gb en-gb-scotland es es-419 fr fr-fr fr-ch de hi pt pt-br cmn yue nb he id"
AVAILABLE = {tag: tag for tag in TAGS.split()}


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en", "en-us+f3"),
        ("EN", "en-us+f3"),
        ("en-US", "en-us+f3"),
        ("en_us", "en-us+f3"),
        ("en-GB", "en-gb+f3"),
        ("en-AU", "en-gb+f3"),
        ("en-CA", "en-us+f3"),
        ("en-GB-scotland", "en-gb-scotland+f3"),
        (" es ", "es-419+f3"),
        ("es-MX", "es-419+f3"),
        ("es-ES", "es+f3"),
        ("fr", "fr-fr+f3"),
        ("fr-CA", "fr+f3"),
        ("fr-CH", "fr-ch+f3"),
        ("de-AT", "de+f3"),
        ("hi-IN", "hi+f3"),
        ("pt", "pt-br+f3"),
        ("pt-PT", "pt+f3"),
        ("pt-AO", "pt+f3"),
        ("zh", "cmn+f3"),
        ("zh-SG", "cmn+f3"),
        ("zh-HK", "yue+f3"),
        ("no", "nb+f3"),
    ],
)
def test_language(language: str, voice: str) -> None:
    assert voice_name("woman", language, AVAILABLE) == voice


def test_falls_back_when_the_engine_has_less() -> None:
    assert voice_name("man", "es", {"es": "roa/es"}) == "roa/es+m3"
    assert voice_name("man", "en-au", {"en-us": "en-us"}) == "en-us+m3"


def test_unknown_language_names_what_there_is() -> None:
    with pytest.raises(SpeechError, match=r"no language 'tlh'; it has de, es"):
        voice_name("man", "tlh", {"es": "es", "de": "de"})


@pytest.mark.parametrize("language", ["", "-", "en+m7", "../../etc", "e" * 500])
def test_odd_tags(language: str) -> None:
    with pytest.raises(SpeechError):
        voice_name("man", language, {"de": "de"})


def test_unknown_voice_names_what_there_is() -> None:
    with pytest.raises(SpeechError, match="man and woman"):
        voice_name("robot", "en", AVAILABLE)


def test_a_voice_of_its_own_comes_before_one_that_stands_in() -> None:
    listed = [("a/en", "en-GB", 0), ("a/en", "en", 2), ("b/us", "en", 3), ("c/gb", "en-gb", 1)]
    assert by_language(listed) == {"en-gb": "a/en", "en": "a/en"}
