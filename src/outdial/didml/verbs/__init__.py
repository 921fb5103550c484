"""The verbs of didML as data: what a document asks for, and how each is written.

A verb is a module here: its dataclass, and its `ROW` of the table, from which documents are parsed
and its page of the reference is made. Who adds one names the module in `table.VERBS` and the
dataclass in `Verb` below, puts a module that runs it into `run` and names that in
`interpreter.RUNNERS`; tests say what else is missing. A verb that this version does not run is a
row without `build`: it is skipped with a warning that says so.
"""

from __future__ import annotations

from outdial.didml.verbs.conference import Conference
from outdial.didml.verbs.dial import Dial
from outdial.didml.verbs.enqueue import Enqueue
from outdial.didml.verbs.fax import Fax
from outdial.didml.verbs.gather import Gather
from outdial.didml.verbs.hangup import Hangup
from outdial.didml.verbs.number import Number
from outdial.didml.verbs.pause import Pause
from outdial.didml.verbs.play import Play
from outdial.didml.verbs.postcall import Postcall
from outdial.didml.verbs.queue import Queue
from outdial.didml.verbs.record import Record
from outdial.didml.verbs.recording import Recording
from outdial.didml.verbs.redirect import Redirect
from outdial.didml.verbs.reject import Reject
from outdial.didml.verbs.say import Say
from outdial.didml.verbs.sip import Sip
from outdial.didml.verbs.sms import Sms

__all__ = [
    "Built",
    "Conference",
    "Dial",
    "Enqueue",
    "Fax",
    "Gather",
    "Hangup",
    "Number",
    "Pause",
    "Play",
    "Postcall",
    "Queue",
    "Record",
    "Recording",
    "Redirect",
    "Reject",
    "Say",
    "Sip",
    "Sms",
    "Verb",
]

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
    | Sms
    | Fax
)
"""What the interpreter runs."""

Built = Verb | Number | Sip | Conference | Queue
"""What a row builds."""
