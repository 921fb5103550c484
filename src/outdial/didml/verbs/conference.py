"""Conference: a room where everybody hears all others."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.shown import short
from outdial.didml.values import BOOLEAN, integer, text_to
from outdial.didml.verbs.attributes import WAITING, waiting
from outdial.frozen import frozen

_NAME = text_to(128)
_MEMBERS = integer(2, 250)


@frozen
class Conference:
    """A room to join."""

    name: str
    muted: bool = False
    beep: bool = True
    starts: bool = True
    """Whether the conference begins with this member, if there is another."""
    ends: bool = False
    """Whether it is over for all when this member leaves."""
    wait_url: str = ""
    """Absolute URL of a document run over and over until it begins; "": the built-in sound."""
    wait_method: str = "POST"
    max_participants: int = 40
    record: bool | None = None
    """None: the Dial's."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"conference {short(self.name)}"


ROW = VerbRow(
    "Conference",
    "Joins a conference: everybody in it hears all others. Outside Dial it means a Dial of this "
    "conference.",
    Conference,
    Body("name", _NAME, "Its name, the case of letters counts; the first caller makes it."),
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
        *waiting("the conference begins"),
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
        + WAITING,
        "Who leaves without hanging up, because the conference is over, the Dial's `timelimit` has "
        "passed or the API removed it, goes on with `action` or the next verb: `DialCallStatus` "
        "is `completed`, `DialCallDuration` the time in the conference, `ConferenceSid` its id. "
        "With the conference full it is `failed`, at once.",
        "All callers of this server meet in the same conferences, whatever API key or number they "
        "came by; with several servers on one database each has its own.",
        "Keys pressed in a conference are not heard by the others and go nowhere. Its recording "
        "is one channel, everybody together, and belongs to the call that asked for it; "
        "`RecordingUrl`, and `RecordingURL` on that call's `completed` callback, can be fetched "
        "once the conference is over.",
    ),
)
