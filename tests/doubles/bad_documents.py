"""Bad documents that need only be read: what goes wrong in them, and how each must end.

What needs a server (redirects, sounds, slow answers) is in `doubles.bad_applications`;
`bench.bad_documents` measures what each costs the event loop.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass

RUNS = ""


@dataclass(frozen=True, slots=True)
class Bad:
    """One document."""

    name: str
    body: bytes
    refused: str
    """What the error says; `RUNS` when it is run all the same, with a warning."""
    warns: str = ""
    """What a warning says then."""
    verbs: int = -1
    """How many verbs are run then; -1: any number."""
    content_type: str = "text/xml"


def inside(text: str) -> bytes:
    """It in a Response."""
    return f"<Response>{text}</Response>".encode()


def _entities(levels: int, fan: int) -> str:
    lines = ['<!ENTITY e0 "ha">']
    lines += [f'<!ENTITY e{n} "{f"&e{n - 1};" * fan}">' for n in range(1, levels)]
    return "<!DOCTYPE Response [" + "".join(lines) + f"]><Response><Say>&e{levels - 1};</Say>"


_DOCTYPE = "a document type declaration is not allowed"
_INSTRUCTION = "a processing instruction is not allowed"
_SIZE = "more than 65536"
_DEEP = "over 10 levels deep"
_MANY = "over 500 elements"
_FAULTS = "faults: not XML at all"
_XML = "not well-formed XML"
_NO_ROOT = "there is no <Response> element"
SAY = "<Say>a</Say>"

_BOMBS = [
    Bad("billion laughs", (_entities(10, 10) + "</Response>").encode(), _DOCTYPE),
    Bad("billion laughs, not closed", _entities(10, 10).encode(), _DOCTYPE),
    Bad("quadratic blowup", (_entities(2, 3000) + "</Response>").encode(), _DOCTYPE),
    Bad(
        "an entity that names a file",
        b'<!DOCTYPE r [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + inside("<Say>&f;</Say>"),
        _DOCTYPE,
    ),
    Bad(
        "an entity that names a URL",
        b'<!DOCTYPE r [<!ENTITY f SYSTEM "http://10.0.0.1/">]>' + inside("<Say>&f;</Say>"),
        _DOCTYPE,
    ),
    Bad(
        "a parameter entity",
        b'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://10.0.0.1/x.dtd"> %p;]>' + inside(SAY),
        _DOCTYPE,
    ),
    Bad(
        "an external DTD",
        b'<!DOCTYPE Response SYSTEM "http://a.test/r.dtd">' + inside(SAY),
        _DOCTYPE,
    ),
    Bad("a DTD in lower case", b"<!doctype html>" + inside(SAY), _DOCTYPE),
    Bad("a DTD after a broken tag", b"<Response><Say a=></Say><!DOCTYPE x></Response>", _DOCTYPE),
    Bad("an entity nobody declared", inside("<Say>&nothing;</Say>"), RUNS, _XML, 1),
    Bad("a character reference that is none", inside("<Say>a&#xD800;b</Say>"), RUNS, _XML, 1),
    Bad(
        "a character reference beyond all", inside("<Say>a&#99999999999999;b</Say>"), RUNS, _XML, 1
    ),
    Bad("ten thousand references", inside("<Say>" + "&#65;" * 10_000 + "</Say>"), RUNS, "", 1),
    Bad("PHP that was not run", b'<?php echo "<Response/>"; ?>', _INSTRUCTION),
    Bad("a stylesheet", b'<?xml-stylesheet href="http://a.test/x"?>' + inside(SAY), _INSTRUCTION),
    Bad("an XInclude", inside('<xi:include href="file:///etc/passwd"/>'), RUNS, "xi:include", 0),
]

_HUGE = [
    Bad("a byte too many", inside("<Say>" + "a" * 65_536 + "</Say>"), _SIZE),
    Bad("a megabyte of text", inside("<Say>" + "a" * 1_000_000 + "</Say>"), _SIZE),
    Bad("ten megabytes of spaces", b" " * 10_000_000, _SIZE),
    Bad("a long attribute", inside(f'<Say voice="{"x" * 60_000}">a</Say>'), RUNS, "voice", 1),
    Bad("a long name", f"<{'R' * 60_000}/>".encode(), "the root element is"),
    Bad("a long name inside", inside(f"<{'V' * 30_000}/>"), RUNS, "", 0),
    Bad(
        "five thousand attributes",
        inside("<Say " + " ".join(f'a{n}="1"' for n in range(5000)) + ">a</Say>"),
        RUNS,
        "more",
        1,
    ),
    Bad("an attribute a thousand times", inside("<Say " + 'a="1" ' * 1000 + ">a</Say>"), _FAULTS),
    Bad("a long comment", inside("<!--" + "x" * 60_000 + "-->" + SAY), RUNS, "", 1),
    Bad("a comment that never ends", b"<Response><!--" + b"x" * 60_000, RUNS, _XML, 0),
    Bad("CDATA that never ends", b"<Response><Say><![CDATA[" + b"x" * 60_000, RUNS, _XML),
    Bad("a tag that never ends", b"<Response><Say " + b"x" * 60_000, RUNS, _XML),
    Bad("a value that never ends", b'<Response><Say voice="' + b"x" * 60_000, RUNS, _XML),
    Bad("sixty thousand <", b"<" * 60_000, _NO_ROOT),
    Bad("sixty thousand &", inside("<Say>" + "&" * 60_000 + "</Say>"), _FAULTS),
    Bad("sixty thousand quotation marks", inside("<Say " + '"' * 60_000 + ">a</Say>"), RUNS, _XML),
    Bad("sixty thousand =", inside("<Say " + "=" * 60_000 + ">a</Say>"), RUNS, _XML),
    Bad("thirty thousand CDATA ends", inside("]]>" * 20_000), RUNS, ""),
    Bad("five hundred verbs", inside(SAY * 499), RUNS, "", 499),
    Bad("a verb too many", inside(SAY * 500), _MANY),
    Bad("five thousand verbs", inside("<Say/>" * 5000), _MANY),
    Bad("thirty thousand unclosed", b"<Response>" + b"<Say>" * 10_000, _DEEP),
    Bad("thirty thousand end tags", b"<Response>" + b"</a>" * 15_000, _FAULTS),
    Bad(
        "a number of sixty thousand digits",
        inside(f'<Say loop="{"9" * 60_000}">a</Say>'),
        RUNS,
        "",
        1,
    ),
    Bad(
        "a URL of sixty thousand", inside(f"<Play>http://a.test/{'x' * 60_000}</Play>"), RUNS, "", 0
    ),
]

_DEEP_ONES = [
    Bad("eleven levels", b"<Response>" + b"<a>" * 10 + b"</a>" * 10 + b"</Response>", _DEEP),
    Bad(
        "a thousand levels", b"<Response>" + b"<a>" * 1000 + b"</a>" * 1000 + b"</Response>", _DEEP
    ),
    Bad("Gather in Gather in Gather", inside("<Gather>" * 12 + "</Gather>" * 12), _DEEP),
    Bad("Response in Response", inside("<Response>" + SAY + "</Response>"), RUNS, "Response", 0),
]

_NESTING = [
    Bad(
        "Dial in Gather",
        inside("<Gather><Dial>12025550100</Dial></Gather>"),
        RUNS,
        "Dial does not belong",
        1,
    ),
    Bad("Gather in Say", inside("<Say>a<Gather/></Say>"), RUNS, "Gather", 1),
    Bad("Say in Dial", inside(f"<Dial>{SAY}</Dial>"), RUNS, "Say does not belong"),
    Bad(
        "Number in Gather",
        inside("<Gather><Number>12025550100</Number></Gather>"),
        RUNS,
        "Number",
        1,
    ),
    Bad("Queue in Enqueue", inside("<Enqueue><Queue>a</Queue></Enqueue>"), RUNS, "Queue"),
    Bad(
        "two conferences in a Dial",
        inside("<Dial><Conference>a</Conference><Conference>b</Conference></Dial>"),
        RUNS,
        "",
        1,
    ),
    Bad(
        "a Dial of fifty",
        inside("<Dial>" + "<Number>12025550100</Number>" * 50 + "</Dial>"),
        RUNS,
        "at most",
        1,
    ),
    Bad("a Dial of nobody", inside("<Dial/>"), RUNS, "Dial", 0),
    Bad("end tags that cross", inside("<Gather><Say>a</Gather></Say>"), RUNS, _XML),
    Bad("an end tag of another", inside("<Say>a</Play>"), RUNS, _XML),
    Bad("text outside of verbs", inside("hello" + SAY), RUNS, "text outside of verbs", 1),
    Bad("a verb outside of Response", b"<Say>a</Say>", "the root element is <Say>"),
    Bad("two roots", inside(SAY) + inside(SAY), RUNS, _XML),
    Bad("text before the root", b"Warning: mysql in line 3\n" + inside(SAY), RUNS, _XML, 1),
    Bad("text after the root", inside(SAY) + b"done", RUNS, _XML, 1),
]

_MALFORMED = [
    Bad("nothing", b"", "the document is empty"),
    Bad("spaces", b" \r\n\t ", "the document is empty"),
    Bad("a NUL", b"\x00", _NO_ROOT),
    Bad("a NUL inside", b"<Response><Say>a\x00b</Say></Response>", RUNS, _XML, 1),
    Bad("control characters", inside("<Say>a\x01\x02\x1bb</Say>"), RUNS, _XML, 1),
    Bad("text alone", b"Hello, world", _NO_ROOT),
    Bad("JSON", b'{"say": "hello"}', _NO_ROOT),
    Bad("HTML", b"<html><body>404</body></html>", "the root element is <html>"),
    Bad("an HTML page with a doctype", b"<!DOCTYPE html><html></html>", _DOCTYPE),
    Bad("another root", b"<Vxml/>", "the root element is <Vxml>"),
    Bad("cut off in a tag", b"<Response><Sa", RUNS, _XML),
    Bad("cut off in a text", b"<Response><Say>hel", RUNS, _XML, 1),
    Bad("a bare ampersand", inside("<Play>http://a.test/?a=1&b=2</Play>"), RUNS, _XML, 1),
    Bad("values without marks", inside("<Say loop=2>a</Say>"), RUNS, _XML, 1),
    Bad("typographic marks", inside("<Say voice=“man”>a</Say>"), RUNS, _XML, 1),
    Bad("an unknown prefix", inside("<x:Say>a</x:Say>"), RUNS, "x:Say"),
    Bad("an unknown verb", inside("<Sing>a</Sing>"), RUNS, "Sing", 0),
    Bad("a verb almost", inside("<Hangpu/>"), RUNS, "Hangpu", 0),
    Bad("an unknown attribute", inside('<Say speed="9">a</Say>'), RUNS, "speed", 1),
    Bad(
        "bad values everywhere",
        inside('<Gather numDigits="x" timeout="-1" tries="1e3"/>'),
        RUNS,
        "numDigits",
        1,
    ),
    Bad("a Say of nothing", inside("<Say/>"), RUNS, "Say", 0),
    Bad(
        "a Play of a file", inside("<Play>file:///etc/passwd</Play>"), RUNS, "file:///etc/passwd", 0
    ),
    Bad("a Redirect to mail", inside("<Redirect>mailto:a@b.test</Redirect>"), RUNS, "mailto", 0),
    Bad("a URL that is none", inside("<Redirect>http://[::1</Redirect>"), RUNS, "is not a URL", 0),
    Bad("speech without hints", inside('<Gather input="speech"/>'), RUNS, "hints", 1),
    Bad(
        "an XML declaration that is late",
        b"\n" + b'<?xml version="1.0"?>' + inside(SAY),
        RUNS,
        "",
        1,
    ),
    Bad("an XML declaration of 3.0", b'<?xml version="3.0"?>' + inside(SAY), RUNS, "", 1),
]

_ENCODINGS = [
    Bad("UTF-8 with a mark", b"\xef\xbb\xbf" + inside(SAY), RUNS, "", 1),
    Bad("UTF-16 with a mark", ("\ufeff" + inside(SAY).decode()).encode("utf-16-le"), RUNS, "", 1),
    Bad("UTF-16 without a mark", inside(SAY).decode().encode("utf-16-be"), RUNS, "", 1),
    Bad("UTF-32", inside(SAY).decode().encode("utf-32"), RUNS, "", 1),
    Bad(
        "half of a UTF-16 character",
        b"\xff\xfe" + inside(SAY).decode().encode("utf-16-le")[:-1],
        _NO_ROOT,
    ),
    Bad(
        "Latin-1 that calls itself UTF-8",
        b'<?xml version="1.0" encoding="UTF-8"?>'
        + inside("<Say>x</Say>").replace(b"x", b"Ma\xf1ana"),
        RUNS,
        "",
        1,
    ),
    Bad(
        "an encoding that is none",
        b'<?xml version="1.0" encoding="klingon"?>' + inside(SAY),
        RUNS,
        "the encoding is not klingon",
        1,
    ),
    Bad(
        "UTF-7",
        b'<?xml version="1.0" encoding="UTF-7"?>' + inside("<Say>+ADw-b</Say>"),
        RUNS,
        "the encoding is not UTF-7",
        1,
    ),
    Bad(
        "a compressor as encoding",
        b'<?xml version="1.0" encoding="zlib"?>' + inside(SAY),
        RUNS,
        "the encoding is not zlib",
        1,
    ),
    Bad("EBCDIC", inside(SAY).decode().encode("cp500"), _NO_ROOT),
    Bad("surrogates in UTF-8", inside("<Say>x</Say>").replace(b"x", b"\xed\xa0\x80"), RUNS, "", 1),
    Bad("bytes at random", bytes(range(256)) * 4, _NO_ROOT),
    Bad("a gzip nobody announced", gzip.compress(inside(SAY)), _NO_ROOT),
]

_TYPES = [
    Bad("a picture", b"\x89PNG\r\n\x1a\n", "the content type image/png", content_type="image/png"),
    Bad(
        "JSON that says so",
        b"{}",
        "the content type application/json",
        content_type="application/json",
    ),
    Bad("a video", b"\x00" * 100, "the content type video/mp4", content_type="video/mp4"),
    Bad("a type that is none", inside(SAY), "the content type", content_type="\x00;;;="),
    Bad("a long type", inside(SAY), "the content type", content_type="x/" + "y" * 9000),
    Bad(
        "a charset that is none",
        inside(SAY),
        RUNS,
        "the encoding is not",
        1,
        "text/xml; charset=../etc",
    ),
    Bad("plain text of nothing", b"  ", "the document is empty", content_type="text/plain"),
    Bad("HTML that is a document", inside(SAY), RUNS, "", 1, "text/html; charset=utf-8"),
]

PARSED = [
    *_BOMBS,
    *_HUGE,
    *_DEEP_ONES,
    *_NESTING,
    *_MALFORMED,
    *_ENCODINGS,
    *_TYPES,
]
