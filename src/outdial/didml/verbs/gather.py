"""Gather: digits that the caller keys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.values import Unfit, choice, integer
from outdial.didml.verbs.attributes import action
from outdial.didml.verbs.pause import Pause
from outdial.didml.verbs.play import Play
from outdial.didml.verbs.say import Say

_MANY = integer(1, 200)


@dataclass(frozen=True, slots=True)
class Gather:
    """Collects digits that the caller keys."""

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
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        most, least = self.num_digits, self.min_digits
        range_ = str(most) if least == most else f"{least} to {most}"
        return f"{range_} digit{'s' * (most > 1)}"


def _gather(
    *, children: tuple[Say | Play | Pause, ...] = (), line: int = 0, **fields: Any
) -> Gather:
    gather = Gather(children, line=line, **fields)
    least, most = gather.min_digits, gather.num_digits
    if most >= least:
        return gather
    gather = replace(gather, num_digits=least)
    if "num_digits" in fields:
        raise Unfit(f"numDigits {most} is under minDigits {least}, which counts", gather)
    return gather


ROW = VerbRow(
    "Gather",
    "Collects digits that the caller keys: asks with the verbs inside, and asks again when too few "
    "came. Where this page is silent it does as FreeSWITCH's `play_and_get_digits`.",
    _gather,
    attributes=(
        *action(
            "Requested with `Digits`, the keys without the finish key; its answer takes over. "
            "Without it the digits go nowhere, and the next verb runs."
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
            "How long to wait for the next key, from the end of the prompt or the key before.",
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
        "Speech is not recognised: there is no `input`.",
    ),
)
