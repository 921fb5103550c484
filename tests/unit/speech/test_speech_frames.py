"""The form in which helper processes are spoken to."""

from __future__ import annotations

import io

import pytest

from outdial.speech import frames


def test_round_trip() -> None:
    stream = io.BytesIO()
    frames.write(stream, {"job": "a", "text": "é\n"}, b"\x00body")
    frames.write(stream, {"job": "b"})
    stream.seek(0)
    assert frames.read(stream) == ({"job": "a", "text": "é\n", "body_size": 5}, b"\x00body")
    assert frames.read(stream) == ({"job": "b"}, b"")
    assert frames.read(stream) is None


@pytest.mark.parametrize("cut", [1, 3, 5, -1])
def test_cut_short(cut: int) -> None:
    whole = frames.encode({"job": "a"}, b"body")
    with pytest.raises(EOFError):
        frames.read(io.BytesIO(whole[:cut]))


def test_head_must_be_an_object() -> None:
    with pytest.raises(ValueError):
        frames.decode_head(b"[]")
