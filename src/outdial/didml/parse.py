"""From an application's answer to the verbs to run.

Strict XML first; when that fails, a lenient reading with a warning for every guess. What a verb's
row in `table.VERBS` does not allow is skipped or replaced by a default, with a warning. Parsing
never acts; no input makes it raise anything but DocumentError.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from difflib import get_close_matches
from functools import cache, lru_cache
from typing import Any

from outdial.didml import lenient, markup
from outdial.didml.encoding import decode
from outdial.didml.markup import Element
from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.table import BY_NAME
from outdial.didml.values import Unfit
from outdial.didml.verbs import Built, Conference, Hangup, Number, Play, Queue, Say, Sip, Verb
from outdial.didml.verbs.dial import dial_of
from outdial.errors import DocumentError
from outdial.frozen import frozen

MAX_BYTES = 65536
MAX_WARNINGS = 20
"""More are counted, not kept: the last one says how many."""
MAX_MESSAGE = 250
"""Characters of a warning."""
MAX_GUESSES = 10
"""Of them, those about what is not well-formed: they must not crowd out what was skipped."""

_XML_TYPES = frozenset({"text/xml", "application/xml", "text/html", "application/octet-stream", ""})
_NAMES = {name: row.name for name, row in BY_NAME.items() if name == row.name.lower()}
_EMPTY = "the document is empty; <Response/> would do"
# The same static document serves many calls; 128 documents of at most 4 KiB bound the memory.
_REMEMBERED = 128
_REMEMBERED_BYTES = 4096


@frozen
class DocumentWarning:
    """Something in a document that was guessed, replaced or skipped.

    `line` and `column` count from 1; 0 where the whole document is meant.
    """

    line: int
    column: int
    message: str


@frozen
class Document:
    """What a document asks for, in order."""

    verbs: tuple[Verb, ...]
    warnings: tuple[DocumentWarning, ...] = ()
    columns: tuple[int, ...] = field(default=(), compare=False)
    """Where each verb begins in its line, from 1; shorter where that is not known."""


def parse(body: bytes, content_type: str, base_url: str, max_bytes: int = MAX_BYTES) -> Document:
    """The document in an HTTP answer. Raises DocumentError when it cannot be run at all.

    `content_type` is the header as received, "" without one. XML types, HTML and octet streams
    are read as XML; text/plain is spoken and audio played from `base_url`, then the call ends.
    """
    if len(body) > max_bytes:
        raise DocumentError(
            f"the document has {len(body)} bytes, more than {max_bytes}; split it by Redirect"
        )
    if len(body) <= _REMEMBERED_BYTES:
        return _parse_remembered(body, content_type, base_url)
    return _parse(body, content_type, base_url)


def _parse(body: bytes, content_type: str, base_url: str) -> Document:
    media_type, charset = _split_content_type(content_type)
    if media_type.startswith("audio/"):
        return Document((Play(base_url), Hangup()))
    reading = _Reading(base_url)
    if media_type == "text/plain":
        text = decode(body, charset, reading.warn_whole)
        if not text.lstrip().lower().startswith(("<?xml", "<response")):
            return _spoken(text, reading)
        reading.warn_whole("the content type is text/plain, but this is XML")
        return reading.document(text)
    if media_type not in _XML_TYPES and not media_type.endswith("+xml"):
        raise DocumentError(
            f"the content type {media_type[:60]} is not a voice application's, such as text/xml"
        )
    return reading.document(decode(body, charset, reading.warn_whole))


_parse_remembered = lru_cache(maxsize=_REMEMBERED)(_parse)


def _split_content_type(content_type: str) -> tuple[str, str]:
    media_type, _, rest = content_type.partition(";")
    charset = ""
    for parameter in rest.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'")
    return media_type.strip().lower(), charset


def _spoken(text: str, reading: _Reading) -> Document:
    words = " ".join(text.split())
    if not words:
        raise DocumentError(_EMPTY)
    return Document((Say(words), Hangup()), tuple(reading.warnings))


class _Reading:
    """One document being read: its base URL and the warnings so far."""

    __slots__ = ("base_url", "unsaid", "warnings")

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.warnings: list[DocumentWarning] = []
        self.unsaid = 0

    def warn(self, line: int, column: int, message: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            if len(message) > MAX_MESSAGE:  # a name in it may be as long as the document
                message = message[: MAX_MESSAGE - 1] + "…"
            self.warnings.append(DocumentWarning(line, column, message))
        else:
            self.unsaid += 1

    def warn_whole(self, message: str) -> None:
        self.warn(0, 0, message)

    def warn_at(self, element: Element, message: str) -> None:
        self.warn(element.line, element.column, message)

    def _meant(self, name: str, known: Mapping[str, str]) -> str:
        """A guess at what was meant, for a warning that will be kept; `known` by lower case."""
        if len(self.warnings) >= MAX_WARNINGS:
            return ""
        close = get_close_matches(name[:40].lower(), known, 1, 0.65)
        return f"; did you mean {known[close[0]]}?" if close else ""

    # ------------------------------------------------------------------ the document

    def document(self, text: str) -> Document:
        root = self._root(text)
        if root.tag.lower() != "response":
            raise DocumentError(
                f"the root element is <{root.tag[:40]}>, not <Response>", root.line, root.column
            )
        if root.text:
            self.warn_at(root, "text outside of verbs is ignored")
        verbs: list[Verb] = []
        columns: list[int] = []
        for element in root.children:
            built = self._build(element, None)
            if isinstance(built, Number | Sip | Conference | Queue):
                built = dial_of((built,), line=built.line)
            if built is not None:
                verbs.append(built)
                columns.append(element.column)
        if self.unsaid:
            self.warnings.append(DocumentWarning(0, 0, f"{self.unsaid} more warnings"))
        return Document(tuple(verbs), tuple(self.warnings), tuple(columns))

    def _root(self, text: str) -> Element:
        if not text.strip():
            raise DocumentError(_EMPTY)
        try:
            return markup.read(text)
        except markup.NotWellFormed as error:
            self.warn(error.line, error.column, f"not well-formed XML: {error.problem}")
        return lenient.read(text, self._guessed)

    def _guessed(self, line: int, column: int, message: str) -> None:
        if len(self.warnings) < MAX_GUESSES:
            self.warn(line, column, message)
        else:
            self.unsaid += 1

    # ------------------------------------------------------------------ a verb

    def _build(self, element: Element, parent: str | None) -> Built | None:
        """The verb of an element, None when it is skipped. `parent` None: Response."""
        tag = element.tag.lower()
        row = BY_NAME.get(tag)
        if row is None:
            self.warn_at(
                element, f"<{element.tag[:40]}> is not a verb; skipped" + self._meant(tag, _NAMES)
            )
            return None
        allowed = row.top_level if parent is None else tag in BY_NAME[parent].children
        if not allowed:
            inside = "Response" if parent is None else BY_NAME[parent].name
            self.warn_at(element, f"{row.name} does not belong into {inside}; skipped")
            return None
        if row.build is None:
            self.warn_at(element, f"{row.name} is not supported by this version; skipped")
            return None
        fields = self._fields(element, row)
        children = self._children(element, row, tag)
        if not self._take_body(element, row, fields):
            return None
        if row.children:
            fields["children"] = children
        try:
            return row.build(**fields, line=element.line)
        except Unfit as unfit:
            built: Built | None = unfit.instead
            fate = "" if built is not None else " is skipped"
            self.warn_at(element, f"{row.name}{fate}: {unfit.problem}")
            return built

    def _children(self, element: Element, row: VerbRow, tag: str) -> tuple[Built, ...]:
        if not element.children:
            return ()
        built = (self._build(child, tag) for child in element.children)
        return tuple(verb for verb in built if verb is not None)

    def _fields(self, element: Element, row: VerbRow) -> dict[str, Any]:
        """The dataclass's fields that the element's attributes set."""
        fields: dict[str, Any] = {}
        given: set[str] = set()
        for name, text in element.attributes.items():
            attribute = row_attributes(row.name).get(name.lower())
            if attribute is None:
                if not name.lower().startswith("xml"):
                    known = row_attributes(row.name)
                    meant = self._meant(name, {a.name.lower(): a.name for a in known.values()})
                    self.warn_at(element, f"{row.name} has no attribute {name[:40]}{meant}")
                continue
            if attribute.name in given:
                self.warn_at(element, f"{attribute.name} is given twice; the first counts")
                continue
            given.add(attribute.name)
            value = self._value(element, row, attribute, text.strip())
            if value is not None:
                fields[attribute.field] = value
        return fields

    def _value(self, element: Element, row: VerbRow, attribute: Attribute, text: str) -> Any:
        """The attribute's value; None means the default."""
        if not text:
            return attribute.blank
        try:
            return attribute.kind.convert(text, self.base_url)
        except Unfit as unfit:
            fate = "" if unfit.instead is not None else f"; {attribute.instead}"
            self.warn_at(element, f"{attribute.name} of {row.name}: {unfit.problem}{fate}")
            return unfit.instead

    def _take_body(self, element: Element, row: VerbRow, fields: dict[str, Any]) -> bool:
        """Puts the body's value into the fields. False: the verb is to be skipped."""
        text = element.text
        body = row.body
        if body is None:
            if text:
                self.warn_at(element, f"the text in {row.name} is ignored")
            return True
        if text:
            try:
                fields[body.field] = body.kind.convert(text, self.base_url)
            except Unfit as unfit:
                if unfit.instead is not None:
                    fields[body.field] = unfit.instead
                self.warn_at(element, f"{row.name}: {unfit.problem}")
        if body.required and not {body.field, body.unless} & fields.keys():
            remedy = body.remedy and f": {body.remedy}"
            state = "unusable" if text else "empty"
            self.warn_at(element, f"{row.name} is {state}; skipped{remedy}")
            return False
        return True


@cache
def row_attributes(verb: str) -> dict[str, Attribute]:
    """A verb's attributes by every lower-case spelling; as many entries as there are verbs."""
    return {
        spelling.lower(): attribute
        for attribute in BY_NAME[verb.lower()].attributes
        for spelling in (attribute.name, *attribute.aliases)
    }
