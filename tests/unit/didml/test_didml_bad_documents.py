"""Bad documents end in a defined way, with a reason: those that need only be read."""

from __future__ import annotations

import pytest

from doubles.application import FakeHost
from doubles.bad_applications import SERVED
from doubles.bad_documents import PARSED, RUNS, Bad
from outdial.didml.interpreter import EndKind, run_application
from outdial.didml.lint import lint
from outdial.didml.parse import MAX_WARNINGS, parse
from outdial.didml.run.host import Fetched, Params
from outdial.didml.run.outcome import DocumentRequest
from outdial.errors import DocumentError

BASE = "http://app.example.test/ivr/start.php"
REFUSED = [bad for bad in PARSED if bad.refused]
RUN = [bad for bad in PARSED if bad.refused == RUNS]


def of(bad: list[Bad]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("bad", bad, ids=[one.name for one in bad])


@of(REFUSED)
def test_what_cannot_be_run_is_refused_with_a_reason(bad: Bad) -> None:
    with pytest.raises(DocumentError) as refused:
        parse(bad.body, bad.content_type, BASE)
    said = str(refused.value)
    assert bad.refused in said
    assert len(said) < 200
    text = bad.body.decode("utf-8", "replace")
    assert refused.value.line <= text.count("\n") + 1
    assert (refused.value.line > 0) == (refused.value.column > 0)


@of(RUN)
def test_what_can_be_run_is_and_says_what_was_guessed(bad: Bad) -> None:
    document = parse(bad.body, bad.content_type, BASE)
    if bad.verbs >= 0:
        assert len(document.verbs) == bad.verbs
    said = [warning.message for warning in document.warnings]
    assert not bad.warns or any(bad.warns in message for message in said)
    assert len(said) <= MAX_WARNINGS + 1
    assert all(len(message) < 300 for message in said)


@of(REFUSED)
def test_lint_says_the_same_with_its_place(bad: Bad) -> None:
    (finding,), verbs = lint(bad.body, bad.content_type, BASE, lambda url: "")
    assert (finding.severity, verbs) == ("error", 0)
    assert bad.refused in finding.message


class Answering(FakeHost):
    """A call whose application answers with that document."""

    def __init__(self, bad: Bad) -> None:
        super().__init__()
        self._bad = bad

    async def fetch(self, url: str, method: str, extra: Params = ()) -> Fetched:
        return Fetched(url, 200, self._bad.content_type, self._bad.body)


@of(REFUSED)
async def test_the_call_ends_with_the_reason_on_its_timeline(bad: Bad) -> None:
    host = Answering(bad)
    end = await run_application(host, DocumentRequest(BASE))
    assert end.kind is EndKind.ERROR
    assert bad.refused in end.reason
    (failed,) = host.noted("document.failed")
    assert bad.refused in str(failed["problem"])


def test_names_are_of_one_document_each() -> None:
    names = [bad.name for bad in PARSED] + [bad.name for bad in SERVED]
    assert len(set(names)) == len(names) >= 130
    assert all(bad.says for bad in SERVED), "each has a reason"
