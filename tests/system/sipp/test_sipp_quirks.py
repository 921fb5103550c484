"""What phones and carriers do now and then, and calls that come many at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from outdial.testing import audio
from system.sipp.ear import PCMA, PCMU
from system.sipp.stage import HANG_UP, LINGER, SAY, STAY, STEPS, WELL, End, Scene

_INCOMPATIBLE = End("failed", "200", "incompatible-destination", "callee")


def test_many_calls_at_once(scene: Scene) -> None:
    phone = scene.phone("answer", calls=30)
    with ThreadPoolExecutor(10) as pool:
        calls = list(pool.map(lambda _: scene.call(phone, SAY), range(30)))
    for call in calls:
        call.ended(*STEPS, WELL)
        assert len(call.fetches()) == 1
    assert len({call.sid for call in calls}) == 30


def test_a_cancel_waits_for_the_first_provisional_response(scene: Scene) -> None:
    phone = scene.phone("rings-late")
    call = scene.call(phone, HANG_UP)
    call.wait_for("initiated")
    call.hang_up()
    call.ended("initiated", End("canceled", "487", "originator-cancel", "caller"))
    order = [m.start_line.split()[1 if m.sent else 0] for m in phone.messages()]
    assert order.index("180") < order.index("CANCEL")


def test_a_refusal_that_is_repeated_is_acknowledged_again(scene: Scene) -> None:
    phone = scene.phone("refuses-twice", options=["-nr"])
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", End("busy", "486", "user-busy", "callee"))
    assert len(phone.received("ACK ")) == 2


def test_a_phone_that_does_not_know_the_call_any_more_when_it_is_hung_up(scene: Scene) -> None:
    phone = scene.phone("forgets")
    call = scene.call(phone, HANG_UP)
    call.ended(*STEPS, WELL)
    assert len(phone.received("BYE ")) == 1


def test_a_phone_that_never_answers_the_bye(scene: Scene) -> None:
    phone = scene.phone("ignores-bye")
    call = scene.call(phone, HANG_UP)
    call.ended(*STEPS, WELL)
    byes = phone.received("BYE ")
    assert len(byes) > 3
    assert len({bye.get("Via") for bye in byes}) == 1


def test_both_hang_up_in_the_same_moment(scene: Scene) -> None:
    phone = scene.phone("crossing-byes")
    call = scene.call(phone, HANG_UP)
    call.ended(*STEPS, WELL)


def test_an_answer_without_any_description_is_hung_up(scene: Scene) -> None:
    phone = scene.phone("answer", sdp="@no-body@")
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", "ringing", _INCOMPATIBLE)
    assert len(phone.received("ACK ")) == 1


def test_an_answer_without_a_usable_codec_is_hung_up(scene: Scene) -> None:
    phone = scene.phone("answer", sdp="@sdp-g729@")
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", "ringing", _INCOMPATIBLE)
    assert len(phone.received("ACK ")) == 1


def test_the_phone_prefers_a_law(scene: Scene) -> None:
    phone = scene.phone("answer", sdp="@sdp-alaw@")
    call = scene.call(phone, SAY)
    call.ended(*STEPS, WELL)
    assert {packet.payload_type for packet in phone.ear.packets} == {PCMA}
    assert audio.active_s(phone.ear.heard()) > 0.8
    assert audio.level_dbfs(phone.ear.heard()) > -30


def test_a_reinvite_changes_the_codec(scene: Scene) -> None:
    phone = scene.phone("reinvites", new_sdp="@sdp-alaw@")
    call = scene.call(phone, LINGER)
    call.ended(*STEPS, WELL)
    kinds = [packet.payload_type for packet in phone.ear.packets]
    assert kinds == sorted(kinds), "first one, then the other"
    assert set(kinds) == {PCMU, PCMA}


def test_an_offer_that_cannot_be_taken_leaves_the_call_as_it_is(scene: Scene) -> None:
    phone = scene.phone("reinvites-in-vain", vain="@sdp-g729@")
    call = scene.call(phone, LINGER)
    call.ended(*STEPS, WELL)
    packets = phone.ear.packets
    assert {packet.payload_type for packet in packets} == {PCMU}
    assert packets[-1].at - packets[0].at > 0.8


def test_a_call_is_hung_up_while_an_offer_waits_for_its_ack(scene: Scene) -> None:
    phone = scene.phone("reinvites-and-hangs-up")
    call = scene.call(phone, STAY)
    call.ended(*STEPS, WELL._replace(source="callee"))
