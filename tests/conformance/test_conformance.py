"""Every row of every verb's attribute table, on a real call with a real SIP phone."""

from __future__ import annotations

from concurrent.futures import Future

import pytest

from conformance import dial, fax, flow, gather, pause, play, record, rooms, say, sms, speech
from conformance.board import Board
from conformance.cases import Case, Element, Row, attribute_of, cases_of, element_cases
from conformance.documents import DOCUMENTS, Whole
from outdial.didml.table import BY_NAME, VERBS

MODULES = (say, play, pause, gather, record, flow, dial, rooms, sms, speech, fax)
ROWS: list[Row] = [row for module in MODULES for row in module.ROWS]
ELEMENTS: list[Element] = [element for module in MODULES for element in module.ELEMENTS]
CASES: list[Case] = [case for row in ROWS for case in cases_of(row)]
CASES += [case for element in ELEMENTS for case in element_cases(element)]
BUILT = [verb for verb in VERBS if verb.build]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_as_the_table_says(case: Case, played: dict[str, Future[None]]) -> None:
    played[case.name].result()


@pytest.mark.parametrize("case", DOCUMENTS, ids=lambda case: case.name)
def test_a_document(case: Whole, played: dict[str, Future[None]]) -> None:
    played[case.name].result()


# ------------------------------------------------------------------ nothing is forgotten


def test_every_row_of_the_table_is_tried() -> None:
    """A new attribute needs a `Row` in its verb's module here, and a new verb such a module."""
    table = {(verb.name, each.name) for verb in BUILT for each in verb.attributes}
    tried = [(row.verb, row.attribute) for row in ROWS]
    assert sorted(tried) == sorted(table)


def test_every_verb_is_tried_as_an_element() -> None:
    assert sorted(element.verb for element in ELEMENTS) == sorted(verb.name for verb in BUILT)
    for element in ELEMENTS:
        body = BY_NAME[element.verb.lower()].body
        assert element.wrong, element.verb
        assert element.bodies or body is None, element.verb


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.verb}-{row.attribute}")
def test_a_row_is_tried_with_every_kind_of_value(row: Row) -> None:
    attribute = attribute_of(row)
    kind = attribute.kind
    rows = [other for other in ROWS if attribute_of(other).kind is kind]
    right = {value.lower() for other in rows for value in other.right}
    listed = {word for value in right for word in value.replace(",", " ").split()}
    assert {word.lower() for word in kind.words} <= right | listed
    assert row.bad or kind.name.startswith("text"), "it has no bad values"
    assert (row.blank is not None) == (attribute.blank is not None)
    if kind.range is not None:
        lowest, _ = kind.range
        tried = {int(value) for value in row.clamped}
        assert min(tried) < lowest or lowest == 0, "too little"
        assert max(tried) > lowest, "too much"


def test_afterwards_nothing_is_left_and_no_telephone_complains(
    board: Board, played: dict[str, Future[None]]
) -> None:
    for future in played.values():
        future.exception()
    board.back_at_rest()
    assert list(board.complaints()) == []
