"""Several phones on one rehearsal: Dial, whisper, click-to-call, queue, conference, calls in."""

from __future__ import annotations

import pytest

from kit.conftest import Serve
from outdial.testing import audio
from outdial.testing.rehearsal.rehearsal import Rehearsal

NUMBER = "18005550100"
AGENT = "12025550199"


def test_a_phone_calls_a_number(outdial: Rehearsal, serve: Serve) -> None:
    outdial.number(NUMBER, serve("<Say>Welcome.</Say>"))
    phone = outdial.phone().hears("welcome")
    call = outdial.incoming(phone, NUMBER)
    assert call.record.direction == "inbound"
    assert (call.from_, call.to) == (phone.number, NUMBER)
    assert call.said == phone.heard == ["Welcome."]
    assert "phone 12025550101  hears “Welcome.”" in call.story


def test_a_call_in_is_rejected_before_the_answer(outdial: Rehearsal, serve: Serve) -> None:
    outdial.number(NUMBER, serve('<Reject reason="busy"/>'))
    phone = outdial.phone()
    call = outdial.incoming(phone, NUMBER)
    assert call.outcome == "busy"
    assert phone.calls[0].status == 486


def test_a_caller_gives_up(outdial: Rehearsal, serve: Serve) -> None:
    outdial.number(NUMBER, serve('<Pause length="60"/><Say>Hello</Say>'))
    call = outdial.incoming(outdial.phone().hangs_up(after_s=20), NUMBER)
    assert (call.outcome, call.said) == ("canceled", [])


def test_nobody_takes_an_unknown_number(outdial: Rehearsal) -> None:
    with pytest.raises(AssertionError, match=r"ended with 404: name the number with outdial\."):
        outdial.incoming(outdial.phone(), NUMBER)


def test_two_people_are_connected_and_hear_each_other(outdial: Rehearsal, serve: Serve) -> None:
    agent = outdial.phone(AGENT).answers(after_s=4).says("Support, hello?").hears("my order")
    caller = outdial.phone().answers().hears_tone("ringback").hears("support").says("My order!")
    agent.hangs_up(after_s=1)
    serve("<Say>Bye.</Say>", "/after")
    call = outdial.call(caller, serve(f'<Dial action="{{base}}/after">{AGENT}</Dial>'))
    assert caller.heard == ["Support, hello?", "Bye."]
    assert agent.heard == ["My order!"]
    assert call.tones == ["ringback"]
    (leg,) = call.legs
    assert (leg.to, leg.outcome, leg.hung_up_by) == (AGENT, "completed", "callee")
    (after,) = [one.params for one in call.requests if one.url.endswith("/after")]
    assert after["DialCallStatus"] == "completed"
    assert audio.active_s(caller.calls[0].audio) > 1


def test_digits_pass_from_one_to_the_other(outdial: Rehearsal, serve: Serve) -> None:
    agent = outdial.phone(AGENT)
    caller = outdial.phone().answers().waits(10).presses("42").waits(1).hangs_up()
    outdial.call(caller, serve(f"<Dial>{AGENT}</Dial>"))
    assert agent.digits == "42"


def test_a_number_nobody_has_is_named_in_the_story(outdial: Rehearsal, serve: Serve) -> None:
    call = outdial.call(outdial.phone(), serve(f"<Dial>{AGENT}</Dial>"))
    assert [leg.record.sip_code for leg in call.legs] == [404]
    assert f"No phone of this test has a number that was dialled: {AGENT}" in call.story


def test_the_first_of_several_to_answer_is_connected(outdial: Rehearsal, serve: Serve) -> None:
    slow = outdial.phone("12025550181").answers(after_s=8).hears("hello")
    quick = outdial.phone("12025550182").answers(after_s=3).hears("hello").hangs_up()
    caller = outdial.phone().answers().waits(6).says("Hello?")
    numbers = "".join(f"<Number>{phone.number}</Number>" for phone in (slow, quick))
    call = outdial.call(caller, serve(f"<Dial>{numbers}</Dial>"))
    assert [leg.outcome for leg in call.legs] == ["canceled", "completed"]
    assert quick.heard == ["Hello?"]


def test_a_whisper_is_heard_by_the_callee_alone(outdial: Rehearsal, serve: Serve) -> None:
    serve("<Say>A call for sales.</Say>", "/whisper")
    outdial.phone(AGENT).answers().hears("for sales").hears("hi").hangs_up()
    caller = outdial.phone().answers().waits(12).says("Hi.")
    url = serve(f'<Dial><Number url="{{base}}/whisper">{AGENT}</Number></Dial>')
    call = outdial.call(caller, url)
    assert caller.heard == []
    assert call.legs[0].said == ["A call for sales."]


def test_click_to_call_connects_two_phones(outdial: Rehearsal) -> None:
    second = outdial.phone("18005550142").answers(after_s=2).hears("hello").says("Yes?").hangs_up()
    first = outdial.phone().answers().waits(5).says("Hello?").hears("yes")
    call = outdial.call(first, from_=second.number)
    assert (call.outcome, call.legs[0].outcome) == ("completed", "completed")
    events = [(one.event, one.status) for one in call.legs[0].callbacks]
    assert events[-1] == ("completed", 200)


def test_callers_wait_in_a_queue_until_an_agent_comes(outdial: Rehearsal, serve: Serve) -> None:
    outdial.number(NUMBER, serve("<Say>All are busy.</Say><Enqueue>sales</Enqueue>"))
    callers = [
        outdial.phone().hears_tone("hold").hears(f"hello {n}", within_s=200).hangs_up()
        for n in (1, 2)
    ]
    calls = [outdial.incoming(phone, NUMBER, wait=False) for phone in callers]
    outdial.advance(90)
    agent = outdial.phone(AGENT).answers().waits(1).says("Hello 1").next_call()
    agent.answers().waits(1).says("Hello 2")
    for _ in calls:
        outdial.call(agent, serve("<Dial><Queue>sales</Queue></Dial>", "/agent"))
    outdial.wait_until_over()
    waited = [
        next(event.data["seconds"] for event in call.timeline if event.kind == "queue.left")
        for call in calls
    ]
    assert waited[0] > 80
    assert [phone.heard[-1] for phone in callers] == ["Hello 1", "Hello 2"]


def test_everybody_in_a_conference_hears_all_others(outdial: Rehearsal, serve: Serve) -> None:
    outdial.number(NUMBER, serve("<Dial><Conference>team</Conference></Dial>"))
    names = ["Ann", "Bob", "Cyn"]
    phones = [
        outdial.phone(name=name).waits(5 + 4 * place).says(f"I am {name}.").waits(20).hangs_up()
        for place, name in enumerate(names)
    ]
    for phone in phones:
        outdial.incoming(phone, NUMBER, wait=False)
    calls = outdial.wait_until_over()
    assert len(calls) == 3
    for phone in phones:
        assert phone.heard == [f"I am {name}." for name in names if name != phone.name]
    assert audio.active_s(phones[0].calls[0].audio) > 1


def test_who_is_muted_is_not_heard(outdial: Rehearsal, serve: Serve) -> None:
    outdial.number(NUMBER, serve("<Dial><Conference>team</Conference></Dial>"))
    muted = '<Dial><Conference muted="true">team</Conference></Dial>'
    outdial.number("18005550101", serve(muted, "/muted"))
    listener = outdial.phone().waits(30).hangs_up()
    speaker = outdial.phone().waits(5).says("Hello?").waits(30).hangs_up()
    outdial.incoming(listener, NUMBER, wait=False)
    outdial.incoming(speaker, "18005550101", wait=False)
    outdial.wait_until_over()
    assert listener.heard == []


def test_a_conference_is_recorded(outdial: Rehearsal, serve: Serve) -> None:
    room = '<Dial action="{base}/after"><Conference record="on">team</Conference></Dial>'
    outdial.number(NUMBER, serve(room))
    serve("", "/after")
    for place in range(2):
        phone = outdial.phone().waits(5 + 6 * place).speaks(3).waits(10).hangs_up()
        outdial.incoming(phone, NUMBER, wait=False)
    calls = outdial.wait_until_over()
    (recording,) = [one for call in calls for one in call.recordings]
    assert audio.active_s(recording.audio[0]) == pytest.approx(6, abs=0.2)


def test_early_media_is_heard_before_the_answer(outdial: Rehearsal, serve: Serve) -> None:
    outdial.phone(AGENT).sends_early_media("Please wait.").answers().waits(1).hangs_up()
    caller = outdial.phone().answers().hears("please wait")
    outdial.call(caller, serve(f"<Dial>{AGENT}</Dial>"))
    assert caller.calls[0].tones == ["ringback"]


def test_a_text_reaches_a_phone(outdial: Rehearsal, serve: Serve) -> None:
    phone = outdial.phone()
    call = outdial.call(phone, serve('<Sms to="12025550101">Thank you.</Sms><Hangup/>'))
    assert phone.texts == ["Thank you."]
    assert "Sms" in call.verbs
