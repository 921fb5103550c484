"""What a row of the table of verbs says: an element, its attributes, its body."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from outdial.didml.values import Kind
from outdial.frozen import frozen

if TYPE_CHECKING:
    from outdial.didml.verbs import Built  # a verb's module holds its row


@frozen
class Attribute:
    """A row of a verb's attribute table."""

    name: str
    """Canonical spelling."""
    kind: Kind
    default: Any
    """The value without the attribute; the dataclass has the same."""
    meaning: str
    field: str
    """The dataclass's field."""
    aliases: tuple[str, ...] = ()
    """Other spellings, besides other case."""
    shown_default: str = ""
    """For the reference, where `default` does not speak for itself."""
    blank: Any = None
    """What an attribute without text means; None: the default."""

    @property
    def otherwise(self) -> str:
        """The default, for people."""
        if self.shown_default:
            return self.shown_default
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return "none" if self.default in ("", None) else str(self.default)

    @property
    def instead(self) -> str:
        """What is done when the value does not fit, for a warning."""
        if self.otherwise == "none":
            return "ignored"
        return "the default is used" if "`" in self.otherwise else f"{self.otherwise} is used"


@frozen
class Body:
    """The text inside a verb's element."""

    field: str
    kind: Kind
    meaning: str
    required: bool = True
    """A verb whose required body is missing is skipped with a warning."""
    unless: str = ""
    """A field that, when it is given, makes the body unnecessary."""
    remedy: str = ""
    """How to write it, for that warning."""


@frozen
class VerbRow:
    """A verb of the language."""

    name: str
    meaning: str
    build: Callable[..., Built] | None = None
    """Takes the fields by name, `line`, and `children` if there may be some.

    Unfit: the verb is skipped, or the one in `instead` taken, with a warning.
    """
    body: Body | None = None
    attributes: tuple[Attribute, ...] = ()
    children: frozenset[str] = frozenset()
    """Lower-case names of the elements that may stand in it."""
    top_level: bool = True
    """Whether it may stand in Response."""
    aliases: tuple[str, ...] = ()
    """Other names of the element."""
    example: str = ""
    """What stands in Response, for the reference."""
    notes: tuple[str, ...] = ()
    """What the reference says besides, a line each."""
