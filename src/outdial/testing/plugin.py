"""The pytest plugin: a whole Outdial as a fixture. docs/guides/testing-your-application.md.

It is loaded by every pytest in whose environment Outdial is installed, so it imports nothing but
pytest; everything else comes with the first test that asks for it. ``-p no:outdial`` leaves it out.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from outdial.testing.rehearsal.rehearsal import Rehearsal

Mode = Literal["virtual", "real"]
_OPTION = "--outdial-real-time"
_OURS = "outdial.testing.rehearsal.rehearsal"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    parser.getgroup("outdial", "Outdial: tests of voice applications").addoption(
        _OPTION,
        action="store_true",
        help="make the calls of the outdial fixture in real time, over SIP and RTP on the loopback "
        "interface",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Makes the marker known."""
    config.addinivalue_line(
        "markers",
        "outdial(mode, **settings): how the outdial fixture is made for a test: "
        'mode "virtual" or "real", sections of outdial.toml as mappings',
    )


@pytest.fixture
def outdial_settings() -> Mapping[str, Any]:
    """Settings of Outdial for tests, as in outdial.toml: override it in conftest.py."""
    return {}


@pytest.fixture
def outdial_mode(request: pytest.FixtureRequest) -> Mode:
    """``virtual`` or ``real`` time: override it, with ``params`` for both."""
    return "real" if request.config.getoption(_OPTION) else "virtual"


@pytest.fixture
def outdial(
    request: pytest.FixtureRequest, outdial_settings: Mapping[str, Any], outdial_mode: Mode
) -> Iterator[Rehearsal]:
    """An Outdial with telephones that follow scripts: `outdial.testing.rehearsal`."""
    # here, and not above: who does not use it must not pay for it
    from outdial.testing.rehearsal.rehearsal import Rehearsal
    from outdial.testing.server import merged

    marker = request.node.get_closest_marker("outdial")
    settings, mode = dict(outdial_settings), outdial_mode
    if marker is not None:
        further = dict(marker.kwargs)
        mode = further.pop("mode", marker.args[0] if marker.args else mode)
        settings = merged(settings, further)
    if mode not in ("virtual", "real"):
        raise pytest.UsageError(f'the mode of outdial is "virtual" or "real", not {mode!r}')
    with Rehearsal(settings, real_time=mode == "real") as rehearsal:
        yield rehearsal
        rehearsal.check()


# The older kind of wrapper: every pytest that people have knows it.
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, None]:
    """A test that failed shows what happened on its calls."""
    outcome = yield
    rehearsal: Any = getattr(item, "funcargs", {}).get("outdial")
    if type(rehearsal).__module__ == _OURS:
        report = outcome.get_result()
        if report.when == "call" and report.failed and call.excinfo is not None:
            _tell(report, rehearsal, call.excinfo.value)


def _tell(report: pytest.TestReport, rehearsal: Rehearsal, error: BaseException) -> None:
    """Adds the story, unless the failure tells it itself."""
    from outdial.testing.rehearsal.rehearsal import ToldFailure

    if isinstance(error, ToldFailure):
        return
    try:
        story = rehearsal.story
    except Exception as problem:
        story = f"it could not be told: {problem!r}"
    if story:
        report.sections.append(("What happened on the calls", story))
