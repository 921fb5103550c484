"""What can be asked of a call while it goes on. Pure.

A command is checked before it gets here, and may travel to another node as JSON: see `control`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar, Literal

from outdial.didml.shown import shown_url
from outdial.frozen import frozen

Action = Literal["start", "pause", "resume", "stop"]


@frozen
class HangUp:
    """End it: cancelled while it waits or rings, hung up after the answer."""

    kind: ClassVar[str] = "hang-up"

    def told(self) -> dict[str, Any]:
        """What the timeline says of it."""
        return {}


@frozen
class Redirect:
    """Another document takes over, at once."""

    kind: ClassVar[str] = "redirect"

    url: str = ""
    """Absolute; "": `document` is run."""
    method: str = "POST"
    fallback_url: str = ""
    """Asked when `url` fails; "": the one of the call's own request."""
    document: str = ""
    """didML that has been parsed without an error."""

    def told(self) -> dict[str, Any]:
        """What the timeline says of it."""
        if self.document:
            return {"bytes": len(self.document.encode())}
        return {"url": shown_url(self.url), "method": self.method}


@frozen
class SendDigits:
    """Digits to the far end, in the middle of whatever plays."""

    kind: ClassVar[str] = "digits"

    digits: str = field(repr=False)

    def told(self) -> dict[str, Any]:
        """What the timeline says of it: not which digits these are."""
        return {"count": sum(letter not in "wW" for letter in self.digits)}


@frozen
class Mute:
    """Whether what the far end says is neither heard by others nor recorded."""

    kind: ClassVar[str] = "mute"

    muted: bool

    def told(self) -> dict[str, Any]:
        """What the timeline says of it."""
        return {"muted": self.muted}


@frozen
class Record:
    """The recording of the whole call, from now on."""

    kind: ClassVar[str] = "recording"

    action: Action

    def told(self) -> dict[str, Any]:
        """What the timeline says of it."""
        return {"action": self.action}


Command = HangUp | Redirect | SendDigits | Mute | Record

_BY_KIND: dict[str, type[Command]] = {
    kind.kind: kind for kind in (HangUp, Redirect, SendDigits, Mute, Record)
}


def to_json(command: Command) -> dict[str, Any]:
    """What `from_json` needs besides the kind."""
    return {name: getattr(command, name) for name in command.__match_args__}


def from_json(kind: str, data: Mapping[str, Any]) -> Command:
    """The inverse; names that are not known are left out. Raises ValueError for what is no command
    of this version."""
    made_of = _BY_KIND.get(kind)
    if made_of is None:
        raise ValueError(f"there is no command {kind!r}")
    try:
        return made_of(**{name: data[name] for name in made_of.__match_args__ if name in data})
    except TypeError as error:
        raise ValueError(str(error)) from None
