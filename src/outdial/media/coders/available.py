"""Whether the codecs that the settings name can be coded here."""

from __future__ import annotations

from collections.abc import Iterable

from outdial.config import Settings
from outdial.errors import CodecUnavailable, ConfigError
from outdial.legs import Codec
from outdial.media.coders import coders


def problem(codecs: Iterable[Codec]) -> str:
    """What is missing for them, "" when nothing is."""
    for codec in codecs:
        if not codec.is_g711:
            try:
                coders(codec)
            except CodecUnavailable as error:
                return str(error)
    return ""


def check(settings: Settings) -> None:
    """Whether all that is offered can be coded. Raises ConfigError, which says what is missing."""
    lists = {"media.codecs": settings.media.codecs}
    lists |= {f"trunks.{trunk.name}.codecs": trunk.codecs for trunk in settings.trunks}
    for key, names in lists.items():
        missing = problem(Codec[name.upper()] for name in names)
        if missing:
            raise ConfigError(key, missing, "install it, or leave the codec out")
