"""A picture to be faxed, a sending machine, and what a PDF shows of it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from outdial.errors import FaxError
from outdial.fax import spandsp

WIDTH = 1728
"""Dots of a line, A4."""


@cache
def is_installed() -> bool:
    """Whether this machine has libspandsp."""
    try:
        spandsp.load()
    except FaxError:
        return False
    return True


def shows_pdf() -> bool:
    """Whether there are the programs that read a PDF."""
    return shutil.which("pdfimages") is not None and shutil.which("pdfinfo") is not None


@dataclass(frozen=True, slots=True)
class Picture:
    """Lines of black (1) and white dots, eight a byte."""

    rows: tuple[bytes, ...]

    @classmethod
    def drawn(cls, height: int = 200, seed: int = 0) -> Picture:
        """Bars, a frame, a slope and some dots: nothing that looks the same the other way round."""
        rows = []
        for y in range(height):
            row = bytearray(WIDTH // 8)
            if y % 40 < 3:
                row[:] = b"\xff" * len(row)
            for x in range(20):
                if (x + y // 16 + seed) % 4 == 0:
                    row[10 + 8 * x : 14 + 8 * x] = b"\xf0" * 4
            row[(y * 5 + seed) % len(row)] |= 0x81
            row[0] = 0x80
            rows.append(bytes(row))
        return cls(tuple(rows))


def tiff_of(pictures: list[Picture], y_dpi: int = 196) -> bytes:
    """The pictures as the uncompressed pages of a TIFF, as a fax engine takes them."""
    out = bytearray(struct.pack("<2sHI", b"II", 42, 0))
    link = 4
    for page, picture in enumerate(pictures):
        data = b"".join(picture.rows)
        start = len(out)
        out += data
        resolutions = len(out)
        out += struct.pack("<IIII", 204, 1, y_dpi, 1)
        out += b"\0" * (len(out) % 2)
        struct.pack_into("<I", out, link, len(out))
        height = len(picture.rows)
        fields = [
            (254, 4, 1, 2), (256, 4, 1, WIDTH), (257, 4, 1, height), (258, 3, 1, 1),
            (259, 3, 1, 1), (262, 3, 1, 0), (266, 3, 1, 1), (273, 4, 1, start), (277, 3, 1, 1),
            (278, 4, 1, height), (279, 4, 1, len(data)), (282, 5, 1, resolutions),
            (283, 5, 1, resolutions + 8), (296, 3, 1, 2), (297, 3, 2, page | len(pictures) << 16),
        ]  # fmt: skip
        out += struct.pack("<H", len(fields))
        for field in fields:
            out += struct.pack("<HHII", *field)
        link = len(out)
        out += struct.pack("<I", 0)
    return bytes(out)


def pictures_of(pdf: Path, folder: Path) -> list[Picture]:
    """What the pages of the PDF show, read by poppler."""
    command = ["pdfimages", str(pdf), str(folder / "page")]
    subprocess.run(command, check=True, timeout=30)
    return [_picture(path.read_bytes()) for path in sorted(folder.glob("page-*.pbm"))]


def page_sizes(pdf: Path) -> list[tuple[float, float]]:
    """Width and height of the pages in points, read by poppler."""
    command = ["pdfinfo", "-f", "1", "-l", "99", str(pdf)]
    told = subprocess.run(command, check=True, timeout=30, capture_output=True, text=True).stdout
    lines = [line.split() for line in told.splitlines() if line.startswith("Page ")]
    return [(float(words[3]), float(words[5])) for words in lines if words[2] == "size:"]


def _picture(pbm: bytes) -> Picture:
    kind, size, data = pbm.split(b"\n", 2)
    width, height = map(int, size.split())
    assert (kind, width) == (b"P4", WIDTH)
    stride = width // 8
    return Picture(tuple(data[y * stride : (y + 1) * stride] for y in range(height)))
