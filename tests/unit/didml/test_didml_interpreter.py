"""The interpreter and the verbs, on a host and a leg that write down what is asked of them."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from doubles.application import NOTHING, URL, FakeHost, clip, run
from outdial.didml.interpreter import ApplicationEnd, EndKind, Limits
from outdial.didml.run.host import DialEnd, DialLeg, DialPlan
from outdial.didml.run.outcome import DocumentRequest
from outdial.errors import FetchError, SoundError
from outdial.legs import Clip, PlayEnd

# --------------------------------------------------------------------------- documents


async def test_pin_call() -> None:
    host = FakeHost(start='<Say voice="man" language="es">8 9 70</Say>')
    end = await run(host)
    assert end == ApplicationEnd(EndKind.END_OF_DOCUMENT, "the document ended")
    assert host.fetched == [(URL, "POST", ())]
    assert host.spoken == [("8 9 70", "man", "es")]
    assert host.fake_media.queued == [("8 9 70", 1)]
    fetched, started = host.notes
    assert fetched[0] == "document.fetched"
    assert fetched[1]["status"] == 200 and fetched[1]["url"] == URL and fetched[1]["ms"] >= 0
    assert started == ("verb.started", {"verb": "Say", "text": "8 9 70", "line": 1})


async def test_hangup_ends_at_once() -> None:
    host = FakeHost(start="<Hangup/><Say>never</Say>")
    assert await run(host) == ApplicationEnd(EndKind.HANGUP, "Hangup")
    assert host.spoken == []


async def test_redirect_drops_the_rest_and_uses_its_method() -> None:
    host = FakeHost(
        start='<Redirect method="GET">next.php?a=1</Redirect><Say>never</Say>',
        next="<Say>there</Say>",
    )
    await run(host, DocumentRequest(URL, "GET", (("Digits", "1"),)))
    assert host.fetched == [
        (URL, "GET", (("Digits", "1"),)),
        ("http://app.example.test/next.php?a=1", "GET", ()),
    ]
    assert host.spoken == [("there", "", "")]


@pytest.mark.parametrize(
    "start", ["<Redirect>next.php</Redirect>", '<Dial action="next.php">19499300360</Dial>']
)
async def test_an_empty_answer_to_a_later_request_ends_the_call_without_words(start: str) -> None:
    host = FakeHost(start=f"{start}<Say>never</Say>", next=NOTHING)
    end = await run(host)
    assert end == ApplicationEnd(EndKind.END_OF_DOCUMENT, "the document ended")
    assert host.spoken == []
    assert host.kinds()[-2:] == ["document.fetched", "document.warning"]
    assert "is empty" in host.notes[-1][1]["message"]


async def test_an_empty_first_document_is_an_error_and_so_is_that_of_the_fallback() -> None:
    host = FakeHost(start=NOTHING, back=NOTHING)
    fallback = "http://app.example.test/back.php"
    end = await run(host, DocumentRequest(URL, fallback_url=fallback))
    assert end == ApplicationEnd(
        EndKind.ERROR, f"{fallback} cannot be run: the document is empty; <Response/> would do"
    )


async def test_redirect_loop_ends_after_the_documents_allowed() -> None:
    host = FakeHost(start="<Redirect>start.php</Redirect>")
    end = await run(host, limits=Limits(max_documents=3))
    assert end.kind is EndKind.ERROR
    assert "more than 3 documents" in end.reason
    assert len(host.fetched) == 3


async def test_too_many_verbs() -> None:
    host = FakeHost(start="<Pause>1</Pause>" * 4)
    end = await run(host, limits=Limits(max_verbs=3))
    assert end == ApplicationEnd(EndKind.ERROR, "the application ran more than 3 verbs")


async def test_unreachable_application_says_what_happened_and_is_asked_once() -> None:
    host = FakeHost(start=FetchError("timeout", "no answer within 10 s"))
    end = await run(host)
    assert end == ApplicationEnd(
        EndKind.ERROR, f"{URL} could not be fetched (timeout): no answer within 10 s"
    )
    assert len(host.fetched) == 1
    assert host.kinds() == ["document.failed"]


async def test_rubbish_says_where() -> None:
    host = FakeHost(start="<!DOCTYPE x>")
    end = await run(host)
    assert end.kind is EndKind.ERROR
    assert (
        "cannot be run: a document type declaration is not allowed; begin with <Response> (line 1"
        in end.reason
    )
    assert host.kinds() == ["document.fetched", "document.failed"]


async def test_fallback_is_asked_once_with_the_same_method() -> None:
    host = FakeHost(start="<!DOCTYPE x>", back="<Say>sorry</Say>")
    request = DocumentRequest(URL, "GET", fallback_url="http://app.example.test/back.xml")
    assert (await run(host, request)).kind is EndKind.END_OF_DOCUMENT
    assert [url for url, _, _ in host.fetched] == [URL, "http://app.example.test/back.xml"]
    assert {method for _, method, _ in host.fetched} == {"GET"}
    assert "document.fallback" in host.kinds()


async def test_fallback_that_fails_too_is_the_end() -> None:
    host = FakeHost()
    request = DocumentRequest(URL, fallback_url="http://app.example.test/back.xml")
    end = await run(host, request)
    assert end.kind is EndKind.ERROR and "back.xml" in end.reason
    assert len(host.fetched) == 2


async def test_fallback_runs_after_a_redirect_loop_and_is_bounded() -> None:
    host = FakeHost(start="<Redirect>start.php</Redirect>", back="<Redirect>back.php</Redirect>")
    request = DocumentRequest(URL, fallback_url="http://app.example.test/back.php")
    end = await run(host, request, Limits(max_documents=2))
    assert end.kind is EndKind.ERROR
    assert len(host.fetched) == 3


async def test_warnings_are_on_the_timeline() -> None:
    host = FakeHost(start="<Fox/>")
    await run(host)
    assert host.notes[1] == (
        "document.warning",
        {"line": 1, "column": 11, "message": "<Fox> is not a verb; skipped; did you mean Fax?"},
    )


async def test_passwords_in_urls_are_not_on_the_timeline() -> None:
    host = FakeHost(start="")
    await run(host, DocumentRequest("http://me:secret@app.example.test/start.php"))
    assert host.notes[0][1]["url"] == URL


# --------------------------------------------------------------------------- Say


async def test_say_queues_every_clip() -> None:
    host = FakeHost(start="<Say>long</Say>")
    host.clips["long"] = [clip("a"), clip("b"), clip("c")]
    await run(host)
    assert host.fake_media.queued == [("a", 1), ("b", 1), ("c", 1)]


async def test_say_keeps_few_clips_ahead() -> None:
    host = FakeHost(start="<Say>long</Say>")
    host.clips["long"] = [clip(str(n)) for n in range(50)]
    await run(host)
    assert len(host.fake_media.queued) == 50
    assert host.fake_media.most_unheard == 8


async def test_say_repeats_one_clip_on_the_leg() -> None:
    host = FakeHost(start='<Say loop="3">x</Say>')
    await run(host)
    assert host.fake_media.queued == [("x", 1), ("x", 2)]


async def test_say_repeats_several_clips_in_order() -> None:
    host = FakeHost(start='<Say loop="2">x</Say>')
    host.clips["x"] = [clip("a"), clip("b")]
    await run(host)
    assert [name for name, _ in host.fake_media.queued] == ["a", "b", "a", "b"]
    assert len(host.spoken) == 1


async def test_say_for_ever_is_endless_on_the_leg() -> None:
    host = FakeHost(start='<Say loop="0">x</Say><Hangup/>')
    host.fake_media.ends = [PlayEnd.FINISHED, PlayEnd.STOPPED]
    assert (await run(host)).kind is EndKind.HANGUP
    assert host.fake_media.queued == [("x", 1), ("x", 0)]


async def test_say_for_ever_without_sound_ends() -> None:
    host = FakeHost(start='<Say loop="0">x</Say>')
    host.clips["x"] = [clip("a", 0), clip("b", 0)]
    assert (await run(host)).kind is EndKind.END_OF_DOCUMENT


async def test_say_for_ever_with_several_clips_ends_when_stopped() -> None:
    host = FakeHost(start='<Say loop="0">x</Say>')
    host.clips["x"] = [clip("a"), clip("b")]
    host.fake_media.ends = [*[PlayEnd.FINISHED] * 20, *[PlayEnd.STOPPED] * 20]
    assert (await run(host)).kind is EndKind.END_OF_DOCUMENT
    assert 21 <= len(host.fake_media.queued) <= 40


async def test_say_notifies_its_action_and_goes_on() -> None:
    host = FakeHost(start='<Say action="said.php" method="get">x</Say><Say>y</Say>')
    await run(host)
    assert host.notified == [("http://app.example.test/said.php", "GET")]
    assert [text for text, _, _ in host.spoken] == ["x", "y"]


async def test_say_in_a_language_the_engine_lacks_uses_the_default() -> None:
    host = FakeHost(start='<Say language="xx">x</Say>')
    host.unspeakable = {"xx"}
    await run(host)
    assert host.spoken == [("x", "", "xx"), ("x", "", "")]
    assert host.fake_media.queued == [("x", 1)]
    assert host.warned() == ["spoken in the default language: no language xx"]


async def test_say_that_fails_in_a_language_there_is_is_not_spoken_in_another() -> None:
    host = FakeHost(start='<Say language="es">hola</Say>')
    host.broken_languages = {"es"}
    await run(host)
    assert host.spoken == [("hola", "", "es")]
    assert host.fake_media.queued == []
    assert host.warned() == ["not spoken: the engine failed"]


async def test_say_that_cannot_be_spoken_is_skipped_without_action() -> None:
    host = FakeHost(start='<Say action="said.php">x</Say><Hangup/>')
    host.unspeakable = {""}
    assert (await run(host)).kind is EndKind.HANGUP
    assert host.notified == [] and host.fake_media.queued == []
    assert len(host.spoken) == 1


@pytest.mark.parametrize("verb", ["<Say>x</Say>", "<Play>x.wav</Play>"])
async def test_lost_audio_ends_the_application(verb: str) -> None:
    host = FakeHost(start=verb)
    host.sounds["http://app.example.test/x.wav"] = clip("x")
    host.fake_media.ends = [PlayEnd.LOST]
    assert await run(host) == ApplicationEnd(EndKind.HANGUP, "the audio stream was lost")


# --------------------------------------------------------------------------- Play, Pause, Dial


async def test_play_loops_on_the_leg() -> None:
    host = FakeHost(start='<Play loop="0">x.wav</Play>')
    host.sounds["http://app.example.test/x.wav"] = clip("x")
    await run(host)
    assert host.fake_media.queued == [("x", 0)]


@pytest.mark.parametrize(
    "sound", [FetchError("timeout", "too late"), SoundError("not audio"), clip("x", 0)]
)
async def test_play_that_cannot_be_had_is_skipped(sound: Clip | FetchError | SoundError) -> None:
    host = FakeHost(start='<Play loop="0">x.wav</Play><Hangup/>')
    host.sounds["http://app.example.test/x.wav"] = sound
    assert (await run(host)).kind is EndKind.HANGUP
    assert host.fake_media.queued == []
    (ended,) = [data for kind, data in host.notes if kind == "verb.ended"]
    assert ended["result"] == "skipped"


async def test_pause_waits_its_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("outdial.didml.run.pause.asyncio.sleep", sleep)
    await run(FakeHost(start="<Pause>700</Pause>"))
    assert slept == [0.7]


async def test_dial_plan_takes_from_dial_what_number_does_not_say() -> None:
    host = FakeHost(
        start="""<Dial timeout="20" timelimit="600" callerid="12025550100">12025550111
        <Number timout="5" maxlength="60" callerid="12025550199" sendDigits="W1"
          statusCallback="/e" statusCallbackEvent="ringing" statusCallbackMethod="get"
          >12025550122</Number><Sip>sip:a@b</Sip></Dial>"""
    )
    await run(host)
    shared = {"caller_id": "12025550100", "timeout_s": 20.0, "time_limit_s": 600.0}
    assert host.dialled == [
        DialPlan(
            (
                DialLeg(number="12025550111", **cast(Any, shared)),
                DialLeg(
                    number="12025550122",
                    caller_id="12025550199",
                    timeout_s=5.0,
                    time_limit_s=60.0,
                    send_digits="W1",
                    status_callback="http://app.example.test/e",
                    status_callback_events=("ringing",),
                    status_callback_method="GET",
                ),
                DialLeg(uri="sip:a@b", **cast(Any, shared)),
            )
        )
    ]
    assert "W1" not in str(host.notes)


async def test_dial_without_action_goes_on() -> None:
    host = FakeHost(start="<Dial>12025550111</Dial><Say>nobody</Say>")
    await run(host)
    assert host.spoken == [("nobody", "", "")]
    ended = {"verb": "Dial", "result": "no-answer", "sid": "CAb", "duration_s": 0}
    assert ("verb.ended", ended) in host.notes


async def test_dial_action_takes_over() -> None:
    host = FakeHost(
        start='<Dial action="after.php" method="GET">12025550111</Dial><Say>never</Say>',
        after="<Hangup/>",
    )
    host.dial_end = DialEnd("completed", "CAb", 31)
    assert (await run(host)).kind is EndKind.HANGUP
    assert host.fetched[1] == (
        "http://app.example.test/after.php",
        "GET",
        (("DialCallStatus", "completed"), ("DialCallSid", "CAb"), ("DialCallDuration", "31")),
    )
    assert host.spoken == []


# --------------------------------------------------------------------------- cancelling


@pytest.mark.parametrize("clips", [1, 20])
async def test_cancelling_stops_the_playing_and_leaves_nothing(clips: int) -> None:
    host = FakeHost(start='<Say action="said.php">x</Say><Say>never</Say>')
    host.clips["x"] = [clip(str(n)) for n in range(clips)]
    host.fake_media.ends = [None] * clips
    task = asyncio.ensure_future(run(host))
    for _ in range(20):
        await asyncio.sleep(0)
    assert host.fake_media.queued
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert host.fake_media.stopped == 1
    assert host.sources_open == 0
    assert host.notified == []
    assert host.spoken == [("x", "", "")]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_digits_are_played_and_not_written_down() -> None:
    host = FakeHost(start='<Play digits="W8970w#"/><Say>on</Say>')
    await run(host)
    assert [name for name, _ in host.fake_media.queued] == ["digits W8970w#", "on"]
    assert host.noted("digits.sent") == [{"count": 5}]
    assert host.noted("verb.started")[0]["text"] == "5 digits"
    assert "8970" not in repr(host.notes)


async def test_digits_come_before_the_file() -> None:
    host = FakeHost(start='<Play digits="1" loop="2">a.wav</Play>')
    host.sounds["http://app.example.test/a.wav"] = clip("a")
    await run(host)
    assert host.fake_media.queued == [("digits 1", 1), ("a", 2)]


async def test_audio_lost_during_digits_ends_the_application() -> None:
    host = FakeHost(start='<Play digits="1"/>')
    host.fake_media.ends = [PlayEnd.LOST]
    assert await run(host) == ApplicationEnd(EndKind.HANGUP, "the audio stream was lost")


@pytest.mark.parametrize(("reason", "status"), [("", 603), ("busy", 486)])
async def test_reject_ends_the_call_without_answering_it(reason: str, status: int) -> None:
    host = FakeHost(start=f'<Reject reason="{reason}"/><Say>never</Say>')
    end = await run(host)
    assert end == ApplicationEnd(EndKind.HANGUP, f"Reject ({reason or 'rejected'})", status)
    assert (host.spoken, host.answers) == ([], 0)


async def test_a_call_is_answered_when_a_verb_needs_its_audio() -> None:
    host = FakeHost(start="<Pause>1</Pause><Say>now</Say><Hangup/>")
    await run(host)
    assert (host.spoken[0][0], host.answers) == ("now", 1)


async def test_a_caller_who_has_gone_ends_the_application() -> None:
    host = FakeHost(start="<Say>never</Say>")
    host.picks_up = False
    assert (await run(host)).kind is EndKind.HANGUP
    assert host.spoken == []


async def test_a_number_brings_its_whisper_to_the_host() -> None:
    host = FakeHost(
        start='<Dial><Number url="whisper.xml" method="GET">12025550111</Number></Dial>'
    )
    await run(host)
    (leg,) = host.dialled[0].legs
    assert (leg.url, leg.method) == ("http://app.example.test/whisper.xml", "GET")


async def test_postcall_names_a_url_and_goes_on() -> None:
    host = FakeHost(start='<Postcall method="GET">all.php</Postcall><Say>on</Say>')
    await run(host)
    assert host.postcalls == [("http://app.example.test/all.php", "GET")]
    assert host.spoken


async def test_a_first_document_is_given_up_with_the_call() -> None:
    host = FakeHost(start="")
    given_up = asyncio.Event()

    async def fetch(url: str, method: str, extra: Any = ()) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()

    host.fetch = fetch  # type: ignore[method-assign]
    running = asyncio.ensure_future(run(host))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(given_up.wait(), 1)
    assert host.afterwards == []
