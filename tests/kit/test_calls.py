"""Calls of a rehearsal in virtual time: what a test can ask about them."""

from __future__ import annotations

import re
import time

import pytest

from kit.conftest import Serve
from outdial.testing import audio
from outdial.testing.rehearsal.rehearsal import Rehearsal, RequestRefused, ScriptFailed
from outdial.testing.signatures import signed_payload, verify
from outdial.testing.web import Answer, WebServer

MENU = '<Gather action="{base}/chosen" numDigits="1"><Say>Press 1, or press 2.</Say></Gather>'


def test_a_menu_is_answered_by_a_phone_that_hears_the_prompt(
    outdial: Rehearsal, serve: Serve
) -> None:
    serve("<Say>You are number one.</Say>", "/chosen")
    phone = outdial.phone().answers().hears("press 1").presses("2").hears("number one")
    call = outdial.call(phone, serve(f"{MENU}<Say>Nothing was pressed.</Say>"))
    assert call.said == ["Press 1, or press 2.", "You are number one."]
    assert call.verbs == ["Gather", "Say", "Say"]
    assert [(one.event, one.status) for one in call.callbacks] == [
        ("initiated", 200),
        ("ringing", 200),
        ("answered", 200),
        ("completed", 200),
    ]
    assert [one.params.get("Digits") for one in call.requests if "chosen" in one.url] == ["2"]
    assert (call.outcome, call.cause, call.hung_up_by) == (
        "completed",
        "normal-clearing",
        "application",
    )
    assert phone.heard == call.said


def test_three_minutes_take_no_three_minutes(outdial: Rehearsal, serve: Serve) -> None:
    began = time.monotonic()
    call = outdial.call(outdial.phone(), serve('<Pause length="180"/><Say>Still there?</Say>'))
    assert call.duration_s >= 180
    assert time.monotonic() - began < 60
    started = {event.data["verb"]: event.at for event in call.timeline if "verb" in event.data}
    assert started["Say"] - started["Pause"] == pytest.approx(180, abs=1e-3)


def test_a_prompt_takes_as_long_as_it_is(outdial: Rehearsal, serve: Serve) -> None:
    phone = outdial.phone()
    outdial.call(phone, serve("<Say>One sentence that is not so short.</Say>"))
    (heard,) = phone.calls[0].transcript.entries  # type: ignore[union-attr]
    assert heard.until is not None
    assert heard.sound.clip is not None
    assert heard.until - heard.at == pytest.approx(heard.sound.clip.duration_ms / 1000)
    assert audio.active_s(phone.calls[0].audio) > 1


def test_a_phone_interrupts_a_prompt(outdial: Rehearsal, serve: Serve) -> None:
    serve("<Hangup/>", "/chosen")
    phone = outdial.phone().answers().hears("press 1", interrupting=True).presses("1")
    call = outdial.call(phone, serve(MENU))
    (heard,) = phone.calls[0].transcript.entries  # type: ignore[union-attr]
    assert not heard.sound.finished
    assert "cut short" in call.story
    assert call.said == ["Press 1, or press 2."]


def test_what_was_heard_once_is_not_heard_again_by_the_next_step(
    outdial: Rehearsal, serve: Serve
) -> None:
    document = serve("<Say>Please hold.</Say><Say>Goodbye.</Say>")
    outdial.phone("12025550111").hears("please hold").hears(re.compile("G..dbye"))
    outdial.call("12025550111", document)
    outdial.phone("12025550112").hears("please hold").hears("please hold")
    with pytest.raises(ScriptFailed, match="before 12025550112 hears 'please hold'"):
        outdial.call("12025550112", document)


def test_a_failure_says_what_was_heard_instead(outdial: Rehearsal, serve: Serve) -> None:
    phone = outdial.phone(name="the customer").answers().hears("press 3", within_s=20)
    with pytest.raises(ScriptFailed) as failure:
        outdial.call(phone, serve('<Say>Press 1.</Say><Pause length="60"/>'))
    text = str(failure.value)
    assert text.startswith("the customer did not hear 'press 3' within 20 s; it heard “Press 1.”\n")
    assert "phone the customer  hears “Press 1.” for" in text
    assert "verb.started  Pause 60000 ms" in text
    assert "completed, normal-clearing (the callee hung up)" in text


@pytest.mark.parametrize(
    ("how", "outcome", "status"),
    [
        ("is_busy", "busy", 486),
        ("declines", "failed", 603),
        ("is_unknown", "failed", 404),
        ("never_answers", "no-answer", None),
    ],
)
def test_nobody_answers(
    outdial: Rehearsal, serve: Serve, how: str, outcome: str, status: int | None
) -> None:
    phone = getattr(outdial.phone(), how)()
    call = outdial.call(phone, serve("<Say>Hello</Say>"), timeout=30)
    assert call.outcome == outcome
    assert status is None or call.record.sip_code == status
    assert call.said == []
    assert call.callbacks[-1].params["CallOutcome"] == outcome


def test_a_phone_that_is_called_again_goes_on_with_its_script(
    outdial: Rehearsal, serve: Serve
) -> None:
    phone = outdial.phone().is_busy().next_call().answers().hears("hello")
    url = serve("<Say>Hello.</Say>")
    outcomes = [outdial.call(phone, url).outcome for _ in range(3)]
    assert outcomes == ["busy", "completed", "completed"]
    assert len(phone.calls) == 3


def test_a_file_is_played_and_missed(outdial: Rehearsal, serve: Serve, web: WebServer) -> None:
    url = web.serve("/tune.wav", audio.wav(audio.tone(440, seconds=3)), "audio/wav")
    phone = outdial.phone().answers().hears_file("tune.wav")
    call = outdial.call(phone, serve("<Play>{base}/tune.wav</Play><Play>{base}/none.wav</Play>"))
    assert call.played == [url]
    assert call.duration_s == 3
    assert audio.tone_share(phone.calls[0].audio, 440) > 0.9
    (skipped,) = [one.data for one in call.timeline if one.kind == "verb.ended"]
    assert skipped["result"] == "skipped"
    assert [one.status for one in call.requests if "wav" in one.url] == []


def test_a_message_is_recorded(outdial: Rehearsal, serve: Serve, web: WebServer) -> None:
    serve("<Say>Thank you.</Say>", "/recorded")
    phone = outdial.phone().answers().hears_tone("beep").speaks(7).presses("#").hears("thank you")
    document = '<Say>After the beep.</Say><Record action="{base}/recorded" finishOnKey="#"/>'
    call = outdial.call(phone, serve(document))
    (recording,) = call.recordings
    assert recording.seconds == pytest.approx(7 + 0.5 + 0.5 + 0.1, abs=0.05)
    (channel,) = recording.audio
    assert audio.speech_span(channel) == pytest.approx((0.5, 7.5), abs=0.05)
    (told,) = web.received("/recorded")
    wav = outdial.get_bytes(told.params["RecordingUrl"].removeprefix(outdial.url))
    assert audio.read_mono(wav).duration_s == pytest.approx(recording.seconds, abs=0.01)


def test_silence_ends_a_message(outdial: Rehearsal, serve: Serve) -> None:
    phone = outdial.phone().answers().hears_tone("beep").speaks(4)
    call = outdial.call(phone, serve('<Record timeout="3"/><Say>Thank you.</Say>'))
    (recording,) = call.recordings
    assert recording.seconds == pytest.approx(0.5 + 4 + 3, abs=0.05)
    assert call.said == ["Thank you."]


def test_who_says_nothing_leaves_no_message(outdial: Rehearsal, serve: Serve) -> None:
    call = outdial.call(outdial.phone(), serve('<Record timeout="3"/><Say>Nothing heard.</Say>'))
    assert call.recordings == []
    assert call.said == ["Nothing heard."]


def test_a_whole_call_is_recorded_with_both_sides(outdial: Rehearsal, serve: Serve) -> None:
    phone = outdial.phone().answers().hears("your name").says("John Smith.").waits(2).hangs_up()
    call = outdial.call(phone, serve('<Say>Your name?</Say><Pause length="10"/>'), record="true")
    (recording,) = call.recordings
    said, heard = recording.audio
    assert audio.active_s(said) > 0.4
    assert audio.active_s(heard) > 0.4
    assert audio.speech_span(said)[0] > audio.speech_span(heard)[1]  # type: ignore[index]


def test_a_phone_that_goes_dead_is_hung_up(outdial: Rehearsal, serve: Serve) -> None:
    phone = outdial.phone().answers().waits(5).goes_dead()
    call = outdial.call(phone, serve('<Pause length="600"/>'))
    assert call.cause == "media-timeout"
    assert 60 <= call.duration_s <= 70


def test_digits_reach_a_phone(outdial: Rehearsal, serve: Serve) -> None:
    phone = outdial.phone()
    outdial.call(phone, serve("<Say>Hello</Say>"), sendDigits="w12#")
    assert phone.digits == "12#"


def test_a_receiver_that_fails_is_told_again(
    outdial: Rehearsal, serve: Serve, web: WebServer
) -> None:
    web.script("/events", Answer(status=500), Answer())
    url = serve('<Pause length="30"/>')
    call = outdial.call(outdial.phone(), url, statusCallback=web.url("/events"))
    assert call.callbacks[-1].event == "completed"
    outdial.advance(60)
    (told,) = call.callbacks
    assert (told.state, told.attempts, told.status) == ("done", 2, 200)


def test_requests_are_signed_for_receivers_that_look_at_the_clock(
    outdial: Rehearsal, serve: Serve, web: WebServer
) -> None:
    outdial.call(outdial.phone(), serve('<Pause length="3000"/>'), within_s=4000)
    secret = (outdial.folder / "outdial-webhooks.secret").read_text().strip()
    (asked,) = web.received("/answer")
    assert verify(secret, asked.headers, signed_payload(asked))


def test_a_slow_application_is_waited_for_in_real_time(
    outdial: Rehearsal, serve: Serve, web: WebServer
) -> None:
    url = serve("<Say>Late, but here.</Say>")
    web.script("/answer", Answer(body=b"<Response><Say>Late.</Say></Response>", delay_s=1.2))
    call = outdial.call(outdial.phone(), url)
    assert call.said == ["Late."]
    (fetched,) = [event.data for event in call.timeline if event.kind == "document.fetched"]
    assert fetched["ms"] > 300


@pytest.mark.outdial(didml={"fetch_timeout_s": 1.0})
def test_an_application_that_hangs_is_given_up(
    outdial: Rehearsal, serve: Serve, web: WebServer
) -> None:
    url = serve("")
    web.script("/answer", Answer(failure="hang"))
    call = outdial.call(outdial.phone(), url)
    assert call.cause == "application-error"
    assert call.said == ["We are sorry, an application error has occurred. Goodbye."]


def test_a_post_that_the_api_refuses(outdial: Rehearsal) -> None:
    with pytest.raises(RequestRefused, match="timeout") as refused:
        outdial.call(outdial.phone(), "http://127.0.0.1:1/", timeout="soon")
    assert refused.value.status == 400


def test_a_call_ends_in_time_or_the_test_fails(outdial: Rehearsal, serve: Serve) -> None:
    call = outdial.call(outdial.phone(), serve('<Pause length="500"/>'), wait=False)
    with pytest.raises(AssertionError, match="the call did not end within 100 s") as failure:
        call.wait_until_over(within_s=100)
    assert "Pause 500000 ms" in str(failure.value)
    assert not call.is_over
    call.hang_up()
    assert call.wait_until_over().hung_up_by == "caller"


def test_time_stands_still_while_nobody_waits(outdial: Rehearsal, serve: Serve) -> None:
    call = outdial.call(outdial.phone(), serve('<Pause length="100"/>'), wait=False)
    time.sleep(0.2)
    assert call.state in ("dialling", "ringing")
    outdial.advance(50)
    assert call.state == "answered"
    outdial.advance(52)
    assert call.is_over


def test_a_reserved_number_is_a_simulated_phone(outdial: Rehearsal, serve: Serve) -> None:
    assert outdial.call("15005550002", serve("<Say>Hello</Say>")).outcome == "busy"
    assert outdial.call("15005550010", serve('<Pause length="60"/>')).hung_up_by == "callee"
