"""The language as one table, from which documents are parsed and the reference is written.

A row without `build` is a verb of the language that this version does not run: it is skipped with
a warning that says so. Names are matched without regard to case.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.rows_of_rooms import CONFERENCE, ENQUEUE, QUEUE
from outdial.didml.values import (
    BOOLEAN,
    DIGITS,
    EVENTS,
    KEYS,
    LANGUAGE,
    METHOD,
    PHONE,
    SIP,
    TEXT,
    URL,
    Unfit,
    choice,
    integer,
    seconds_as_ms,
    text_to,
)
from outdial.didml.verbs import (
    Conference,
    Dial,
    Enqueue,
    Gather,
    Hangup,
    Number,
    Pause,
    Play,
    Postcall,
    Queue,
    Record,
    Recording,
    Redirect,
    Reject,
    Say,
    Sip,
)

MOST_TARGETS = 10
"""Whom one Dial rings: more is a slip, or a way to make one call cost a hundred."""


def _dial(
    *,
    number: str = "",
    children: tuple[Number | Sip | Conference | Queue | Enqueue, ...] = (),
    line: int = 0,
    **fields: Any,
) -> Dial | Enqueue:
    called = (Number(number, line=line), *children) if number else children
    if not called:
        raise Unfit("it names nobody to dial")
    for target in called:
        if isinstance(target, Conference | Queue | Enqueue):
            alone = target if isinstance(target, Enqueue) else Dial((target,), line=line, **fields)
            if len(called) == 1:
                return alone
            name = type(target).__name__
            raise Unfit(f"{name} stands in it alone; the others are left out", alone)
    targets = tuple(target for target in called if isinstance(target, Number | Sip))
    dial = Dial(targets[:MOST_TARGETS], line=line, **fields)
    if len(targets) > MOST_TARGETS:
        left_out = len(targets) - MOST_TARGETS
        raise Unfit(f"{MOST_TARGETS} are rung at most; {left_out} are left out", dial)
    return dial


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
    Body("url", URL, "Where the WAV or MP3 file is. Not needed with `digits`.", unless="digits"),
    (
        Attribute("loop", _LOOP, 1, "How often to play it; 0: until the call ends.", "loop"),
        Attribute(
            "digits",
            DIGITS,
            "",
            "DTMF to send, once, before the file: an extension. The timeline says how many digits "
            "there are, not which.",
            "digits",
        ),
    ),
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

_RECORD = VerbRow(
    "Record",
    "Records a message of the caller: after a beep, until a key, silence, the longest time or the "
    "end of the call.",
    Record,
    attributes=(
        *_action(
            "Told of the message, as below; its answer takes over. Without it the message is kept "
            "all the same, and the next verb runs."
        ),
        Attribute(
            "fileID",
            text_to(255),
            "",
            "Given back to `action` as it is. Recordings are named by Outdial's own ids alone.",
            "file_id",
        ),
        Attribute(
            "maxlength", integer(1, 3600, "seconds"), 180, "The longest message.", "max_length_s"
        ),
        Attribute(
            "confirmrecording",
            BOOLEAN,
            False,
            "Afterwards the caller is asked: 1 keeps the message, 2 plays it, 3 records it again.",
            "confirm",
        ),
        Attribute(
            "beep",
            BOOLEAN,
            True,
            "A beep before it: an extension.",
            "beep",
            aliases=("playBeep",),
        ),
        Attribute(
            "timeout",
            integer(1, 600, "seconds"),
            5,
            "Silence that ends the message, at its beginning too: an extension.",
            "timeout_s",
        ),
        Attribute(
            "finishOnKey",
            KEYS,
            "0123456789*#",
            "The keys that end the message, none when the value is empty: an extension.",
            "finish_on_key",
            blank="",
            shown_default="any key",
        ),
    ),
    example=(
        "  <Say>Please leave a message after the beep.</Say>\n"
        '  <Record action="saved.php" maxlength="60" confirmrecording="1"/>\n'
        "  <Say>Nothing was said. Goodbye.</Say>\n"
    ),
    notes=(
        "`action` gets `RecordingUrl`, `callid`, `dialednumber`, `callerid` and `callername` "
        "besides the six standard parameters, and `RecordingDuration` in seconds; `fileID` if "
        "there is one.",
        "A message in which nothing was said is thrown away: `action` is not requested and the "
        "next verb runs.",
        "When the caller hangs up, the message is kept and `action` is notified; its answer is "
        "thrown away.",
        "Who does not answer the question of `confirmrecording` three times keeps the message, "
        "and so does who hangs up then. It is asked in English; ask in other words with a Gather "
        "in the answer of `action`.",
        "The file is WAV, 8 kHz, one channel: the caller. It is there before `action` is "
        "requested, and needs an API key. The leg's `completed` callback names the last message, "
        "unless the whole call was recorded.",
    ),
)

_RECORDING = VerbRow(
    "Recording",
    "Records the whole call from here on, left the far end and right what it hears, and runs the "
    "next verb at once. The parties are not told: telling them may be your duty.",
    Recording,
    example=("  <Say>This call is recorded.</Say>\n  <Recording/>\n  <Dial>12025550177</Dial>\n"),
    notes=("The leg's `completed` callback has `RecordingURL`. A call is recorded once.",),
)

_REDIRECT = VerbRow(
    "Redirect",
    "Drops what is left of the document and goes on with another one.",
    Redirect,
    Body("url", URL, "The other document."),
    (Attribute("method", METHOD, "POST", "Method of the request.", "method"),),
)

_HANGUP = VerbRow("Hangup", "Ends the call.", Hangup)

_REJECT = VerbRow(
    "Reject",
    "Refuses a call towards us that is not answered yet. One that is answered, as every call is "
    "that we placed, is ended as by Hangup.",
    Reject,
    attributes=(
        Attribute(
            "reason",
            choice("rejected", "busy", "notfound", "notavailable"),
            "rejected",
            "What the caller's carrier is told.",
            "reason",
        ),
    ),
)

_POSTCALL = VerbRow(
    "Postcall",
    "Names a URL that is told the whole record of the call after its end, however it ends. Of "
    "several the last one counts.",
    Postcall,
    Body("url", URL, "Where the record goes."),
    (Attribute("method", METHOD, "POST", "Method of the request.", "method"),),
    notes=(
        "It gets `To`, `From`, `CallerName`, `callSid`, `Direction`, `CallStatus` (completed), "
        "`CallDuration`, `CallOutcome`, `SipResponseCode`, `HangupCause`, `HangupSource`, "
        "`StartTime`, `AnswerTime`, `EndTime`, `Trunk`, and `RecordingURL` when there is one.",
        "It is delivered like a status callback: signed, repeated until it is taken, also after a "
        "restart, and shown with the deliveries.",
    ),
)

_DIAL = VerbRow(
    "Dial",
    "Rings the number in its body and every Number and Sip inside, all at once, "
    f"{MOST_TARGETS} at most; the first to answer is connected, the others are dropped. "
    "Or joins a Conference, or takes the first caller of a Queue.",
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
        Attribute(
            "record",
            BOOLEAN,
            False,
            "Record the conversation, as a recording of the leg that is connected: `RecordingURL` "
            "on its `completed` callback, `RecordingUrl` for `action`.",
            "record",
        ),
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
        Attribute(
            "url",
            URL,
            "",
            "A document run for who answers, before the two are connected (a whisper).",
            "url",
        ),
        Attribute("method", METHOD, "POST", "Method of the request to `url`.", "method"),
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
        Attribute(
            "record",
            BOOLEAN,
            None,
            "Record the conversation with this number.",
            "record",
            shown_default="the Dial's",
        ),
    ),
    example=(
        '  <Dial timeout="20" timelimit="600" action="after.php">\n'
        '    <Number url="whisper.xml" sendDigits="WW42" record="on">12025550177</Number>\n'
        '    <Number statusCallback="/events" statusCallbackEvent="answered">12025550178</Number>\n'
        "  </Dial>\n"
    ),
    notes=(
        "The document at `url` is requested with the six standard parameters of the called leg, "
        "after `sendDigits`. The caller hears ringback meanwhile. At its end the two are "
        "connected; a Hangup in it declines the call, and so does a document that cannot be "
        "fetched or run. It must not Dial.",
        "Of several numbers that ring at once the others go on ringing during a whisper: the "
        "first whose document ends without Hangup is connected. If nobody takes the call "
        "`DialCallStatus` is `no-answer`.",
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
    _RECORD,
    _RECORDING,
    _REDIRECT,
    _HANGUP,
    _REJECT,
    _POSTCALL,
    _DIAL,
    _NUMBER,
    _SIP_ROW,
    QUEUE,
    ENQUEUE,
    CONFERENCE,
    VerbRow("Fax", "Receives a fax."),
    VerbRow("Sms", "Sends a text message."),
)

BY_NAME: dict[str, VerbRow] = {
    name.lower(): row for row in VERBS for name in (row.name, *row.aliases)
}
"""Rows by lower-case element name."""
