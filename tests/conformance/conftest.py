"""One board for all cases, which are played side by side and then looked at one by one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

pytest.register_assert_rewrite("conformance")

from conformance.board import Board  # noqa: E402
from conformance.cases import Case  # noqa: E402
from conformance.documents import Whole  # noqa: E402
from outdial.testing.sipp import is_installed  # noqa: E402

AT_ONCE = 12
"""Cases that are played at the same time: as many as two cores bear beside other tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything on the board starts processes and needs SIPp."""
    for item in items:
        if "played" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.system)
            item.add_marker(pytest.mark.sipp)
            item.add_marker(
                pytest.mark.skipif(
                    not is_installed(),
                    reason="the program sipp is not installed (Debian: apt install sip-tester)",
                )
            )


@pytest.fixture(scope="session")
def board() -> Iterator[Board]:
    """The server and the telephones."""
    with Board() as board:
        yield board


@pytest.fixture(scope="session")
def played(board: Board, request: pytest.FixtureRequest) -> Iterator[dict[str, Future[None]]]:
    """Every case that was selected, by its name; those that take longest begin first."""
    wanted: list[Case | Whole] = []
    for item in request.session.items:
        case = getattr(item, "callspec", None) and item.callspec.params.get("case")  # type: ignore[attr-defined]
        if isinstance(case, Case | Whole):
            wanted.append(case)
    wanted.sort(key=lambda case: -case.takes_s)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="case") as pool:
        futures = {case.name: pool.submit(case.run, board) for case in wanted}
        yield futures
        for future in futures.values():
            future.cancel()
