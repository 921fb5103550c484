"""Calls that are answered, in all the ways that carriers and phones do it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from outdial.testing import audio
from system.sipp.digest import check_credentials
from system.sipp.ear import PCMU
from system.sipp.stage import HANG_UP, LINGER, SAY, STAY, STEPS, WELL, End, Scene

_BY_CALLEE = WELL._replace(source="callee")


def test_the_whole_job(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, SAY, secretKey="s3same", optional="order=17", callerName="Acme")
    call.ended(*STEPS, WELL)

    (fetched,) = call.fetches()
    assert fetched.method == "POST"
    assert {
        "To": phone.number,
        "From": call.from_,
        "CallerName": "Acme",
        "callSid": call.sid,
        "Direction": "outbound",
        "CallStatus": "answered",
    }.items() <= fetched.params.items()
    for event in call.events():
        assert event.method == "POST"
        assert (event.params["apikey"], event.params["order"]) == ("s3same", "17")

    heard = phone.ear.heard()
    assert 0.8 < audio.active_s(heard) < 4
    assert audio.level_dbfs(heard) > -30
    packets = [packet for packet in phone.ear.packets if packet.payload_type == PCMU]
    steps = {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)}
    assert steps == {1}, "no packet lost or out of order"
    assert {len(packet.payload) for packet in packets} == {160}

    invite = phone.received("INVITE ")[0]
    assert invite.start_line == f"INVITE sip:{phone.number}@{phone.sipp.host}:5060 SIP/2.0"
    assert invite.get("From").startswith(f'"Acme" <sip:{call.from_}@')
    assert len(phone.received("BYE ")) == 1


def test_the_callee_hangs_up_during_the_prompt(scene: Scene) -> None:
    phone = scene.phone("hangs-up", talk_ms="600")
    call = scene.call(phone, SAY)
    call.ended(*STEPS, _BY_CALLEE)
    assert 0.2 < phone.ear.heard().duration_s < 1.2
    assert phone.received("BYE ") == []


def test_the_callee_hangs_up_at_once(scene: Scene) -> None:
    phone = scene.phone("hangs-up", talk_ms="1")
    call = scene.call(phone, STAY)
    call.ended(*STEPS, _BY_CALLEE)


def test_hung_up_through_the_api_during_the_prompt(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, STAY)
    call.wait_for("answered")
    call.hang_up()
    call.ended(*STEPS, WELL._replace(source="caller"))


def test_early_media_and_then_an_answer(scene: Scene) -> None:
    phone = scene.phone("early-media", early_ms="500")
    call = scene.call(phone, SAY)
    call.ended(*STEPS, WELL)
    phone.ear.wait_for_speech(0.8)


def test_an_answer_whose_description_came_with_the_183(scene: Scene) -> None:
    phone = scene.phone("early-media-only")
    call = scene.call(phone, SAY)
    call.ended(*STEPS, WELL)
    assert audio.active_s(phone.ear.heard()) > 0.8


def test_ringing_that_must_be_acknowledged(scene: Scene) -> None:
    phone = scene.phone("reliable")
    call = scene.call(phone, SAY)
    call.ended(*STEPS, WELL)
    assert audio.active_s(phone.ear.heard()) > 0.8
    prack = phone.received("PRACK ")[0]
    assert prack.get("RAck") == "4711 1 INVITE"


@pytest.mark.parametrize(
    ("status", "header", "answer_header"),
    [
        ("407 Proxy Authentication Required", "Proxy-Authenticate", "Proxy-Authorization"),
        ("401 Unauthorized", "WWW-Authenticate", "Authorization"),
    ],
)
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_trunk_that_wants_credentials(
    scene: Scene, status: str, header: str, answer_header: str, algorithm: str
) -> None:
    demand = f'{header}: Digest realm="the carrier", nonce="n0", qop="auth", algorithm={algorithm}'
    phone = scene.phone("challenged", scene.stage.guarded_line(), status=status, demand=demand)
    call = scene.call(phone, HANG_UP)
    call.ended(*STEPS, WELL)
    first, second = phone.received("INVITE ")[:2]
    assert first.get_all(answer_header) == []
    check_credentials(second.get(answer_header), "INVITE", nonce="n0", algorithm=algorithm)
    assert second.get("CSeq") == "2 INVITE"
    assert second.get("Call-ID") == first.get("Call-ID")


def test_a_nonce_that_is_too_old_is_replaced(scene: Scene) -> None:
    demand = 'Proxy-Authenticate: Digest realm="the carrier", qop="auth", '
    phone = scene.phone(
        "challenged-stale",
        scene.stage.guarded_line(),
        status="407 Proxy Authentication Required",
        demand=demand + 'nonce="old"',
        second_demand=demand + 'nonce="new", stale=true',
    )
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", "answered", WELL)
    last = phone.received("INVITE ")[-1]
    check_credentials(last.get("Proxy-Authorization"), "INVITE", nonce="new", algorithm="MD5")


def test_credentials_that_are_not_accepted_are_sent_once(scene: Scene) -> None:
    demand = 'Proxy-Authenticate: Digest realm="the carrier", qop="auth", '
    phone = scene.phone(
        "challenged-twice",
        scene.stage.guarded_line(),
        status="407 Proxy Authentication Required",
        demand=demand + 'nonce="one"',
        second_demand=demand + 'nonce="two"',
    )
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", End("failed", "407", "authentication-failed", "carrier"))
    assert len({message.get("CSeq") for message in phone.received("INVITE ")}) == 2


def test_a_trunk_without_credentials_gives_none(scene: Scene) -> None:
    phone = scene.phone("reject", status="401 Unauthorized")
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", End("failed", "401", "authentication-failed", "carrier"))


def test_a_trunk_that_is_reached_by_tcp(scene: Scene) -> None:
    phone = scene.phone("answer", scene.stage.tcp_line(), transport="t1")
    call = scene.call(phone, SAY)
    call.ended(*STEPS, WELL)
    assert len(phone.received("INVITE ")) == 1
    assert phone.received("INVITE ")[0].get("Via").startswith("SIP/2.0/TCP ")
    assert audio.active_s(phone.ear.heard()) > 0.8


def test_lost_messages_are_sent_again(scene: Scene) -> None:
    phone = scene.phone("lossy", options=["-nr"])
    call = scene.call(phone, LINGER)
    call.ended(*STEPS, WELL)
    for method, count in (("INVITE", 4), ("ACK", 2), ("BYE", 4)):
        messages = phone.received(f"{method} ")
        assert len(messages) == count, method
        assert len({message.get("Via") for message in messages}) == 1, "a repetition is the same"


def test_every_repeated_200_gets_its_ack(scene: Scene) -> None:
    phone = scene.phone("repeats-200", options=["-nr"])
    call = scene.call(phone, LINGER)
    call.ended(*STEPS, WELL)
    acks = phone.received("ACK ")
    assert len(acks) == 3
    assert len({(ack.start_line, ack.headers) for ack in acks}) == 1


def test_a_second_phone_that_answers_is_acknowledged_and_hung_up(scene: Scene) -> None:
    phone = scene.phone("fork")
    call = scene.call(phone, SAY)
    call.ended(*STEPS, WELL)
    order = [m.start_line.split("@")[0] for m in phone.received() if m.start_line[:3] != "INV"]
    assert order == [
        "ACK sip:first",
        "ACK sip:second",
        "BYE sip:second",
        "BYE sip:first",
    ]
    assert audio.active_s(phone.ear.heard()) > 0.8, "the first one heard the prompt"


def test_requests_inside_the_dialog_take_the_recorded_route(scene: Scene) -> None:
    phone = scene.phone("routed")
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", "answered", WELL)
    for method in ("ACK", "BYE"):
        message = phone.received(f"{method} ")[0]
        assert message.start_line == f"{method} sip:phone@192.0.2.9:5999;line=1 SIP/2.0"
        routes = ", ".join(message.get_all("Route")).replace(">,<", ">, <")
        near = f"<sip:{phone.sipp.host}:5060;lr;near=yes>"
        assert routes == f"{near}, <sip:198.51.100.7:5070;lr>"


def test_a_longer_session_interval_is_agreed_to(scene: Scene) -> None:
    phone = scene.phone("longer-session")
    call = scene.call(phone, HANG_UP)
    call.ended("initiated", "answered", WELL)
    first, second = phone.received("INVITE ")[:2]
    assert int(first.get("Session-Expires").partition(";")[0]) < 7200
    assert (second.get("Session-Expires"), second.get("Min-SE")) == ("7200", "7200")


def test_requests_inside_the_dialog_are_answered(scene: Scene) -> None:
    phone = scene.phone("asks-inside")
    call = scene.call(phone, SAY)
    call.ended(*STEPS, WELL)
    options = phone.received("SIP/2.0 200")[0]
    assert {"INVITE", "UPDATE", "PRACK"} <= set(options.get("Allow").split(", "))
    refused = phone.received("SIP/2.0 501")[0]
    assert "BYE" in refused.get("Allow")
    assert audio.active_s(phone.ear.heard()) > 0.8, "the prompt went on"


def test_a_time_limit_ends_the_call(scene: Scene) -> None:
    phone = scene.phone("answer")
    call = scene.call(phone, STAY, timeLimit=1)
    call.ended(*STEPS, End("completed", "200", "time-limit", "outdial"))
    assert call.wait_for("completed")["CallDuration"] == "1"
