"""What is heard on calls to SIPp: digits, and audio that follows re-negotiations."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from outdial.testing import audio
from system.sipp.ear import EVENTS, PCMU, Ear, Packet
from system.sipp.stage import HANG_UP, LINGER, STEPS, WELL, Phone, Scene

TALK = (
    "<Response><Say>One two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen twenty.</Say></Response>"
)

_KEYPAD_HZ = {"1": (697, 1209), "2": (697, 1336), "9": (852, 1477), "#": (941, 1477)}


# ------------------------------------------------------------------------ sendDigits


def test_digits_are_sent_as_telephone_events_before_the_document_is_fetched(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, LINGER, sendDigits="12w9W#*0A")
    call.ended(*STEPS, WELL)

    pressed = phone.ear.pressed()
    assert "".join(one.digit for one in pressed) == "129#*0A"
    assert {one.ends for one in pressed} == {3}, "the end is said three times (RFC 4733 2.5.1.4)"
    assert {one.duration_ms for one in pressed} == {100}
    gaps_s = [b.at - a.at for a, b in pairwise(pressed)]
    for gap_s, expected_s in zip(gaps_s, [0.2, 0.7, 1.2, 0.2, 0.2, 0.2], strict=True):
        assert gap_s == pytest.approx(expected_s, abs=0.06)
    first = [p for p in phone.ear.packets if p.payload_type == EVENTS and p.marker]
    assert len(first) == 7, "the first packet of each event is marked"

    fetched_at = call.fetches()[0].at - time.time() + time.monotonic()
    assert fetched_at > pressed[-1].at + 0.09


def test_digits_are_sent_as_tones_to_one_who_takes_no_telephone_events(scene: Scene) -> None:
    phone = scene.phone("answer", sdp="@sdp-no-events@")
    call = scene.call(phone, LINGER, sendDigits="12w9#")
    call.ended(*STEPS, WELL)
    assert phone.ear.pressed() == []
    heard = phone.ear.heard()
    bursts = _bursts(heard)
    assert len(bursts) == 4
    for (start_s, end_s), digit in zip(bursts, "129#", strict=True):
        assert end_s - start_s == pytest.approx(0.1, abs=0.03)
        assert audio.tone_share(heard.cut(start_s, end_s), *_KEYPAD_HZ[digit]) > 0.8
    starts_s = [start_s for start_s, _ in bursts]
    gaps_s = [b - a for a, b in pairwise(starts_s)]
    assert gaps_s == pytest.approx([0.2, 0.7, 0.2], abs=0.04)


# ------------------------------------------------------------------------ re-negotiation


def test_a_reinvite_moves_the_prompt_to_another_port(scene: Scene) -> None:
    phone, moved = _phone_that_moves(scene, "reinvites", new_sdp="@sdp-moved@")
    call = scene.call(phone, TALK)
    call.ended(*STEPS, WELL)
    _check_moved(phone.ear, moved, at_s=0.8)
    assert "m=audio" in phone.received("SIP/2.0 200")[0].body


def test_an_offerless_reinvite_gets_an_offer_and_its_answer_counts(scene: Scene) -> None:
    phone, moved = _phone_that_moves(scene, "offerless")
    call = scene.call(phone, TALK)
    call.ended(*STEPS, WELL)
    _check_moved(phone.ear, moved, at_s=0.8)
    offer = phone.received("SIP/2.0 200")[0].body
    assert "RTP/AVP 0 8 101" in offer, "an offer of everything (RFC 3264)"


def test_an_update_moves_the_prompt_to_another_port(scene: Scene) -> None:
    phone, moved = _phone_that_moves(scene, "updates")
    call = scene.call(phone, TALK)
    call.ended(*STEPS, WELL)
    _check_moved(phone.ear, moved, at_s=0.8)
    first, second = phone.received("SIP/2.0 200")
    assert (first.get("CSeq"), first.body) == ("2 UPDATE", "")
    assert (second.get("CSeq"), "m=audio" in second.body) == ("3 UPDATE", True)


@pytest.mark.parametrize(("hold", "answer"), [("sendonly", "recvonly"), ("inactive", "inactive")])
def test_one_who_holds_the_call_hears_nothing_until_he_takes_it_up(
    scene: Scene, hold: str, answer: str
) -> None:
    phone = scene.phone("holds", hold=hold)
    call = scene.call(phone, TALK)
    call.ended(*STEPS, WELL)
    held, resumed = phone.received("SIP/2.0 200")
    assert f"a={answer}" in held.body.splitlines()
    assert "a=sendrecv" in resumed.body.splitlines()
    versions = [_version(phone.received("INVITE ")[0].body), _version(held.body)]
    versions.append(_version(resumed.body))
    assert versions == sorted(set(versions)), "each description has a new version"

    packets = [packet for packet in phone.ear.packets if packet.payload_type == PCMU]
    gap_s, at_s = _longest_gap(packets)
    assert gap_s == pytest.approx(0.8, abs=0.1)
    assert at_s == pytest.approx(0.8, abs=0.15)
    assert audio.active_s(phone.ear.heard(packets[0].at + 1.6)) > 1.0


# ------------------------------------------------------------------------ early media


def test_nothing_is_sent_into_early_media(scene: Scene) -> None:
    phone = scene.phone("early-media", early_ms="600")
    call = scene.call(phone, HANG_UP)
    call.ended(*STEPS, WELL)
    answered_at = phone.sent("SIP/2.0 200")[0]
    assert answered_at.sent
    assert phone.ear.heard().duration_s < 0.5


# ------------------------------------------------------------------------ the parts


def _phone_that_moves(scene: Scene, name: str, new_sdp: str = "") -> tuple[Phone, Ear]:
    line = scene.stage.line()
    moved = scene.ear_at(line.hosts[0])
    return scene.phone(name, line, keys={"ear2": str(moved.port)}, new_sdp=new_sdp), moved


def _check_moved(first: Ear, second: Ear, at_s: float) -> None:
    """The stream left one ear and went on at the other, without a break and without a repeat."""
    before = [packet for packet in first.packets if packet.payload_type == PCMU]
    after = [packet for packet in second.packets if packet.payload_type == PCMU]
    assert before[-1].at - before[0].at == pytest.approx(at_s, abs=0.15)
    assert before[-1].at < after[0].at < before[-1].at + 0.1
    assert (after[0].sequence - before[-1].sequence) & 0xFFFF == 1
    assert after[0].ssrc == before[0].ssrc
    assert audio.active_s(second.heard()) > 1.0


def _longest_gap(packets: list[Packet]) -> tuple[float, float]:
    """How long the longest pause was, and when it began, seconds after the first packet."""
    gaps = [(b.at - a.at, a.at - packets[0].at) for a, b in pairwise(packets)]
    return max(gaps)


def _bursts(sound: audio.Sound) -> list[tuple[float, float]]:
    """Where there is sound: each stretch's start and end."""
    found: list[tuple[float, float]] = []
    for frame in range(int(sound.duration_s / audio.FRAME_S)):
        start_s = frame * audio.FRAME_S
        if audio.active_s(sound.cut(start_s, start_s + audio.FRAME_S)):
            if found and found[-1][1] == pytest.approx(start_s):
                found[-1] = (found[-1][0], start_s + audio.FRAME_S)
            else:
                found.append((start_s, start_s + audio.FRAME_S))
    return found


def _version(body: str) -> int:
    return int(next(line for line in body.splitlines() if line.startswith("o=")).split()[2])
