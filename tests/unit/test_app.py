"""What the server makes of its settings."""

from __future__ import annotations

from outdial.app import _media_settings
from outdial.config import Media, Settings, Sim


def test_simulated_phones_are_told_the_bound_address() -> None:
    media = Media(public_address="203.0.113.7", ports="20000-20999")
    assert _media_settings(Settings(media=media)) == media
    with_phones = _media_settings(Settings(media=media, sim=Sim(enabled=True)))
    assert (with_phones.public_address, with_phones.ports) == ("", "20000-20999")
