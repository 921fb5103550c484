"""Where the settings come from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outdial.config import Settings

DEFAULT = Path("outdial.toml")


def settings_of(config: Path | None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of the file, else of outdial.toml here if there is one, else the defaults.

    `overrides` are as `config.load` takes them. Raises ConfigError.
    """
    from outdial.config import load

    if config is None and DEFAULT.exists():
        config = DEFAULT
    return load(config, overrides)


def database_is_missing(settings: Settings) -> bool:
    """Whether the store is a file that is not there yet: looking must not make it."""
    path = settings.store.url.removeprefix("sqlite:///")
    return path not in (settings.store.url, ":memory:") and not Path(path).exists()
