"""One server for each module, one scene for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outdial.testing.sipp import is_installed
from system.sipp.stage import Scene, Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts processes and needs SIPp."""
    for item in items:
        if item.path.parent.name == "sipp":
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.sipp)
            item.add_marker(
                pytest.mark.skipif(
                    not is_installed(),
                    reason="the program sipp is not installed (Debian: apt install sip-tester)",
                )
            )


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """The server of the module."""
    with Stage() as stage:
        yield stage


@pytest.fixture
def scene(stage: Stage) -> Iterator[Scene]:
    """The test's phones and calls; what must hold after every call is checked at its end."""
    with Scene(stage).running() as scene:
        yield scene
