"""The verbs of didML: what each is, and one table from which they are parsed and documented.

A verb that runs has a dataclass here, a row in `VERBS` and a module in `run`. A row without
`build` is a verb of the language that this version does not run: it is skipped with a warning
that says so. Names are matched without regard to case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from outdial.didml.shown import short, shown_url
from outdial.didml.values import (
    BOOLEAN,
    DIGITS,
    EVENTS,
    LANGUAGE,
    METHOD,
    PHONE,
    SIP,
    TEXT,
    URL,
    Kind,
    Unfit,
    choice,
    integer,
    seconds_as_ms,
)

_SHOWN_URL = 80


@dataclass(frozen=True, slots=True)
class Say:
    """Speaks a text."""

    text: str
    voice: str = ""
    """man, woman, or "" for the server's default."""
    language: str = ""
    """Lower-case language code, or "" for the server's default."""
    loop: int = 1
    """Times to say it; 0: until the call ends."""
    action: str = ""
    """Absolute URL notified afterwards; "" for none."""
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return short(self.text)


@dataclass(frozen=True, slots=True)
class Play:
    """Plays an audio file."""

    url: str
    loop: int = 1
    """Times to play it; 0: until the call ends."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return shown_url(self.url, _SHOWN_URL)


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits in silence."""

    duration_ms: int
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"{self.duration_ms} ms"


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
        return f"{least} digits" if least == most else f"{least} to {most} digits"


@dataclass(frozen=True, slots=True)
class Redirect:
    """Goes on with another document."""

    url: str
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"{self.method} {shown_url(self.url, _SHOWN_URL)}"


@dataclass(frozen=True, slots=True)
class Hangup:
    """Ends the call."""

    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return ""


@dataclass(frozen=True, slots=True)
class Number:
    """A phone number to ring."""

    number: str
    """As the document has it, white space collapsed."""
    send_digits: str = ""
    status_callback: str = ""
    status_callback_events: tuple[str, ...] = ("completed",)
    status_callback_method: str = "POST"
    caller_id: str = ""
    """"": the Dial's."""
    timeout_s: int | None = None
    """None: the Dial's."""
    time_limit_s: int | None = None
    """None: the Dial's."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline; without the digits sent, which may be a secret."""
        return self.number


@dataclass(frozen=True, slots=True)
class Sip:
    """A SIP address to ring."""

    uri: str
    """A SIP URI, or a bare host: the dialled number is then called at it."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return short(self.uri)


@dataclass(frozen=True, slots=True)
class Dial:
    """Rings other parties, all at once, and connects the first to answer."""

    targets: tuple[Number | Sip, ...]
    """At least one."""
    action: str = ""
    """Absolute URL whose answer takes over afterwards; "" for none."""
    method: str = "POST"
    caller_id: str = ""
    timeout_s: int = 30
    time_limit_s: int = 14400
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return short(", ".join(target.summary() for target in self.targets))


Verb = Say | Play | Pause | Gather | Redirect | Hangup | Dial
"""What the interpreter runs."""

Built = Verb | Number | Sip
"""What a row builds."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """A row of a verb's attribute table."""

    name: str
    """Canonical spelling."""
    kind: Kind
    default: Any
    """The value without the attribute; the dataclass has the same."""
    meaning: str
    field: str | None
    """The dataclass's field; None: this version ignores the attribute, with a warning."""
    aliases: tuple[str, ...] = ()
    """Other spellings, besides other case."""
    shown_default: str = ""
    """For the reference, where `default` does not speak for itself."""
    blank: Any = None
    """What an attribute without text means; None: the default."""


@dataclass(frozen=True, slots=True)
class Body:
    """The text inside a verb's element."""

    field: str
    kind: Kind
    meaning: str
    required: bool = True
    """A verb whose required body is missing is skipped with a warning."""
    remedy: str = ""
    """How to write it, for that warning."""


@dataclass(frozen=True, slots=True)
class VerbRow:
    """A verb of the language."""

    name: str
    meaning: str
    build: Callable[..., Built] | None = None
    """Takes the fields by name, `line`, and `children` if there may be some; Unfit: skip it."""
    body: Body | None = None
    attributes: tuple[Attribute, ...] = ()
    children: frozenset[str] = frozenset()
    """Lower-case names of the elements that may stand in it."""
    top_level: bool = True
    """Whether it may stand in Response."""
    aliases: tuple[str, ...] = ()
    """Other names of the element."""
    notes: tuple[str, ...] = ()
    """What the reference says besides, a line each."""


def _dial(
    *, number: str = "", children: tuple[Number | Sip, ...] = (), line: int = 0, **fields: Any
) -> Dial:
    targets = (Number(number, line=line), *children) if number else children
    if not targets:
        raise Unfit("it names nobody to dial")
    return Dial(targets, line=line, **fields)


def _gather(
    *, children: tuple[Say | Play | Pause, ...] = (), line: int = 0, **fields: Any
) -> Gather:
    gather = Gather(children, line=line, **fields)
    return replace(gather, num_digits=max(gather.num_digits, gather.min_digits))


_LOOP = integer(0, 1000)
_RINGING_S = integer(1, 600, "seconds")
_TALKING_S = integer(1, 86400, "seconds")
_PAUSE_LONGEST_S = 3600
_MANY = integer(1, 200)


def _action(meaning: str) -> tuple[Attribute, Attribute]:
    return (
        Attribute("action", URL, "", meaning, "action"),
        Attribute("method", METHOD, "POST", "Method of the request to `action`.", "method"),
    )


_RECORD = Attribute("record", BOOLEAN, False, "Record the conversation.", None)

_SAY = VerbRow(
    "Say",
    "Speaks the text.",
    Say,
    Body("text", TEXT, "What to say."),
    (
        Attribute(
            "voice",
            choice("man", "woman", women="woman"),
            "",
            "Whose voice speaks.",
            "voice",
            shown_default="`speech.default_voice`: woman",
        ),
        Attribute(
            "language",
            LANGUAGE,
            "",
            "The language of the text.",
            "language",
            shown_default="`speech.default_language`: en",
        ),
        Attribute("loop", _LOOP, 1, "How often to say it; 0: until the call ends.", "loop"),
        *_action("Notified after the text was spoken; its answer is thrown away."),
    ),
)

_PLAY = VerbRow(
    "Play",
    "Plays an audio file. A file that cannot be had or decoded is skipped with a note.",
    Play,
    Body("url", URL, "Where the WAV or MP3 file is."),
    (Attribute("loop", _LOOP, 1, "How often to play it; 0: until the call ends.", "loop"),),
)

_PAUSE = VerbRow(
    "Pause",
    "Waits in silence. The body is in milliseconds, unlike in other markups.",
    Pause,
    Body(
        "duration_ms",
        integer(1, _PAUSE_LONGEST_S * 1000, "milliseconds"),
        "How long. Needed unless `length` is given, over which it wins.",
        remedy='for one second write <Pause>1000</Pause> (milliseconds) or <Pause length="1"/>',
    ),
    (
        Attribute(
            "length",
            seconds_as_ms(_PAUSE_LONGEST_S),
            None,
            "How long, in seconds: an extension.",
            "duration_ms",
            shown_default="none",
        ),
    ),
)

_GATHER = VerbRow(
    "Gather",
    "Collects digits that the caller keys: asks with the verbs inside, and asks again when too few "
    "came. Where this page is silent it does as FreeSWITCH's `play_and_get_digits`.",
    _gather,
    attributes=(
        *_action(
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

_REDIRECT = VerbRow(
    "Redirect",
    "Drops what is left of the document and goes on with another one.",
    Redirect,
    Body("url", URL, "The other document."),
    (Attribute("method", METHOD, "POST", "Method of the request.", "method"),),
)

_HANGUP = VerbRow("Hangup", "Ends the call.", Hangup)

_DIAL = VerbRow(
    "Dial",
    "Rings the number in its body and every Number and Sip inside, all at once; the first to "
    "answer is connected, the others are dropped.",
    _dial,
    Body("number", PHONE, "A number to ring.", required=False),
    (
        *_action(
            "Requested afterwards with `DialCallStatus` (completed, busy, no-answer, failed, "
            "canceled), `DialCallSid` and `DialCallDuration`; its answer takes over. Without it "
            "the next verb runs."
        ),
        Attribute("timeout", _RINGING_S, 30, "How long to ring.", "timeout_s"),
        Attribute("timelimit", _TALKING_S, 14400, "The longest conversation.", "time_limit_s"),
        Attribute(
            "callerid",
            PHONE,
            "",
            "Caller ID shown to those who are rung.",
            "caller_id",
            shown_default="the call's own",
        ),
        _RECORD,
    ),
    children=frozenset({"number", "sip", "queue", "enqueue", "conference"}),
    aliases=("Forward",),
)

_NUMBER = VerbRow(
    "Number",
    "A number to ring, with settings of its own. Outside Dial it means a Dial of this number.",
    Number,
    Body("number", PHONE, "The number."),
    (
        Attribute("url", URL, "", "didML run for the called party before it is connected.", None),
        Attribute("method", METHOD, "POST", "Method of the request to `url`.", None),
        Attribute("sendDigits", DIGITS, "", "DTMF sent after the answer.", "send_digits"),
        Attribute("statusCallback", URL, "", "Receives the events of this leg.", "status_callback"),
        Attribute(
            "statusCallbackEvent",
            EVENTS,
            ("completed",),
            "Which events, separated by commas or spaces.",
            "status_callback_events",
            aliases=("statusCallbackEvents",),
            shown_default="completed",
        ),
        Attribute(
            "statusCallbackMethod",
            METHOD,
            "POST",
            "Method of the requests to `statusCallback`.",
            "status_callback_method",
        ),
        Attribute(
            "maxlength",
            _TALKING_S,
            None,
            "The longest conversation.",
            "time_limit_s",
            aliases=("timelimit",),
            shown_default="the Dial's",
        ),
        Attribute(
            "callerid",
            PHONE,
            "",
            "Caller ID shown to this number.",
            "caller_id",
            shown_default="the Dial's",
        ),
        Attribute(
            "timeout",
            _RINGING_S,
            None,
            "How long to ring.",
            "timeout_s",
            aliases=("timout",),
            shown_default="the Dial's",
        ),
        _RECORD,
    ),
)

_SIP_ROW = VerbRow(
    "Sip",
    "A SIP address to ring. Outside Dial it means a Dial of this address.",
    Sip,
    Body("uri", SIP, "A SIP URI, or a host at which the dialled number is called."),
)

VERBS: tuple[VerbRow, ...] = (
    _SAY,
    _PLAY,
    _PAUSE,
    _GATHER,
    _REDIRECT,
    _HANGUP,
    _DIAL,
    _NUMBER,
    _SIP_ROW,
    VerbRow("Record", "Records a message."),
    VerbRow("Queue", "Connects to the caller who has waited longest.", top_level=False),
    VerbRow("EnQueue", "Puts the caller into a queue."),
    VerbRow("Conference", "Puts the caller into a conference."),
    VerbRow("Reject", "Refuses the call."),
    VerbRow("Recording", "Records the whole call."),
    VerbRow("Postcall", "Names a URL told everything after the call."),
    VerbRow("Fax", "Receives a fax."),
    VerbRow("Sms", "Sends a text message."),
)

BY_NAME: dict[str, VerbRow] = {
    name.lower(): row for row in VERBS for name in (row.name, *row.aliases)
}
"""Rows by lower-case element name."""
