"""Every reader of what comes from outside, as a function of bytes: what `make fuzz` guides, and
what the regression tests replay.

A target returns whatever its reader accepts or refuses, and raises for a defect: any exception but
the reader's own, or a promise of the reader's that does not hold.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from fuzz.sip_messages import examine, examine_stream
from outdial.api import bodies
from outdial.api.v2 import collect
from outdial.calls.numbers import normalise
from outdial.didml.lint import lint
from outdial.didml.parse import parse as parse_document
from outdial.errors import (
    CodecUnavailable,
    DocumentError,
    FetchError,
    NegotiationError,
    Refused,
    RemoteProtocolError,
    SoundError,
)
from outdial.legs import Codec, CryptoSuite, MediaKeys, MediaParams
from outdial.media.coders import coders
from outdial.media.core import rtcp, rtp
from outdial.media.core.dtmf import EventReceiver
from outdial.media.core.jitter import JitterBuffer
from outdial.media.core.transcoding import Inward
from outdial.media.worker.housekeeping import do_what_is_due
from outdial.media.worker.srtp import Context
from outdial.media.worker.stream import Stream
from outdial.net.addresses import MAX_URL_LENGTH, AddressPolicy, parse_target
from outdial.sdp import negotiation
from outdial.sdp.crypto import Security
from outdial.sdp.description import parse as parse_description
from outdial.sip.core import digest
from outdial.sip.core.address import Address
from outdial.sip.core.digest import Challenge, Verdict, Verifier
from outdial.sip.core.identity import caller_of, extra_headers
from outdial.sip.core.message import Request
from outdial.sip.core.stream import KeepAlive
from outdial.sip.core.uri import Uri
from outdial.sip.core.via import Via
from outdial.speech.decoder import decode
from outdial.tls.certificate import Certificate, NoCertificate, read_pem

CODECS: Final = tuple(Codec)
TYPES: Final = (
    *("", "application/x-www-form-urlencoded", "application/json", "multipart/form-data"),
    *("multipart/form-data; boundary=b", "application/x-www-form-urlencoded; charset=latin-1"),
    *("text/plain", "application/json; charset=x"),
)
DOCUMENT_TYPES: Final = ("text/xml", "text/plain", "text/html; charset=utf-16", "", "audio/wav")


KEYS: Final = {suite: bytes(suite.key_bytes) for suite in CryptoSuite}
"""Ours; what they are does not matter."""


def sip_datagram(data: bytes) -> None:
    """A SIP message over UDP; what is accepted keeps its meaning when it is written again."""
    message = examine(data)
    if isinstance(message, Request):
        for trusted in (False, True):
            caller_of(message, trusted=trusted)
        extra_headers(message)


def sip_stream(data: bytes) -> None:
    """SIP over TCP: the first byte says how it is cut, and the cuts must make no difference."""
    if not data:
        return
    size, rest = 1 + data[0] % 97, data[1:]
    pieces = [rest[at : at + size] for at in range(0, len(rest), size)]
    assert _once_each(examine_stream(pieces)) == _once_each(examine_stream([rest]))


def _once_each(found: list[bytes | KeepAlive]) -> list[bytes | KeepAlive]:
    """Without repeated keep-alives: those that arrive together are answered once."""
    return [
        item
        for item, before in zip(found, [None, *found], strict=False)
        if not (isinstance(item, KeepAlive) and item is before)
    ]


def sip_fields(data: bytes) -> None:
    """Single header values: an address, a URI, a Via."""
    text = data.decode("latin-1")
    for kind in (Address, Uri, Via):
        try:
            value = kind.parse(text)
        except RemoteProtocolError:
            continue
        assert kind.parse(str(value)) == value


def sdp(data: bytes) -> None:
    """An offer, and an answer to ours, plain and with keys; what we answer is a description."""
    for security in (None, Security(KEYS), Security(KEYS, is_required=True)):
        try:
            params = negotiation.accept(data, CODECS, security=security)
            assert 0 < params.remote_port < 65536
            assert params.ptime_ms in (10, 20, 30, 40, 60)
        except (NegotiationError, RemoteProtocolError):
            pass
        try:
            ours, _ = negotiation.answer(data, "127.0.0.1", 4000, 1, CODECS, security=security)
        except (NegotiationError, RemoteProtocolError):
            continue
        parse_description(ours)


def digest_header(data: bytes) -> None:
    """A challenge of a trunk, and credentials of a caller: nobody gets in by it."""
    text = data.decode("utf-8", "replace")
    try:
        challenge = Challenge.parse(text)
    except RemoteProtocolError:
        assert digest.strongest_of_each_realm([text]) == []
    else:
        assert digest.strongest_of_each_realm([text]) == [challenge]
        if text.isprintable():  # the message's parser lets nothing else through
            assert Challenge.parse(str(challenge)) == challenge
    server = Verifier("outdial", b"k" * 32)
    uri = Uri.parse("sip:1@example.org")
    verdict = server.verify(text, {"a": "b"}.get, "INVITE", uri, "192.0.2.1", 0.0, b"")
    assert verdict is not Verdict.ACCEPTED
    assert server.remembered == 0
    assert isinstance(digest.username_in(text), str)


class _Socket:
    """Takes what a stream sends, and has nothing for it."""

    def send(self, data: bytes) -> int:
        return len(data)

    def recvfrom(self, size: int) -> Any:
        raise BlockingIOError

    def recvmsg(self, size: int, more: int) -> Any:
        raise BlockingIOError

    def connect(self, address: object) -> None:
        pass

    def sendto(self, data: bytes, address: object) -> int:
        return len(data)

    def setsockopt(self, *option: int) -> None:
        pass

    def close(self) -> None:
        pass


def _packets(data: bytes) -> Iterator[bytes]:
    """Each with its length, one byte, before it; lengths above 250 make long ones."""
    while data:
        size = data[0] if data[0] < 251 else 12 + (data[0] - 250) * 300
        yield data[1 : 1 + size]
        data = data[1 + size :]


def rtp_stream(data: bytes) -> None:
    """RTP packets of one far end, with telephone events, through a stream of the media worker."""
    fake = cast(socket.socket, _Socket())
    told: list[int] = []
    stream = Stream(1, 0, fake, fake, lambda opcode, number, payload: told.append(opcode))
    stream.configure(MediaParams("127.0.0.1", 9, Codec.PCMU, 101), 100.0)
    buffer, keys, now = JitterBuffer(), EventReceiver(), 100.0
    for packet in _packets(data):
        now += 0.02
        raw = bytearray(packet)
        stream.take(raw, memoryview(raw), len(raw), now, int(now * 8000))
        if now >= stream.due:
            do_what_is_due(stream, now)
        read = rtp.parse(packet, len(packet))
        if read is None:
            continue
        payload = packet[read.payload_start : read.payload_end]
        keys.packet(read.timestamp, payload, now)
        buffer.put(read.timestamp, rtp.PCMU, payload)
        buffer.take()
    stats = stream.stats()
    assert stats.packets_received + stats.packets_refused <= len(data)
    assert stats.packets_lost >= 0
    assert 0 <= stream.reception.interval_loss() <= 255
    stream.close(now)


def srtp(data: bytes) -> None:
    """Packets that claim to be encrypted: none of them is authentic."""
    for suite, key in KEYS.items():
        context = Context(MediaKeys(suite, key, key))
        for packet in _packets(data):
            assert context.unprotect(packet) == b""
            assert context.unprotect_control(packet) == b""


def wideband(data: bytes) -> None:
    """Audio in G.722 and opus, as whatever library decodes it: sound, or nothing."""
    for codec in (Codec.G722, Codec.OPUS):
        try:
            decoder = coders(codec).decoder()
        except CodecUnavailable:
            continue
        inward = Inward(codec, frozenset((codec.value,)), 101, codec.rtp_hz, decoder)
        for number, payload in enumerate(_packets(data)):
            raw = bytearray(rtp.MAX_PACKET)  # a worker's buffer
            packet = rtp.build(codec.value, number * 2, 960 * number, 7, payload)[: len(raw)]
            raw[: len(packet)] = packet
            assert inward.take(raw, len(packet), decode=True) <= len(raw)


def certificate(data: bytes) -> None:
    """A certificate of a far end, and a file of them."""
    try:
        found = [Certificate.parse(data)]
    except NoCertificate:
        found = []
    try:
        found += read_pem(data.decode("latin-1"))
    except NoCertificate:
        pass
    for one in found:
        assert isinstance(one.days_left(0.0), float)
        assert all(isinstance(name, str) for name in one.names)
        assert one.is_self_signed in (True, False)


def rtcp_compound(data: bytes) -> None:
    """A compound RTCP packet."""
    for report in rtcp.parse(data):
        assert len(report.blocks) <= 31
        for block in report.blocks:
            assert 0 <= block.fraction_lost <= 255
            trip = rtcp.round_trip_s(block, 1 << 40)
            assert trip is None or trip >= 0


def didml(data: bytes) -> None:
    """A document, as every content type; what is run is told about, too."""
    if not data:
        return
    kind, body = DOCUMENT_TYPES[data[0] % len(DOCUMENT_TYPES)], data[1:]
    try:
        document = parse_document(body, kind, "http://192.0.2.1/a.xml")
    except DocumentError:
        pass
    else:
        assert len(document.verbs) <= 500
    lint(body, kind, "http://192.0.2.1/a.xml", lambda url: "")


def http_body(data: bytes) -> None:
    """A body of the V2 API, as each content type, and one of the JSON API."""
    if not data:
        return
    body = data[1:]
    try:
        bodies.load_json(body)
    except Refused as refused:
        _check(refused.status == 400)
    try:
        pairs = bodies.pairs(TYPES[data[0] % len(TYPES)], body)
        values = collect(pairs)
        json.dumps(values)
        for text in values.get("to", ()):
            normalise(text, "to")
    except Refused as refused:
        _check(400 <= refused.status < 500)


def _check(holds: bool) -> None:
    assert holds


def url(data: bytes) -> None:
    """A URL of a document or a post: what is let through is of http, and to a public address."""
    policy = AddressPolicy()
    try:
        target = parse_target(data.decode("utf-8", "replace"), policy)
    except FetchError:
        return
    assert target.url.isascii()
    assert not any(ord(mark) <= 32 for mark in target.url)
    if len(target.url) <= MAX_URL_LENGTH:  # quoted it is longer than as it was written
        assert parse_target(target.url, policy).url == target.url


def sound(data: bytes) -> None:
    """A WAV or MP3 file: sound, or the one error."""
    try:
        for piece in decode(data, 2.0):
            assert len(piece) % 2 == 0
    except SoundError:
        pass


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "sip-datagram": sip_datagram,
    "sip-stream": sip_stream,
    "sip-fields": sip_fields,
    "sdp": sdp,
    "digest": digest_header,
    "rtp": rtp_stream,
    "rtcp": rtcp_compound,
    "srtp": srtp,
    "wideband": wideband,
    "certificate": certificate,
    "didml": didml,
    "http-body": http_body,
    "url": url,
    "sound": sound,
}
