"""What the agent answers to messages of RFC 4475 section 3.3, and that no message is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ladders.link import Link, header
from ladders.test_session_features import inject, status_of
from outdial.sdp.description import parse
from outdial.sip.core.counts import Counters
from torture.test_sip_torture_invalid import CASES

CONTACT = "Contact: <sip:x@10.0.0.77>\n"
HERE = Path(__file__).parent


@pytest.fixture
def link() -> Link:
    return Link()


def changed(link: Link, uri: str, method: str = "OPTIONS", forwards: int = 70) -> list[bytes]:
    """The replies to a request for that URI that may go on so far."""
    sent: list[bytes] = []
    agent = link["A"].agent
    agent.send = lambda data, hop, trace: sent.append(data)  # type: ignore[method-assign]
    link.inject(
        "A",
        f"{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.77;branch=z9hG4bKscheme\n"
        "From: <sip:x@10.0.0.77>;tag=t\nTo: <sip:1@10.0.0.1>\nCall-ID: scheme\n"
        f"CSeq: 7 {method}\nMax-Forwards: {forwards}\n{CONTACT}Content-Length: 0\n\n",
        "10.0.0.77",
    )
    return sent


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
@pytest.mark.parametrize("uri", ["nobodyKnowsThisScheme:opaque", "soap.beep://192.0.2.103:3002"])
def test_3_3_2_and_3_3_3_a_scheme_that_nobody_knows_is_416(
    link: Link, uri: str, method: str
) -> None:
    assert status_of(changed(link, uri, method)) == 416
    assert link["A"].invited == []


@pytest.mark.parametrize("uri", ["sips:1@10.0.0.1", "tel:+12025550100", "SIP:1@10.0.0.1"])
def test_schemes_that_we_know(link: Link, uri: str) -> None:
    assert status_of(changed(link, uri)) == 200


def test_3_3_4_unknown_schemes_in_to_and_from_are_nobodys_business(link: Link) -> None:
    text = (
        "OPTIONS sip:1@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.77;branch=z9hG4bKisbn\n"
        "From: <http://www.example.com>;tag=3\nTo: isbn:2983792873\nCall-ID: isbn\n"
        "CSeq: 7 OPTIONS\nMax-Forwards: 70\nContent-Length: 0\n\n"
    )
    sent: list[bytes] = []
    link["A"].agent.send = lambda data, hop, trace: sent.append(data)  # type: ignore[method-assign]
    link.inject("A", text, "10.0.0.77")
    assert status_of(sent) == 200


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
def test_3_3_5_extensions_that_nobody_supports_are_420(link: Link, method: str) -> None:
    fields = (
        f"{CONTACT}Require: nothingSupportsThis, nothingSupportsThisEither\n"
        "Proxy-Require: noProxiesSupportThis\n"
    )
    replies = inject(link, method, fields=fields)
    assert status_of(replies) == 420
    assert header(replies[0], "Unsupported") == "nothingsupportsthis, nothingsupportsthiseither"
    link.assert_clean()


def test_3_3_6_an_unknown_body_is_415_with_what_is_taken(link: Link) -> None:
    sent: list[bytes] = []
    link["A"].agent.send = lambda data, hop, trace: sent.append(data)  # type: ignore[method-assign]
    link.inject(
        "A",
        "INVITE sip:1@10.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.77;branch=z9hG4bKbody\n"
        "From: <sip:x@10.0.0.77>;tag=t\nTo: <sip:1@10.0.0.1>\nCall-ID: body\nCSeq: 7 INVITE\n"
        f"Max-Forwards: 70\n{CONTACT}Content-Type: application/unknownformat\n"
        "Content-Length: 8\n\n<audio/>",
        "10.0.0.77",
    )
    assert status_of(sent) == 415
    assert header(sent[0], "Accept") == "application/sdp"


def test_3_3_7_credentials_of_an_unknown_scheme_are_none(link: Link) -> None:
    fields = f"{CONTACT}Authorization: NoOneKnowsThisScheme opaque-data=here\n"
    assert status_of(inject(link, "REGISTER", fields=fields)) == 405
    assert inject(link, "INVITE", branch="2", fields=fields) == []
    assert len(link["A"].invited) == 1, "where the address is enough nobody looks at them"
    link["A"].call.hang_up(486)
    link.assert_clean()


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/nobodyKnowsThis", 406),
        ("text/plain, application/isup;version=ansi", 406),
        ("application/isup, Application/SDP;level=1", 0),
        ("application/*", 0),
        ("*/*;q=0.1", 0),
        ("", 0),
    ],
)
def test_3_3_15_a_caller_that_cannot_read_our_answer_is_406(
    link: Link, accept: str, status: int
) -> None:
    replies = inject(link, "INVITE", fields=f"{CONTACT}Accept: {accept}\n")
    if status:
        assert status_of(replies) == status
        assert header(replies[0], "Accept") == "application/sdp"
    else:
        assert replies == []
        link["A"].call.hang_up(486)
    link.assert_clean()


def test_3_3_11_who_is_the_end_answers_though_no_forwards_are_left(link: Link) -> None:
    assert status_of(changed(link, "sip:1@10.0.0.1", forwards=0)) == 200
    assert link["A"].agent.counters() == Counters(0, 0, 0, 0, 0, 0)


def test_4_7_addresses_of_both_kinds_in_one_description() -> None:
    found = parse(
        b"v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=x\r\n"
        b"c=IN IP6 2001:db8::20\r\nt=3338481189 3370017201\r\nm=audio 6000 RTP/AVP 2\r\n"
        b"a=rtpmap:2 G726-32/8000\r\nm=video 6024 RTP/AVP 107\r\nc=IN IP4 192.0.2.1\r\n"
        b"a=rtpmap:107 H263-1998/90000\r\n"
    )
    audio, video = found.media
    assert (audio.address or found.address) == "2001:db8::20"
    assert (video.address or found.address) == "192.0.2.1"


# ------------------------------------------------------------ the lists of the RFCs

RFC_4475 = (
    *(f"3.1.1.{n}" for n in range(1, 14)),
    *(f"3.1.2.{n}" for n in range(1, 20)),
    "3.2.1",
    *(f"3.3.{n}" for n in range(1, 16)),
    "3.4.1",
)
RFC_5118 = tuple(f"4.{n}" for n in range(1, 11))


def covered() -> set[str]:
    """The sections that tests and cases of this folder are named after."""
    found = {name.split()[0] for name in CASES}
    for path in HERE.glob("test_*.py"):
        for name in re.findall(r"^def test_(\d\w+)", path.read_text(), re.M):
            numbers = re.match(r"\d+(?:_\d+)+(?:_and_\d+(?:_\d+)+|_to_\d+)?", name)
            assert numbers is not None
            first, _, last = numbers[0].partition("_to_")
            for one in first.split("_and_"):
                found.add(one.replace("_", "."))
            if last:
                before, _, number = first.rpartition("_")
                span = range(int(number), int(last) + 1)
                found.update(f"{before}_{n}".replace("_", ".") for n in span)
    return found


def test_no_message_is_left_out() -> None:
    assert len(RFC_4475) == 49
    assert [one for one in (*RFC_4475, *RFC_5118) if one not in covered()] == []
