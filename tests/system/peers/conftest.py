"""One server for a module of these tests, whose trunks lead to phones that each test starts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from outdial.testing.web import WebServer
from system.peers import baresip, kamailio


@pytest.fixture
def web() -> Iterator[WebServer]:
    """Serves documents and sounds, takes callbacks."""
    with WebServer() as server:
        yield server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A program that is not there skips its tests, and says how to get it."""
    for name, installed, package in (
        ("baresip", baresip.is_installed(), "baresip-core"),
        ("kamailio", kamailio.is_installed(), "kamailio"),
    ):
        if installed:
            continue
        missing = pytest.mark.skip(
            reason=f"{name} is not installed: make test-programs, or apt install {package}"
        )
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(missing)
