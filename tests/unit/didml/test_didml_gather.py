"""Gather: what is asked, what is heard, and where the digits go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from doubles.application import HANG_UP, URL, Caller, FakeHost, clip, run
from outdial.didml.interpreter import ApplicationEnd, EndKind
from outdial.didml.parse import parse
from outdial.didml.run.keys import MOST_WAITING, SAME_KEY_S, Keys
from outdial.didml.verbs import Gather, Pause, Play, Say
from outdial.legs import PlayEnd

AFTER = "http://app.example.test/after.php"


class Keyed(Caller):
    """A call that asks for digits."""

    @property
    def digits(self) -> str | None:
        """What `action` got; None when it was not requested."""
        sent = [dict(params) for url, _, params in self.fetched if url == AFTER]
        return sent[0]["Digits"] if sent else None


def ask(attributes: str = "", inside: str = "<Say>Key it</Say>", then: str = "") -> str:
    return f'<Gather action="after.php" {attributes}>{inside}</Gather>{then}'


# ------------------------------------------------------------------ the document


def test_its_verbs_stand_in_order_and_only_those_that_may() -> None:
    text = b"""<Response><Gather numDigits="1"><Say voice="man">a</Say><Pause>700</Pause>
        <Play loop="0">b.wav</Play><Dial>12025550100</Dial></Gather></Response>"""
    document = parse(text, "text/xml", URL)
    (gather,) = document.verbs
    assert isinstance(gather, Gather)
    assert [type(part) for part in gather.prompt] == [Say, Pause, Play]
    assert [w.message for w in document.warnings] == ["Dial does not belong into Gather; skipped"]


def test_fewer_digits_at_most_than_at_least_are_as_many() -> None:
    text = b'<Response><Gather minDigits="6" numDigits="4"/></Response>'
    document = parse(text, "text/xml", URL)
    (gather,) = document.verbs
    assert isinstance(gather, Gather)
    assert (gather.min_digits, gather.num_digits) == (6, 6)
    assert [w.message for w in document.warnings] == [
        "Gather: numDigits 4 is under minDigits 6, which counts"
    ]


def test_more_digits_at_least_than_the_usual_most_are_no_slip() -> None:
    document = parse(b'<Response><Gather minDigits="30"/></Response>', "text/xml", URL)
    (gather,) = document.verbs
    assert isinstance(gather, Gather)
    assert (gather.num_digits, document.warnings) == (30, ())


def test_the_timeline_says_how_many() -> None:
    assert Gather(min_digits=4, num_digits=4).summary() == "4 digits"
    assert Gather().summary() == "1 to 20 digits"
    assert Gather(num_digits=1).summary() == "1 digit"


# ------------------------------------------------------------------ digits


def test_the_last_digit_ends_the_input() -> None:
    call = Keyed(ask('numDigits="4"'), {1.5: "1", 2: "2", 2.5: "3", 3: "4"}).run()
    assert call.digits == "1234"
    assert call.seconds == pytest.approx(3, abs=0.2)
    assert call.heard == ["Key it"]


def test_the_finish_key_ends_the_input_and_is_not_in_it() -> None:
    call = Keyed(ask(), {1.5: "12#"}).run()
    assert (call.digits, round(call.seconds)) == ("12", 2)


def test_another_finish_key() -> None:
    assert Keyed(ask('finishOnKey="*"'), {1.5: "1#2*"}).run().digits == "1#2"


def test_no_finish_key() -> None:
    assert Keyed(ask('finishOnKey=""'), {1.5: "1#2"}).run().digits == "1#2"


def test_enough_digits_and_then_nothing_are_taken() -> None:
    call = Keyed(ask('minDigits="2" timeout="3"'), {2: "1", 4.9: "2"}).run()
    assert call.digits == "12"
    assert call.seconds == pytest.approx(7.9, abs=0.2), "each key starts the time anew"


def test_the_time_to_wait_starts_after_the_prompt() -> None:
    call = Keyed(ask('timeout="2" tries="1"', inside="<Pause>5000</Pause>"), {6.9: "7#"}).run()
    assert call.digits == "7"


def test_action_gets_the_method_and_its_answer_takes_over() -> None:
    call = Keyed(
        ask('numDigits="1" method="GET"', then="<Say>not this</Say>"),
        {1.5: "5"},
        after="<Say>five</Say>",
    ).run()
    assert call.fetched[1:] == [(AFTER, "GET", (("Digits", "5"),))]
    assert call.heard == ["Key it", "five"]


def test_without_action_the_next_verb_runs() -> None:
    call = Keyed("<Gather numDigits='1'/><Say>on</Say>", {1: "5"}).run()
    assert (len(call.fetched), call.heard) == (1, ["on"])


# ------------------------------------------------------------------ the prompt


def test_the_first_key_stops_the_prompt_and_counts() -> None:
    call = Keyed(ask('numDigits="2"', "<Say>a</Say><Say>b</Say><Say>c</Say>"), {1.5: "4", 2: "2"})
    call.run()
    assert call.digits == "42"
    assert call.heard == ["a", "b"]
    assert call.fake_media.stopped == 1
    assert call.sources_open == 0


def test_a_key_stops_a_prompt_that_would_go_on_for_ever() -> None:
    call = Keyed(ask('numDigits="1"', '<Say loop="0">again</Say>'), {60: "9"}).run()
    assert (call.digits, call.fake_media.stopped) == ("9", 1)


def test_the_finish_key_stops_the_prompt_too_and_costs_the_try() -> None:
    call = Keyed(ask('tries="1"', "<Say>a</Say><Say>b</Say>"), {0.5: "#"}).run()
    assert (call.digits, call.heard) == (None, ["a"])


def test_a_failed_try_plays_the_prompt_again_and_forgets_its_digits() -> None:
    call = Keyed(ask('minDigits="3" timeout="2"'), {1.5: "12", 5: "456#"}).run()
    assert call.digits == "456"
    assert call.heard == ["Key it", "Key it"]


def test_too_few_before_the_finish_key_fail_the_try() -> None:
    call = Keyed(ask('minDigits="2"'), {1.5: "1#", 3: "23#"}).run()
    assert (call.digits, call.heard) == ("23", ["Key it", "Key it"])


def test_when_all_tries_have_failed_the_next_verb_runs() -> None:
    call = Keyed(ask('tries="2" timeout="4"', then="<Say>Nothing came</Say>"), {}).run()
    assert call.digits is None
    assert call.heard == ["Key it", "Key it", "Nothing came"]
    assert call.seconds == pytest.approx(2 * (1 + 4) + 1, abs=0.2)
    assert call.noted("verb.ended") == [{"verb": "Gather", "result": "no-digits", "tries": 2}]


def test_a_prompt_whose_audio_is_lost_ends_the_application() -> None:
    call = Keyed(ask(), {})
    call.fake_media.ends = [PlayEnd.LOST]
    assert call.run().end == ApplicationEnd(EndKind.HANGUP, "the audio stream was lost")


def test_what_is_asked_is_on_the_timeline() -> None:
    call = Keyed(ask('numDigits="1" tries="1"', "<Say>a</Say><Pause>5</Pause>"), {2: "1"}).run()
    assert [(n["verb"], n["text"]) for n in call.noted("verb.started")] == [
        ("Gather", "1 digit"),
        ("Say", "a"),
        ("Pause", "5 ms"),
    ]


async def test_a_call_that_ends_meanwhile_leaves_nothing() -> None:
    host = FakeHost(start=ask())
    host.clips["Key it"] = [clip("a"), clip("b")]
    host.fake_media.ends = [None, None]
    running = asyncio.ensure_future(run(host))
    while not host.fake_media.queued:  # noqa: ASYNC110 (the fake has no event)
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (host.sources_open, host.fake_media.stopped) == (0, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


# ------------------------------------------------------------------ typed ahead


def test_digits_typed_ahead_count_and_nothing_is_asked() -> None:
    call = Keyed("<Say>Hello</Say>" + ask('numDigits="3"'), {0.2: "12", 1.5: "3"}).run()
    assert (call.digits, call.heard) == ("123", ["Hello"])


def test_digits_typed_ahead_go_through_several_menus() -> None:
    second = '<Gather numDigits="2" action="last.php"><Say>Which?</Say></Gather>'
    call = Keyed(ask('numDigits="1"'), {1.5: "123"}, after=second, last="<Say>so</Say>").run()
    assert [dict(params).get("Digits") for _, _, params in call.fetched] == [None, "1", "23"]
    assert call.heard == ["Key it", "so"]


def test_a_finish_key_after_the_last_digit_does_not_count_for_the_next() -> None:
    second = '<Gather numDigits="1" action="last.php"><Say>Which?</Say></Gather>'
    call = Keyed(ask('numDigits="4"'), {1.5: "1234#", 3: "7"}, after=second, last="").run()
    assert [dict(params).get("Digits") for _, _, params in call.fetched] == [None, "1234", "7"]
    assert call.heard == ["Key it", "Which?"]


# ------------------------------------------------------------------ nobody else learns them


def test_the_digits_are_on_no_timeline() -> None:
    audio = "<Redirect>http://app.example.test/done?Digits=8970&amp;x=1</Redirect>"
    call = Keyed(ask('numDigits="4"'), {1.5: "8970"}, after=audio).run()
    assert call.digits == "8970"
    assert "8970" not in repr(call.notes)
    assert call.noted("verb.ended")[0] == {
        "verb": "Gather",
        "result": "digits",
        "count": 4,
        "tries": 1,
    }


def test_nor_in_the_name_of_what_holds_them() -> None:
    keys = Keys(lambda: 0.0)
    keys.press("7", "info")
    assert repr(keys) == "<Keys: 1 waiting>"


# ------------------------------------------------------------------ the keys


class Pressed:
    """Keys and the time at which they are pressed."""

    def __init__(self) -> None:
        self.now = 0.0
        self.keys = Keys(lambda: self.now)

    def press(self, digits: str, source: str, after_s: float = 0.0) -> None:
        self.now += after_s
        for digit in digits:
            self.keys.press(digit, source)

    async def all(self) -> str:
        taken = ""
        while self.keys.any_waiting:
            taken += await self.keys.take(1.0) or ""
        return taken


async def test_a_key_told_in_two_ways_counts_once() -> None:
    pressed = Pressed()
    for digit in "1123":
        pressed.press(digit, "rfc4733", 0.3)
        pressed.press(digit, "info", 0.05)
    assert await pressed.all() == "1123"


async def test_two_ways_may_lag_behind_each_other() -> None:
    pressed = Pressed()
    pressed.press("12", "info")
    pressed.press("12", "rfc4733", 0.4)
    assert await pressed.all() == "12"


async def test_the_same_key_by_one_way_counts_each_time() -> None:
    pressed = Pressed()
    pressed.press("7", "in-band")
    pressed.press("7", "in-band", 0.2)
    pressed.press("7", "info", SAME_KEY_S + 0.5)
    assert await pressed.all() == "777"


async def test_more_than_a_gather_takes_is_not_kept() -> None:
    pressed = Pressed()
    pressed.press("1" * (MOST_WAITING + 50), "rfc4733")
    assert len(await pressed.all()) == MOST_WAITING


async def test_forgotten_keys_are_not_taken() -> None:
    pressed = Pressed()
    pressed.press("12", "rfc4733")
    pressed.keys.clear()
    assert await pressed.keys.take(0.01) is None


# ------------------------------------------------------------------ hanging up


class Slow(Keyed):
    """A call whose application takes two seconds to answer."""

    async def fetch(self, url: str, method: str, extra: Any = ()) -> Any:
        if url == AFTER:
            self.begun = True
            await asyncio.sleep(2)
        return await super().fetch(url, method, extra)


def test_who_hangs_up_right_after_the_last_digit_has_answered() -> None:
    call = Slow(ask('numDigits="1"'), {1.5: "7", 2: HANG_UP}, after="<Say>never</Say>").run()
    assert call.begun and call.digits == "7"
    assert call.heard == ["Key it"]


def test_an_application_that_fails_then_is_nobodys_concern() -> None:
    call = Slow(ask('numDigits="1"'), {1.5: "7", 2: HANG_UP}).run()
    assert call.digits == "7"
