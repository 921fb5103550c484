"""The rows of `table.VERBS` where callers meet: Conference, Queue and Enqueue."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.values import BOOLEAN, METHOD, QUEUE_NAME, URL, integer, text_to
from outdial.didml.verbs import Conference, Enqueue, Queue

_ROOM_NAME = text_to(128)
_MEMBERS = integer(2, 250)

_WAITING = (
    "The document at `waitUrl` is requested and run over and over: Say, Play, Pause and Redirect. "
    "A Hangup in it only begins it anew, so `waitUrl` may lead to a sound. Without it, or when it "
    "cannot be run or is over within a second, a soft tone tells that the line is alive."
)


def _waiting(until: str) -> tuple[Attribute, Attribute]:
    return (
        Attribute(
            "waitUrl",
            URL,
            "",
            f"What is heard until {until}.",
            "wait_url",
            shown_default="a soft tone",
        ),
        Attribute(
            "waitMethod", METHOD, "POST", "Method of the requests to `waitUrl`.", "wait_method"
        ),
    )


CONFERENCE = VerbRow(
    "Conference",
    "Joins a conference: everybody in it hears all others. Outside Dial it means a Dial of this "
    "conference.",
    Conference,
    Body("name", _ROOM_NAME, "Its name, the case of letters counts; the first caller makes it."),
    (
        Attribute("muted", BOOLEAN, False, "Hear, but not be heard.", "muted"),
        Attribute(
            "beep",
            BOOLEAN,
            True,
            "The others hear a beep when this caller joins, and when it leaves.",
            "beep",
        ),
        Attribute(
            "startConferenceOnEnter",
            BOOLEAN,
            True,
            "Off: this caller waits until somebody is there for whom it is on.",
            "starts",
        ),
        Attribute(
            "endConferenceOnExit",
            BOOLEAN,
            False,
            "The conference is over for all when this caller leaves it.",
            "ends",
        ),
        *_waiting("the conference begins"),
        Attribute(
            "maxParticipants",
            _MEMBERS,
            40,
            "With so many in it this caller is not let in.",
            "max_participants",
        ),
        Attribute(
            "record",
            BOOLEAN,
            None,
            "Record the conference, from now to its end.",
            "record",
            shown_default="the Dial's",
        ),
    ),
    example=(
        '  <Dial action="after.php">\n'
        '    <Conference startConferenceOnEnter="false" waitUrl="music.mp3">Weekly</Conference>\n'
        "  </Dial>\n"
    ),
    notes=(
        "A conference begins when two are in it, one of them with `startConferenceOnEnter`. "
        + _WAITING,
        "Who leaves without hanging up, because the conference is over, the Dial's `timelimit` has "
        "passed or the API removed it, goes on with `action` or the next verb: `DialCallStatus` "
        "is `completed`, `DialCallDuration` the time in the conference, `ConferenceSid` its id. "
        "With the conference full it is `failed`, at once.",
        "All callers of this server meet in the same conferences, whatever API key or number they "
        "came by; with several servers on one database each has its own.",
        "Keys pressed in a conference are not heard by the others and go nowhere. Its recording "
        "is one channel, everybody together, and belongs to the call that asked for it; "
        "`RecordingUrl` can be fetched once the conference is over.",
    ),
)

QUEUE = VerbRow(
    "Queue",
    "Connects to the caller who has waited longest in a queue, of all agents the one who asked "
    "first. While nobody waits this call hears ringback, as long as the Dial's `timeout`. Outside "
    "Dial it means a Dial of this queue.",
    Queue,
    Body("name", QUEUE_NAME, "The queue's name; the case of letters counts."),
    (
        Attribute(
            "url",
            URL,
            "",
            "A document run for the caller who waited, before the two are connected.",
            "url",
        ),
        Attribute("method", METHOD, "POST", "Method of the request to `url`.", "method"),
    ),
    example=(
        '  <Dial timeout="600" action="next-caller.php">\n'
        '    <Queue url="you-are-next.xml">support</Queue>\n'
        "  </Dial>\n"
    ),
    notes=(
        "The document gets the six standard parameters of the caller who waited, and `QueueSid`, "
        "`QueueTime` (seconds waited) and `DequeuingCallSid` (this call). At its end, whatever it "
        "is, the two are connected; it must not Dial. If this call ends before, the caller is the "
        "first in the queue again.",
        "When the caller hangs up, this call goes on with the Dial's `action` or the next verb: "
        "`DialCallStatus` is `completed`, `DialCallSid` the caller's id. When nobody came within "
        "`timeout` it is `no-answer`. Either way there is `QueueSid`.",
    ),
)

ENQUEUE = VerbRow(
    "Enqueue",
    "Puts the caller into a queue, from which a Queue of another call takes it: first in, first "
    "out. When the conversation is over and the caller is still there, the next verb runs.",
    Enqueue,
    Body("name", QUEUE_NAME, "The queue's name; the case of letters counts."),
    _waiting("somebody takes the call"),
    example=(
        "  <Say>All our people are talking. Please stay on the line.</Say>\n"
        '  <Enqueue waitUrl="music.xml">support</Enqueue>\n'
        "  <Say>Thank you for calling.</Say>\n"
    ),
    notes=(_WAITING,),
)
