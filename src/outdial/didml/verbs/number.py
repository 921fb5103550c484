"""Number: a telephone number in a Dial."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.values import BOOLEAN, DIGITS, EVENTS, METHOD, PHONE, URL
from outdial.didml.verbs.attributes import RINGING_S, TALKING_S
from outdial.frozen import frozen


@frozen
class Number:
    """A phone number to ring."""

    number: str
    """As the document has it, white space collapsed."""
    url: str = ""
    """Absolute URL of a document for who answers, run before the two are connected; "": none."""
    action: str = ""
    """Absolute URL for the Dial, if that has no `action` of its own; "": none."""
    method: str = "POST"
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
    record: bool | None = None
    """None: the Dial's."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline; without the digits sent, which may be a secret."""
        return self.number


ROW = VerbRow(
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
        Attribute(
            "action",
            URL,
            "",
            "As `action` of the [Dial](dial.md), where that has none; of several the first counts.",
            "action",
        ),
        Attribute(
            "method", METHOD, "POST", "Method of the requests to `url` and `action`.", "method"
        ),
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
            TALKING_S,
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
            RINGING_S,
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
        "`maxlength` and `record` begin with the conversation: what `url` says to the called party "
        "is on no recording of it, and neither is anything of those who were not connected.",
        "A `callerid` that is no telephone number is left out with a warning.",
    ),
)
