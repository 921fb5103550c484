"""Sms: the message goes its way and the call goes on."""

from __future__ import annotations

from doubles.application import FakeHost, run
from outdial.didml.interpreter import EndKind
from outdial.didml.run.host import SmsEnd, SmsPlan
from outdial.didml.run.sms import RESULT_WAIT_S


async def test_the_next_verb_runs_without_waiting() -> None:
    host = FakeHost(start='<Sms statusCallback="/texts">Hello.</Sms><Hangup/>')
    assert (await run(host)).kind is EndKind.HANGUP
    (asked,) = host.texts
    assert asked == (
        SmsPlan("Hello.", status_callback="http://app.example.test/texts"), 0.0
    )  # fmt: skip
    assert host.noted("verb.ended") == [
        {"verb": "Sms", "result": "queued", "message": "SM1", "problem": ""}
    ]


async def test_action_is_told_and_takes_over() -> None:
    host = FakeHost(
        start='<Sms to="12025550177" from="12025550100" action="/after">Hi</Sms><Say>Never.</Say>',
        after="<Hangup/>",
    )
    host.text_end = SmsEnd("SM1", "sent")
    await run(host)
    assert host.texts == [(SmsPlan("Hi", "12025550177", "12025550100"), RESULT_WAIT_S)]
    assert host.fetched[-1] == (
        "http://app.example.test/after", "POST", (("SmsSid", "SM1"), ("SmsStatus", "sent"))
    )  # fmt: skip
    assert host.fake_media.queued == []


async def test_action_is_told_why_it_failed() -> None:
    host = FakeHost(start='<Sms action="/after">Hi</Sms>', after="<Hangup/>")
    host.text_end = SmsEnd("SM1", "failed", "to is a premium-rate number")
    await run(host)
    assert host.fetched[-1][2][-1] == ("SmsError", "to is a premium-rate number")


async def test_a_call_is_not_answered_for_it() -> None:
    host = FakeHost(start="<Sms>Call us later.</Sms><Reject/>")
    assert (await run(host)).status == 603
    assert host.answers == 0
    assert len(host.texts) == 1
