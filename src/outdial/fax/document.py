"""From the TIFF that a fax engine writes to a PDF (ISO 32000-1). Pure.

The pages stay as they are: PDF has the compression of T.6 as a filter, so nothing is decoded, and a
page of 200 dots an inch is as exact as it came. Each page has the size that its resolution says;
the two directions may differ, as they do in faxes of standard resolution.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from outdial.errors import FaxError
from outdial.frozen import frozen

MOST_PAGES: Final = 1000
_T6: Final = 4
_SIZES: Final = {1: 1, 3: 2, 4: 4, 5: 8}
"""Bytes of the types that are read: BYTE, SHORT, LONG, RATIONAL."""
_WIDTH, _LENGTH, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 259, 262, 266
_OFFSETS, _COUNTS, _X_RESOLUTION, _Y_RESOLUTION, _UNIT = 273, 279, 282, 283, 296
_CENTIMETRE: Final = 3
_MOST_DOTS: Final = 1 << 16
_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@frozen
class Page:
    """One page as it was received."""

    width: int
    height: int
    """Dots."""
    x_dpi: float
    y_dpi: float
    data: bytes
    """T.6, most significant bit first."""
    black_is_1: bool = False
    """The runs that T.6 calls black are white."""


def pages_of(tiff: bytes) -> list[Page]:
    """The pages of the file. One that is cut short ends the list; FaxError: it is no such file."""
    if tiff[:4] == b"II*\0":
        order = "<"
    elif tiff[:4] == b"MM\0*":
        order = ">"
    else:
        raise FaxError("what was received is not a TIFF file")
    pages: list[Page] = []
    for fields in _directories(tiff, order):
        pages.append(_page(tiff, fields))
    return pages


def to_pdf(pages: list[Page], title: str = "") -> bytes:
    """The pages as a document."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 3 * place} 0 R" for place in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Producer (Outdial) /Title " + _text(title) + b" >>")
    for place, page in enumerate(pages):
        objects += _page_objects(page, 4 + 3 * place)
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info 3 0 R >>\n" % (len(objects) + 1)
    out += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


# ---------------------------------------------------------------------------- PDF


def _page_objects(page: Page, number: int) -> list[bytes]:
    """The page, what is drawn on it, and the image, numbered from there on."""
    width, height = page.width * 72 / page.x_dpi, page.height * 72 / page.y_dpi
    drawn = f"q {width:.3f} 0 0 {height:.3f} 0 0 cm /Fax Do Q".encode()
    black = "true" if page.black_is_1 else "false"
    image = (
        f"<< /Type /XObject /Subtype /Image /Width {page.width} /Height {page.height} "
        "/ColorSpace /DeviceGray /BitsPerComponent 1 /Filter /CCITTFaxDecode /DecodeParms "
        f"<< /K -1 /Columns {page.width} /Rows {page.height} /BlackIs1 {black} >>"
    ).encode()
    described = (
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.3f} {height:.3f}] "
        f"/Resources << /XObject << /Fax {number + 2} 0 R >> >> /Contents {number + 1} 0 R >>"
    ).encode()
    return [described, _stream(b"<<", drawn), _stream(image, page.data)]


def _stream(head: bytes, data: bytes) -> bytes:
    return b"%s /Length %d >>\nstream\n%s\nendstream" % (head, len(data), data)


def _text(text: str) -> bytes:
    """A string of PDF, in UTF-16, as hexadecimal digits: nothing in it can end it."""
    return b"<FEFF" + text.encode("utf-16-be", "replace").hex().upper().encode() + b">"


# ---------------------------------------------------------------------------- TIFF


Fields = dict[int, list[int]]


def _directories(tiff: bytes, order: str) -> Iterator[Fields]:
    """The fields of each page: lists of numbers, a fraction as two."""
    (place,) = struct.unpack_from(f"{order}I", tiff, 4) if len(tiff) >= 8 else (0,)
    seen: set[int] = set()
    while place and len(seen) < MOST_PAGES:
        if place in seen or place + 2 > len(tiff):
            return
        seen.add(place)
        (count,) = struct.unpack_from(f"{order}H", tiff, place)
        end = place + 2 + 12 * count
        if end + 4 > len(tiff):
            return
        yield dict(_fields(tiff, order, place + 2, count))
        (place,) = struct.unpack_from(f"{order}I", tiff, end)


def _fields(tiff: bytes, order: str, start: int, count: int) -> Iterator[tuple[int, list[int]]]:
    for place in range(start, start + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", tiff, place)
        size = _SIZES.get(kind)
        if size is None or not 0 < length <= 1 << 16:
            continue
        at = place + 8
        if size * length > 4:
            (at,) = struct.unpack_from(f"{order}I", tiff, at)
        letter = {1: "B", 3: "H", 4: "I", 5: "I"}[kind]
        numbers = length * (2 if kind == 5 else 1)
        if at + size * length <= len(tiff):
            yield tag, list(struct.unpack_from(f"{order}{numbers}{letter}", tiff, at))


def _page(tiff: bytes, fields: Fields) -> Page:
    width, height = _one(fields, _WIDTH), _one(fields, _LENGTH)
    if _one(fields, _COMPRESSION) != _T6:
        raise FaxError("the page is not in T.6, which was asked for")
    offsets, counts = fields.get(_OFFSETS, []), fields.get(_COUNTS, [])
    if len(offsets) != 1 or len(counts) != 1:
        raise FaxError("the page is in strips; it must be one piece")
    data = tiff[offsets[0] : offsets[0] + counts[0]]
    if not 0 < width <= _MOST_DOTS or not 0 < height <= _MOST_DOTS or not data:
        raise FaxError("the page has no dots")
    if fields.get(_FILL_ORDER) == [2]:
        data = data.translate(_REVERSED)
    scale = 2.54 if fields.get(_UNIT) == [_CENTIMETRE] else 1.0
    return Page(
        width,
        height,
        _fraction(fields, _X_RESOLUTION, 204.0 / scale) * scale,
        _fraction(fields, _Y_RESOLUTION, 196.0 / scale) * scale,
        data,
        fields.get(_PHOTOMETRIC) == [1],
    )


def _one(fields: Fields, tag: int) -> int:
    return fields.get(tag, [0])[0]


def _fraction(fields: Fields, tag: int, default: float) -> float:
    above, below = (*fields.get(tag, ()), 0, 0)[:2]
    dots = above / below if below else 0.0
    return dots if 1 <= dots <= 10_000 else default
