"""Conference, Queue and Enqueue: who meets whom, and what is heard until then."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from conformance.board import CALLER
from conformance.cases import Element, Row, Try
from conformance.requests import told_of
from conformance.sounds import BEEP_HZ, HOLD_HZ, OTHER_HZ, TONE_HZ, spans
from conformance.talk import Act, Check, Talk
from outdial.testing import audio

AFTER = {
    "after": "<Play>/tone.wav</Play>",
    "music": '<Play loop="12">/other.wav</Play>',
    "next": "<Play>/other.wav</Play>",
}
"""The answer of `action`, what is heard while waiting, and what before the connection."""
NEXT = "<Play>/tone.wav</Play>"
SPOKEN_HZ = 500
"""What the second member says."""


def _tone(talk: Talk, hz: int, seconds: float = 0.6) -> None:
    talk.phone.ear.say(audio.tone(hz, seconds=seconds, peak_dbfs=-15))


def _heard(talk: Talk, *hz: float) -> bool:
    return any(length > 0.2 for length in spans(talk.heard, *hz, share=0.6))


# ---------------------------------------------------------------------------- Conference

JOINS = '<Gather numDigits="1" timeout="30" tries="1"/>'
"""The caller joins when a key is pressed, with the others there already."""


def _room(attributes: str = "", limit_s: int = 5) -> str:
    """What a caller dials. `action` is asked when it is over."""
    room = f"<Conference {attributes}>$name</Conference>"
    return f'{JOINS}<Dial action="after" timelimit="{limit_s}">{room}</Dial>'


def _guest(attributes: str = "", limit_s: int = 30) -> str:
    return f'<Dial timelimit="{limit_s}"><Conference {attributes}>$name</Conference></Dial>'


def _join(talk: Talk) -> None:
    talk.phone.wait_until(lambda ear: len(ear.packets) > 5, "audio")
    talk.phone.ear.press("1")


def _meets(*guests: str) -> Act:
    """The guests are there first; then the caller comes, and it and the first of them speak."""

    def act(talk: Talk) -> None:
        there = [talk.also(guest) for guest in guests]
        for guest in there:
            guest.wait_until("conference.joined")
        _join(talk)
        talk.wait_until("conference.joined")
        time.sleep(0.8)  # a beep is over
        with ThreadPoolExecutor(2) as pool:
            pool.submit(_tone, there[0], SPOKEN_HZ)
            pool.submit(_tone, talk, OTHER_HZ)
        talk.wait_until("conference.left")

    return act


def _then_all_leave(act: Act) -> Act:
    def leave(talk: Talk) -> None:
        act(talk)
        time.sleep(0.8)  # a beep is over
        for guest in talk.guests:
            guest.hang_up()

    return leave


MEETS = _then_all_leave(_meets(_guest('beep="off"')))


def _heard_by_the_other(talk: Talk) -> None:
    assert _heard(talk.guests[0], OTHER_HZ)
    assert _heard(talk, SPOKEN_HZ)


def _muted(talk: Talk) -> None:
    assert not _heard(talk.guests[0], OTHER_HZ)
    assert _heard(talk, SPOKEN_HZ)


def _beeps(times: int) -> Check:
    """The other one hears it come and go."""

    def check(talk: Talk) -> None:
        assert len(spans(talk.guests[0].heard, BEEP_HZ)) == times
        assert len(spans(talk.heard, BEEP_HZ)) == 0

    return check


def _begun(talk: Talk) -> None:
    assert _heard(talk, SPOKEN_HZ)


def _not_begun(talk: Talk) -> None:
    assert not _heard(talk, SPOKEN_HZ)
    assert _heard(talk, *HOLD_HZ)


def _left_because(reason: str) -> Check:
    """Of the guest, who has a longer limit than the caller."""

    def check(talk: Talk) -> None:
        (left,) = talk.guests[0].timeline("conference.left")
        assert left["reason"] == reason
        assert len(spans(talk.guests[0].heard, TONE_HZ)) == 1, "it goes on with the next verb"

    return check


def _waits(*hz: float) -> Check:
    """What who is alone hears."""

    def check(talk: Talk) -> None:
        assert _heard(talk, *hz)

    return check


def _asked_for_music(method: str) -> Check:
    def check(talk: Talk) -> None:
        assert {request.method for request in talk.asked("music")} == {method}
        assert _heard(talk, OTHER_HZ)

    return check


def _let_in(talk: Talk) -> None:
    assert talk.wait_for("after")[0].params["DialCallStatus"] == "completed"
    assert _heard(talk, SPOKEN_HZ)


def _turned_away(talk: Talk) -> None:
    params = talk.wait_for("after")[0].params
    assert (params["DialCallStatus"], params["DialCallDuration"]) == ("failed", "0")
    assert len(talk.timeline("conference.full")) == 1


def _comes_third(talk: Talk) -> None:
    there = [talk.also(_guest('beep="off"')) for _ in range(2)]
    for guest in there:
        guest.wait_until("conference.joined")
    _join(talk)
    talk.phone.wait_until(
        lambda _: bool(talk.timeline("conference.joined") + talk.timeline("conference.full")),
        "let in or not",
    )
    _tone(there[0], SPOKEN_HZ)
    talk.wait_for("after")
    for guest in there:
        guest.hang_up()


def _recorded(talk: Talk) -> None:
    """One channel with everybody."""
    url = talk.wait_for("after")[0].params["RecordingUrl"]
    (sound,) = talk.recording(url)
    assert len(spans(sound, SPOKEN_HZ, share=0.4)) >= 1


def _not_recorded(talk: Talk) -> None:
    assert "RecordingUrl" not in talk.wait_for("after")[0].params
    assert talk.timeline("recording.started") == []


def _alone(talk: Talk) -> None:
    _join(talk)


def _conference(attribute: str, document: str = _room("$attributes"), **fields: object) -> Row:
    given: dict[str, object] = {"act": MEETS, "pages": AFTER, **fields}
    return Row(verb="Conference", attribute=attribute, document=document, **given)  # type: ignore[arg-type]


ROWS = [
    _conference(
        "muted",
        default=_heard_by_the_other,
        right={"true": _muted, "false": _heard_by_the_other},
        bad=("loud",),
    ),
    _conference(
        "beep",
        default=_beeps(2),
        right={"false": _beeps(0), "true": _beeps(2)},
        bad=("twice",),
    ),
    _conference(
        "startConferenceOnEnter",
        act=_then_all_leave(_meets(_guest('startConferenceOnEnter="false"'))),
        default=_begun,
        right={"false": _not_begun, "true": _begun},
        bad=("later",),
    ),
    _conference(
        "endConferenceOnExit",
        act=_meets(_guest(limit_s=9) + NEXT),
        default=Try(sees=_left_because("time-limit"), takes_s=8),
        right={
            "true": Try(sees=_left_because("ended"), takes_s=8),
            "false": Try(sees=_left_because("time-limit"), takes_s=8),
        },
        bad=("maybe",),
    ),
    _conference(
        "waitUrl",
        act=_alone,
        default=_waits(*HOLD_HZ),
        right={"music": _waits(OTHER_HZ), "$at/music": _waits(OTHER_HZ)},
        bad=("data:,",),
    ),
    _conference(
        "waitMethod",
        _room('waitUrl="music" $attributes'),
        act=_alone,
        default=_asked_for_music("POST"),
        right={"GET": _asked_for_music("GET"), "post": _asked_for_music("POST")},
        bad=("PLAY",),
    ),
    _conference(
        "maxParticipants",
        act=_comes_third,
        default=_let_in,
        right={"2": _turned_away, "3": _let_in, "250": _let_in},
        bad=("few", "-3"),
        clamped={"1": _turned_away, "251": _let_in},
    ),
    _conference(
        "record",
        default=_not_recorded,
        right={"on": _recorded, "off": _not_recorded},
        bad=("maybe",),
    ),
]

# ---------------------------------------------------------------------------- Queue and Enqueue

AGENT = '<Dial action="after" timelimit="1"><Queue $attributes>$name</Queue></Dial>'
CALLER_WAITS = f"<Enqueue>$name</Enqueue>{NEXT}"


def _somebody_waits(talk: Talk) -> None:
    talk.also(CALLER_WAITS)


def _connected(talk: Talk) -> None:
    """`action` names who had waited, who then goes on with the next verb."""
    (waited,) = talk.guests
    told_of("after", "POST", DialCallStatus="completed", DialCallSid=waited.sid)(talk)
    assert talk.timeline("bridged") == [{"leg": waited.sid}]
    assert len(spans(waited.heard, TONE_HZ)) == 1


def _announced(method: str = "POST") -> Check:
    """The document ran for who had waited, before the two were connected."""

    def check(talk: Talk) -> None:
        _connected(talk)
        (waited,) = talk.guests
        (request,) = talk.asked("next")
        assert request.method == method
        params = request.params
        assert params["callSid"] == waited.sid
        assert params["DequeuingCallSid"] == params["DequeingCallSid"] == talk.sid
        assert (params["To"], params["From"]) == (waited.phone.number, CALLER)
        assert params["QueueSid"].startswith("QU")
        assert params["QueueTime"].isdecimal()
        assert len(spans(waited.heard, OTHER_HZ)) == 1

    return check


def _not_announced(talk: Talk) -> None:
    _connected(talk)
    assert talk.asked("next") == []


def _an_agent_comes(talk: Talk) -> None:
    talk.wait_until("queue.entered")
    talk.phone.hears_for(0.4)
    talk.also('<Dial timelimit="1"><Queue>$name</Queue></Dial>')


def _waited(*hz: float) -> Check:
    """What was heard until somebody took the call; the next verb ran after the conversation."""

    def check(talk: Talk) -> None:
        assert _heard(talk, *hz)
        (agent,) = talk.guests
        (left,) = talk.timeline("queue.left")
        assert left["agent"] == agent.sid
        assert talk.verbs()[-1][0] == "Play"
        assert len(spans(talk.heard, TONE_HZ)) == 1

    return check


def _waited_with_music(method: str) -> Check:
    def check(talk: Talk) -> None:
        assert {request.method for request in talk.asked("music")} == {method}
        _waited(OTHER_HZ)(talk)

    return check


def _queue(attribute: str, document: str, **fields: object) -> Row:
    given: dict[str, object] = {"act": _somebody_waits, "pages": AFTER, **fields}
    return Row(verb="Queue", attribute=attribute, document=document, **given)  # type: ignore[arg-type]


def _enqueue(attribute: str, document: str, **fields: object) -> Row:
    given: dict[str, object] = {"act": _an_agent_comes, "pages": AFTER, **fields}
    return Row(verb="Enqueue", attribute=attribute, document=document, **given)  # type: ignore[arg-type]


ROWS += [
    _queue(
        "url",
        AGENT,
        default=_not_announced,
        right={"next": _announced(), "$at/next": _announced()},
        bad=("smb://x",),
    ),
    _queue(
        "method",
        AGENT.replace("$attributes", 'url="next" $attributes'),
        default=_announced(),
        right={"GET": _announced("GET"), "post": _announced()},
        bad=("ASK",),
    ),
    _enqueue(
        "waitUrl",
        f"<Enqueue $attributes>$name</Enqueue>{NEXT}",
        default=_waited(*HOLD_HZ),
        right={"music": _waited(OTHER_HZ), "$at/music": _waited(OTHER_HZ)},
        bad=("ws://x/y",),
    ),
    _enqueue(
        "waitMethod",
        f'<Enqueue waitUrl="music" $attributes>$name</Enqueue>{NEXT}',
        default=_waited_with_music("POST"),
        right={"GET": _waited_with_music("GET"), "Post": _waited_with_music("POST")},
        bad=("WAIT",),
    ),
]


def _nothing_happened(talk: Talk) -> None:
    assert talk.verbs()[-1][0] == "Play"
    assert len(spans(talk.heard, TONE_HZ)) == 1


def _nobody_came(talk: Talk) -> None:
    """Ringback as long as the Dial's timeout, and then `action`."""
    told_of("after", "POST", DialCallStatus="no-answer", DialCallDuration="0")(talk)
    assert _heard(talk, 440, 480)


def _does_nothing(talk: Talk) -> None:
    """Listens."""


def _same_name(talk: Talk) -> None:
    _waited(*HOLD_HZ)(talk)


QUIET = Try(sees=_nothing_happened, act=_does_nothing)

ELEMENTS = [
    Element(
        verb="Conference",
        document=_room("$attributes"),
        act=MEETS,
        sees=_heard_by_the_other,
        bodies={
            _room().replace("$name", " $name "): _heard_by_the_other,
            f'{JOINS}<Dial><Conference endConferenceOnExit="on">$name</Conference></Dial>': Try(
                sees=_does_nothing, act=_alone, phone="leaves"
            ),
            f"{JOINS}<Conference>$name</Conference>": Try(
                sees=_waits(*HOLD_HZ), act=_alone, phone="leaves"
            ),
        },
        wrong={
            f"<Conference/>{NEXT}": ("Conference is empty; skipped", QUIET),
        },
        pages=AFTER,
    ),
    Element(
        verb="Queue",
        document=AGENT,
        act=_somebody_waits,
        sees=_connected,
        bodies={
            '<Dial action="after" timeout="2"><Queue>$name</Queue></Dial>': Try(
                sees=_nobody_came, act=_does_nothing
            ),
        },
        wrong={
            f"<Queue></Queue>{NEXT}": ("Queue is empty; skipped", QUIET),
            f"<Queue>!!</Queue>{NEXT}": (
                "'!!' has no letter or digit",
                Try(
                    sees=_nothing_happened, act=_does_nothing, warns=("Queue is unusable; skipped",)
                ),
            ),
        },
        pages=AFTER,
    ),
    Element(
        verb="Enqueue",
        document=f"<Enqueue $attributes>$name</Enqueue>{NEXT}",
        act=_an_agent_comes,
        sees=_waited(*HOLD_HZ),
        bodies={f"<Dial><Enqueue>$name</Enqueue></Dial>{NEXT}": _waited(*HOLD_HZ)},
        wrong={
            f"<Enqueue> </Enqueue>{NEXT}": ("Enqueue is empty; skipped", QUIET),
            f"<Enqueue>$name !</Enqueue>{NEXT}": (
                "is more than letters and digits",
                Try(sees=_same_name),
            ),
        },
        pages=AFTER,
    ),
]
