"""Gather with `input="speech"`: recognised, or honestly nothing."""

from __future__ import annotations

import pytest

from doubles.application import DEFECT, HANG_UP, URL, Caller
from outdial.didml.parse import parse
from outdial.didml.verbs import Gather

AFTER = "http://app.example.test/after.php"
BOTH, SPEECH = 'input="dtmf speech"', 'input="speech"'


class Spoken(Caller):
    """A call that asks for a word."""

    def __init__(
        self, document: str, keys: dict[float, str], words: dict[float, str] | None = None
    ) -> None:
        super().__init__(document, keys)
        self.words_by_second = words or {}

    @property
    def got(self) -> dict[str, str] | None:
        """What `action` got; None when it was not requested."""
        sent = [dict(params) for url, _, params in self.fetched if url == AFTER]
        return sent[0] if sent else None

    @property
    def warnings(self) -> list[str]:
        return [note["message"] for note in self.noted("document.warning")]

    @property
    def end_of_verb(self) -> dict[str, object]:
        return self.noted("verb.ended")[0]


def ask(attributes: str, hints: str = "sales, support", inside: str = "<Say>Whom?</Say>") -> str:
    return f'<Gather action="after.php" {attributes} hints="{hints}">{inside}</Gather>'


# ------------------------------------------------------------------ the document


@pytest.mark.parametrize(
    ("attributes", "inputs", "warning"),
    [
        ('input="speech" hints="a"', ("speech",), ""),
        ('input="Speech DTMF" hints="a"', ("dtmf", "speech"), ""),
        ('input="speech,dtmf" hints="a"', ("dtmf", "speech"), ""),
        ('hints="a"', ("dtmf",), 'hints are without effect; write input="dtmf speech" with them'),
        (
            'input="speech"',
            ("dtmf",),
            'speech needs hints, what may be said, as in hints="yes, no"; keys are taken',
        ),
        (
            'input="speech" hints=" , "',
            ("dtmf",),
            'speech needs hints, what may be said, as in hints="yes, no"; keys are taken',
        ),
    ],
)
def test_what_is_taken(attributes: str, inputs: tuple[str, ...], warning: str) -> None:
    document = parse(f"<Response><Gather {attributes}/></Response>".encode(), "text/xml", URL)
    (gather,) = document.verbs
    assert isinstance(gather, Gather)
    assert gather.input == inputs
    assert [w.message for w in document.warnings] == ([f"Gather: {warning}"] if warning else [])


def test_the_timeline_says_what_is_asked_for() -> None:
    assert Gather(input=("speech",), hints=("a", "b")).summary() == "one of 2 hints"
    both = Gather(input=("dtmf", "speech"), hints=("a", "b"), num_digits=1)
    assert both.summary() == "1 digit, or one of 2 hints"


# ------------------------------------------------------------------ speech


@pytest.mark.parametrize("attributes", [BOTH, SPEECH])
def test_a_hint_goes_to_action_as_it_is_written(attributes: str) -> None:
    call = Spoken(ask(attributes), {}, {2: "support"}).run()
    assert call.got == {"SpeechResult": "support", "Confidence": "0.87"}
    assert call.end_of_verb == {
        "verb": "Gather",
        "result": "speech",
        "confidence": 0.87,
        "tries": 1,
    }
    assert all("support" not in str(data) for _, data in call.notes)


def test_the_first_word_stops_the_prompt() -> None:
    document = ask(SPEECH, inside="<Say>a</Say><Play loop='0'>b.wav</Play>")
    call = Spoken(document, {}, {0.5: "sales"}).run()
    assert call.got is not None and call.fake_media.stopped == 1
    assert call.heard == ["a"]


def test_what_is_none_of_the_hints_fails_the_try_and_is_told_to_nobody() -> None:
    call = Spoken(ask(SPEECH + ' tries="2"'), {}, {2: "pizza"}).run()
    assert call.got is None
    assert call.heard == ["Whom?", "Whom?"]
    assert call.noted("speech.unrecognized") == [{"verb": "Gather", "hints": 2}]
    assert call.end_of_verb["result"] == "no-speech"


def test_the_next_try_hears_anew() -> None:
    call = Spoken(ask(SPEECH), {}, {2: "pizza", 6: "sales"}).run()
    assert call.got == {"SpeechResult": "sales", "Confidence": "0.87"}
    assert call.end_of_verb["tries"] == 2
    assert [ear.stopped for ear in call.ears] == [True, True]


def test_nothing_said_is_waited_for_as_long_as_for_a_key() -> None:
    call = Spoken(ask(SPEECH + ' tries="1" timeout="7"'), {}).run()
    assert call.got is None
    assert call.seconds == pytest.approx(8, abs=0.3)


@pytest.mark.parametrize(
    ("attributes", "silence_s"),
    [("", 1.0), ('speechTimeout="2.5"', 2.5), ("speechTimeout='auto'", 1)],
)
def test_the_silence_that_ends_it(attributes: str, silence_s: float) -> None:
    call = Spoken(ask(f"{SPEECH} {attributes}"), {}, {2: "sales"}).run()
    assert [ear.silence_s for ear in call.ears] == [silence_s]
    assert call.seconds == pytest.approx(2 + silence_s, abs=0.2)


def test_a_recogniser_that_dies_costs_a_try_and_says_so() -> None:
    call = Spoken(ask(BOTH), {}, {2: DEFECT, 6: "sales"}).run()
    assert call.got is not None
    assert call.noted("warning") == [{"text": "Gather: the helper process died"}]


def test_a_hint_that_can_never_be_recognised_is_told_once() -> None:
    call = Spoken(ask(SPEECH), {}, {2: "pizza", 6: "pizza"})
    call.unknown_hints = ("Xyzzy",)
    call.run()
    assert call.warnings == [
        "Gather: no word is known for the hint 'Xyzzy'; it is never recognised"
    ]


def test_the_end_of_the_call_ends_the_listening() -> None:
    call = Spoken(ask(SPEECH), {2.0: HANG_UP}).run()
    assert [ear.stopped for ear in call.ears] == [True]


# ------------------------------------------------------------------ keys beside it


def test_a_key_is_taken_if_it_comes_first() -> None:
    call = Spoken(ask(BOTH + ' numDigits="2"'), {2: "1", 2.5: "2"}, {9: "sales"}).run()
    assert call.got == {"Digits": "12"}
    assert [ear.stopped for ear in call.ears] == [True]


def test_a_key_is_the_better_answer_while_somebody_speaks() -> None:
    call = Spoken(ask(BOTH + ' numDigits="1"'), {2.5: "7"}, {2: "sales"}).run()
    assert call.got == {"Digits": "7"}


def test_a_key_stops_the_prompt_and_keys_typed_ahead_need_none() -> None:
    call = Spoken(ask(BOTH + ' numDigits="1"'), {0.5: "7"}).run()
    assert (call.got, call.fake_media.stopped) == ({"Digits": "7"}, 1)
    ahead = Spoken("<Pause>2000</Pause>" + ask(BOTH + ' numDigits="1"'), {0.5: "5"}).run()
    assert (ahead.got, ahead.heard, ahead.ears) == ({"Digits": "5"}, [], [])


def test_with_speech_alone_keys_wait_for_the_next_gather() -> None:
    document = ask(SPEECH + ' tries="1"') + '<Gather action="after.php" numDigits="1"/>'
    call = Spoken(document, {0.5: "7"}).run()
    assert call.heard == ["Whom?"], "the key did not stop it"
    assert call.got == {"Digits": "7"}


@pytest.mark.parametrize("attributes", [BOTH, SPEECH])
def test_where_no_speech_is_recognised_keys_are_taken_and_the_timeline_says_so(
    attributes: str,
) -> None:
    call = Spoken(ask(f'{attributes} language="es" numDigits="1"'), {2: "7"}, {1.5: "sales"})
    call.deaf = "speech is not recognised: pocketsphinx is not installed"
    call.run()
    assert call.got == {"Digits": "7"}
    assert call.warnings == ["Gather: speech is not recognised: pocketsphinx is not installed"]
    assert (call.languages, call.ears) == (["es"], [])


def test_keys_alone_ask_for_no_ear() -> None:
    call = Spoken('<Gather action="after.php" numDigits="1"/>', {1: "7"}).run()
    assert (call.got, call.languages, call.ears) == ({"Digits": "7"}, [], [])
