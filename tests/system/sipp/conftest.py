"""One server for each module, one scene for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outdial.testing.sipp import is_installed
from system.sipp.long_calls import LongCalls
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


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The server of all tests here, but for those that take long."""
    with Stage() as stage:
        yield stage


@pytest.fixture
def scene(stage: Stage) -> Iterator[Scene]:
    """The test's phones and calls; what must hold after every call is checked at its end."""
    with Scene(stage).running() as scene:
        yield scene


@pytest.fixture(scope="session")
def long_calls() -> Iterator[LongCalls]:
    """Calls that take up to a minute, on a server of their own."""
    with Stage({"media": {"silence_timeout_s": 2}}) as stage, Scene(stage).running() as scene:
        yield LongCalls(scene)


@pytest.fixture(scope="session", autouse=True)
def _long_calls_begin_first(request: pytest.FixtureRequest) -> None:
    """They go on while the other tests run, and are looked at in the end."""
    if any("long_calls" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("long_calls")
