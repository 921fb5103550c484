"""The numbers of the simulated carrier and how each behaves: add a row to have another phone."""

from __future__ import annotations

from collections.abc import Mapping

from outdial.sim.steps import (
    Answer,
    Challenge,
    EarlyMedia,
    HangUp,
    Listen,
    Menu,
    Persona,
    Press,
    Refuse,
    Ring,
    Say,
    Step,
    Tone,
    Wait,
)

USERNAME = PASSWORD = "sim"
"""The credentials that 15005550013 accepts."""

# A moment between lifting the phone and speaking: people need it, and so does a caller that
# has to join two legs before the first word can be heard.
_HELLO: tuple[Step, ...] = (Wait(0.4), Say("Hello?", voice="woman"))

PERSON = Persona(
    "person",
    "answers after a second, says hello and listens",
    (Ring(1.0), Answer(), *_HELLO, Listen()),
)
"""Who answers every number that is not in the table."""

_CONNECTED: tuple[Step, ...] = (
    Say("Connected to extension one zero one.", voice="woman"),
    Listen(),
)

PERSONAS: Mapping[str, Persona] = {
    "15005550001": Persona(
        "answers",
        "answers after 0.7 s, says hello and listens",
        (Ring(0.7), Answer(), *_HELLO, Listen()),
    ),
    "15005550002": Persona("busy", "is busy (486)", (Refuse(486, "Busy Here"),)),
    "15005550003": Persona("no-answer", "rings for ever", (Ring(None),)),
    "15005550004": Persona(
        "declines", "rings half a second, then declines (603)", (Ring(0.5), Refuse(603, "Decline"))
    ),
    "15005550005": Persona("not-found", "does not exist (404)", (Refuse(404, "Not Found"),)),
    "15005550006": Persona(
        "carrier-failure", "the carrier fails (503)", (Refuse(503, "Service Unavailable"),)
    ),
    "15005550007": Persona(
        "early-media",
        "is announced by early media (183), then answers and listens",
        (
            EarlyMedia(),
            Say("Please wait while your call is being connected.", voice="woman"),
            Tone("ringback", 1.5),
            Answer(),
            *_HELLO,
            Listen(),
        ),
    ),
    "15005550008": Persona(
        "voicemail",
        "answers with a greeting and a beep, then records for up to a minute",
        (
            Ring(1.0),
            Answer(),
            Wait(0.3),
            Say("Hello. Nobody can take your call now. Please leave a message after the tone."),
            Tone("beep"),
            Listen(60.0),
            HangUp(),
        ),
    ),
    "15005550009": Persona(
        "menu",
        "asks for an extension and wants 101",
        (
            Ring(0.5),
            Answer(),
            Wait(0.3),
            Menu(
                "Welcome. Please enter the extension.",
                {"101": _CONNECTED},
                wrong="That is not an extension.",
            ),
            Say("Goodbye.", voice="woman"),
            HangUp(),
        ),
    ),
    "15005550010": Persona(
        "hangs-up",
        "answers and hangs up after 2 s",
        (Ring(0.5), Answer(), Wait(2.0), HangUp()),
    ),
    "15005550011": Persona(
        "silent", "answers and stays silent: RTP, but no sound", (Ring(0.5), Answer(), Listen())
    ),
    "15005550012": Persona(
        "wrong-codec", "refuses the codec (488)", (Refuse(488, "Not Acceptable Here"),)
    ),
    "15005550013": Persona(
        "digest",
        "wants digest credentials (407), then answers and listens",
        (Challenge(USERNAME, PASSWORD), Ring(0.5), Answer(), *_HELLO, Listen()),
    ),
    "15005550014": Persona(
        "talks",
        "answers, speaks a phrase after 1.5 s and presses 1 2 3 4, then listens",
        (
            Ring(0.5),
            Answer(),
            Wait(1.5),
            Say("This is a simulated phone. It will now press four keys."),
            Wait(0.3),
            Press("1234"),
            Listen(),
        ),
    ),
}
