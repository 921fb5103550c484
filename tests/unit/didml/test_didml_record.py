"""Record and Recording: what is kept, what is thrown away, and who is told."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.application import HANG_UP, Caller
from outdial.didml.interpreter import EndKind
from outdial.didml.run.record import CHOICE, MOST_QUESTIONS, MOST_TAKES
from outdial.didml.verbs import Record
from outdial.legs import PlayEnd

SAVED = "http://app.example.test/saved.php"
BEEP = "(beep)"
BEEP_S = 0.5


class Speaker(Caller):
    """Who leaves messages: `says` is how long each of them is."""

    def __init__(
        self,
        attributes: str = "",
        says: tuple[float, ...] = (3.0,),
        keys: dict[float, str] | None = None,
        then: str = "<Say>on</Say>",
        **documents: str,
    ) -> None:
        documents.setdefault("saved", "<Say>Thanks</Say>")
        super().__init__(
            f'<Record action="saved.php" {attributes}/>{then}', keys or {}, **documents
        )
        self.lengths = list(says)

    async def _converse(self) -> None:
        self.says = self.lengths
        await super()._converse()

    @property
    def params(self) -> dict[str, str] | None:
        """What `action` got as a request whose answer takes over."""
        sent = [dict(params) for url, _, params in self.fetched if url == SAVED]
        return sent[0] if sent else None

    @property
    def ended(self) -> dict[str, Any]:
        """What the timeline says of the end of the Record."""
        (end,) = self.noted("verb.ended")
        return end


def test_a_message_ended_by_silence() -> None:
    call = Speaker().run()
    assert call.params == {
        "RecordingUrl": "http://outdial.test/v1/recordings/RE1.wav",
        "callid": "CA1",
        "dialednumber": "12025550123",
        "callerid": "12025550100",
        "callername": "Ann",
        "RecordingDuration": "8",
    }
    assert call.orders == [(180.0, 5.0)]
    assert call.takes[0].did == ["stop", "keep"]
    assert call.heard == [BEEP, "Thanks"]
    assert call.ended["result"] == "recorded"
    assert (call.ended["recording"], call.ended["ms"]) == ("RE1", pytest.approx(8000, abs=50))


def test_the_attributes_reach_the_recorder() -> None:
    call = Speaker('maxlength="60" timeout="9" beep="off" fileID="a/../b" method="GET"').run()
    assert call.orders == [(60.0, 9.0)]
    assert call.heard == ["Thanks"]
    assert call.params is not None and call.params["fileID"] == "a/../b"
    assert call.fetched[-1][1] == "GET"


def test_any_key_ends_the_message() -> None:
    call = Speaker(says=(60.0,), keys={2.5: "7"}).run()
    assert call.seconds == pytest.approx(2.5 + 1, abs=0.2)
    assert call.params is not None and call.params["RecordingDuration"] == "2"


def test_only_the_keys_that_may_end_it_do() -> None:
    call = Speaker('finishOnKey="#"', says=(60.0,), keys={2: "7", 3.5: "#"}).run()
    assert call.params is not None and call.params["RecordingDuration"] == "3"


def test_no_key_need_end_it() -> None:
    call = Speaker('finishOnKey=""', says=(20.0,), keys={2: "7#"}).run()
    assert call.params is not None and call.params["RecordingDuration"] == "25"


def test_keys_pressed_before_do_not_end_it() -> None:
    call = Speaker(keys={0.2: "12"}).run()
    assert call.params is not None and call.params["RecordingDuration"] == "8"


def test_the_longest_time_ends_it() -> None:
    call = Speaker('maxlength="10"', says=(60.0,)).run()
    assert call.params is not None and call.params["RecordingDuration"] == "10"


def test_without_action_it_is_kept_and_the_next_verb_runs() -> None:
    call = Speaker()
    call.documents["start"] = "<Record/><Say>on</Say>"
    assert call.run().heard == [BEEP, "on"]
    assert call.takes[0].did[-1] == "keep"


def test_an_empty_message_is_thrown_away_and_the_next_verb_runs() -> None:
    call = Speaker(says=(0.0,)).run()
    assert (call.params, call.heard) == (None, [BEEP, "on"])
    assert call.takes[0].did == ["stop", "discard"]
    assert (call.ended["result"], call.ended["ms"]) == ("empty", pytest.approx(5000, abs=50))


def test_a_message_that_could_not_be_written_is_not_told_of() -> None:
    class Full(Speaker):
        def record(self, longest_s: float, silence_s: float) -> Any:
            take = super().record(longest_s, silence_s)
            take.error = "the recording cannot be written: No space left on device"
            return take

    call = Full().run()
    assert (call.params, call.heard) == (None, [BEEP, "on"])
    assert (call.ended["result"], call.takes[0].did) == ("failed", ["stop"])


def test_audio_that_is_lost_during_the_beep_ends_the_application() -> None:
    call = Speaker()
    call.fake_media.ends = [PlayEnd.LOST]
    end = call.run().end
    assert end is not None and end.kind is EndKind.HANGUP
    assert call.takes == []


# ------------------------------------------------------------------ hanging up


def test_who_hangs_up_has_left_a_message_and_action_is_notified() -> None:
    call = Speaker('fileID="x"', says=(60.0,), keys={4.5: HANG_UP}).run()
    assert call.params is None
    ((url, method, params),) = call.told
    assert (url, method, params["RecordingDuration"], params["fileID"]) == (SAVED, "POST", "4", "x")
    assert call.takes[0].did == ["stop", "keep"]
    assert call.ended["result"] == "recorded"


def test_who_hangs_up_without_a_word_has_left_none() -> None:
    call = Speaker(says=(0.0,), keys={2: HANG_UP}).run()
    assert call.told == []
    assert call.takes[0].did == ["stop", "discard"]
    assert call.ended["result"] == "empty"


def test_who_hangs_up_during_the_beep_has_left_none() -> None:
    call = Speaker(keys={0.3: HANG_UP}).run()
    assert (call.takes, call.told) == ([], [])


def test_without_action_nobody_is_told() -> None:
    call = Speaker(says=(60.0,), keys={4: HANG_UP})
    call.documents["start"] = "<Record/>"
    assert call.run().told == []
    assert call.takes[0].did == ["stop", "keep"]


# ------------------------------------------------------------------ confirmrecording

CONFIRM = 'confirmrecording="1"'
ASKED = CHOICE.text
FIRST_S = BEEP_S + 3 + 5
"""When the first message of three seconds is over and the question begins."""


def test_1_keeps_the_message() -> None:
    call = Speaker(CONFIRM, keys={FIRST_S + 0.4: "1"}).run()
    assert call.heard == [BEEP, ASKED, "Thanks"]
    assert call.takes[0].did == ["stop", "keep"]


def test_2_plays_it_and_asks_again() -> None:
    call = Speaker(CONFIRM, keys={FIRST_S + 0.4: "2", FIRST_S + 3: "1"}).run()
    assert call.heard == [BEEP, ASKED, "RE1", ASKED, "Thanks"]
    assert call.takes[0].did == ["stop", "keep"]


def test_3_records_it_again() -> None:
    keys = {FIRST_S + 0.4: "3", FIRST_S + 0.4 + BEEP_S + 2: "#", FIRST_S + 4: "1"}
    call = Speaker(CONFIRM, says=(3.0, 60.0), keys=keys).run()
    assert call.heard == [BEEP, ASKED, BEEP, ASKED, "Thanks"]
    assert [take.did for take in call.takes] == [["stop", "discard"], ["stop", "keep"]]
    assert call.params is not None
    assert call.params["RecordingUrl"].endswith("/RE2.wav")
    assert call.params["RecordingDuration"] == "2"


def test_who_does_not_answer_keeps_the_message() -> None:
    call = Speaker(CONFIRM).run()
    assert call.heard == [BEEP, *[ASKED] * MOST_QUESTIONS, "Thanks"]


def test_another_key_is_no_answer() -> None:
    call = Speaker(CONFIRM, keys={FIRST_S + 0.4: "9", FIRST_S + 1: "1"}).run()
    assert call.heard == [BEEP, ASKED, ASKED, "Thanks"]


def test_the_key_that_ended_the_message_is_no_answer() -> None:
    call = Speaker(CONFIRM, says=(60.0,), keys={3: "1", 4.6: "1"}).run()
    assert call.heard == [BEEP, ASKED, "Thanks"]
    assert call.seconds == pytest.approx(5.6, abs=0.2)


def test_who_hangs_up_instead_of_answering_keeps_the_message() -> None:
    call = Speaker(CONFIRM, keys={FIRST_S + 0.4: HANG_UP}).run()
    assert call.takes[0].did == ["stop", "keep"]
    assert len(call.told) == 1


def test_a_message_that_cannot_be_played_is_asked_about_again() -> None:
    class Unreadable(Speaker):
        def record(self, longest_s: float, silence_s: float) -> Any:
            take = super().record(longest_s, silence_s)
            take.unplayable = True
            return take

    call = Unreadable(CONFIRM, keys={FIRST_S + 0.4: "2", FIRST_S + 1: "1"}).run()
    assert call.heard == [BEEP, ASKED, ASKED, "Thanks"]
    assert call.noted("verb.warning")[0]["message"] == "the recording cannot be read"


def test_an_empty_message_is_not_asked_about() -> None:
    assert Speaker(CONFIRM, says=(0.0,)).run().heard == [BEEP, "on"]


def test_it_is_not_recorded_again_without_end() -> None:
    step_s = BEEP_S + 1 + 5
    keys = {step_s * (n + 1) + n * 0.1 + 0.05: "3" for n in range(MOST_TAKES)}
    call = Speaker(CONFIRM, says=(1.0,) * 20, keys=keys).run()
    assert len(call.takes) == MOST_TAKES
    assert call.takes[-1].did == ["stop", "keep"]
    assert call.params is not None


# ------------------------------------------------------------------ Recording, and Dial's record


def test_recording_starts_and_goes_on_at_once() -> None:
    call = Caller("<Recording/><Say>hello</Say>", {}).run()
    assert (call.whole_recordings, call.heard) == (1, ["hello"])
    assert call.seconds == pytest.approx(1, abs=0.1)


def test_the_timeline_says_how_long_it_may_be() -> None:
    assert Record(max_length_s=60).summary() == "up to 60 s"


@pytest.mark.parametrize(
    ("dial", "number", "records"),
    [("", "", False), ("on", "", True), ("on", "off", False), ("off", "on", True)],
)
def test_a_number_says_itself_whether_it_is_recorded(dial: str, number: str, records: bool) -> None:
    text = f'<Dial record="{dial}"><Number record="{number}">12025550177</Number></Dial>'
    call = Caller(text, {}).run()
    assert call.dialled[0].legs[0].record is records


def test_a_dial_action_is_told_of_the_recording() -> None:
    call = Caller('<Dial record="on" action="after.php">12025550177</Dial>', {}, after="")
    url = "http://outdial.test/v1/recordings/RE9.wav"
    call.dial_end = type(call.dial_end)("completed", "CAb", 31, url)
    call.run()
    assert dict(call.fetched[1][2])["RecordingUrl"] == url
