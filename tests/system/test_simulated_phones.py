"""Every simulated phone through the public API of one real server, all called at the same time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from outdial.testing import audio
from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers.observed import wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.long]

FROM = "18005550100"
PERSON = "12125550123"
"""No simulated phone of its own: an ordinary person."""
OTHER_PARTY, ALONE = "18005550177", "16465550111"
"""The two ends of a click-to-call, and who is called for somebody that is busy."""
PROMPT = "Good morning. This is a call about your order."
LONG_PROMPT = " ".join([PROMPT] * 4)

ANSWERED = ["initiated", "ringing", "answered", "completed"]
RUNG = ["initiated", "ringing", "completed"]
REFUSED = ["initiated", "completed"]


@dataclass(frozen=True)
class Row:
    """How a call to one number must go."""

    number: str
    outcome: str
    sip_code: int
    cause: str
    source: str
    events: list[str]
    answers_after_s: float = 0.0
    """From the INVITE to the answer, as the phone's persona has it."""
    params: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return self.number


OVER = "normal-clearing"
ROWS = [
    Row("15005550001", "completed", 200, OVER, "application", ANSWERED, 0.7),
    Row("15005550002", "busy", 486, "user-busy", "callee", REFUSED),
    Row("15005550003", "no-answer", 487, "no-answer", "outdial", RUNG, params={"timeout": "2"}),
    Row("15005550004", "failed", 603, "call-rejected", "callee", RUNG),
    Row("15005550005", "failed", 404, "unallocated-number", "carrier", REFUSED),
    Row("15005550006", "failed", 503, "carrier-failure", "carrier", REFUSED),
    Row("15005550007", "completed", 200, OVER, "application", ANSWERED, 4.0),
    Row("15005550008", "completed", 200, OVER, "application", ANSWERED, 1.0),
    Row(
        *("15005550009", "completed", 200, OVER, "application", ANSWERED, 0.5),
        params={"sendDigits": "WWW101"},
    ),
    Row("15005550010", "completed", 200, OVER, "callee", ANSWERED, 0.5),
    Row("15005550011", "completed", 200, OVER, "application", ANSWERED, 0.5),
    Row("15005550012", "failed", 488, "incompatible-destination", "callee", REFUSED),
    Row("15005550013", "completed", 200, OVER, "application", ANSWERED, 0.5),
    Row(PERSON, "completed", 200, OVER, "application", ANSWERED, 1.0),
]
APPLICATIONS = {
    "15005550008": f'<Response><Pause length="8"/><Say>{PROMPT}</Say></Response>',
    "15005550009": '<Response><Pause length="4"/></Response>',
    "15005550010": f"<Response><Say>{LONG_PROMPT}</Say></Response>",
}
"""Of whom the plain prompt is not for."""
PLAIN = f"<Response><Say>{PROMPT}</Say></Response>"


@dataclass(frozen=True)
class Round:
    """All calls, over."""

    outdial: OutdialServer
    web: WebServer
    sids: Mapping[str, str]
    calls: Mapping[str, dict[str, Any]]

    def heard(self, number: str) -> dict[str, Any]:
        """The figures of what the phone heard."""
        return dict(self.outdial.get(f"/sim/phones/{number}/heard?format=json"))

    def sound(self, number: str) -> audio.Sound:
        """What the phone heard."""
        return audio.read_mono(self.outdial.get_bytes(f"/sim/phones/{number}/heard?format=wav"))

    def recording(self, number: str) -> tuple[audio.Sound, audio.Sound]:
        """What we heard of the phone, and what we sent it."""
        sid = self.calls[number]["recording_sid"]
        said, sent = audio.read_wav(self.outdial.get_bytes(f"/v1/recordings/{sid}.wav"))
        return said, sent

    def start_lines(self, number: str) -> list[str]:
        """The first lines of the call's SIP messages."""
        ladder = self.outdial.get(f"/v1/calls/{self.sids[number]}/ladder")
        return [message["start_line"] for message in ladder["messages"]]

    def second_leg(self, number: str) -> dict[str, Any]:
        """The leg that a click-to-call made."""
        sid = self.sids[number]
        calls = self.outdial.get("/v1/calls?limit=100")["calls"]
        (other,) = [c for c in calls if c["parent_sid"] == sid and c["sid"] != sid]
        return dict(other)


@pytest.fixture(scope="module")
def played() -> Iterator[Round]:
    """Everybody is called at once; then everything is over and only looked at."""
    with WebServer() as web:
        settings = {"sim": {"enabled": True}, "limits": {"calls_per_second": 100}}
        with OutdialServer(settings) as outdial:
            sids = {row.number: _place(outdial, web, row) for row in ROWS}
            for to, from_ in (("15005550014", OTHER_PARTY), (ALONE, "15005550002")):
                sids[to] = outdial.place_call(
                    to=to,
                    **{"from": from_},
                    statusCallback=web.collect(f"/events/{to}"),
                    statusCallbackEvent=ANSWERED,
                    timeLimit="11",
                    record="true",
                )
            calls = {to: outdial.wait_until_over(sid, 40) for to, sid in sids.items()}
            wait_until_at_rest(outdial)
            yield Round(outdial, web, sids, calls)


def _place(outdial: OutdialServer, web: WebServer, row: Row) -> str:
    document = APPLICATIONS.get(row.number, PLAIN)
    return outdial.place_call(
        to=row.number,
        **{"from": FROM},
        url=web.serve(f"/app/{row.number}", document),
        statusCallback=web.collect(f"/events/{row.number}"),
        statusCallbackEvent=ANSWERED,
        secretKey="a-secret",
        optional=f"order={row.number}",
        record="true",
        **(row.params or {}),
    )


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_call_ends_as_its_phone_makes_it_end(played: Round, row: Row) -> None:
    call = played.calls[row.number]
    assert (call["outcome"], call["sip_code"], call["cause"], call["hangup_source"]) == (
        row.outcome,
        row.sip_code,
        row.cause,
        row.source,
    )
    fetched = played.web.received(f"/app/{row.number}")
    if row.outcome == "completed":
        waited_s = _seconds(call, "dialled_at", "answered_at")
        assert row.answers_after_s <= waited_s < row.answers_after_s + 1.5
        (request,) = fetched
        assert request.method == "POST"
        assert request.params["To"] == row.number
        assert request.params["From"] == FROM
        assert request.params["callSid"] == played.sids[row.number]
        assert request.params["Direction"] == "outbound"
        assert request.params["CallStatus"] == "answered"
    else:
        assert call["answered_at"] is None
        assert fetched == [], "never fetched when nobody answered"


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_step_is_called_back_once_and_in_order(played: Round, row: Row) -> None:
    requests = played.web.wait_for(f"/events/{row.number}", len(row.events))
    told = [request.params for request in requests]
    assert [params["CallStatus"] for params in told] == row.events
    assert [params["SequenceNumber"] for params in told] == [
        str(number) for number in range(len(row.events))
    ]
    for params in told:
        assert params["callSid"] == params["ParentCallSid"] == played.sids[row.number]
        assert params["Called"] == params["To"] == row.number
        assert params["From"] == FROM
        assert params["Direction"] == "Outbound"
        assert params["CallbackSource"] == "call-progress-event"
        assert params["apikey"] == "a-secret"
        assert params["order"] == row.number
    times = [datetime.fromisoformat(params["Timestamp"]) for params in told]
    assert times == sorted(times)
    last, call = told[-1], played.calls[row.number]
    assert last["CallOutcome"] == row.outcome
    assert last["SipResponseCode"] == str(row.sip_code)
    assert last["HangupCause"] == row.cause
    assert last["HangupSource"] == row.source
    assert last["CallDuration"] == last["CallDurartion"] == str(call["duration_s"])
    if call["answered_at"] is None:
        assert call["duration_s"] == 0
    else:
        seconds = _seconds(call, "answered_at", "ended_at")
        assert seconds - 1.001 < call["duration_s"] < seconds + 0.001


@pytest.mark.parametrize("number", ["15005550001", "15005550007", "15005550013", PERSON])
def test_who_listens_hears_the_whole_prompt(played: Round, number: str) -> None:
    heard, figures = played.sound(number), played.heard(number)
    assert figures["running"] is False
    assert figures["caller_id"] == FROM
    assert -30 < figures["level_dbfs"] < -10
    _, sent = played.recording(number)
    span = audio.speech_span(sent)
    assert span is not None
    assert 2.0 < span[1] - span[0] < 6.0, "nine words"
    score, _ = audio.waveform_match(sent.cut(span[0], span[1] - 0.1), heard)
    assert score > 0.99


def test_who_rings_for_ever_is_cancelled_in_time(played: Round) -> None:
    call = played.calls["15005550003"]
    assert _seconds(call, "dialled_at", "ended_at") == pytest.approx(2.0, abs=0.5)
    lines = played.start_lines("15005550003")
    assert any(line.startswith("CANCEL ") for line in lines)
    assert any(line.startswith("SIP/2.0 487") for line in lines)
    assert lines[-1].startswith("ACK ")


def test_early_media_comes_before_the_answer(played: Round) -> None:
    call = played.calls["15005550007"]
    lines = played.start_lines("15005550007")
    assert any(line.startswith("SIP/2.0 183") for line in lines)
    assert _seconds(call, "dialled_at", "ringing_at") < 1.0
    assert _seconds(call, "ringing_at", "answered_at") > 3.0


def test_the_voicemail_greets_beeps_and_takes_the_message(played: Round) -> None:
    said, _ = played.recording("15005550008")
    greeting = audio.speech_span(said.cut(0, 2.0))
    assert greeting is not None, "it greets at once"
    # One second of tone somewhere behind the greeting.
    shares = [audio.tone_share(said.cut(at / 10, at / 10 + 0.2), 1000) for at in range(20, 100)]
    assert max(shares) > 0.9, "the beep"
    message = played.sound("15005550008").cut(7.5)
    assert 2.0 < audio.active_s(message) < 6.0, "the message, behind the beep"


def test_the_menu_takes_the_digits_that_were_asked_for(played: Round) -> None:
    figures = played.heard("15005550009")
    assert figures["digits"] == "101"
    said, _ = played.recording("15005550009")
    assert audio.active_s(said.cut(0.2, 3.0)) > 1.0, "it asked"
    assert audio.active_s(said.cut(3.2)) > 1.0, "it went on, to the extension"
    call = played.calls["15005550009"]
    assert _seconds(call, "answered_at", "ended_at") == pytest.approx(7.5, abs=0.8), (
        "three seconds of waiting, three digits, four seconds of pause"
    )


def test_who_hangs_up_ends_the_prompt(played: Round) -> None:
    call = played.calls["15005550010"]
    assert _seconds(call, "answered_at", "ended_at") == pytest.approx(2.0, abs=0.4)
    assert played.heard("15005550010")["sound_s"] > 1.0
    assert played.start_lines("15005550010")[-2].startswith("BYE ")


def test_who_stays_silent_still_sends(played: Round) -> None:
    said, _ = played.recording("15005550011")
    assert audio.active_s(said) == 0.0
    assert played.calls["15005550011"]["media"]["packets_received"] > 50
    assert played.heard("15005550011")["sound_s"] > 1.5


def test_the_credentials_are_given_when_asked_for(played: Round) -> None:
    lines = played.start_lines("15005550013")
    assert sum(line.startswith("INVITE ") for line in lines) == 2
    assert any(line.startswith("SIP/2.0 407") for line in lines)


def test_a_click_to_call_joins_both(played: Round) -> None:
    to = "15005550014"
    call, other = played.calls[to], played.second_leg(to)
    assert (call["outcome"], call["cause"]) == ("completed", "time-limit")
    assert (other["outcome"], other["to"], other["from"]) == ("completed", OTHER_PARTY, to)
    party, caller = played.heard(OTHER_PARTY), played.heard(to)
    assert party["digits"] == "1234"
    assert party["sound_s"] > 2.0, "the phrase"
    assert caller["sound_s"] > 1.0, "ringback, then the other's hello"
    assert audio.tone_share(played.sound(to).cut(0.1, 0.7), 440, 480) > 0.9
    told = [r.params for r in played.web.wait_for(f"/events/{to}", 8)]
    for sid in (call["sid"], other["sid"]):
        assert [p["CallStatus"] for p in told if p["callSid"] == sid] == ANSWERED
    assert {p["ParentCallSid"] for p in told} == {call["sid"]}


def test_who_is_called_for_somebody_busy_is_told(played: Round) -> None:
    call, other = played.calls[ALONE], played.second_leg(ALONE)
    assert (other["outcome"], other["sip_code"]) == ("busy", 486)
    assert (call["outcome"], call["hangup_source"]) == ("completed", "outdial")
    assert played.heard(ALONE)["sound_s"] > 0.8, "a short spoken reason"
    assert _seconds(call, "answered_at", "ended_at") < 8.0


def test_a_phone_that_was_never_answered_heard_nothing(played: Round) -> None:
    figures = played.heard("15005550002")
    assert (figures["answered_at"], figures["sound_s"], figures["wav_url"]) == (None, 0.0, None)


def test_the_numbers_are_listed_with_what_they_do(played: Round) -> None:
    phones = played.outdial.get("/sim/phones")["phones"]
    numbers = [phone["number"] for phone in phones]
    assert numbers == [*(f"150055500{n:02d}" for n in range(1, 15)), "any"]
    assert all(phone["summary"] for phone in phones)


def _seconds(call: Mapping[str, Any], begin: str, end: str) -> float:
    began, ended = (datetime.fromisoformat(call[name]) for name in (begin, end))
    return (ended - began).total_seconds()
