"""What a simulated phone can do, as data: a persona is a name and a list of these steps.

`phone.Phone` runs them. The same steps script the phones of `outdial.testing`::

    Persona("slow", "rings long, then answers", (Ring(40), Answer(), Say("Hello?"), Listen()))

A list that ends hangs the call up, or refuses it with 480 when it was never answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from outdial.frozen import frozen


@frozen
class Ring:
    """Rings (180) and waits; `seconds` None: until the caller gives up."""

    seconds: float | None = 1.0


@frozen
class EarlyMedia:
    """183 with a session description: what is said from here on is heard before the answer."""


@frozen
class Refuse:
    """A final response of 300 to 699; the call is over."""

    status: int
    reason: str = ""


@frozen
class Challenge:
    """407 unless the INVITE carries the right credentials (RFC 3261 section 22.3)."""

    username: str
    password: str


@frozen
class Answer:
    """200 with a session description; from here on the phone records what it hears."""


@frozen
class Wait:
    """Does nothing for so long; RTP goes on, as silence."""

    seconds: float


@frozen
class Say:
    """Speaks, and goes on when all has been said."""

    text: str
    voice: str = "man"
    language: str = "en"


@frozen
class Tone:
    """Sounds a tone (`legs.MediaLeg.tone` names them); `seconds` 0: one that ends by itself."""

    name: str
    seconds: float = 0.0


@frozen
class Press:
    """Presses keys: ``0-9*#A-D``, ``w`` waits 0.5 s, ``W`` 1 s."""

    digits: str


@frozen
class Listen:
    """Listens; `seconds` None: until the far end hangs up."""

    seconds: float | None = None


@frozen
class HangUp:
    """Ends the call."""


@frozen
class Menu:
    """Asks for digits and goes on by what was keyed.

    Digits keyed while it speaks interrupt it; digits keyed before it spoke count too. It asks
    again, `attempts` times in all, when nothing fitting was keyed, then goes on after the menu.
    """

    prompt: str
    choices: Mapping[str, tuple[Step, ...]] = field(hash=False)
    """Digits, all of one length, and what follows them."""
    wrong: str = ""
    """Said when other digits were keyed."""
    within_s: float = 5.0
    """How long it waits for the next digit."""
    attempts: int = 3
    voice: str = "woman"


Step = (
    Ring
    | EarlyMedia
    | Refuse
    | Challenge
    | Answer
    | Wait
    | Say
    | Tone
    | Press
    | Listen
    | HangUp
    | Menu
)


@frozen
class Persona:
    """How one phone behaves."""

    name: str
    summary: str
    """One line for `GET /sim/phones` and the documentation."""
    steps: tuple[Step, ...]
