"""The two protocols through which a session and the verbs see a leg, and what passes through them.

`sip` fulfils `SignallingPlane` and `SignallingLeg`, `media` fulfils `MediaPlane` and `MediaLeg`.
Nothing here does I/O. Events are delivered by calling, on the event loop's thread, the listener
given when the leg was made; a listener must return at once and must not raise.
"""

from __future__ import annotations

from outdial.legs.ending import (
    Ending,
    Outcome,
    Source,
)
from outdial.legs.media import (
    Clip,
    Codec,
    Digit,
    Direction,
    MediaEvent,
    MediaLeg,
    MediaListener,
    MediaLost,
    MediaParams,
    MediaPlane,
    MediaStats,
    NoRtp,
    PlayEnd,
    RecordingDone,
    RecordingPlan,
    Room,
    SpeechBegan,
    SpeechHeard,
)
from outdial.legs.signalling import (
    Answered,
    Caller,
    DialTarget,
    DigitInfo,
    IncomingLeg,
    OutgoingLeg,
    Reanswered,
    Rejected,
    Released,
    Reoffer,
    Ringing,
    SignallingEvent,
    SignallingLeg,
    SignallingListener,
    SignallingPlane,
    TracedMessage,
    TraceListener,
)

__all__ = [
    "Answered",
    "Caller",
    "Clip",
    "Codec",
    "DialTarget",
    "Digit",
    "DigitInfo",
    "Direction",
    "Ending",
    "IncomingLeg",
    "MediaEvent",
    "MediaLeg",
    "MediaListener",
    "MediaLost",
    "MediaParams",
    "MediaPlane",
    "MediaStats",
    "NoRtp",
    "Outcome",
    "OutgoingLeg",
    "PlayEnd",
    "Reanswered",
    "RecordingDone",
    "RecordingPlan",
    "Rejected",
    "Released",
    "Reoffer",
    "Ringing",
    "Room",
    "SignallingEvent",
    "SignallingLeg",
    "SignallingListener",
    "SignallingPlane",
    "Source",
    "SpeechBegan",
    "SpeechHeard",
    "TraceListener",
    "TracedMessage",
]
