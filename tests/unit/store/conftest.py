"""The databases that the record is tried on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outdial.clock import SystemClock
from outdial.store.store import Store


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/a.db"
    made: str = request.getfixturevalue("new_database")()
    return made


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """A store on it."""
    opened = await Store.open(url, SystemClock())
    yield opened
    await opened.close()
