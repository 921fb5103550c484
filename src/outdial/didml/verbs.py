"""The verbs of didML as data: what a document asks for.

A verb that runs has a dataclass here, a row in `table.VERBS` and a module in `run`.
"""

from __future__ import annotations

from dataclasses import dataclass

from outdial.didml.shown import short, shown_url

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
    """Plays an audio file, or digits."""

    url: str = ""
    """"" when there is nothing to play but digits."""
    digits: str = ""
    """Sent as DTMF before the file."""
    loop: int = 1
    """Times to play it; 0: until the call ends."""
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        if not self.digits:
            return shown_url(self.url, _SHOWN_URL)
        count = sum(letter not in "wW" for letter in self.digits)
        return f"{count} digits {shown_url(self.url, _SHOWN_URL)}".rstrip()


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
        range_ = str(most) if least == most else f"{least} to {most}"
        return f"{range_} digit{'s' * (most > 1)}"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Recording:
    """Records the whole call from here on."""

    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return ""


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
class Reject:
    """Refuses the call; one that is answered is ended."""

    reason: str = "rejected"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return self.reason


@dataclass(frozen=True, slots=True)
class Postcall:
    """Names a URL that is told everything after the call."""

    url: str
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"{self.method} {shown_url(self.url, _SHOWN_URL)}"


@dataclass(frozen=True, slots=True)
class Number:
    """A phone number to ring."""

    number: str
    """As the document has it, white space collapsed."""
    url: str = ""
    """Absolute URL of a document for who answers, run before the two are connected; "": none."""
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


@dataclass(frozen=True, slots=True)
class Queue:
    """The caller who has waited longest in a queue."""

    name: str
    url: str = ""
    """Absolute URL of a document for who waited, run before the two are connected; "": none."""
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"queue {self.name}"


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Waits in a queue until somebody takes the call."""

    name: str
    wait_url: str = ""
    """Absolute URL of a document run over and over meanwhile; "": the built-in sound."""
    wait_method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return self.name


@dataclass(frozen=True, slots=True)
class Dial:
    """Rings other parties, all at once, and connects the first to answer; or joins a room."""

    targets: tuple[Number | Sip | Conference | Queue, ...]
    """At least one; a Conference or a Queue is alone."""
    action: str = ""
    """Absolute URL whose answer takes over afterwards; "" for none."""
    method: str = "POST"
    caller_id: str = ""
    timeout_s: int = 30
    time_limit_s: int = 14400
    record: bool = False
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return short(", ".join(target.summary() for target in self.targets))


Verb = (
    Say
    | Play
    | Pause
    | Gather
    | Record
    | Recording
    | Redirect
    | Hangup
    | Reject
    | Postcall
    | Dial
    | Enqueue
)
"""What the interpreter runs."""

Built = Verb | Number | Sip | Conference | Queue
"""What a row builds."""
