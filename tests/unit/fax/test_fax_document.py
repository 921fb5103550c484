"""From a fax engine's TIFF to a PDF."""

from __future__ import annotations

import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial.errors import FaxError
from outdial.fax import document
from outdial.fax.document import Page

Fields = dict[int, tuple[int, list[int]]]

T6 = b"\x26\xa0\x10\x01"


def tiff(*pages: Fields, order: str = "<", data: bytes = T6) -> bytes:
    """Pages with those fields, (type, numbers) each; the data stand at 8."""
    out = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4) + data)
    link = 4
    for fields in pages:
        entries = b""
        for tag, (kind, numbers) in sorted(fields.items()):
            letter = {3: "H", 4: "I", 5: "I"}[kind]
            value = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
            if len(value) > 4:
                value, place = struct.pack(f"{order}I", len(out)), value
                out += place
            count = len(numbers) // (2 if kind == 5 else 1)
            entries += struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")
        struct.pack_into(f"{order}I", out, link, len(out))
        out += struct.pack(f"{order}H", len(fields)) + entries
        link = len(out)
        out += bytes(4)
    return bytes(out)


def fields(**more: tuple[int, list[int]] | None) -> Fields:
    """Those of a page; `more` by name over them, None takes one out."""
    numbers = {
        "width": 256, "length": 257, "compression": 259, "photometric": 262, "fill": 266,
        "offsets": 273, "counts": 279, "x": 282, "y": 283, "unit": 296,
    }  # fmt: skip
    made: dict[str, tuple[int, list[int]] | None] = {
        "width": (3, [1728]), "length": (4, [100]), "compression": (3, [4]),
        "photometric": (3, [0]), "offsets": (4, [8]), "counts": (4, [len(T6)]),
        "x": (5, [204, 1]), "y": (5, [98, 1]), "unit": (3, [2]),
    }  # fmt: skip
    made |= more
    return {numbers[name]: value for name, value in made.items() if value is not None}


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_page_is_taken_as_it_is(order: str) -> None:
    (page,) = document.pages_of(tiff(fields(), order=order))
    assert page == Page(1728, 100, 204.0, 98.0, T6)


def test_bits_in_the_other_order_are_turned_round() -> None:
    (page,) = document.pages_of(tiff(fields(fill=(3, [2]))))
    assert page.data == bytes([0x64, 0x05, 0x08, 0x80])


def test_dots_a_centimetre_are_dots_an_inch() -> None:
    (page,) = document.pages_of(tiff(fields(x=(5, [8031, 100]), y=(5, [77, 1]), unit=(3, [3]))))
    assert (round(page.x_dpi), round(page.y_dpi)) == (204, 196)


@pytest.mark.parametrize("wrong", [None, (5, [0, 0]), (5, [7, 0]), (5, [4_000_000, 1])])
def test_a_resolution_that_cannot_be_is_that_of_a_fine_fax(
    wrong: tuple[int, list[int]] | None,
) -> None:
    (page,) = document.pages_of(tiff(fields(x=wrong, y=wrong)))
    assert (page.x_dpi, page.y_dpi) == (204.0, 196.0)


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (fields(compression=(3, [1])), "not in T.6"),
        (fields(offsets=(4, [8, 9]), counts=(4, [1, 1])), "in strips"),
        (fields(counts=None), "in strips"),
        (fields(width=(3, [0])), "no dots"),
        (fields(length=None), "no dots"),
        (fields(counts=(4, [0])), "no dots"),
    ],
)
def test_what_is_not_a_page_of_ours_is_refused(page: Fields, told: str) -> None:
    with pytest.raises(FaxError, match=told):
        document.pages_of(tiff(page))


def test_a_file_that_is_cut_short_ends_with_what_is_whole() -> None:
    whole = tiff(fields(), fields(length=(4, [50])))
    assert [page.height for page in document.pages_of(whole)] == [100, 50]
    assert [page.height for page in document.pages_of(whole[:-10])] == [100]
    assert document.pages_of(b"II*\0\0\0\0\0") == []
    assert document.pages_of(b"II*\0") == []


def test_pages_in_a_circle_come_once() -> None:
    whole = bytearray(tiff(fields()))
    whole[-4:] = whole[4:8]
    assert len(document.pages_of(bytes(whole))) == 1


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_are_a_file_or_a_fax_error(junk: bytes, place: int, byte: int) -> None:
    whole = bytearray(tiff(fields(), fields()))
    whole[place % len(whole)] = byte
    for content in (bytes(whole), b"II*\0" + junk, junk):
        try:
            document.pages_of(content)
        except FaxError:
            continue


def test_every_object_of_the_pdf_is_where_its_table_says() -> None:
    pdf = document.to_pdf([Page(1728, 100, 204, 98, T6), Page(8, 8, 204, 196, T6, True)], "()\\é")
    start = int(re.findall(rb"startxref\n(\d+)\n%%EOF", pdf)[0])
    table = pdf[start:].split(b"trailer")[0].splitlines()
    assert table[1] == b"0 10"
    for number, line in enumerate(table[3:], 1):
        assert pdf[int(line[:10]) :].startswith(b"%d 0 obj\n" % number)
    assert pdf.count(b"/BlackIs1 true") == pdf.count(b"/BlackIs1 false") == 1
    assert b"/Title <FEFF" + "()\\é".encode("utf-16-be").hex().upper().encode() + b">" in pdf
    assert b"/MediaBox [0 0 609.882 73.469]" in pdf
