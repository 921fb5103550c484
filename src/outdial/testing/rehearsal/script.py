"""What the telephones of a test do: a script, written one step after the other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from outdial.calls.numbers import normalise
from outdial.errors import Refused
from outdial.frozen import frozen
from outdial.media.core import dtmf
from outdial.sim import steps as do
from outdial.testing.rehearsal.sounds import PLAY, SAY, TONE

if TYPE_CHECKING:
    from outdial.testing.rehearsal.heard import PhoneCall

PATIENCE_S = 60.0
"""How long a phone listens for what it is to hear."""
REACTION_S = 0.5
"""How long people take to press a key or to speak once they have heard what they waited for."""
REFUSALS = {486: "Busy Here", 603: "Decline", 404: "Not Found", 480: "Temporarily Unavailable"}


@frozen
class Hear:
    """Listens until it has heard something."""

    wanted: str | re.Pattern[str]
    kind: str
    """SAY: words; PLAY: a file's URL; TONE: a tone's name."""
    within_s: float
    interrupting: bool = False
    """Goes on when it begins, not when it has ended."""

    @property
    def what(self) -> str:
        """What it listens for, in words."""
        if isinstance(self.wanted, re.Pattern):
            return f"/{self.wanted.pattern}/"
        return {SAY: "", PLAY: "the file ", TONE: "the tone "}[self.kind] + repr(self.wanted)


@frozen
class Voice:
    """Speaks for so long, nobody understands what."""

    seconds: float


@frozen
class GoDead:
    """Sends no more audio, as a phone whose network is gone."""


Action = do.Step | Hear | Voice | GoDead


class Phone:
    """A telephone with a number. Its methods add to its script, and give the phone again::

        phone.answers().hears("Press 1").presses("1").hangs_up(after_s=3)

    After the last step it listens until the other side hangs up. Without any it answers after a
    second and listens. A phone that is called again does all of it again, or goes on with what
    follows `next_call`.
    """

    def __init__(self, number: str, name: str = "") -> None:
        """Raises ValueError for what is not a number."""
        try:
            self.number = normalise(number, "number")
        except Refused as refused:
            raise ValueError(refused.message) from None
        """Its digits, as E.164 without the plus."""
        self.name = name or self.number
        """What failures call it."""
        self.calls: list[PhoneCall] = []
        """What it went through, one for each call, in order."""
        self.texts: list[str] = []
        """The short messages it was sent."""
        self.scripts: list[list[Action]] = [[]]
        """Its steps, one list for each call."""

    def __repr__(self) -> str:
        return f"<Phone {self.name}>"

    # ------------------------------------------------------------------ what happened

    @property
    def heard(self) -> list[str]:
        """What it heard on its last call, in order: words, URLs of files, names of tones."""
        return self._last.heard if self.calls else []

    @property
    def digits(self) -> str:
        """The digits it heard on its last call."""
        return self._last.digits if self.calls else ""

    @property
    def _last(self) -> PhoneCall:
        return self.calls[-1]

    # ------------------------------------------------------------------ before the answer

    def rings(self, seconds: float) -> Phone:
        """Rings for so long; `answers`, or a refusal, follows."""
        return self._add(do.Ring(seconds))

    def answers(self, after_s: float = 1.0) -> Phone:
        """Rings, and answers after so long."""
        return self._add(do.Ring(after_s), do.Answer())

    def never_answers(self) -> Phone:
        """Rings until the other side gives up."""
        return self._add(do.Ring(None))

    def is_busy(self) -> Phone:
        """Is engaged: 486."""
        return self.refuses(486)

    def declines(self, after_s: float = 1.0) -> Phone:
        """Rings, and is declined by whoever holds it: 603."""
        return self._add(do.Ring(after_s)).refuses(603)

    def is_unknown(self) -> Phone:
        """There is no such number: 404."""
        return self.refuses(404)

    def refuses(self, status: int, reason: str = "") -> Phone:
        """Refuses the call with that SIP status, 300 to 699. Raises ValueError for others."""
        if not 300 <= status <= 699:
            raise ValueError(f"a call is refused with a SIP status of 300 to 699, not {status}")
        return self._add(do.Refuse(status, reason or REFUSALS.get(status, "Refused")))

    def sends_early_media(self, text: str) -> Phone:
        """Says something before it is answered, as networks do."""
        return self._add(do.EarlyMedia(), do.Say(text))

    # ------------------------------------------------------------------ what it hears

    def hears(
        self,
        text: str | re.Pattern[str],
        *,
        within_s: float = PATIENCE_S,
        interrupting: bool = False,
    ) -> Phone:
        """Listens until the words were said to it, by the application or another phone.

        Upper and lower case and white space do not matter; a compiled pattern is searched for. The
        sentence with the words is heard to its end, unless the phone is `interrupting` it.
        What was heard before the last `hears` does not count again.
        """
        return self._add(Hear(text, SAY, within_s, interrupting))

    def hears_file(
        self, url: str, *, within_s: float = PATIENCE_S, interrupting: bool = False
    ) -> Phone:
        """Listens until a sound file was played whose URL holds the text."""
        return self._add(Hear(url, PLAY, within_s, interrupting))

    def hears_tone(self, name: str, *, within_s: float = PATIENCE_S) -> Phone:
        """Listens until a tone begins: ringback, beep or hold; the beep is heard to its end."""
        return self._add(Hear(name, TONE, within_s, interrupting=name != "beep"))

    def waits(self, seconds: float) -> Phone:
        """Does nothing for so long, whatever it hears."""
        return self._add(do.Wait(seconds))

    # ------------------------------------------------------------------ what it does

    def presses(self, digits: str, *, after_s: float = REACTION_S) -> Phone:
        """Presses keys: 0-9, *, #, A-D; ``w`` waits half a second. Raises ValueError for others."""
        dtmf.steps(digits)
        return self._add(do.Wait(after_s), do.Press(digits))

    def says(
        self, text: str, *, voice: str = "man", language: str = "en", after_s: float = REACTION_S
    ) -> Phone:
        """Speaks; whom it is connected with hears the words."""
        return self._add(do.Wait(after_s), do.Say(text, voice, language))

    def speaks(self, seconds: float, *, after_s: float = REACTION_S) -> Phone:
        """Speaks for so long, nobody understands what: for recordings."""
        return self._add(do.Wait(after_s), Voice(seconds))

    def goes_dead(self) -> Phone:
        """Sends no more audio from now on, and does not hang up."""
        return self._add(GoDead())

    def hangs_up(self, *, after_s: float = 0.0) -> Phone:
        """Ends the call."""
        return self._add(do.Wait(after_s), do.HangUp())

    def next_call(self) -> Phone:
        """What follows is what it does when it is called once more."""
        self.scripts.append([])
        return self

    # ------------------------------------------------------------------ for the stage

    def script(self, number: int) -> list[Action]:
        """The steps of its call, counted from 0."""
        return self.scripts[min(number, len(self.scripts) - 1)]

    def _add(self, *actions: Action) -> Phone:
        self.scripts[-1].extend(actions)
        return self


def is_answering(action: Action) -> bool:
    """Whether a call is answered, or never will be, with it."""
    return isinstance(action, do.Answer | do.Refuse) or action == do.Ring(None)


def described(action: Action) -> str:
    """The step in words, for failures."""
    match action:
        case Hear():
            return f"hears {action.what}"
        case do.Press(digits):
            return f"presses {digits}"
        case do.Say(text):
            return f"says {text!r}"
        case Voice(seconds):
            return f"speaks for {seconds:g} s"
        case do.Ring(seconds):
            return "rings" if seconds is None else f"rings for {seconds:g} s"
        case do.Answer():
            return "answers"
        case do.Refuse(status, reason):
            return f"refuses with {status} {reason}"
        case do.Wait(seconds):
            return f"waits for {seconds:g} s"
        case do.HangUp():
            return "hangs up"
        case GoDead():
            return "goes dead"
        case _:
            return type(action).__name__


def must_be_done(action: Action) -> bool:
    """Whether a call that ends before it fails the test."""
    return isinstance(action, Hear | do.Press | do.Say | Voice)
