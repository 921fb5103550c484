"""The document as a whole: structure, content types, limits, hostile input."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from outdial.didml import lenient, markup
from outdial.didml import parse as parse_module
from outdial.didml.markup import Element
from outdial.didml.parse import MAX_WARNINGS, Document, parse
from outdial.didml.verbs import Dial, Hangup, Number, Pause, Play, Say, Sip, Verb
from outdial.errors import DocumentError

BASE = "http://app.example.test/ivr/start.php"


def read(inside: str) -> Document:
    return parse(f"<Response>{inside}</Response>".encode(), "text/xml", BASE)


def messages(document: Document) -> list[str]:
    return [warning.message for warning in document.warnings]


# --------------------------------------------------------------------------- structure


def test_pin_document() -> None:
    document = parse(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Response>\n <Say>Your pin is 8 9 70</Say>\n'
        b"</Response>\n",
        "text/xml",
        BASE,
    )
    assert document == Document((Say("Your pin is 8 9 70", line=3),))


@pytest.mark.parametrize(
    ("inside", "verbs"),
    [
        ("<Number>12025550177</Number>", (Dial((Number("12025550177", line=1),), line=1),)),
        ("<Sip>pbx.example.test</Sip>", (Dial((Sip("pbx.example.test", line=1),), line=1),)),
        (
            "<Dial> 1202 555-0177\n<Sip>a@b</Sip></Dial>",
            (Dial((Number("1202 555-0177", line=1), Sip("sip:a@b", line=2)), line=1),),
        ),
        ('<Pause length="9">250</Pause>', (Pause(250, line=1),)),
        ("<Pause>0</Pause>", (Pause(1, line=1),)),
        ("<Say><![CDATA[a < b & c]]></Say>", (Say("a < b & c", line=1),)),
        ("<!-- <Say>no</Say> --><Hangup/>", (Hangup(line=1),)),
        ("", ()),
    ],
)
def test_verbs(inside: str, verbs: tuple[Verb, ...]) -> None:
    assert read(inside).verbs == verbs


@pytest.mark.parametrize(
    ("inside", "message"),
    [
        ("<Say> </Say>", "Say is empty; skipped"),
        ("<Play/>", "Play is empty; skipped"),
        (
            "<Pause/>",
            "Pause is empty; skipped: for one second write <Pause>1000</Pause> (milliseconds) or "
            '<Pause length="1"/>',
        ),
        ("<Redirect></Redirect>", "Redirect is empty; skipped"),
        ("<Dial/>", "Dial is skipped: it names nobody to dial"),
        ("<Sip/>", "Sip is empty; skipped"),
        ("<Dance/>", "<Dance> is not a verb; skipped"),
        ("<Queue/>", "Queue is empty; skipped"),
        ("loose words", "text outside of verbs is ignored"),
    ],
)
def test_skipped_with_a_warning(inside: str, message: str) -> None:
    document = read(inside)
    assert document.verbs == ()
    assert messages(document) == [message]


def test_misplaced_element_leaves_its_parent() -> None:
    document = read("<Say>one<Hangup/> two</Say>")
    assert document.verbs == (Say("one two", line=1),)
    assert messages(document) == ["Hangup does not belong into Say; skipped"]


@pytest.mark.parametrize(
    ("inside", "verbs"),
    [
        ("<Say>one<Hangup/>", (Say("one", line=1), Hangup(line=1))),
        ("<Say>one<Say>two</Say>", (Say("one", line=1), Say("two", line=1))),
        (
            "<Say>one<Say>two</Say><Hangup>",
            (Say("one", line=1), Say("two", line=1), Hangup(line=1)),
        ),
        (
            "<Say>one <b>two<Play>http://h/a</Play>",
            (Say("one", line=1), Play("http://h/a", line=1)),
        ),
        (
            "<Dial><Number>1949930<Number>1949931</Dial><Hangup/>",
            (Dial((Number("1949930", line=1), Number("1949931", line=1)), line=1), Hangup(line=1)),
        ),
        # closed, whatever is inside: as in well-formed XML
        ("<Say>one<Hangup/> two</Say>&", (Say("one two", line=1),)),
        ("<Say>press <one> & <two> now</Say>", (Say("press", line=1),)),
        ("<Say>" * 8 + "far", (Say("far", line=1),)),
    ],
)
def test_a_verb_never_closed_swallows_nothing(inside: str, verbs: tuple[Verb, ...]) -> None:
    document = read(inside)
    assert document.verbs == verbs
    assert document.warnings


def test_where_a_verb_never_closed_ends_is_said() -> None:
    document = parse(b"<Response>\n<Say>one\n<Hangup/></Response>", "text/xml", BASE)
    said = [(each.line, each.column, each.message) for each in document.warnings]
    assert (2, 1, "<Say> is never closed; it ends where <Hangup> begins") in said


def test_unknown_attribute_is_named() -> None:
    assert messages(read('<Say vioce="man">x</Say>')) == [
        "Say has no attribute vioce; did you mean voice?"
    ]


def test_attribute_in_two_cases_counts_once() -> None:
    document = read('<Say loop="2" Loop="3">x</Say>')
    assert document.verbs == (Say("x", loop=2, line=1),)
    assert messages(document) == ["loop is given twice; the first counts"]


def test_warnings_say_where() -> None:
    (warning,) = parse(b"<Response>\n  <Dance/>\n</Response>", "text/xml", BASE).warnings
    assert (warning.line, warning.column) == (2, 3)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "javascript:1", "ftp://a/b", "mailto:a@b"])
def test_only_web_urls_are_played(url: str) -> None:
    document = read(f"<Play>{url}</Play>")
    assert document.verbs == ()
    assert len(document.warnings) == 2


# --------------------------------------------------------------------------- content types


@pytest.mark.parametrize(
    "content_type",
    ["text/xml", "Application/XML; charset=utf-8", "text/html", "", "application/octet-stream"],
)
def test_types_read_as_xml(content_type: str) -> None:
    assert parse(b"<Response><Hangup/></Response>", content_type, BASE).verbs == (Hangup(line=1),)


def test_plain_text_is_spoken() -> None:
    document = parse("Guten  Tag\n".encode("cp1252"), "text/plain", BASE)
    assert document.verbs == (Say("Guten Tag"), Hangup())


def test_xml_called_plain_text_is_run() -> None:
    document = parse(b"<Response><Hangup/></Response>", "text/plain", BASE)
    assert document.verbs == (Hangup(line=1),)
    assert document.warnings


def test_audio_is_played_from_its_url() -> None:
    assert parse(b"RIFF", "audio/x-wav", BASE).verbs == (Play(BASE), Hangup())


@pytest.mark.parametrize("content_type", ["application/json", "image/png", "video/mp4"])
def test_other_types_are_refused(content_type: str) -> None:
    with pytest.raises(DocumentError, match=content_type):
        parse(b"<Response/>", content_type, BASE)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_unicode_encodings(encoding: str) -> None:
    document = parse("<Response><Say>día</Say></Response>".encode(encoding), "", BASE)
    assert document == Document((Say("día", line=1),))


def test_charset_of_the_content_type_counts() -> None:
    body = "<Response><Say>día</Say></Response>".encode("cp1252")
    document = parse(body, 'text/xml; charset="ISO-8859-1"', BASE)
    assert document == Document((Say("día", line=1),))


@pytest.mark.parametrize("charset", ["idna", "zlib_codec", "unicode_escape", "no-such"])
def test_codecs_that_are_no_encodings_are_not_used(charset: str) -> None:
    document = parse(b"<Response><Hangup/></Response>", f"text/xml; charset={charset}", BASE)
    assert document.verbs == (Hangup(line=1),)
    assert messages(document) == [f"the encoding is not {charset}"]


# --------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"<html><body>Not found</body></html>", "root element is <html>"),
        (b"<html><body>Not found<br></html>", "no <Response>"),
        (b"hello", "no <Response>"),
        (b'<!DOCTYPE r SYSTEM "http://127.0.0.1/x"><Response/>', "document type"),
        (b'<!DOCTYPE r [<!ENTITY a "b">]><Response><Say>&a;</Say></Response>', "document type"),
        (b"<Response><!DOCTYPE r><Say>x</Say></Response>", "document type"),
        (b"x<!doctype html><Response/>", "document type"),
        (b"<?php echo 1; ?><Response/>", "processing instruction"),
        (b"<Response><?xml-stylesheet href='x'?></Response>", "processing instruction"),
        (b"<Response>" + b"<a>" * 10 + b"</a>" * 10 + b"</Response>", "levels"),
        (b"<Response>" + b"<a/>" * 500 + b"</Response>", "elements"),
        (b"<Response a=1>" + b"<a>" * 10, "levels"),
        (b"<Response a=1>" + b"<a/>" * 500, "elements"),
        (b"<Response>" + b"&" * 60000, "faults"),
        (b"<Response>" + b"<" * 60000, "faults"),
        (b"<Response>" + b"</a" * 20000, "faults"),
        (b"<Response/>" + b" " * 65536, "65547 bytes"),
    ],
)
def test_refused(body: bytes, match: str) -> None:
    with pytest.raises(DocumentError, match=match):
        parse(body, "text/xml", BASE)


def test_billion_laughs_expands_nothing() -> None:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = (
        f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY l0 "lol">{levels}]><Response>&l9;</Response>'
    )
    with pytest.raises(DocumentError) as refusal:
        parse(bomb.encode(), "text/xml", BASE)
    assert refusal.value.line == 1


def test_ten_levels_and_five_hundred_elements_are_taken() -> None:
    deep = read("<a>" * 9 + "</a>" * 9)
    assert messages(deep) == ["<a> is not a verb; skipped"]
    wide = read("<Hangup/>" * 499)
    assert len(wide.verbs) == 499


def test_warnings_are_bounded_and_counted() -> None:
    document = read("<a/>" * 100)
    assert len(document.warnings) == MAX_WARNINGS + 1
    assert document.warnings[-1].message == f"{100 - MAX_WARNINGS} more warnings"


def test_guesses_do_not_crowd_out_what_was_skipped() -> None:
    document = read("<Say>" + "& " * 100 + "</Say><Fox/>")
    assert "<Fox> is not a verb; skipped; did you mean Fax?" in messages(document)


def test_only_small_documents_are_remembered_and_few() -> None:
    remembered = parse_module._parse_remembered
    remembered.cache_clear()
    large = b"<Response>" + b" " * 5000 + b"</Response>"
    parse(large, "", BASE)
    assert remembered.cache_info().currsize == 0
    small = b"<Response><Hangup/></Response>"
    assert parse(small, "", BASE) is parse(small, "", BASE)
    for n in range(200):
        parse(small, "", f"{BASE}?{n}")
    assert remembered.cache_info().currsize == 128


# --------------------------------------------------------------------------- properties

_MARKUP = """<Response> </Response> <Say loop= ' " > /> </say> <Dial> < & &amp; &#0; &#x110000;
&nbsp; <!-- --> <![CDATA[ ]]> <?xml <!DOCTYPE \x00 é = <Pause> http://[ “ </"""
FRAGMENTS = st.sampled_from([*_MARKUP.split(), " ", "\n", "9" * 5000])
BROKEN = st.one_of(
    st.binary(max_size=300),
    st.lists(FRAGMENTS, max_size=40).map(lambda parts: "".join(parts).encode()),
    st.lists(FRAGMENTS, max_size=40).map(lambda parts: ("<Response>" + "".join(parts)).encode()),
)


@given(BROKEN, st.sampled_from(["text/xml", "text/plain", "", "text/xml;charset=utf-16", "a/b"]))
@example(b"<Response><Say>\xff\xfe&#xD800;</Say></Response>", "text/xml")
@example(b"\xff\xfe\x00\xd8", "")
def test_nothing_but_document_errors_comes_out(body: bytes, content_type: str) -> None:
    try:
        document = parse(body, content_type, BASE)
    except DocumentError:
        return
    assert len(document.warnings) <= MAX_WARNINGS + 1


def shape(element: Element) -> tuple[object, ...]:
    return (
        element.tag,
        element.attributes,
        element.text,
        (element.line, element.column),
        [shape(child) for child in element.children],
    )


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Cn", "Co"]))
NAMES = st.sampled_from(["Say", "play", "x", "number", "loop", "a-b", "c.d"])


def escape(text: str) -> str:
    return (
        text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;").replace(">", "&gt;")
    )


def element_of(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    attributes = st.dictionaries(NAMES, TEXTS, max_size=2).map(
        lambda given: "".join(f' {name}="{escape(value)}"' for name, value in given.items())
    )
    return st.builds(
        lambda tag, given, inside: f"<{tag}{given}>{''.join(inside)}</{tag}>",
        NAMES,
        attributes,
        st.lists(children, max_size=3),
    )


WELL_FORMED = st.recursive(
    st.one_of(TEXTS.map(escape), st.just("<x/>"), st.just("<!-- c -->"), st.just("<![CDATA[<&]]>")),
    element_of,
    max_leaves=8,
).map(lambda inside: f"<Response>{inside}</Response>")


@given(WELL_FORMED)
def test_the_lenient_reading_of_xml_is_the_strict_one(text: str) -> None:
    reported: list[str] = []
    guessed = lenient.read(text, lambda line, column, message: reported.append(message))
    assert shape(guessed) == shape(markup.read(text))
    assert reported == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_document_type_is_refused_where_it_begins(end: str) -> None:
    declared = f"<?xml version='1.0'?>{end}<!-- é -->{end}  <!DOCTYPE{end}Response><Response/>"
    for place, text in (((3, 3), declared.replace(f"E{end}", "E ")), ((4, 1), declared)):
        with pytest.raises(DocumentError) as raised:
            parse(text.encode(), "text/xml", BASE)
        assert (raised.value.line, raised.value.column) == place


# --------------------------------------------------------------------------- purity

FORBIDDEN = {"asyncio", "socket", "time", "random", "secrets", "os", "subprocess"}


FOLDER = Path(parse_module.__file__).parent
PURE = ["parse", "values", "markup", "lenient", "encoding", "shown", "rows", "table"]


@pytest.mark.parametrize(
    "name", [*PURE, *(f"verbs/{path.stem}" for path in sorted(FOLDER.glob("verbs/*.py")))]
)
def test_pure_parts_import_nothing_impure(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not {name.split(".")[0] for name in imported} & FORBIDDEN
    assert not any(name.startswith("outdial.didml.run") for name in imported)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pbx.example.com", "pbx.example.com"),
        ("pbx.example.com:5070;transport=tcp", "pbx.example.com:5070;transport=tcp"),
        ("[2001:db8::1]:5060", "[2001:db8::1]:5060"),
        ("desk@pbx.example.com", "sip:desk@pbx.example.com"),
        ("SIP:Desk@pbx.example.com", "sip:Desk@pbx.example.com"),
        ("sip:desk@[2001:db8::1];transport=tcp", "sip:desk@[2001:db8::1];transport=tcp"),
    ],
)
def test_a_sip_address_is_meant_as_it_is_written(written: str, meant: str) -> None:
    (dial,) = parse(f"<Response><Sip>{written}</Sip></Response>".encode(), "text/xml", BASE).verbs
    assert isinstance(dial, Dial)
    assert dial.targets == (Sip(meant, line=1),)


@pytest.mark.parametrize(
    "written", ["sip:a@[::1", "[::1", "sip:", "sip:a@b@c", "a b@c", "x" * 600, "sip:a@b:port"]
)
def test_what_is_no_sip_address_is_skipped_with_a_warning(written: str) -> None:
    document = parse(f"<Response><Sip>{written}</Sip></Response>".encode(), "text/xml", BASE)
    assert document.verbs == ()
    said = document.warnings[0].message
    assert "neither a host nor a SIP URI such as sip:desk@pbx.example.com" in said
