"""baresip with G.722 and opus: levels and pitches in both directions, measured behind its codec."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from outdial.testing import audio
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers.baresip import Baresip, Codec, free_port_pair
from system.peers.observed import leg_of, wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.baresip]

ALICE, BOB, OURS = "15551230001", "15551230002", "15551230009"
LOW, HIGH = 440.0, 1330.0
CODECS: list[Codec] = ["G722", "opus"]
PROMPT_S = 1.2
WITHIN_DB = 1.6
"""Of it 1.3 are baresip's own, which resamples its microphone from 8 to 48 kHz for opus."""


@pytest.fixture(scope="module")
def places() -> dict[str, int]:
    """Where each number's phone will be."""
    return {number: free_port_pair() for number in (ALICE, BOB)}


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture(scope="module")
def outdial(places: dict[str, int], web: WebServer) -> Iterator[OutdialServer]:
    sound = web.serve("/sound.wav", audio.wav(audio.tone(HIGH, seconds=PROMPT_S)), "audio/wav")
    url = web.serve("/play.xml", f"<Response><Play>{sound}</Play></Response>")
    trunks = [
        {
            "name": f"to-{number}",
            "address": f"127.0.0.1:{port}",
            "prefixes": [number],
            "options_interval_s": 0,
            "codecs": ["PCMU", "opus", "G722"],
        }
        for number, port in places.items()
    ]
    settings = {
        "trunks": trunks,
        "limits": {"destinations": ["1555"]},
        "numbers": [{"number": OURS, "url": url, "method": "GET", "record": True}],
    }
    with OutdialServer(settings) as server:
        yield server


@pytest.fixture(autouse=True)
def at_rest(outdial: OutdialServer) -> Iterator[None]:
    yield
    wait_until_at_rest(outdial)


def is_tone(sound: audio.Sound, frequency_hz: float, said: audio.Sound) -> bool:
    """Whether nearly all of it is that tone, as loud as it was said."""
    share = audio.tone_share(sound, frequency_hz)
    difference_db = audio.level_dbfs(sound) - audio.level_dbfs(said)
    assert share > 0.95, share
    assert abs(difference_db) < WITHIN_DB, difference_db
    return True


@pytest.mark.parametrize("codec", CODECS)
def test_a_call_of_ours_sounds_right_both_ways(
    outdial: OutdialServer, web: WebServer, places: dict[str, int], codec: Codec
) -> None:
    """The phone has nothing else; it presses a key, which is a telephone event of its clock."""
    pressed = web.serve("/pressed.xml", "<Response><Hangup/></Response>")
    sound = web.url("/sound.wav")
    app = web.serve(
        "/gather.xml",
        f'<Response><Play>{sound}</Play><Gather numDigits="1" action="{pressed}"'
        ' timeout="5"/></Response>',
    )
    said = audio.tone(LOW, seconds=20)
    with Baresip(ALICE, said, port=places[ALICE], codec=codec) as alice:
        sid = outdial.place_call(to=ALICE, **{"from": BOB}, url=app, record="true")
        alice.wait_for("CALL_ESTABLISHED")
        time.sleep(PROMPT_S + 0.2)
        alice.press("7")
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        (heard,) = alice.heard()
    assert (call["outcome"], call["hangup_source"]) == ("completed", "application")
    assert [request.params["Digits"] for request in web.received("/pressed.xml")][-1] == "7"
    assert call["media"]["codec"] == codec
    assert call["media"]["packets_refused"] == 0
    assert call["media"]["mos"] > 4.0
    assert is_tone(heard.cut(0.4, 1.1), HIGH, audio.tone(HIGH, seconds=PROMPT_S))
    said_to_us, told = audio.read_wav(
        outdial.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav")
    )
    assert is_tone(said_to_us.cut(0.4, 1.1), LOW, said)
    assert is_tone(told.cut(0.4, 1.1), HIGH, audio.tone(HIGH, seconds=PROMPT_S))
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    answered = next(event for event in events if event["kind"] == "state.answered")
    assert answered["data"]["codec"] == codec


def test_a_phone_that_calls_us_is_answered_in_its_codec(
    outdial: OutdialServer, places: dict[str, int]
) -> None:
    codec: Codec = "opus"
    said = audio.tone(LOW, seconds=20)
    with Baresip(ALICE, said, port=places[ALICE], codec=codec) as alice:
        alice.dial(f"sip:{OURS}@127.0.0.1:{outdial.sip_port}")
        alice.wait_for("CALL_CLOSED")
        (heard,) = alice.heard()
    (listed,) = outdial.get(f"/v1/calls?to={OURS}&limit=1")["calls"]
    call = outdial.wait_until_over(listed["sid"])
    assert call["media"]["codec"] == codec
    assert is_tone(heard.cut(0.4, 1.1), HIGH, audio.tone(HIGH, seconds=PROMPT_S))
    said_to_us, _ = audio.read_wav(outdial.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav"))
    assert is_tone(said_to_us.cut(0.4, 1.1), LOW, said)


@pytest.mark.parametrize(("one", "other"), [("G722", "opus"), ("opus", "opus")])
def test_a_click_to_call_joins_two_codecs(
    outdial: OutdialServer, places: dict[str, int], one: Codec, other: Codec
) -> None:
    low, high = audio.tone(LOW, seconds=20), audio.tone(HIGH, seconds=20)
    with (
        Baresip(ALICE, low, port=places[ALICE], codec=one) as alice,
        Baresip(BOB, high, port=places[BOB], codec=other) as bob,
    ):
        sid = outdial.place_call(to=ALICE, **{"from": BOB})
        bob.wait_for("CALL_ESTABLISHED")
        time.sleep(1.0)
        alice.press("4#")
        bob.wait_until(lambda: len(bob.received("CALL_DTMF_START")) == 2, "two digits")
        bob.hang_up()
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        (alice_heard,), (bob_heard,) = alice.heard(), bob.heard()
        digits = [event["param"] for event in bob.received("CALL_DTMF_START")]
    assert digits == ["4", "#"]
    assert (call["media"]["codec"], leg_of(outdial, sid)["media"]["codec"]) == (one, other)
    assert is_tone(bob_heard.cut(0.4, 0.9), LOW, low)
    assert is_tone(alice_heard.cut(0.6, 1.0), HIGH, high)
