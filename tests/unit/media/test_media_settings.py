"""What the settings of media come to."""

from __future__ import annotations

from typing import get_args

import pytest

from outdial.config import Media
from outdial.errors import ConfigError
from outdial.media.core import tones
from outdial.media.plane import parse_ports, worker_count


@pytest.mark.parametrize("text", ["", "20000", "a-b", "20000-20001", "9-99", "30000-70000"])
def test_port_ranges_that_are_wrong(text: str) -> None:
    with pytest.raises(ConfigError, match=r"media\.ports"):
        parse_ports(text)


def test_the_countries_of_the_settings_have_tones() -> None:
    assert get_args(Media.model_fields["country"].annotation) == tones.COUNTRIES


def test_how_many_workers() -> None:
    assert worker_count(Media(workers=3)) == 3
    assert worker_count(Media()) >= 1
