"""From the bytes of a document to its text, whatever they claim to be.

Order: byte order mark, charset of the content type (RFC 7303 section 3), XML declaration, UTF-8,
Windows-1252. Only encodings of a short list are tried: Python's codec registry also holds
compressors and quadratic decoders, and remembers every name it was ever asked for.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

_DECLARED = re.compile(
    rb"""\s{0,64}<\?xml[^>]{0,100}?encoding\s{0,8}=\s{0,8}["']?([\w.:-]{1,40})"""
)
_ALLOWED = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "ascii",
    "ascii": "ascii",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-15": "iso8859-15",
    "windows-1250": "cp1250",
    "windows-1251": "cp1251",
    "windows-1252": "cp1252",
    "cp1252": "cp1252",
    "iso-8859-2": "iso8859-2",
    "koi8-r": "koi8-r",
    "shift_jis": "shift_jis",
    "euc-jp": "euc_jp",
    "euc-kr": "euc_kr",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}
# UTF-32's little-endian mark begins with UTF-16's, so it comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(body: bytes, charset: str, warn: Callable[[str], None]) -> str:
    """The text of the body. `charset` is the content type's, "" when it has none. Never fails."""
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return _first_that_fits(body[len(mark) :], [encoding], warn)
    for start, encoding in ((b"<\x00", "utf-16-le"), (b"\x00<", "utf-16-be")):
        if body.startswith(start):
            return _first_that_fits(body, [encoding], warn)
    named = [charset] if charset else []
    declared = _DECLARED.match(body)
    if declared:
        named.append(declared.group(1).decode("ascii", "replace"))
    candidates = []
    for name in named:
        encoding = _ALLOWED.get(name.lower(), "")
        # Programs that print a UTF-16 declaration mostly do so in bytes that are not UTF-16.
        if encoding and not encoding.startswith("utf-16"):
            candidates.append(encoding)
        else:
            warn(f"the encoding is not {name[:40]}")
    return _first_that_fits(body, candidates or ["utf-8"], warn)


def _first_that_fits(body: bytes, candidates: list[str], warn: Callable[[str], None]) -> str:
    for encoding in candidates:
        try:
            return body.decode(encoding)
        except UnicodeDecodeError:
            warn(f"the text is not {encoding}")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")
