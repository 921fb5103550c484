"""SRTP with real telephones: baresip's own, and SIPp as one whose key does not fit."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from doubles.certificates import Authority
from outdial.testing import audio
from outdial.testing.server import OutdialServer, free_port
from outdial.testing.sipp import Sipp
from outdial.testing.web import WebServer
from system.peers.baresip import Baresip, Encryption, free_port_pair
from system.peers.observed import leg_of, wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.baresip]

MANDATORY, OPTIONAL, OFF, WRONG = "15551230001", "15551230002", "15551230003", "15551230004"
OVER_TLS, AUTOMATIC = "15551230005", "15551230006"
OURS = "15551239999"
SRTP = {
    MANDATORY: "mandatory",
    OPTIONAL: "optional",
    OFF: "off",
    WRONG: "mandatory",
    OVER_TLS: "mandatory",
    AUTOMATIC: "auto",
}
LOW, HIGH = 440.0, 1330.0
SUITE = "AES_CM_128_HMAC_SHA1_80"


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture(scope="module")
def url(web: WebServer) -> str:
    """An application that plays a tone for a good second."""
    sound = web.serve("/tone.wav", audio.wav(audio.tone(HIGH, seconds=1.2)), "audio/wav")
    return web.serve("/tone.xml", f"<Response><Play>{sound}</Play></Response>")


@pytest.fixture(scope="module")
def places() -> dict[str, int]:
    """Where each number's phone will be."""
    return {number: free_port_pair() for number in SRTP}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> str:
    """Of a phone, with its key behind it."""
    made = authority.make("127.0.0.1", ["127.0.0.1"])
    both = made.path.with_suffix(".both")
    both.write_bytes(made.key_path.read_bytes() + made.path.read_bytes())
    return str(both)


@pytest.fixture(scope="module")
def outdial(places: dict[str, int], url: str, authority: Authority) -> Iterator[OutdialServer]:
    # Of the trunks at one address the first gets the calls towards us: the mandatory one.
    trunks = [
        {
            "name": f"to-{number}",
            "address": f"127.0.0.1:{port}",
            "prefixes": [number],
            "options_interval_s": 0,
            "srtp": SRTP[number],
            "srtp_keys_in_clear": True,
        }
        for number, port in places.items()
        if number not in (OVER_TLS, AUTOMATIC)
    ]
    trunks += [
        {
            "name": f"to-{number}",
            "address": f"127.0.0.1:{places[number] + 1}",
            "transport": "tls",
            "tls_ca": authority.path,
            "prefixes": [number],
            "options_interval_s": 0,
            "srtp": SRTP[number],
        }
        for number in (OVER_TLS, AUTOMATIC)
    ]
    settings = {
        "trunks": trunks,
        "limits": {"destinations": ["1555"]},
        "numbers": [{"number": OURS, "url": url, "record": True}],
        "media": {"silence_timeout_s": 1.5},
        "sip": {"listen": [f"udp:127.0.0.1:{free_port(socket.SOCK_DGRAM)}", "tls:127.0.0.1:0"]},
    }
    with OutdialServer(settings) as server:
        yield server
        wait_until_at_rest(server)


def srtp_of(outdial: OutdialServer, sid: str) -> str | None:
    """What the timeline says of the answer's encryption."""
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    (answered,) = [event for event in events if event["kind"] == "state.answered"]
    suite: str | None = answered["data"].get("srtp")
    return suite


@pytest.mark.parametrize(
    ("number", "phone", "suite", "invites"),
    [
        (MANDATORY, "srtp-mand", SUITE, ["RTP/SAVP"]),
        (MANDATORY, "srtp", SUITE, ["RTP/SAVP"]),
        (OPTIONAL, "srtp", SUITE, ["RTP/AVP"]),
        (OPTIONAL, "", None, ["RTP/AVP"]),
        (OPTIONAL, "srtp-mand", SUITE, ["RTP/AVP", "RTP/SAVP"]),
        (OFF, "srtp", None, ["RTP/AVP"]),
        (OVER_TLS, "srtp-mand", SUITE, ["RTP/SAVP"]),
        (AUTOMATIC, "srtp", SUITE, ["RTP/AVP"]),
    ],
)
def test_both_hear_each_other(
    outdial: OutdialServer,
    url: str,
    places: dict[str, int],
    number: str,
    phone: Encryption,
    suite: str | None,
    invites: list[str],
    certificate: str,
) -> None:
    said = audio.tone(LOW, seconds=20)
    with Baresip(
        number, said, port=places[number], encryption=phone, certificate=certificate
    ) as telephone:
        sid = outdial.place_call(to=number, **{"from": OURS}, url=url, record="true")
        call = outdial.wait_until_over(sid)
        telephone.wait_for("CALL_CLOSED")
        (heard,) = telephone.heard()
    assert (call["outcome"], call["cause"]) == ("completed", "normal-clearing")
    assert srtp_of(outdial, sid) == suite
    assert audio.tone_share(heard.cut(0.3, 1.0), HIGH) > 0.95
    recorded, _ = audio.read_wav(outdial.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav"))
    assert audio.tone_share(recorded.cut(0.5), LOW) > 0.95
    stats = call["media"]
    assert stats["packets_received"] > 45
    assert (stats["packets_refused"], stats["packets_unauthentic"]) == (0, 0)
    wait_until_at_rest(outdial)
    ladder = [one["text"] for one in outdial.get(f"/v1/calls/{sid}/ladder")["messages"]]
    offers = [text for text in ladder if text.startswith("INVITE")]
    assert [offer.split("m=audio ")[1].split()[1] for offer in offers] == invites
    keys = [key.split()[0] for text in ladder for key in text.split("inline:")[1:]]
    assert bool(keys) is (number != OFF or phone != "")
    assert all(set(key) == {"x"} for key in keys), "who reads the ladder hears nothing by it"
    transports = {one["transport"] for one in outdial.get(f"/v1/calls/{sid}/ladder")["messages"]}
    assert transports == {"tls" if number in (OVER_TLS, AUTOMATIC) else "udp"}


@pytest.mark.parametrize(("number", "phone"), [(MANDATORY, ""), (OFF, "srtp-mand")])
def test_who_cannot_agree_has_no_call(
    outdial: OutdialServer, url: str, places: dict[str, int], number: str, phone: Encryption
) -> None:
    with Baresip(number, port=places[number], encryption=phone):
        sid = outdial.place_call(to=number, **{"from": OURS}, url=url)
        call = outdial.wait_until_over(sid)
    assert (call["outcome"], call["cause"]) == ("failed", "incompatible-destination")
    assert call["answered_at"] is None


def test_an_encrypted_leg_is_joined_to_a_plain_one(
    outdial: OutdialServer, places: dict[str, int]
) -> None:
    with (
        Baresip(
            MANDATORY,
            audio.tone(LOW, seconds=20),
            port=places[MANDATORY],
            encryption="srtp-mand",
        ) as alice,
        Baresip(OFF, audio.tone(HIGH, seconds=20), port=places[OFF]) as bob,
    ):
        sid = outdial.place_call(to=MANDATORY, **{"from": OFF})
        bob.wait_for("CALL_ESTABLISHED")
        time.sleep(0.8)
        alice.press("42#")
        bob.wait_until(lambda: len(bob.received("CALL_DTMF_START")) == 3, "three digits")
        bob.hang_up()
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        (alice_heard,), (bob_heard,) = alice.heard(), bob.heard()
    other = leg_of(outdial, sid)
    assert (srtp_of(outdial, sid), srtp_of(outdial, other["sid"])) == (SUITE, None)
    assert (call["outcome"], other["outcome"]) == ("completed", "completed")
    assert audio.tone_share(alice_heard.cut(0.7, 1.2), HIGH) > 0.9
    assert audio.tone_share(bob_heard.cut(0.2, 0.7), LOW) > 0.9


def test_a_phone_on_hold_and_back_is_still_understood(
    outdial: OutdialServer, url: str, places: dict[str, int]
) -> None:
    with Baresip(
        MANDATORY, audio.tone(LOW, seconds=20), port=places[MANDATORY], encryption="srtp-mand"
    ) as alice:
        sid = outdial.place_call(to=MANDATORY, **{"from": OURS}, url=url, record="true")
        alice.wait_for("CALL_ESTABLISHED")
        alice.hold()
        time.sleep(0.4)
        alice.resume()
        call = outdial.wait_until_over(sid)
        alice.wait_for("CALL_CLOSED")
        received = alice.packets_received()
    assert call["outcome"] == "completed"
    recorded, _ = audio.read_wav(outdial.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav"))
    assert audio.tone_share(recorded.cut(0.9, 1.1), LOW) > 0.9, "after the hold"
    assert call["media"]["packets_unauthentic"] == 0
    assert received == pytest.approx(call["media"]["packets_sent"], abs=3)


@pytest.mark.parametrize("phone", ["srtp-mand", "srtp", ""])
def test_a_call_towards_us(
    outdial: OutdialServer, places: dict[str, int], phone: Encryption
) -> None:
    before = {call["sid"] for call in outdial.get("/v1/calls?limit=100")["calls"]}
    with Baresip(
        MANDATORY, audio.tone(LOW, seconds=20), port=places[MANDATORY], encryption=phone
    ) as caller:
        port = outdial.settings["sip"]["listen"][0].rpartition(":")[2]
        caller.dial(f"sip:{OURS}@127.0.0.1:{port}")
        caller.wait_for("CALL_CLOSED")
        heard = caller.heard()
    (sid,) = {call["sid"] for call in outdial.get("/v1/calls?limit=100")["calls"]} - before
    call = outdial.wait_until_over(sid)
    if not phone:
        assert (call["cause"], call["sip_code"]) == ("incompatible-destination", 488)
        assert "srtp is mandatory" in call["detail"]
        return
    assert (call["outcome"], srtp_of(outdial, sid)) == ("completed", SUITE)
    assert audio.tone_share(heard[0].cut(0.3, 1.0), HIGH) > 0.95
    recorded, _ = audio.read_wav(outdial.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav"))
    assert audio.tone_share(recorded.cut(0.5), LOW) > 0.95


_ECHO = f"""\
<?xml version="1.0" encoding="us-ascii"?>
<scenario name="its key does not fit">
  <recv request="INVITE"/>
  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/SAVP 0
a=crypto:1 {SUITE} inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj
]]></send>
  <recv request="ACK"/>
  <recv request="BYE"/>
  <send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0
]]></send>
</scenario>
"""


@pytest.mark.sipp
def test_a_far_end_whose_key_does_not_fit_is_not_heard(
    outdial: OutdialServer, web: WebServer, places: dict[str, int]
) -> None:
    """It sends back what it gets: encrypted, but with our key."""
    stay = web.serve("/stay.xml", '<Response><Pause length="20"/></Response>')
    with Sipp(_ECHO, port=places[WRONG], options=["-rtp_echo"]) as phone:
        sid = outdial.place_call(to=WRONG, **{"from": OURS}, url=stay, record="true")
        call = outdial.wait_until_over(sid)
        assert phone.wait().successful == 1
    assert (call["cause"], call["hangup_source"]) == ("media-timeout", "outdial")
    stats = call["media"]
    assert stats["packets_received"] == 0
    assert stats["packets_unauthentic"] >= 50
    assert "that its SRTP key does not fit" in call["detail"]
    recorded, _ = audio.read_wav(outdial.get_bytes(f"/v1/recordings/{call['recording_sid']}.wav"))
    assert audio.active_s(recorded) == 0
