"""Hints: how they may be said, and the grammar they make."""

from __future__ import annotations

import pytest

from outdial.speech.hints import grammar_of, ways_to_say


@pytest.mark.parametrize(
    ("hint", "ways"),
    [
        ("Yes", ["yes"]),
        ("Accounts  Payable!", ["accounts payable"]),
        ("O’Clock", ["o'clock"]),
        ("Café", ["cafe"]),
        ("R&D", ["r and d"]),
        ("7", ["seven"]),
        ("101", ["one zero one", "one oh one"]),
        ("12", ["twelve", "one two"]),
        ("40", ["forty", "four zero", "four oh"]),
        ("21", ["twenty one", "two one"]),
        ("line 2", ["line two"]),
        ("--", []),
    ],
)
def test_in_words(hint: str, ways: list[str]) -> None:
    assert ways_to_say(hint) == ways


def test_a_hint_full_of_numbers_does_not_grow_out_of_hand() -> None:
    assert len(ways_to_say("10 20 30 40 50 60 70 80")) <= 16


def test_the_grammar_says_what_is_meant() -> None:
    grammar = grammar_of(["Yes", "12"], lambda word: True)
    assert grammar.jsgf.splitlines()[-1] == "public <hint> = yes | twelve | one two;"
    assert grammar.meanings == {"yes": "Yes", "twelve": "12", "one two": "12"}


def test_a_hint_with_an_unknown_word_is_left_out_and_named() -> None:
    grammar = grammar_of(["yes", "Zbigniew please"], lambda word: word != "zbigniew")
    assert grammar.unknown == ("Zbigniew please",)
    assert list(grammar.meanings) == ["yes"]


def test_without_any_that_is_known_there_is_no_grammar() -> None:
    grammar = grammar_of(["!!", "xyzzy"], lambda word: False)
    assert (grammar.jsgf, grammar.unknown) == ("", ("!!", "xyzzy"))


def test_only_words_get_into_the_grammar() -> None:
    hostile = grammar_of(["yes; public <x> = no", "a | b"], lambda word: True)
    assert hostile.jsgf.count(";") == 3
    assert hostile.jsgf.count("<") == 1
