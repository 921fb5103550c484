"""Record: a message of the caller."""

from __future__ import annotations

from outdial.didml.rows import Attribute, VerbRow
from outdial.didml.values import BOOLEAN, KEYS, integer, text_to
from outdial.didml.verbs.attributes import action
from outdial.frozen import frozen


@frozen
class Record:
    """Records a message."""

    action: str = ""
    """Absolute URL told of the message, whose answer takes over; "" for none."""
    method: str = "POST"
    file_id: str = ""
    """Given back to `action`; it names nothing here."""
    max_length_s: int = 180
    confirm: bool = False
    """Whether the caller may listen to it and record it again."""
    beep: bool = True
    timeout_s: int = 5
    """Silence that ends it."""
    finish_on_key: str = "0123456789*#"
    """The keys that end it; "" for none."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"up to {self.max_length_s} s"


ROW = VerbRow(
    "Record",
    "Records a message of the caller: after a beep, until a key, silence, the longest time or the "
    "end of the call.",
    Record,
    attributes=(
        *action(
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
