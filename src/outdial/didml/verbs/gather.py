"""Gather: digits that the caller keys, or a word that they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.values import HINTS, INPUT, LANGUAGE, SPEECH_TIMEOUT, Unfit, choice, integer
from outdial.didml.verbs.attributes import action
from outdial.didml.verbs.pause import Pause
from outdial.didml.verbs.play import Play
from outdial.didml.verbs.say import Say
from outdial.frozen import frozen

_MANY = integer(1, 200)
SPEECH_TIMEOUT_MS = 1000


@frozen
class Gather:
    """Collects digits that the caller keys, or hears a word of theirs."""

    prompt: tuple[Say | Play | Pause, ...] = ()
    """Run at the beginning of every try, until the first key."""
    action: str = ""
    """Absolute URL that gets the digits and whose answer takes over; "" for none."""
    method: str = "POST"
    min_digits: int = 1
    num_digits: int = 20
    """The most; at least `min_digits`."""
    timeout_s: int = 4
    tries: int = 3
    finish_on_key: str = "#"
    """"" when no key ends the input."""
    audio_type: str = ""
    """Without effect."""
    input: tuple[str, ...] = ("dtmf",)
    """What is taken: dtmf, speech or both; speech only with `hints`."""
    hints: tuple[str, ...] = ()
    """What may be said."""
    language: str = ""
    """Of what is said; "" for the server's default."""
    speech_timeout_ms: int | None = None
    """Silence that ends what is said; None: as is usual."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        said = f"one of {len(self.hints)} hints" if "speech" in self.input else ""
        if "dtmf" not in self.input:
            return said
        most, least = self.num_digits, self.min_digits
        range_ = str(most) if least == most else f"{least} to {most}"
        keyed = f"{range_} digit{'s' * (most > 1)}"
        return f"{keyed}, or {said}" if said else keyed


def _gather(
    *, children: tuple[Say | Play | Pause, ...] = (), line: int = 0, **fields: Any
) -> Gather:
    gather = Gather(children, line=line, **fields)
    least, most = gather.min_digits, gather.num_digits
    gather = replace(gather, num_digits=max(least, most))
    if "speech" in gather.input and not gather.hints:
        problem = 'speech needs hints, what may be said, as in hints="yes, no"; keys are taken'
        raise Unfit(problem, replace(gather, input=("dtmf",)))
    if gather.hints and "speech" not in gather.input:
        raise Unfit('hints are without effect; write input="dtmf speech" with them', gather)
    if most < least and "num_digits" in fields:
        raise Unfit(f"numDigits {most} is under minDigits {least}, which counts", gather)
    return gather


ROW = VerbRow(
    "Gather",
    "Collects digits that the caller keys, or a word that they say: asks with the verbs inside "
    "and asks again when none came. Where this page is silent it does as FreeSWITCH's "
    "`play_and_get_digits`.",
    _gather,
    attributes=(
        *action(
            "Requested with `Digits`, the keys without the finish key, or with `SpeechResult` and "
            "`Confidence`; its answer takes over. Without it the input goes nowhere, and the next "
            "verb runs."
        ),
        Attribute("minDigits", _MANY, 1, "The fewest digits accepted.", "min_digits"),
        Attribute(
            "numDigits",
            _MANY,
            20,
            "The most: the input ends with this one. Fewer than `minDigits` means as many.",
            "num_digits",
        ),
        Attribute(
            "timeout",
            integer(1, 600, "seconds"),
            4,
            "How long to wait for the next key, from the end of the prompt or the key before, and "
            "for speech to begin.",
            "timeout_s",
        ),
        Attribute("tries", integer(1, 10), 3, "How often to ask.", "tries"),
        Attribute(
            "finishOnKey",
            choice(*"0123456789*#"),
            "#",
            "The key that ends the input; none when the value is empty.",
            "finish_on_key",
            blank="",
        ),
        Attribute(
            "audiotype",
            choice("tts"),
            "",
            "Known and without effect: a Say inside is spoken in any case.",
            "audio_type",
        ),
        Attribute(
            "input",
            INPUT,
            ("dtmf",),
            "What is taken, keys or speech or both, whichever comes first: an extension.",
            "input",
            shown_default="dtmf",
        ),
        Attribute(
            "hints",
            HINTS,
            (),
            "What may be said, needed for `speech`: an extension. One of them is recognised, or "
            "nothing.",
            "hints",
            shown_default="none",
        ),
        Attribute(
            "language",
            LANGUAGE,
            "",
            "The language of what is said: an extension.",
            "language",
            shown_default="`speech.default_language`: en",
        ),
        Attribute(
            "speechTimeout",
            SPEECH_TIMEOUT,
            None,
            "Silence that ends what is said: an extension.",
            "speech_timeout_ms",
            shown_default=f"auto: {SPEECH_TIMEOUT_MS // 1000}",
        ),
    ),
    children=frozenset({"say", "play", "pause"}),
    example=(
        '  <Gather action="choice.php" numDigits="1" timeout="5" tries="2">\n'
        "    <Say>For billing press one.</Say>\n"
        "    <Pause>700</Pause>\n"
        "    <Say>For anything else press two.</Say>\n"
        "  </Gather>\n"
        "  <Say>We did not hear a choice.</Say>\n"
    ),
    notes=(
        "The verbs inside run in order; the first key stops them. Keys that were pressed before, "
        "during an earlier verb or document, count: then nothing is asked at all.",
        "A try fails when the time is up, or the finish key comes, with fewer than `minDigits`. "
        "Its digits are forgotten, and the prompt is played again. When all tries have failed, "
        "`action` is not requested and the next verb runs.",
        "Enough digits and then nothing for `timeout`: they are taken.",
        "Keys are heard as telephone events (RFC 4733), as tones in the audio where the far end "
        "sends no events, and by SIP INFO; one that is told in two ways counts once.",
        "The digits are in the request to `action` and nowhere else: the timeline, the log and the "
        "SIP ladder say how many there were at most. With `method` GET they stand in the URL, "
        "which your web server's log may keep.",
        "Speech needs the optional package: `pip install 'outdial[recognition]'`. Where it is not "
        "installed, and in languages other than English, the timeline has a warning, and keys are "
        "taken instead, whatever `input` says. With `speech` alone keys wait for the next Gather.",
        "`SpeechResult` is one of the `hints`, as it is written there, and `Confidence` is a "
        "number from 0 to 1. Numbers among the hints may be said digit by digit, and up to 99 as "
        "a number. The first key or the first word stops the prompt. What is none of the hints, "
        "noise for example, fails the try: the prompt is played again, and `action` is never told "
        'what was not said. Choose hints that sound different, and give longer ones: "billing" '
        'is recognised more surely than "no". What was said is on no timeline, as digits are not.',
    ),
)
