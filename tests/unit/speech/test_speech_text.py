"""Cleaning and splitting of text to speak."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.speech.text import PIECE_UP_TO, WHOLE_UP_TO, clean, split

PADDING = " This sentence is only here to make the text long enough to be cut into its sentences."


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  Your pin is\n\t8 9 70  ", "Your pin is 8 9 70"),
        ("a\x00b\x01c\x1b[31m", "abc[31m"),
        ("<speak>5 < 6 & 7</speak>", "<speak>5 < 6 & 7</speak>"),
        ("[[h@l'oU]] you", "[ [h@l'oU]] you"),
        ("[[[[x", "[ [ [ [x"),
        ("\ud800lone\udfff \ue000private", "lone private"),
        ("नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("", ""),
    ],
)
def test_clean(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


@given(st.text(max_size=200))
def test_cleaned_text_is_one_harmless_line(raw: str) -> None:
    cleaned = clean(raw)
    assert clean(cleaned) == cleaned
    assert "[[" not in cleaned
    assert all(c.isprintable() or ord(c) > 0x9F for c in cleaned)
    cleaned.encode("utf-8")


@pytest.mark.parametrize("text", ["", "...", "?! -- ,", "…", "()"])
def test_nothing_to_say(text: str) -> None:
    assert split(text) == []


@pytest.mark.parametrize("text", ["Hello.", "Yes. No. Maybe.", "8 9 70", "€", "5 + 5"])
def test_short_text_is_one_piece(text: str) -> None:
    assert split(text) == [text]


def test_sentences_are_pieces() -> None:
    text = "Welcome to Outdial. Is it late? Wait!" + PADDING + " Bye."
    assert split(text) == [
        "Welcome to Outdial.",
        "Is it late?",
        "Wait!",
        PADDING.strip(),
        "Bye.",
    ]


@pytest.mark.parametrize(
    "whole",
    [
        "It costs 3.50 or 1.000,00 or v1.2.3 in all.",
        "Mr. Smith and Dr. Jones live on Elm St. Paul Avenue.",
        "J. R. Hartley, i.e. Someone, wrote it at 5 p.m. Monday.",
        "Call us e.g. at no. 5, approx. Ten times.",
        "The domain example.com is ours.",
        "She said etc. and left.",
    ],
)
def test_full_stops_inside_a_sentence(whole: str) -> None:
    assert split(whole + PADDING) == [whole, PADDING.strip()]


def test_closing_quotes_stay_with_their_sentence() -> None:
    assert split('He said "Stop." (Really.)' + PADDING)[:2] == ['He said "Stop."', "(Really.)"]


def test_full_width_stops_need_no_space() -> None:
    text = "你好。" + "欢迎致电我们的语音服务器" * 8 + "。再见。"
    assert split(text)[0] == "你好。"
    assert split(text)[-1] == "再见。"


def test_long_sentence_is_cut_at_commas_then_spaces_then_anywhere() -> None:
    clause = "this clause has some words and then a pause, "
    commas = split((clause * 12).strip())
    assert all(piece.endswith(",") for piece in commas)
    spaces = split("word " * 100)
    assert set(" ".join(spaces).split()) == {"word"}
    anywhere = split("a" * 450)
    assert [len(piece) for piece in anywhere] == [PIECE_UP_TO, PIECE_UP_TO, 50]


def test_decimal_comma_is_no_pause() -> None:
    text = "x" * 120 + " costs 12,50 " + "y" * 120
    assert any("12,50" in piece for piece in split(text))


@given(st.text(alphabet="ab .,!?;1\"'é。", max_size=600).map(clean))
def test_nothing_is_lost_but_what_makes_no_sound(text: str) -> None:
    pieces = split(text)
    heard = [c for c in text if c.isalnum()]
    assert [c for piece in pieces for c in piece if c.isalnum()] == heard
    assert all(len(piece) <= max(PIECE_UP_TO, WHOLE_UP_TO) for piece in pieces)


def test_splitting_is_linear() -> None:
    assert len(split(clean("Dr. " * 2500))) > 40
    assert len(split("a." * 5000)) == 50
