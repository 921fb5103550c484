"""baresip as the phone: what a real SIP phone hears, says, presses and refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from outdial.testing import audio
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers.baresip import Baresip, Codec, free_port_pair
from system.peers.observed import callbacks, kinds, leg_of, seconds_answered, wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.baresip]

ALICE, BOB = "15551230001", "15551230002"
LOW, HIGH = 440.0, 1330.0
"""Tones that have nothing in common with each other or with ringback (440 and 480 Hz together)."""


@pytest.fixture(scope="module")
def places() -> dict[str, int]:
    """Where each number's phone will be."""
    return {number: free_port_pair() for number in (ALICE, BOB)}


@pytest.fixture(scope="module")
def outdial(places: dict[str, int]) -> Iterator[OutdialServer]:
    trunks = [
        {
            "name": f"to-{number}",
            "address": f"127.0.0.1:{port}",
            "prefixes": [number],
            "options_interval_s": 0,
        }
        for number, port in places.items()
    ]
    with OutdialServer({"trunks": trunks, "limits": {"destinations": ["1555"]}}) as server:
        yield server


@pytest.fixture(autouse=True)
def at_rest(outdial: OutdialServer) -> Iterator[None]:
    """After each test the server holds nothing more, neither processes nor descriptors."""
    processes, descriptors = outdial.at_work()
    yield
    wait_until_at_rest(outdial)
    deadline = time.monotonic() + 3
    while True:
        processes_now, descriptors_now = outdial.at_work()
        if processes_now <= processes and descriptors_now <= descriptors:
            break
        assert time.monotonic() < deadline, (processes, processes_now, outdial.open_files())
        time.sleep(0.1)


def melody() -> audio.Sound:
    """Four seconds that have no part twice: it says where in it one is."""
    tones = [audio.tone(300 + 37 * step, 2100 - 53 * step, seconds=0.2) for step in range(20)]
    return audio.joined(*tones)


def play(web: WebServer, sound: audio.Sound) -> str:
    """The address of an application that plays the sound and then ends."""
    sound_url = web.serve("/sound.wav", audio.wav(sound), "audio/wav")
    return web.serve("/play.xml", f"<Response><Play>{sound_url}</Play></Response>")


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
def test_what_is_played_arrives_sample_by_sample(
    outdial: OutdialServer, web: WebServer, places: dict[str, int], codec: Codec
) -> None:
    sent, said = melody(), audio.tone(LOW, seconds=20)
    with Baresip(ALICE, said, port=places[ALICE], codec=codec) as alice:
        sid = outdial.place_call(to=ALICE, **{"from": BOB}, url=play(web, sent), record="true")
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        (heard,) = alice.heard()
    assert (call["outcome"], call["hangup_source"]) == ("completed", "application")
    # All but the last moments, which are still in the phone's jitter buffer when the call ends.
    score, at_s = audio.waveform_match(sent.cut(0, 3.8), heard)
    assert score > 0.99, "G.711 changes a sample by a fraction of it; a lost packet is a hole"
    assert at_s < 0.2
    assert audio.level_dbfs(heard) == pytest.approx(audio.level_dbfs(sent), abs=0.5)

    said_to_us, told = audio.read_wav(
        outdial.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav")
    )
    assert audio.tone_share(said_to_us.cut(0.5), LOW) > 0.95
    assert audio.level_dbfs(said_to_us) == pytest.approx(audio.level_dbfs(said), abs=0.5)
    assert audio.waveform_match(sent.cut(0, 3.8), told)[0] > 0.99


def test_the_phone_hears_speech(
    outdial: OutdialServer, web: WebServer, places: dict[str, int]
) -> None:
    text = "Hello. Your order number five is ready. Please collect it before noon."
    url = web.serve("/say.xml", f"<Response><Say>{text}</Say></Response>")
    events_url = web.collect("/events")
    with Baresip(ALICE, port=places[ALICE]) as alice:
        sid = outdial.place_call(
            to=ALICE,
            **{"from": BOB},
            url=url,
            record="true",
            statusCallback=events_url,
            statusCallbackEvent="initiated,ringing,answered,completed",
        )
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        (heard,) = alice.heard()
    assert call["outcome"] == "completed"
    assert -30 < audio.level_dbfs(heard) < -10, "as loud as telephone speech is"
    # 13 words at 150 a minute take 5.2 s; slower or faster by a third would not sound right
    assert 3.5 < audio.active_s(heard) < 7.0
    assert audio.longest_gap_s(heard) < 1.0, "nothing was lost in the middle"
    _, sent = audio.read_wav(outdial.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav"))
    spoken = audio.speech_span(sent)
    assert spoken is not None
    score, at_s = audio.waveform_match(sent.cut(*spoken), heard)
    assert score > 0.99, "from the first sound to the last"
    assert at_s == pytest.approx(spoken[0], abs=0.2)
    assert [event["CallStatus"] for event in callbacks(web, "/events", sid)] == [
        "initiated",
        "ringing",
        "answered",
        "completed",
    ]


def test_a_click_to_call_joins_two_phones_both_ways(
    outdial: OutdialServer, web: WebServer, places: dict[str, int]
) -> None:
    events_url = web.collect("/events")
    with (
        Baresip(ALICE, audio.tone(LOW, seconds=30), port=places[ALICE]) as alice,
        Baresip(BOB, audio.tone(HIGH, seconds=30), port=places[BOB], answers="manual") as bob,
    ):
        sid = outdial.place_call(to=ALICE, **{"from": BOB}, statusCallback=events_url)
        bob.wait_for("CALL_INCOMING")
        time.sleep(1.5)  # Alice hears it ring until Bob lifts the phone
        bob.accept()
        bob.wait_for("CALL_ESTABLISHED")
        time.sleep(2.0)
        alice.press("42#")
        bob.wait_until(lambda: len(bob.received("CALL_DTMF_START")) == 3, "three digits")
        bob.hang_up()
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        (alice_heard,), (bob_heard,) = alice.heard(), bob.heard()
        digits = [event["param"] for event in bob.received("CALL_DTMF_START")]
    assert digits == ["4", "2", "#"]
    assert audio.tone_share(alice_heard.cut(0.2, 1.2), 440, 480) > 0.9, "ringback, as in the US"
    assert audio.tone_share(alice_heard.cut(2.5, 3.2), HIGH) > 0.9
    assert audio.tone_share(bob_heard.cut(0.5, 1.7), LOW) > 0.9
    assert audio.level_dbfs(bob_heard) == pytest.approx(-15, abs=1), "as loud as it was said"

    other = leg_of(outdial, sid)
    assert (call["outcome"], other["outcome"]) == ("completed", "completed")
    assert other["parent_sid"] == sid
    assert other["hangup_source"] == "callee"
    ends = web.wait_for("/events", 2)
    assert {end.params["callSid"] for end in ends} == {sid, other["sid"]}
    assert {end.params["ParentCallSid"] for end in ends} == {sid}


def test_the_phone_hangs_up_during_the_prompt(
    outdial: OutdialServer, web: WebServer, places: dict[str, int]
) -> None:
    with Baresip(ALICE, port=places[ALICE]) as alice:
        sid = outdial.place_call(to=ALICE, **{"from": BOB}, url=play(web, melody()))
        alice.wait_for("CALL_ESTABLISHED")
        time.sleep(1.0)
        alice.hang_up()
        call = outdial.wait_until_over(sid)
    assert (call["outcome"], call["cause"]) == ("completed", "normal-clearing")
    assert call["hangup_source"] == "callee"
    assert 45 < call["media"]["packets_sent"] < 80, "nothing is sent to who is gone"


def test_the_phone_receives_the_digits_that_were_asked_for(
    outdial: OutdialServer, web: WebServer, places: dict[str, int]
) -> None:
    with Baresip(ALICE, port=places[ALICE]) as alice:
        sid = outdial.place_call(
            to=ALICE,
            **{"from": BOB},
            url=play(web, audio.tone(HIGH, seconds=0.5)),
            sendDigits="1w5*#A",
        )
        call = outdial.wait_until_over(sid)
        digits = [event["param"] for event in alice.received("CALL_DTMF_START")]
    assert digits == ["1", "5", "*", "#", "A"]
    notes = kinds(outdial, sid)
    assert notes.index("digits.sent") < notes.index("document.fetched")
    assert call["outcome"] == "completed"


def test_a_phone_that_refuses_is_busy(
    outdial: OutdialServer, web: WebServer, places: dict[str, int]
) -> None:
    url = play(web, melody())
    with Baresip(ALICE, port=places[ALICE], answers="manual") as alice:
        sid = outdial.place_call(to=ALICE, **{"from": BOB}, url=url)
        alice.wait_for("CALL_INCOMING")
        alice.hang_up()
        call = outdial.wait_until_over(sid)
        assert alice.heard() == []
    assert (call["outcome"], call["sip_code"], call["cause"]) == ("busy", 486, "user-busy")
    assert call["ringing_at"] is not None
    assert web.received("/play.xml") == [], "the application is never asked when nobody answered"


def test_a_phone_that_is_not_answered_stops_ringing(
    outdial: OutdialServer, web: WebServer, places: dict[str, int]
) -> None:
    with Baresip(ALICE, port=places[ALICE], answers="manual") as alice:
        sid = outdial.place_call(to=ALICE, **{"from": BOB}, url=play(web, melody()), timeout="1")
        alice.wait_for("CALL_INCOMING")
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
    assert (call["outcome"], call["sip_code"]) == ("no-answer", 487)
    assert web.received("/play.xml") == []


def test_a_phone_puts_the_prompt_on_hold_and_takes_it_back(
    outdial: OutdialServer, web: WebServer, places: dict[str, int]
) -> None:
    with Baresip(ALICE, port=places[ALICE]) as alice:
        sid = outdial.place_call(to=ALICE, **{"from": BOB}, url=play(web, melody()))
        alice.wait_for("CALL_ESTABLISHED")
        time.sleep(1.1)
        alice.hold()
        time.sleep(1.1)
        alice.resume()
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        (before,) = alice.heard()  # baresip 1.0.0 does not put its filters back after a hold
        received = alice.packets_received()
    assert call["outcome"] == "completed"
    assert audio.waveform_match(melody().cut(0, 0.8), before)[0] > 0.99
    # Four seconds less the one on hold, each packet of 20 ms; the prompt's clock does not stop.
    assert 3.8 < seconds_answered(call) < 4.4
    assert call["media"]["packets_sent"] == pytest.approx(145, abs=12)
    assert received == pytest.approx(call["media"]["packets_sent"], abs=2)
