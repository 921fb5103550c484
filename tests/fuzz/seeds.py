"""What the guided fuzzing begins with: a few inputs of every kind for each target."""

from __future__ import annotations

import base64
import io
import struct
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import av

from doubles.bad_documents import PARSED
from fuzz.sip_messages import SDP, MessageMaker
from outdial.legs import CryptoSuite, MediaKeys
from outdial.media.core import rtcp, rtp
from outdial.media.worker.srtp import Context
from torture.test_sip_torture_invalid import CASES


def sip() -> list[bytes]:
    maker = MessageMaker(11)
    return [maker.valid() for _ in range(30)] + [data for data, _ in list(CASES.values())[::4]]


def streams() -> list[bytes]:
    maker = MessageMaker(12)
    pairs = [maker.valid() + maker.valid() for _ in range(8)]
    return [bytes((20 * number,)) + pair for number, pair in enumerate(pairs)]


def fields() -> list[bytes]:
    return [
        b'"Bob \\"B\\"" <sip:bob:pw@example.org:5060;transport=tcp;lr?Subject=x&a=b>;tag=1;q=0.5',
        b"tel:+15005550010;phone-context=+1",
        b"sips:%41lice@[2001:db8::1]:5061;maddr=1.2.3.4",
        b"SIP/2.0/UDP [2001:db8::9]:5060;branch=z9hG4bK1;rport=7;received=1.2.3.4;ttl=3",
    ]


def descriptions() -> list[bytes]:
    return [
        SDP,
        SDP.replace(b"IP4 192.0.2.7", b"IP6 2001:db8::1"),
        SDP.replace(b"sendrecv", b"sendonly") + b"a=ptime:30\r\na=rtcp:20005 IN IP4 1.2.3.4\r\n",
        SDP.replace(b" 0 8 101", b" 96 97").replace(b"101 tele", b"97 tele")
        + b"a=rtpmap:96 PCMA/8000\r\na=fmtp:97 0-15\r\nm=video 0 RTP/AVP 31\r\n",
        SDP.replace(b"RTP/AVP", b"RTP/SAVPF")
        + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n",
    ]


def digests() -> list[bytes]:
    return [
        b'Digest realm="outdial", nonce="1.2.3", qop="auth,auth-int", algorithm=SHA-256, '
        b'opaque="5ccc", stale=true',
        b'Digest username="a", realm="outdial", nonce="0.s.x", uri="sip:1@example.org", qop=auth, '
        b'nc=00000001, cnonce="0a4f", response="6629fae49393a05397450978507c4ef1", algorithm=MD5',
        b'Digest realm="a \\"b\\" c", nonce=x',
    ]


def packets() -> list[bytes]:
    def framed(found: Iterable[bytes]) -> bytes:
        return b"".join(bytes((len(one),)) + one for one in found)

    voice = [rtp.build(0, n, 160 * n, 7, b"\xff" * 160) for n in range(12)]
    key = [
        rtp.build(101, n, 800, 7, struct.pack("!BBH", 5, 0x8A if n > 17 else 10, 160 * (n - 12)))
        for n in range(12, 20)
    ]
    extended = b"\xb1" + voice[0][1:12] + b"\0\0\0\1" + b"\xbe\xde\0\1" + b"\0" * 4 + b"\1\1\2"
    other = [rtp.build(8, 900 + n, 5000, 9, b"\x55" * 80) for n in range(3)]
    return [
        framed(voice + key + voice[:2]),
        framed([extended, *other, *key]),
        framed(other + voice),
    ]


def reports() -> list[bytes]:
    block = rtcp.Block(7, 3, 100, 70_000, 44, 5, 6)
    sender = rtcp.sender_report(9, 1 << 40, 160, 5, 800, [block])
    return [
        sender + rtcp.description(9, "name"),
        rtcp.receiver_report(9, [block, block]) + rtcp.description(9, "x") + rtcp.bye(9),
        rtcp.receiver_report(9),
    ]


def encrypted() -> list[bytes]:
    key = bytes(CryptoSuite.AES_CM_128_HMAC_SHA1_80.key_bytes)
    other = Context(MediaKeys(CryptoSuite.AES_CM_128_HMAC_SHA1_80, key[:-1] + b"x", key))
    packet = other.protect(rtp.build(0, 1, 160, 7, b"\xff" * 160))
    report = other.protect_control(rtcp.receiver_report(9))
    return [bytes((len(one),)) + one for one in (packet, report, packet[:20])]


def wideband() -> list[bytes]:
    opus = b"\x78\x0b\xe4\xc1\x36\xec\xc5\x80"
    return [bytes((len(one),)) + one for one in (bytes(160), opus, opus + b"\0" * 40, b"\xff" * 9)]


def certificates() -> list[bytes]:
    def item(tag: int, *inside: bytes) -> bytes:
        data = b"".join(inside)
        size = bytes((len(data),)) if len(data) < 128 else b"\x82" + len(data).to_bytes(2, "big")
        return bytes((tag,)) + size + data

    name = item(0x30, item(0x31, item(0x30, item(6, b"\x55\x04\x03"), item(12, b"sip.example"))))
    dates = item(0x30, item(23, b"250101000000Z"), item(24, b"20350101000000Z"))
    alternative = item(0x30, item(0x82, b"sip.example"), item(0x87, bytes((192, 0, 2, 1))))
    extension = item(0x30, item(6, b"\x55\x1d\x11"), item(4, alternative))
    algorithm = item(0x30, item(6, b"\x2a\x86\x48\xce\x3d\x04\x03\x02"))
    whole = item(
        0x30,
        item(
            0x30,
            item(0xA0, item(2, b"\2")),
            item(2, b"\1"),
            *(algorithm, name, dates, name, item(0x30, algorithm, item(3, bytes(66)))),
            item(0xA3, item(0x30, extension)),
        ),
        algorithm,
        item(3, bytes(70)),
    )
    begin, end = b"-----BEGIN CERTIFICATE-----\n", b"\n-----END CERTIFICATE-----\n"
    return [whole, begin + base64.b64encode(whole) + end, begin + b"AAAA" + end]


def documents() -> list[bytes]:
    whole = (
        b'<?xml version="1.0" encoding="UTF-8"?><Response><Say voice="man" Language="de">a &amp; b'
        b'</Say><Gather action="http://192.0.2.1/x" numDigits="4" timeout="5"><Play loop="2">'
        b'http://192.0.2.1/a.wav</Play></Gather><Dial timeout="10"><Number>12025550100</Number>'
        b'<Sip>sip:a@b</Sip></Dial><Record maxLength="5"/><Pause length="2"/><Redirect>/x'
        b"</Redirect><Sms to='1'>x</Sms><Enqueue>q</Enqueue><Conference>c</Conference><Hangup/>"
        b"</Response>"
    )
    chosen = [bad.body for bad in PARSED if len(bad.body) < 1500][::4]
    return [
        b"\0" + whole,
        b"\2" + whole.decode().encode("utf-16"),
        *(b"\0" + one for one in chosen),
    ]


def forms() -> list[bytes]:
    part = b'--b\r\nContent-Disposition: form-data; name="to"\r\n\r\n12025550100\r\n--b--\r\n'
    return [
        b"\1to=%2B12025550100&from=1&url=http%3A%2F%2Fx&statusCallbackEvent[]=answered&apikey=k",
        b'\2{"to": "12025550100", "record": true, "timeout": 30, "status_callback": [1]}',
        b"\4" + part,
        b"\5to=\xe9",
    ]


def urls() -> list[bytes]:
    return [
        *(b"http://192.0.2.1/a?b=c#d", b"https://B\xc3\xbccher.example:8443/%41 x", b"//x"),
        *(b"http://[::ffff:10.0.0.1]/", b"http://0x7f.1/", b"http://a@b:c@d/", b"ftp://x/"),
    ]


def sounds() -> list[bytes]:
    return [_wav(2, 8000), _wav(1, 11025), _wav(2, 44100, channels=2), _law(6), _law(7), _mp3()]


def _wav(width: int, rate_hz: int, channels: int = 1) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(bytes(range(200)) * 2)
    return target.getvalue()


def _law(kind: int) -> bytes:
    form = struct.pack("<HHIIHH", kind, 1, 8000, 8000, 1, 8)
    chunks = (
        b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", 160) + b"\x55" * 160
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def _mp3() -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame("s16", "mono", 2000)
        frame.sample_rate = 16000
        frame.planes[0].update(bytes(frame.planes[0].buffer_size))
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return target.getvalue()


SEEDS: Final = {
    "sip-datagram": sip,
    "sip-stream": streams,
    "sip-fields": fields,
    "sdp": descriptions,
    "digest": digests,
    "rtp": packets,
    "rtcp": reports,
    "srtp": encrypted,
    "wideband": wideband,
    "certificate": certificates,
    "didml": documents,
    "http-body": forms,
    "url": urls,
    "sound": sounds,
}


def write(name: str, folder: Path) -> None:
    """Those of a target, each into a file of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(SEEDS[name]()):
        (folder / f"seed-{number:02}").write_bytes(data)
