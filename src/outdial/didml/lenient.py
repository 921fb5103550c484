"""Reads what is meant to be XML but is not: the vendor's own samples, and what PHP programs print.

Takes values without quotation marks (or with typographic ones), bare ampersands, tags whose ends
differ in case or are missing, text before the root, HTML's named characters. Every guess is
reported. On well-formed input it gives what `markup.read` gives.

The text is read twice: the first time tells which elements are never closed, and the second closes
such a verb where one begins that cannot be inside it, rather than let it swallow the rest. Linear
in the length of the text: patterns are possessive and no character is looked at by more than a few
of them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Set
from html.entities import name2codepoint

from outdial.didml.markup import NO_DOCTYPE, NO_INSTRUCTION, Element, Tree
from outdial.didml.table import BY_NAME
from outdial.errors import DocumentError

Report = Callable[[int, int, str], None]
"""``(line, column, message)``"""
Place = tuple[int, int]
"""Line and column of an element; no two are at one place."""

MAX_GUESSES = 500
"""Text that needs more is not meant to be XML, and reading on only costs time."""

_ROOT = re.compile(r"<Response(?=[\s/>])", re.IGNORECASE)
_INSTRUCTION = re.compile(r"<\?(?!xml[\s?])", re.IGNORECASE)
_DECLARATION = re.compile(r"<!\s*+(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z_][\w.:-]*+)")
_ATTRIBUTE = re.compile(
    r"""\s*+([^\s=/>"'<]++)(?:\s*+=\s*+(?:"([^"<]*+)"|'([^'<]*+)'|[“”„]([^“”<>"]*+)[“”]"""
    r"""|([^\s"'<>]++)|["']([^\s"'<>]*+)))?"""
)
_TAG_END = re.compile(r"\s*+(/?+)\s*+>")
_TAG_REST = re.compile(r"(?:[^<>/]|/(?!>))*+(/?+)>?+")
_REFERENCE = re.compile(
    r"&(?:#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{1,30}));|&"
)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_XML_NAMES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class _Reading:
    """One text being read. `unclosed` are the places of elements known to be never closed."""

    __slots__ = ("_guesses", "_lines", "_report", "_unclosed", "at", "text", "tree", "unclosed")

    def __init__(self, text: str, report: Report, unclosed: Set[Place] = frozenset()) -> None:
        self.text = text
        self.at = 0
        self.tree = Tree()
        self.unclosed: set[Place] = set()
        """Places of the elements found to be never closed."""
        self._unclosed = unclosed
        self._report = report
        self._guesses = 0
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset."""
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def warn(self, offset: int, message: str) -> None:
        line, column = self.place(offset)
        self._guesses += 1
        if self._guesses > MAX_GUESSES:
            raise DocumentError(f"over {MAX_GUESSES} faults: not XML at all", line, column)
        self._report(line, column, message)

    def warn_unclosed(self, element: Element, more: str = "") -> None:
        self.unclosed.add((element.line, element.column))
        self._report(element.line, element.column, f"<{element.tag}> is never closed{more}")

    def refuse(self, offset: int, message: str) -> DocumentError:
        return DocumentError(message, *self.place(offset))

    # ------------------------------------------------------------------ text and references

    def plain(self, raw: str, offset: int) -> str:
        """The raw text with its references resolved and impossible characters made blanks."""
        if "&" in raw:
            raw = _REFERENCE.sub(lambda match: self._resolve(match, offset), raw)
        return _NOT_XML.sub(" ", raw)

    def _resolve(self, match: re.Match[str], offset: int) -> str:
        decimal, hexadecimal, name = match.groups()
        if name in _XML_NAMES:
            return _XML_NAMES[name]
        if decimal or hexadecimal:
            code = int(decimal) if decimal else int(hexadecimal, 16)
            return chr(code) if code <= 0x10FFFF else " "
        if name in name2codepoint:
            self.warn(offset + match.start(), f"&{name}; is HTML's, not XML's")
            return chr(name2codepoint[name])
        self.warn(offset + match.start(), "an & should be written &amp;")
        return match.group()

    def take_text(self, end: int) -> None:
        if end > self.at:
            self.tree.add_text(self.plain(self.text[self.at : end], self.at))
        self.at = end

    # ------------------------------------------------------------------ markup

    def run(self) -> Element:
        self._skip_to_root()
        while self.at < len(self.text):
            opening = self.text.find("<", self.at)
            self.take_text(opening if opening >= 0 else len(self.text))
            if opening >= 0:
                self._take_markup()
            if not self.tree.open:
                break
        for element in reversed(self.tree.open):
            self.warn_unclosed(element)
        if self.text[self.at :].strip():
            self.warn(self.at, "what follows the end of the document is ignored")
        if self.tree.root is None:
            raise self.refuse(0, "there is no <Response> element")
        return self.tree.root

    def _skip_to_root(self) -> None:
        root = _ROOT.search(self.text)
        before = self.text[: root.start()] if root else self.text
        for pattern, problem in ((_DECLARATION, NO_DOCTYPE), (_INSTRUCTION, NO_INSTRUCTION)):
            found = pattern.search(before)
            if found:
                raise self.refuse(found.start(), problem)
        if root is None:
            raise self.refuse(0, "there is no <Response> element")
        self.at = root.start()
        prolog = before.partition("?>")[2] if before.startswith("<?xml") else before
        if prolog.strip():
            self.warn(0, "what stands before <Response> is ignored")

    def _take_markup(self) -> None:
        start = self.at
        if self.text.startswith("<!--", start):
            self._skip_past("-->", start + 4)
        elif self.text.startswith("<![CDATA[", start):
            end = self._skip_past("]]>", start + 9)
            self.tree.add_text(_NOT_XML.sub(" ", self.text[start + 9 : end]))
        elif self.text.startswith("<?", start):
            raise self.refuse(start, NO_INSTRUCTION)
        elif _DECLARATION.match(self.text, start):
            raise self.refuse(start, NO_DOCTYPE)
        elif tag := _TAG.match(self.text, start):
            self._take_tag(tag)
        else:
            self.warn(start, "a < should be written &lt;")
            self.tree.add_text("<")
            self.at = start + 1

    def _skip_past(self, closing: str, search_from: int) -> int:
        """Moves past the closing mark; gives where it starts, or the end of the text."""
        end = self.text.find(closing, search_from)
        if end < 0:
            self.warn(self.at, f"no {closing} follows")
            end = self.at = len(self.text)
        else:
            self.at = end + len(closing)
        return end

    def _take_tag(self, tag: re.Match[str]) -> None:
        closing, name = tag.groups()
        self.at = tag.end()
        attributes = self._take_attributes(name, tag.start())
        end = _TAG_END.match(self.text, self.at)
        if end:
            self.at = end.end()
        else:
            self.warn(tag.start(), f"the tag <{closing}{name} is not well-formed")
            end = _TAG_REST.match(self.text, self.at)
            self.at = end.end() if end else self.at
            if self.at >= len(self.text):
                return
        if closing:
            self._close(name, tag.start())
            return
        self._end_swallowing(name)
        self.tree.start(Element(name, attributes, *self.place(tag.start())))
        if end and end.group(1):
            self.tree.end()

    def _end_swallowing(self, name: str) -> None:
        """Ends the verbs never closed that cannot hold the one that begins."""
        if name.lower() not in BY_NAME:
            return
        while (at := self._swallowing(name.lower())) is not None:
            for element in reversed(self.tree.open[at:]):
                self.warn_unclosed(element, f"; it ends where <{name}> begins")
                self.tree.end()

    def _swallowing(self, verb: str) -> int | None:
        """The innermost open verb's place among the open ones, if it is to be ended."""
        for at in range(len(self.tree.open) - 1, -1, -1):
            element = self.tree.open[at]
            row = BY_NAME.get(element.tag.lower())
            if row is not None:
                swallows = (element.line, element.column) in self._unclosed
                return at if swallows and verb not in row.children else None
        return None

    def _take_attributes(self, tag: str, tag_at: int) -> dict[str, str]:
        attributes: dict[str, str] = {}
        while match := _ATTRIBUTE.match(self.text, self.at):
            name, double, single, curly, bare, unended = match.groups()
            self.at = match.end()
            value = next((v for v in (double, single) if v is not None), None)
            if value is None:
                value = next((v for v in (curly, bare, unended) if v is not None), "")
                self.warn(tag_at, f"the value of {name} in <{tag}> should stand in quotation marks")
            if bare is not None and value.endswith("/") and self.text.startswith(">", self.at):
                value, self.at = value[:-1], self.at - 1
            if name in attributes:
                self.warn(tag_at, f"{name} is given twice in <{tag}>; the first counts")
            else:
                attributes[name] = self.plain(value, tag_at)
        return attributes

    def _close(self, name: str, offset: int) -> None:
        folded = name.lower()
        if not any(element.tag.lower() == folded for element in self.tree.open):
            self.warn(offset, f"</{name}> closes nothing")
            return
        while True:
            element = self.tree.open[-1]
            self.tree.end()
            if element.tag.lower() == folded:
                break
            self.warn_unclosed(element)
        if element.tag != name:
            self.warn(offset, f"</{name}> should be </{element.tag}>")


def read(text: str, report: Report) -> Element:
    """The <Response> element of something like XML; every guess goes to `report`.

    Raises DocumentError for what is never allowed, and when there is no Response.
    """
    first = _Reading(text, _ignore)
    first.run()
    return _Reading(text, report, first.unclosed).run()


def _ignore(line: int, column: int, message: str) -> None:
    """The second reading reports."""
