"""Calls towards a real server: SIPp calls a number of ours, and hears what its application says."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from outdial.sip.core.digest import Challenge
from outdial.testing import audio
from outdial.testing.server import OutdialServer
from outdial.testing.sipp import Sipp, SippResult
from outdial.testing.web import WebServer
from system.sipp.ear import Ear
from system.sipp.messages import read_trace
from system.sipp.scenarios import scenario

CARRIER, STRANGER, GUARDED = "127.0.0.77", "127.0.0.78", "127.0.0.79"
USER, PASSWORD = "ann", "s3cret"
HELLO, PAUSE, REJECT, BROKEN, MAIL, DESK, THANKS = (f"1800555010{n}" for n in range(7))
AGENT = "18005550177"
SAYS = "<Response><Say>The quick brown fox jumps over the lazy dog.</Say></Response>"
VOICEMAIL = """<Response><Postcall>/all</Postcall>
  <Gather action="/keyed.xml" numDigits="1"><Say>Press 1 to leave a message for us.</Say></Gather>
</Response>"""
TAKES = '<Response><Record action="/saved.xml"/></Response>'
QUEUES = "<Response><Enqueue>desk</Enqueue><Say>Thank you for calling us.</Say></Response>"
TAKES_CALLS = '<Response><Dial timelimit="2"><Queue>desk</Queue></Dial></Response>'
TEXTS = """<Response>
  <Sms to="12025550199" from="12025550177" statusCallback="/texted">Thanks for calling</Sms>
  <Say>The quick brown fox jumps over the lazy dog.</Say>
</Response>"""
WAITS = '<Response><Pause length="30"/><Say>Too late.</Say></Response>'


@dataclass
class House:
    """A server that has numbers, and the web server of their applications."""

    outdial: OutdialServer
    web: WebServer

    def call(
        self,
        called: str,
        rest: str,
        host: str = CARRIER,
        how: str = "caller",
        options: tuple[str, ...] = (),
        **values: str,
    ) -> SippResult:
        """What became of SIPp's call to the number."""
        with Ear(host) as self.ear:
            values = {"back": "4", "cseq": "1", "ear": str(self.ear.port)} | values
            text = scenario(how, called=called, rest=f"@{rest}@", **values)
            target = f"127.0.0.1:{self.outdial.sip_port}"
            with Sipp(
                text,
                target=target,
                host=host,
                timeout_s=20,
                trace_messages=True,
                options=options,
            ) as sipp:
                return sipp.wait()

    def call_guarded(
        self, rest: str, credentials: str, password: str = PASSWORD, user: str = USER, **values: str
    ) -> SippResult:
        """The same over the trunk whose calls must show a digest."""
        return self.call(
            HELLO,
            rest,
            GUARDED,
            "caller-challenged",
            ("-au", user, "-ap", password),
            credentials=credentials,
            cseq="2",
            **values,
        )

    def ended(self, number: str) -> dict[str, Any]:
        """The newest call to the number, once it is over."""
        calls: list[dict[str, Any]] = self.outdial.get(f"/v1/calls?to={number}")["calls"]
        return self.outdial.wait_until_over(calls[0]["sid"])


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with WebServer() as web:
        urls = {
            HELLO: web.serve("/hello.xml", SAYS),
            PAUSE: web.serve("/pause.xml", WAITS),
            REJECT: web.serve("/hangup.xml", "<Response><Hangup/></Response>"),
            BROKEN: web.url("/nowhere.xml"),
            MAIL: web.serve("/mail.xml", VOICEMAIL),
            DESK: web.serve("/desk.xml", QUEUES),
            THANKS: web.serve("/thanks.xml", TEXTS),
        }
        events = web.collect("/events")
        numbers = [
            {"number": number, "url": url, "status_callback": events}
            for number, url in urls.items()
        ]
        settings = {
            "numbers": numbers,
            "limits": {"destinations": ["1"]},
            "sms": {
                "gateway_url": web.collect("/send"),
                "gateway_body": "to={to}&from={from}&text={text}",
            },
            "trunks": [
                {"name": "carrier", "address": CARRIER, "options_interval_s": 0, "trusted": True},
                {
                    "name": "guarded",
                    "address": "127.0.0.80",
                    "options_interval_s": 0,
                    "inbound_addresses": [f"{GUARDED}/32"],
                    "inbound_username": USER,
                    "inbound_password": PASSWORD,
                    "inbound_algorithms": ["MD5"],  # SIPp 3.6 looks at the first challenge only
                },
            ],
        }
        with OutdialServer(settings) as outdial:
            yield House(outdial, web)


def test_a_caller_hears_the_application_and_is_hung_up_on(house: House) -> None:
    result = house.call(HELLO, "caller-hung-up-on")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert 2.0 < audio.active_s(house.ear.heard()) < 4.0
    call = house.ended(HELLO)
    assert (call["direction"], call["trunk"]) == ("inbound", "carrier")
    assert (call["from"], call["caller_name"]) == ("12025550123", "Ann")
    assert (call["outcome"], call["cause"], call["hangup_source"]) == (
        "completed",
        "normal-clearing",
        "application",
    )
    (told,) = [e for e in house.web.wait_for("/events") if e.params["callSid"] == call["sid"]]
    assert (told.params["Direction"], told.params["CallStatus"]) == ("Inbound", "completed")
    ladder = house.outdial.get(f"/v1/calls/{call['sid']}/ladder")["messages"]
    starts = [message["text"].split("\r\n")[0][:12] for message in ladder]
    assert starts[0] == "INVITE sip:1"
    assert any(start.startswith("BYE") for start in starts)


@pytest.mark.parametrize(
    ("headers", "from_", "name"),
    [
        ('P-Asserted-Identity: "Bob" <sip:+13035550111@127.0.0.77>', "13035550111", "Bob"),
        (
            "P-Asserted-Identity: <tel:+13035550111>\nPrivacy: id\nX-Account: 42",
            "anonymous",
            "",
        ),
    ],
)
def test_who_calls_is_what_the_carrier_asserts(
    house: House, headers: str, from_: str, name: str
) -> None:
    result = house.call(
        REJECT, "caller-refused", status="603", max_forwards=f"Max-Forwards: 70\n{headers}"
    )
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    call = house.ended(REJECT)
    assert (call["from"], call["caller_name"]) == (from_, name)
    asked = [one.params for one in house.web.wait_for("/hangup.xml", 1)]
    (told,) = [params for params in asked if params["callSid"] == call["sid"]]
    assert (told["From"], told["CallerName"]) == (from_, name)
    assert told.get("SipHeader_X-Account", "") == ("42" if "X-Account" in headers else "")


def test_a_caller_hangs_up_in_the_middle(house: House) -> None:
    result = house.call(HELLO, "caller-hangs-up", stay_ms="500")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    call = house.ended(HELLO)
    assert (call["outcome"], call["hangup_source"]) == ("completed", "caller")


def test_a_caller_gives_up_while_it_rings(house: House) -> None:
    result = house.call(PAUSE, "caller-gives-up", status="487", back="8")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    call = house.ended(PAUSE)
    assert (call["outcome"], call["cause"], call["hangup_source"]) == (
        "canceled",
        "originator-cancel",
        "caller",
    )
    assert call["answered_at"] is None


def test_an_application_may_hang_up_before_the_answer(house: House) -> None:
    result = house.call(REJECT, "caller-refused", status="603")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    call = house.ended(REJECT)
    assert (call["outcome"], call["sip_code"]) == ("failed", 603)


def test_a_broken_application_is_apologised_for(house: House) -> None:
    result = house.call(BROKEN, "caller-hung-up-on")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert audio.active_s(house.ear.heard()) > 2.0
    assert house.ended(BROKEN)["cause"] == "application-error"


def test_a_caller_whom_a_crash_cuts_off_is_hung_up_on(house: House) -> None:
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(house.call, HELLO, "caller-hung-up-on")
        deadline = time.monotonic() + 10
        while not house.outdial.get(f"/v1/calls?to={HELLO}&state=answered")["calls"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        house.outdial.kill()
        house.outdial.start()
        result = calling.result(20)
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert house.ended(HELLO)["cause"] == "server-restart"


def test_a_caller_leaves_a_message(house: House) -> None:
    web = house.web
    web.serve("/keyed.xml", TAKES)
    web.serve("/saved.xml", "<Response><Say>Thank you.</Say></Response>")
    web.collect("/all")
    with ThreadPoolExecutor() as pool:
        calling = pool.submit(house.call, MAIL, "caller-hung-up-on")
        sid = web.wait_for("/mail.xml")[0].params["callSid"]
        house.ear.wait_for_speech(0.8)
        house.ear.press("1")
        deadline = time.monotonic() + 10
        while "recording.started" not in str(house.outdial.get(f"/v1/calls/{sid}/events")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        house.ear.say(audio.tone(700, seconds=1.5, peak_dbfs=-20))
        house.ear.press("#")
        result = calling.result(20)
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert web.received("/keyed.xml")[0].params["Digits"] == "1"
    saved = web.received("/saved.xml")[0].params
    assert (saved["dialednumber"], saved["callerid"]) == (MAIL, "12025550123")
    assert (saved["callername"], saved["Direction"]) == ("Ann", "inbound")
    path = "/v1/recordings/" + saved["RecordingUrl"].rpartition("/")[2]
    message = audio.read_mono(house.outdial.get_bytes(path))
    assert audio.active_s(message) == pytest.approx(1.5, abs=0.2)
    assert audio.tone_share(message.cut(0.3, 1.2), 700) > 0.9
    whole = web.wait_for("/all")[0].params
    assert (whole["callSid"], whole["HangupSource"]) == (sid, "application")
    assert whole["RecordingURL"] == saved["RecordingUrl"]


def test_a_caller_who_waits_talks_to_an_agent_whom_we_call(house: House) -> None:
    url = house.web.serve("/agent.xml", TAKES_CALLS)
    with ThreadPoolExecutor() as pool, Ear(CARRIER) as desk:
        calling = pool.submit(house.call, DESK, "caller-hung-up-on")
        sid = house.web.wait_for("/desk.xml")[0].params["callSid"]
        house.ear.wait_for_speech(0.3)
        waited = house.ear.heard()
        keys = {"ear": str(desk.port)}
        with Sipp(scenario("answer"), host=CARRIER, port=5060, timeout_s=20, keys=keys) as sipp:
            agent = house.outdial.place_call(**{"to": AGENT, "from": DESK, "url": url})
            deadline = time.monotonic() + 10
            while "bridged" not in str(house.outdial.get(f"/v1/calls/{agent}/events")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            since = time.monotonic()
            desk.say(audio.tone(700, seconds=1.0, peak_dbfs=-20))
            talked = house.ear.heard(since)
            house.ear.say(audio.tone(900, seconds=0.6, peak_dbfs=-20))
            heard = desk.heard()
            assert sipp.wait().exit_code == 0
        result = calling.result(20)
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert audio.tone_share(waited.cut(*(audio.speech_span(waited) or (0, 0))), 392, 494) > 0.8
    assert audio.tone_share(talked, 700) > 0.8
    assert audio.tone_share(heard, 900) > 0.3
    assert audio.active_s(house.ear.heard(since + 2.0)) > 0.8, "the next verb was heard"
    kinds = [event["kind"] for event in house.outdial.get(f"/v1/calls/{sid}/events")["events"]]
    assert kinds.index("queue.entered") < kinds.index("queue.left") < kinds.index("bridged")
    assert house.ended(DESK)["hangup_source"] == "application"


def test_nobody_has_other_numbers(house: House) -> None:
    result = house.call("18005550199", "caller-refused", status="404")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints


def test_a_number_of_the_api_is_taken_at_once_and_after_a_crash(house: House) -> None:
    number = "18005550142"
    path = f"/v1/numbers/{number}"
    made = house.outdial.post(
        "/v1/numbers", {"number": number, "url": house.web.serve("/bye.xml", "<Response/>")}
    )
    assert made["source"] == "api"
    result = house.call(number, "caller-refused", status="603")
    assert result.exit_code == 0, result.complaints
    house.outdial.kill()
    house.outdial.start()
    house.outdial.post(path, {"url": house.web.serve("/says.xml", SAYS)})
    result = house.call(number, "caller-hung-up-on")
    assert result.exit_code == 0, result.complaints
    assert house.ended(number)["outcome"] == "completed"
    house.outdial.delete(path)
    result = house.call(number, "caller-refused", status="404")
    assert result.exit_code == 0, result.complaints


def challenges(result: SippResult) -> list[Challenge]:
    """What SIPp was asked to show, in order."""
    replies = [m for m in read_trace(result.messages) if m.start_line.startswith("SIP/2.0 401")]
    return [Challenge.parse(reply.get("WWW-Authenticate")) for reply in replies]


def test_who_shows_the_right_digest_is_taken_and_the_same_again_is_not(house: House) -> None:
    result = house.call_guarded("caller-hung-up-on", "[authentication]")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert 2.0 < audio.active_s(house.ear.heard()) < 4.0
    assert house.ended(HELLO)["trunk"] == "guarded"
    shown = [m for m in read_trace(result.messages) if m.sent and "auth" in str(m.headers).lower()]
    value = shown[0].get("Authorization")
    before = len(house.outdial.get(f"/v1/calls?to={HELLO}")["calls"])
    replayed = house.call_guarded(
        "caller-refused", f"Authorization: {value}", status="401", back="4"
    )
    assert (replayed.exit_code, replayed.successful) == (0, 1), replayed.complaints
    challenges = [
        m for m in read_trace(replayed.messages) if m.start_line.startswith("SIP/2.0 401")
    ]
    assert ["stale=true" in m.get("WWW-Authenticate") for m in challenges] == [False, True]
    assert len(house.outdial.get(f"/v1/calls?to={HELLO}")["calls"]) == before


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", PASSWORD)])
def test_who_shows_a_wrong_digest_is_challenged_again(
    house: House, user: str, password: str
) -> None:
    refused = 'outdial_sip_dropped_total{reason="unauthorized"}'
    before = house.outdial.gauges()[refused]
    result = house.call_guarded("caller-refused", "[authentication]", password, user, status="401")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert house.outdial.gauges()[refused] == before + 1
    assert not house.ear.packets
    assert [challenge.stale for challenge in challenges(result)] == [False, False]


def test_who_shows_no_digest_stays_outside(house: House) -> None:
    before = house.outdial.get("/v1/calls")["calls"]
    result = house.call_guarded("caller-refused", "Subject: please", status="401")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert house.outdial.get("/v1/calls")["calls"] == before


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "REGISTER"])
def test_strangers_get_nothing(house: House, method: str) -> None:
    request = (
        f"{method} sip:{HELLO}@127.0.0.1 SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {STRANGER}:5060;branch=z9hG4bK{method};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:x@{STRANGER}>;tag=1\r\nTo: <sip:{HELLO}@127.0.0.1>\r\nCall-ID: {method}\r\n"
        f"CSeq: 1 {method}\r\nContact: <sip:x@{STRANGER}>\r\nContent-Length: 0\r\n\r\n"
    )
    denied = 'outdial_sip_dropped_total{reason="denied"}'
    before = house.outdial.gauges()[denied]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((STRANGER, 0))
        stranger.setblocking(False)
        stranger.sendto(request.encode(), ("127.0.0.1", house.outdial.sip_port))
        deadline = time.monotonic() + 10
        while house.outdial.gauges()[denied] == before:
            assert time.monotonic() < deadline
        with pytest.raises(BlockingIOError):
            stranger.recv(2048)


def test_a_caller_is_sent_a_text_message_and_hears_the_rest(house: House) -> None:
    house.web.collect("/texted")
    result = house.call(THANKS, "caller-hung-up-on")
    assert (result.exit_code, result.successful) == (0, 1), result.complaints
    assert audio.active_s(house.ear.heard()) > 2.0
    call = house.ended(THANKS)
    assert (call["direction"], call["outcome"]) == ("inbound", "completed")
    (asked,) = house.web.wait_until("/send", lambda got: len(got) > 0, 5)
    assert asked.params == {
        "to": "12025550199",
        "from": "12025550177",
        "text": "Thanks for calling",
    }
    (heard_of,) = house.web.wait_until("/texted", lambda got: len(got) > 0, 5)
    assert (heard_of.params["SmsStatus"], heard_of.params["callSid"]) == ("sent", call["sid"])
