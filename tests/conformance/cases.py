"""From a row of a verb's attribute table to the calls that show it.

A `Row` says how an attribute is tried; its cases are made from it and from the table itself: the
default, every right value, every spelling of the name, the name in another case, every bad value,
which must be as the default and leave a warning. `Element` does the same for the element: its body,
its other names, an attribute that it does not have.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape

from conformance.board import CALLED_BY, Board
from conformance.talk import Act, Check, Line, Talk
from outdial.didml.rows import Attribute
from outdial.didml.table import BY_NAME

HERE = "$attributes"
"""In a document: where the attribute stands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """A value, and what is seen with it. What is empty is as the row says."""

    sees: Check
    act: Act | None = None
    phone: str = ""
    other: str = ""
    warns: tuple[str, ...] = ()
    """Warnings that there are as well, each by a part of it."""
    status: str = ""
    """The SIP status with which a call to us is refused."""
    takes_s: float = 3.0
    """Roughly; those that take long begin first."""
    turns: threading.Semaphore | None = None
    """Held while it is played: so many of its kind at a time, as each needs much of the CPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """How an attribute is tried. A `Check` stands for a `Try` of nothing else."""

    verb: str
    attribute: str
    """As the table has it."""
    document: str
    """What stands in Response; `HERE` is where the attribute goes."""
    default: Check | Try
    """Without it, and with a bad value."""
    right: Mapping[str, Check | Try]
    bad: tuple[str, ...] = ()
    clamped: Mapping[str, Check | Try] = field(default_factory=dict)
    """Values that are moved to the nearest right one, with a warning."""
    blank: Check | Try | None = None
    """With an empty value, where that is not the default."""
    act: Act | None = None
    phone: str = "answers"
    other: str = ""
    pages: Mapping[str, str] = field(default_factory=dict)
    """Documents that the application has besides, by their names below ``$at``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Element:
    """How the element itself is tried."""

    verb: str
    document: str
    """With the verb as it should be; `HERE` in its first tag."""
    sees: Check | Try
    bodies: Mapping[str, Check | Try] = field(default_factory=dict)
    """Documents with other bodies that are right, and what is seen of each."""
    wrong: Mapping[str, tuple[str, Check | Try]] = field(default_factory=dict)
    """Documents with a body that is missing or wrong: part of the warning, and what is seen."""
    inbound: Check | Try | None = None
    """What is seen when it is the document of a number that is called, if it is not `sees`."""
    only_outbound: bool = False
    act: Act | None = None
    phone: str = "answers"
    other: str = ""
    pages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One call, and what must be seen of it."""

    name: str
    document: str
    tried: Try
    origin: Row | Element
    warns: tuple[str, ...] = ()
    """A part of each warning that there must be of the verb, besides those of `tried`."""
    before: str = ""
    """What stands in the document before the verb."""
    inbound: bool = False
    """Whether it is a call to a number of ours."""

    @property
    def takes_s(self) -> float:
        """Roughly."""
        return self.tried.takes_s

    def run(self, board: Board) -> None:
        """Places the call, plays the person on it, and looks at what was seen."""
        with self.tried.turns or contextlib.nullcontext(), contextlib.ExitStack() as stack:
            talk = self._begun(board, stack)
            act = self.tried.act or self.origin.act
            if act is not None:
                act(talk)
            for each in (talk, *talk.guests):
                each.wait_until_over()
            self._check_warnings(talk)
            self.tried.sees(talk)

    def _begun(self, board: Board, stack: contextlib.ExitStack) -> Talk:
        """The call, up or on its way."""
        tried, origin = self.tried, self.origin
        kinds = (tried.other or origin.other).split()
        others = {
            name: board.telephone(kind, stack)
            for name, kind in zip(("other", "third"), kinds, strict=False)
        }
        if self.inbound:
            number, name, mail = board.number_of_ours()
            phone, line = board.caller(stack), Line(number, CALLED_BY, "Ann", "inbound", "carrier")
        else:
            name, mail = board.mailbox()
            phone = board.telephone(tried.phone or origin.phone, stack)
            line = Line(phone.number)
        talk = Talk(board, stack, name, mail, phone, line, others)
        for page, inside in origin.pages.items():
            board.serve(f"/{name}/{page}", response(talk.filled(inside)))
        document = response(talk.filled(self.document))
        if not self.inbound:
            talk.place(document)
        elif tried.status:
            talk.is_called(document, "caller-refused", status=tried.status)
        else:
            talk.is_called(document, "caller-hung-up-on")
        return talk

    def _check_warnings(self, talk: Talk) -> None:
        talk.check_lint(response(talk.filled(self.document)).encode())
        expected = (*self.tried.warns, *self.warns)
        warned = talk.warnings()
        told = [warning.message for warning in warned]
        assert len(told) == len(expected), told
        for part in expected:
            assert any(part in message for message in told), (part, told)
        column = 3 + len(talk.filled(self.before))  # the verbs stand in the second line
        for warning in warned:
            if any(part in warning.message for part in self.warns):
                assert (warning.line, warning.column) == (2, column), warning


# ---------------------------------------------------------------------------- making them


def cases_of(row: Row) -> Iterator[Case]:
    """The cases of an attribute."""
    attribute = attribute_of(row)
    default = _try(row.default)
    (first, first_try), *_ = row.right.items()
    yield _with(row, "default", "", default)
    for value, tried in row.right.items():
        yield _with(row, f"{attribute.name}={value}", _written(attribute.name, value), _try(tried))
    for name in (*attribute.aliases, attribute.name.swapcase()):
        yield _with(row, f"{name}={first}", _written(name, first), _try(first_try))
    if row.blank is not None:
        yield _with(row, "blank", _written(attribute.name, ""), _try(row.blank))
    warns = (f"{attribute.name} of {row.verb}: ",)
    for value in row.bad:
        yield _with(row, f"bad={value}", _written(attribute.name, value), default, warns)
    for value, tried in row.clamped.items():
        text = _written(attribute.name, value)
        yield _with(row, f"clamped={value}", text, _try(tried), warns)


def element_cases(element: Element) -> Iterator[Case]:
    """The cases of a verb's element."""
    row, plain = BY_NAME[element.verb.lower()], _try(element.sees)
    document = element.document.replace(HERE, "")

    def case(name: str, document: str, tried: Try, *warns: str) -> Case:
        before = re.split(f"<{row.name}", document, maxsplit=1, flags=re.IGNORECASE)[0]
        return Case(f"{row.name}-{name}", document, tried, element, warns, before)

    yield case("plain", document, plain)
    if not element.only_outbound:
        inbound = plain if element.inbound is None else _try(element.inbound)
        yield replace(case("inbound", document, inbound), inbound=True)
    yield case("any-case", _renamed(document, row.name, row.name.swapcase()), plain)
    for alias in row.aliases:
        yield case(alias, _renamed(document, row.name, alias), plain)
    unknown = element.document.replace(HERE, 'colour="red"')
    yield case("unknown-attribute", unknown, plain, f"{row.name} has no attribute colour")
    for text, tried in element.bodies.items():
        yield case(f"body={text}", text, _try(tried))
    for text, (warning, wrong) in element.wrong.items():
        yield case(f"wrong={text}", text, _try(wrong), warning)


def attribute_of(row: Row) -> Attribute:
    """Its row in the table. Raises KeyError when there is none."""
    for attribute in BY_NAME[row.verb.lower()].attributes:
        if attribute.name == row.attribute:
            return attribute
    raise KeyError(f"the table has no {row.attribute} of {row.verb}")


def response(inside: str) -> str:
    """A document; what is inside begins in line 2, column 3."""
    return f"<Response>\n  {inside}\n</Response>\n"


def _with(row: Row, name: str, written: str, tried: Try, warns: tuple[str, ...] = ()) -> Case:
    before = row.document.partition(HERE)[0]
    return Case(
        f"{row.verb}-{row.attribute}-{name}",
        row.document.replace(HERE, written),
        tried,
        row,
        warns,
        before[: before.rindex("<")],
        inbound=bool(tried.status),
    )


def _written(name: str, value: str) -> str:
    return f'{name}="{escape(value)}"'


def _renamed(document: str, name: str, other: str) -> str:
    return re.sub(rf"(</?){name}(?=[ />])", rf"\g<1>{other}", document)


def _try(tried: Check | Try) -> Try:
    return tried if isinstance(tried, Try) else Try(sees=tried)
