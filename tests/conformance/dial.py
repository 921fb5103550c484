"""Dial, Number and Sip: who is rung, for how long, as whom, and who is told."""

from __future__ import annotations

import re

from conformance.board import CALLER
from conformance.cases import Element, Row, Try
from conformance.requests import check_request, not_asked
from conformance.sounds import OTHER_HZ, TONE_HZ, spans
from conformance.talk import Check, Talk
from outdial.testing import audio

AFTER = {"after": "<Play>/tone.wav</Play>"}
"""The answer of `action`."""
OTHER_CALLER = "12025550188"


def _after(talk: Talk) -> dict[str, str]:
    """What `action` got."""
    (request,) = talk.wait_for("after")
    check_request(talk, request, "POST", {"CallStatus": "answered"})
    assert len(spans(talk.heard, TONE_HZ)) == 1, "its answer ran"
    return request.params


def ended(status: str, method: str = "POST") -> Check:
    """Dial's `action` is told so; the conversation's leg and its length are named."""

    def check(talk: Talk) -> None:
        (request,) = talk.wait_for("after")
        check_request(talk, request, method, {"DialCallStatus": status})
        leg = talk.timeline("dial.leg")[-1]["leg"]
        assert request.params["DialCallSid"] == leg
        lasted_s = int(request.params["DialCallDuration"])
        assert 0 < lasted_s < 5 if status == "completed" else lasted_s == 0
        assert len(spans(talk.heard, TONE_HZ)) == 1, "its answer ran"

    return check


def _next_verb(talk: Talk) -> None:
    assert talk.asked("after") == []
    assert len(spans(talk.heard, TONE_HZ)) == 1


def _rang(seconds: float, spare_s: float = 2.0) -> Check:
    """So long, and then it was given up."""

    def check(talk: Talk) -> None:
        assert _after(talk)["DialCallStatus"] == "no-answer"
        rang_s = talk.moment("dial.ended") - talk.moment("dial.leg")
        assert seconds - 0.1 <= rang_s < seconds + spare_s
        assert talk.received("CANCEL ", talk.other)

    return check


def _rings_on(talk: Talk) -> None:
    """Until the caller hung up, after 2.5 s; `action` is notified of it."""
    assert talk.wait_until_over()["HangupSource"] == "callee"
    assert talk.wait_for("after")[0].params["DialCallStatus"] == "canceled"
    assert talk.received("CANCEL ", talk.other)


def _talked(seconds: float) -> Check:
    """So long, and then the other party was hung up on."""

    def check(talk: Talk) -> None:
        after = _after(talk)
        assert after["DialCallStatus"] == "completed"
        talked_s = talk.moment("dial.ended") - talk.moment("bridged")
        assert seconds - 0.1 <= talked_s < seconds + 1.5
        assert talk.received("BYE ", talk.other)

    return check


def _talks_on(talk: Talk) -> None:
    """Until the caller hung up, after 2.5 s; `action` is notified of it."""
    assert talk.wait_until_over()["HangupSource"] == "callee"
    assert talk.wait_for("after")[0].params["DialCallStatus"] == "completed"
    assert talk.received("BYE ", talk.other)


def _shows(number: str) -> Check:
    """The telephone that is rung sees this caller."""

    def check(talk: Talk) -> None:
        (invite,) = talk.received("INVITE ", talk.other)
        found = re.search(r"sips?:([^@]*)@", invite.get("From"))
        assert found is not None
        assert found[1] == number

    return check


def _recorded(talk: Talk) -> None:
    """The conversation, in two channels."""
    url = _after(talk)["RecordingUrl"]
    assert len(talk.recording(url)) == 2
    (started,) = _leg_events(talk, "recording.started")
    assert url.endswith(f"{started['recording']}.wav")


def _not_recorded(talk: Talk) -> None:
    assert "RecordingUrl" not in _after(talk)
    assert _leg_events(talk, "recording.started") == []


def _leg_events(talk: Talk, kind: str) -> list[dict[str, str]]:
    leg = talk.timeline("dial.leg")[-1]["leg"]
    events = talk.board.outdial.get(f"/v1/calls/{leg}/events")["events"]
    return [event["data"] for event in events if event["kind"] == kind]


NEXT = "<Play>/tone.wav</Play>"
LEAVES = 'timelimit="1"'
"""So that it is over soon."""
PLAIN = f'<Dial action="after" {LEAVES} $attributes>$other</Dial>'

ROWS = [
    Row(
        verb="Dial",
        attribute="action",
        document=f"<Dial {LEAVES} $attributes>$other</Dial><Play>/tone.wav</Play>",
        other="answers",
        default=_next_verb,
        right={"after": ended("completed"), "$at/after": ended("completed")},
        bad=("tel:1",),
        pages=AFTER,
    ),
    Row(
        verb="Dial",
        attribute="method",
        document=PLAIN,
        other="answers",
        default=ended("completed"),
        right={
            "GET": ended("completed", "GET"),
            "POST": ended("completed"),
            "post": ended("completed"),
        },
        bad=("DIAL",),
        pages=AFTER,
    ),
    Row(
        verb="Dial",
        attribute="timeout",
        document='<Dial action="after" $attributes>$other</Dial>',
        other="rings",
        default=Try(sees=_rang(30), takes_s=35),
        right={"1": _rang(1), "2": _rang(2)},
        bad=("a while",),
        clamped={"0": _rang(1), "601": Try(sees=_rings_on, phone="leaves")},
        pages=AFTER,
    ),
    Row(
        verb="Dial",
        attribute="timelimit",
        document='<Dial action="after" $attributes>$other</Dial>',
        other="answers",
        default=Try(sees=_talks_on, phone="leaves"),
        right={"1": _talked(1), "2": _talked(2)},
        bad=("4 hours",),
        clamped={"0": _talked(1), "86401": Try(sees=_talks_on, phone="leaves")},
        pages=AFTER,
    ),
    Row(
        verb="Dial",
        attribute="callerid",
        document=PLAIN,
        other="answers",
        default=_shows(CALLER),
        right={OTHER_CALLER: _shows(OTHER_CALLER), "+1 (202) 555-0188": _shows(OTHER_CALLER)},
        bad=("nobody",),
        pages=AFTER,
    ),
    Row(
        verb="Dial",
        attribute="record",
        document=PLAIN,
        other="answers",
        default=_not_recorded,
        right={"on": _recorded, "off": _not_recorded, "true": _recorded},
        bad=("perhaps",),
        pages=AFTER,
    ),
]

# ---------------------------------------------------------------------------- Number

NUMBER = f'<Dial action="after" {LEAVES}><Number $attributes>$other</Number></Dial>'
TOLD = NUMBER.replace("$attributes", 'statusCallback="legs" $attributes')
WHISPER = {"whisper": "<Play>/other.wav</Play>", **AFTER}
ALL_EVENTS = ("initiated", "ringing", "answered", "completed")


def _whispered(method: str = "POST") -> Check:
    """The called party hears the document before the two are connected."""

    def check(talk: Talk) -> None:
        assert _after(talk)["DialCallStatus"] == "completed"
        (request,) = talk.asked("whisper")
        assert request.method == method
        params = request.params
        assert (params["To"], params["From"]) == (talk.other.number, CALLER)
        assert params["callSid"] == talk.timeline("dial.leg")[-1]["leg"]
        assert len(spans(talk.other.heard(), OTHER_HZ)) == 1
        assert len(spans(talk.heard, OTHER_HZ)) == 0, "the caller does not hear it"

    return check


def _no_whisper(talk: Talk) -> None:
    assert _after(talk)["DialCallStatus"] == "completed"
    assert talk.asked("whisper") == []


def _gets(digits: str) -> Check:
    def check(talk: Talk) -> None:
        assert _after(talk)["DialCallStatus"] == "completed"
        assert talk.other.ear.digits() == digits

    return check


def _leg_told(*events: str, method: str = "POST") -> Check:
    """Of these events of the leg its callback is told, in this order, and of no others."""

    def check(talk: Talk) -> None:
        got = talk.wait_for("legs", len(events))
        assert [request.params["CallStatus"] for request in got] == list(events)
        assert {request.method for request in got} == {method}
        params = got[-1].params
        assert (params["Called"], params["ParentCallSid"]) == (talk.other.number, talk.sid)
        assert params["callSid"] == talk.timeline("dial.leg")[-1]["leg"]
        assert params["CallbackSource"] == "call-progress-event"

    return check


def _number(verb_attribute: str, document: str = NUMBER, **fields: object) -> Row:
    given: dict[str, object] = {"other": "answers", "pages": WHISPER | {"legs": ""}, **fields}
    return Row(verb="Number", attribute=verb_attribute, document=document, **given)  # type: ignore[arg-type]


ROWS += [
    _number(
        "url",
        default=_no_whisper,
        right={"whisper": _whispered(), "$at/whisper": _whispered()},
        bad=("gopher://x/y",),
    ),
    _number(
        "action",
        f"<Dial {LEAVES}><Number $attributes>$other</Number></Dial>{NEXT}",
        default=_next_verb,
        right={"after": ended("completed"), "$at/after": ended("completed")},
        bad=("about:blank",),
    ),
    _number(
        "method",
        NUMBER.replace("$attributes", 'url="whisper" $attributes'),
        default=_whispered(),
        right={"GET": _whispered("GET"), "POST": _whispered(), "Get": _whispered("GET")},
        bad=("WHISPER",),
    ),
    _number(
        "sendDigits",
        default=_gets(""),
        right={"12w#": _gets("12#"), "WW4*": _gets("4*")},
        bad=("1-2",),
    ),
    _number(
        "statusCallback",
        default=not_asked("legs"),
        right={"legs": _leg_told("completed"), "$at/legs": _leg_told("completed")},
        bad=("ws://x/y",),
    ),
    _number(
        "statusCallbackEvent",
        TOLD,
        default=_leg_told("completed"),
        right={
            "initiated,ringing,answered,completed": _leg_told(*ALL_EVENTS),
            "answered completed": _leg_told("answered", "completed"),
            "Completed, RINGING": _leg_told("ringing", "completed"),
            "initiated": _leg_told("initiated"),
        },
        bad=("hungup",),
        clamped={"answered,hungup": _leg_told("answered")},
    ),
    _number(
        "statusCallbackMethod",
        TOLD,
        default=_leg_told("completed"),
        right={"GET": _leg_told("completed", method="GET"), "post": _leg_told("completed")},
        bad=("PATCH",),
    ),
    _number(
        "maxlength",
        default=_talked(1),
        right={"2": _talked(2), "3": _talked(3)},
        bad=("long",),
        clamped={"0": _talked(1), "86401": Try(sees=_talks_on, phone="leaves")},
    ),
    _number(
        "callerid",
        NUMBER.replace("<Dial ", '<Dial callerid="12025550199" '),
        default=_shows("12025550199"),
        right={OTHER_CALLER: _shows(OTHER_CALLER)},
        bad=("me",),
    ),
    _number(
        "timeout",
        '<Dial action="after" timeout="1"><Number $attributes>$other</Number></Dial>',
        other="rings",
        default=_rang(1),
        right={"3": _rang(3)},
        bad=("later",),
        clamped={"0": _rang(1), "601": Try(sees=_rings_on, phone="leaves")},
    ),
    _number(
        "record",
        NUMBER.replace("<Dial ", '<Dial record="on" '),
        default=_recorded,
        right={"off": _not_recorded, "on": _recorded},
        bad=("please",),
    ),
]

# ---------------------------------------------------------------------------- the elements


def _first_wins(talk: Talk) -> None:
    """Of two the one who answers is connected, and the other is dropped."""
    after = _after(talk)
    assert after["DialCallStatus"] == "completed"
    assert talk.received("CANCEL ", talk.other)
    assert talk.received("BYE ", talk.others["third"])


def _nobody(talk: Talk) -> None:
    """Nobody was rung, and the next verb ran."""
    assert talk.timeline("dial.leg") == []
    assert len(spans(talk.heard, TONE_HZ)) == 1


def _refused(talk: Talk) -> None:
    """What may not be dialled is said, and `action` is told that it failed."""
    assert _after(talk)["DialCallStatus"] == "failed"
    assert len(talk.timeline("dial.refused")) == 1
    assert talk.timeline("dial.leg") == []


def _at_host(talk: Talk) -> None:
    """A bare host is called as the dialled number at that host."""
    assert _after(talk)["DialCallStatus"] == "completed"
    (invite,) = talk.board.messages(talk.other.kind, talk.phone.number, "INVITE ")
    assert f"sip:{talk.phone.number}@{talk.other.ear.host}" in invite.start_line


def _rang_back(talk: Talk) -> None:
    ended("completed")(talk)
    ringback = talk.heard.cut(0.1, 0.9)
    assert audio.tone_share(ringback, 440, 480) > 0.9


OPEN = f'<Dial action="after" {LEAVES}>'
COMPLETED = ended("completed")

ELEMENTS = [
    Element(
        verb="Dial",
        document=PLAIN,
        other="answers",
        sees=COMPLETED,
        bodies={
            f"{OPEN} +$other </Dial>": COMPLETED,
            f"{OPEN}<Number>$other</Number><Number>$third</Number></Dial>": Try(
                sees=_first_wins, other="rings answers"
            ),
            f"{OPEN}$other<Number>$third</Number></Dial>": Try(
                sees=_first_wins, other="rings answers"
            ),
            f"{OPEN}<!-- busy -->$other</Dial>": Try(sees=ended("busy"), other="busy"),
            f"{OPEN}<!-- ringback -->$other</Dial>": Try(sees=_rang_back, other="slow"),
            '<Dial action="after">$other</Dial>': Try(sees=COMPLETED, other="leaves"),
            f"<Dial {LEAVES}>$other</Dial><Play>/tone.wav</Play>": _next_verb,
            f"{OPEN}<!-- not to be dialled -->99912025550177</Dial>": _refused,
        },
        wrong={
            f"<Dial></Dial>{NEXT}": ("Dial is skipped: it names nobody to dial", _nobody),
            f"<Dial>nobody</Dial>{NEXT}": (
                "'nobody' is not a phone number",
                Try(sees=_nobody, warns=("Dial is skipped: it names nobody to dial",)),
            ),
            f"{OPEN}$other<Conference>$name</Conference></Dial>{NEXT}": (
                "Conference stands in it alone; the others are left out",
                Try(sees=lambda talk: None),
            ),
        },
        pages=AFTER,
    ),
    Element(
        verb="Number",
        document=NUMBER,
        other="answers",
        sees=COMPLETED,
        bodies={
            f"{OPEN}<Number> +$other </Number></Dial>": COMPLETED,
            f'<Number maxlength="1">$other</Number>{NEXT}': _next_verb,
        },
        wrong={
            f"<Dial><Number/></Dial>{NEXT}": (
                "Number is empty; skipped",
                Try(sees=_nobody, warns=("Dial is skipped: it names nobody to dial",)),
            )
        },
        pages=AFTER,
    ),
    Element(
        verb="Sip",
        document=f"{OPEN}<Sip $attributes>sip:$other@$host_of_other</Sip></Dial>",
        other="answers",
        sees=COMPLETED,
        bodies={
            f"{OPEN}<Sip>$host_of_other</Sip></Dial>": Try(sees=_at_host, other="slow"),
            f"<Sip>sip:$other@$host_of_other</Sip>{NEXT}": Try(sees=_next_verb, other="leaves"),
        },
        wrong={
            f"<Sip></Sip>{NEXT}": ("Sip is empty; skipped", _nobody),
            f"<Sip>https://example.test</Sip>{NEXT}": (
                "'https://example.test' is not a SIP URI",
                Try(sees=_nobody, warns=("Sip is unusable; skipped",)),
            ),
        },
        pages=AFTER,
    ),
]
