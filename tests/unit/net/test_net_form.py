"""The form encoder gives what the standard library gives, only sooner."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from hypothesis import given
from hypothesis import strategies as st

from outdial.net import form

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(st.lists(st.tuples(_text, _text), max_size=6))
def test_same_as_the_standard_library(params: list[tuple[str, str]]) -> None:
    assert form.encode(params) == urlencode(params)


@given(st.lists(st.tuples(_text, _text), max_size=6))
def test_is_read_back_as_it_was(params: list[tuple[str, str]]) -> None:
    assert parse_qsl(form.encode(params), keep_blank_values=True, strict_parsing=False) == params


def test_lone_surrogates_do_not_fail() -> None:
    assert form.encode([("a", "x\ud800y")]) == "a=x%3Fy"


def test_line_break_cannot_pass_for_plain() -> None:
    assert form.encode([("a", "plain\n")]) == "a=plain%0A"
