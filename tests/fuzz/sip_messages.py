"""Messages for fuzzing, the same ones for the same seed: valid by grammar, and broken from those.

    python -m fuzz.sip_messages 300000 [seed]     (from tests/)

runs so many through the parser and prints what it made of them. `examine` is the judge: any
exception but RemoteProtocolError is a defect, and what is accepted must keep its meaning when it
is written and read again.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from outdial.errors import RemoteProtocolError
from outdial.sip.core.address import Address
from outdial.sip.core.limits import MAX_HEADERS, MAX_MESSAGE_BYTES
from outdial.sip.core.message import Request, Response
from outdial.sip.core.parser import parse_message, salvage_request
from outdial.sip.core.stream import KeepAlive, StreamFramer
from outdial.sip.core.uri import Uri
from outdial.sip.core.via import Via

SDP: Final = (
    b"v=0\r\no=- 3911 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
    b"m=audio 20000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n"
)

METHODS: Final = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "PRACK", "UPDATE", "INFO", "NOTIFY")
STATUSES: Final = (100, 180, 183, 200, 202, 302, 401, 404, 407, 408, 422, 481, 486, 487, 503, 603)

_NAMES: Final = {
    "Via": ("Via", "v", "VIA", "via", "vIa"),
    "From": ("From", "f", "FROM", "from"),
    "To": ("To", "t", "TO", "to"),
    "Call-ID": ("Call-ID", "i", "call-id", "Call-Id", "CALL-ID"),
    "CSeq": ("CSeq", "cseq", "CSEQ", "Cseq"),
    "Contact": ("Contact", "m", "contact"),
    "Content-Length": ("Content-Length", "l", "L", "content-length"),
    "Content-Type": ("Content-Type", "c", "content-type"),
    "Supported": ("Supported", "k", "supported"),
}

_NASTY: Final = (
    b"\x00", b"\x01", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\t", b" ", b"\x7f", b"\x80", b"\xff",
    b"\xc2\x85", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xf4\x90\x80\x80", b'"', b"\\", b'\\"', b"<",
    b">", b"<>", b";", b";;", b",", b",,", b"=", b":", b"::", b"@", b"@@", b"%", b"%0", b"%00",
    b"%zz", b"?", b"&", b"[", b"]", b"[::1]", b"[:::1]", b"sip:", b"tel:", b"*", b"/", b"SIP/2.0",
    b"SIP/", b"-1", b"0", b"4294967296", b"9" * 400, b"9" * 5000, b"\xd9\xa3", b"tag=", b";tag=x",
    b";lr", b"branch=", b";branch=z9hG4bK", b"rport", b"Content-Length: 5\r\n", b"l: 7\r\n",
    b"\r\n ",
    b"\r\n\t", b"Via: ", b"CSeq: 1 INVITE\r\n", b"To: <sip:a@b>\r\n", b"X" * 300, b"," * 300,
    b";" * 300, b" " * 3000, b'"' * 200, b"<" * 200, b"\\" * 201, b"\r\n" * 140,
)  # fmt: skip


class MessageMaker:
    """Makes messages from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def valid(self) -> bytes:
        """A message the grammar allows, in one of the many ways it may be written."""
        chance = self._random
        method = chance.choice(METHODS)
        body = chance.choice((b"", b"", SDP, bytes(chance.randrange(256) for _ in range(40))))
        if chance.random() < 0.5:
            start = f"{method} {self._uri(in_start_line=True)} SIP/2.0"
        else:
            phrase = chance.choice(("OK", "", "Quite fine", "= 2**3 * 2**2", "Noël"))
            start = f"SIP/2.0 {chance.choice(STATUSES)} {phrase}"
        fields = self._required(method) + self._optional()
        chance.shuffle(fields)
        if body and chance.random() < 0.8:
            fields.append(("Content-Type", chance.choice(("application/sdp", "text / plain;a=b"))))
        if chance.random() < 0.8:
            fields.append(("Content-Length", str(len(body))))
        lines = [start] + [self._line(name, value) for name, value in fields]
        leading = chance.choice((b"", b"", b"\r\n", b"\r\n\r\n"))
        return leading + "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def broken(self) -> bytes:
        """A message with up to eight things done to it."""
        chance = self._random
        data = self.valid()
        for _ in range(chance.randint(1, 8) if chance.random() < 0.5 else 1):
            data = self._mutate(data)
        return data[: MAX_MESSAGE_BYTES + 1]

    def cuts(self, data: bytes) -> list[bytes]:
        """The data as a stream might deliver it."""
        pieces = []
        while data:
            length = self._random.choice((1, 2, 3, 7, 40, 500))
            pieces.append(data[:length])
            data = data[length:]
        return pieces

    def _mutate(self, data: bytes) -> bytes:
        chance = self._random
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(9)
        if kind == 0:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        if kind in (1, 2):
            return data[:at] + chance.choice(_NASTY) + data[at:]
        if kind == 3:
            return data[:at] + chance.choice(_NASTY) + data[at + chance.randrange(12) :]
        if kind == 4:
            return data[:at] + data[at + chance.randrange(40) :]
        if kind == 5:
            return data[:at]
        if kind == 6:
            other = self.valid()
            return data[:at] + other[chance.randrange(len(other)) :]
        if kind == 7:
            piece = data[at : at + chance.randrange(1, 60)]
            return data[:at] + piece * chance.choice((2, 3, 70, 200)) + data[at:]
        lines = data.split(b"\r\n")
        one, other_line = chance.randrange(len(lines)), chance.randrange(len(lines))
        lines[one] = lines[other_line]
        return b"\r\n".join(lines)

    def _required(self, method: str) -> list[tuple[str, str]]:
        chance = self._random
        fields = [("Via", self._list(self._via)) for _ in range(chance.choice((1, 1, 2, 4)))]
        tag = f"{self._sep(';')}tag{self._sep('=')}{self._word()}"
        return [
            *fields,
            ("From", self._address() + tag),
            ("To", self._address() + chance.choice(("", tag))),
            ("Call-ID", self._word() + chance.choice(("", "@192.0.2.1", "@[2001:db8::1]"))),
            ("CSeq", f"{chance.choice((0, 1, 7, 2**31 - 1))}{self._space(1)}{method}"),
        ]

    def _optional(self) -> list[tuple[str, str]]:
        chance = self._random
        choices = [
            ("Max-Forwards", str(chance.randrange(256))),
            ("Contact", self._list(self._address)),
            ("Contact", self._address() + f"{self._sep(';')}expires=3600;q=0.7"),
            ("Record-Route", self._list(self._route)),
            ("Route", self._list(self._route)),
            ("Supported", chance.choice(("", "100rel", "timer , replaces"))),
            ("Require", "100rel"),
            ("Allow", "INVITE,ACK, BYE ,CANCEL"),
            ("Session-Expires", chance.choice(("1800", "90;refresher=uac", "90 ; x=y"))),
            ("Min-SE", "90"),
            ("RSeq", "71"),
            ("RAck", "71 1 INVITE"),
            ("Reason", 'Q.850;cause=16;text="Normal, all well", SIP;cause=200'),
            ("Retry-After", "120 (back soon);duration=60"),
            ("Subject", chance.choice(("Grüße", "", "a:b;c,d", "日本"))),
            ("X-Odd.Name!~", ";;,,;;,;"),
        ]
        picked = chance.sample(choices, chance.randrange(7))
        return list(dict(picked).items())

    def _line(self, name: str, value: str) -> str:
        spelt = self._random.choice(_NAMES.get(name, (name,)))
        return f"{spelt}{self._random.choice(('', '', '', ' ', chr(9)))}:{self._space()}{value}"

    def _space(self, least: int = 0) -> str:
        """White space where the grammar has LWS or SWS, sometimes with a fold."""
        return self._random.choice(
            ("" if not least else " ", " ", " ", "  ", "\t", "\r\n ", " \r\n\t")
        )

    def _sep(self, mark: str) -> str:
        if self._random.random() < 0.8:
            return mark
        return self._space() + mark + self._space()

    def _list(self, make: object) -> str:
        assert callable(make)
        count = self._random.choice((1, 1, 1, 2, 5))
        return self._sep(",").join(str(make()) for _ in range(count))

    def _word(self) -> str:
        letters = "abcdefgh-ABC.!%*_+`'~0123456789"
        return "".join(self._random.choice(letters) for _ in range(self._random.randint(1, 24)))

    def _host(self) -> str:
        hosts = (
            "192.0.2.1",
            "example.com",
            "[2001:db8::9:1]",
            "a-b.example.",
            "[::ffff:192.0.2.1]",
        )
        return self._random.choice(hosts) + self._random.choice(("", "", ":5060", ":65535"))

    def _uri(self, *, in_start_line: bool = False) -> str:
        chance = self._random
        if chance.random() < 0.1:
            return chance.choice(("tel:+15005550010", "tel:911;phone-context=+1"))
        users = ("", "bob@", "+15005550010@", "a:secret@", "%41lice@", "x;y=1?z@", "%00@", "*21@")
        uri = chance.choice(("sip:", "SIPS:", "sip:")) + chance.choice(users) + self._host()
        uri += chance.choice(("", "", ";lr", ";transport=UDP", ";%6Cr;a=b%20c", ";user=phone;x"))
        if not in_start_line:
            uri += chance.choice(("", "", "?Subject=hi&Priority=%3C"))
        return uri

    def _address(self) -> str:
        names = ("", '"Bob" ', "Bob ", "A. B-C ", '"\\"quoted\\\\ <sip:x>,;" ', '"é, 日" ', '""')
        return f"{self._random.choice(names)}<{self._uri()}>"

    def _route(self) -> str:
        return f"<sip:{self._host()};lr>" + self._random.choice(("", ";x=y"))

    def _via(self) -> str:
        chance = self._random
        slash = self._sep("/")
        text = f"SIP{slash}2.0{slash}{chance.choice(('UDP', 'TCP', 'TLS', 'SCTP', 'ws'))}"
        text += f"{self._space(1)}{self._host()}{self._sep(';')}branch=z9hG4bK{self._word()}"
        return text + chance.choice(("", ";rport", ";received=192.0.2.9;rport=9", ";ttl=3;hidden"))


def messages(seed: int, count: int) -> Iterator[bytes]:
    """`count` messages, a tenth of them valid."""
    maker = MessageMaker(seed)
    for number in range(count):
        yield maker.valid() if number % 10 == 0 else maker.broken()


def examine(data: bytes) -> Request | Response | None:
    """What the parser makes of a datagram; None when it refuses. AssertionError for a defect."""
    try:
        message = parse_message(data)
    except RemoteProtocolError as error:
        if not 400 <= error.status_hint <= 699:
            raise AssertionError(f"status hint {error.status_hint}") from error
        request = salvage_request(data)
        if request is not None:
            _ = Response.to_request(request, error.status_hint, to_tag="x").encode()
        return None
    _examine_views(message)
    wire = message.encode()
    if len(wire) <= MAX_MESSAGE_BYTES and len(message.headers) < MAX_HEADERS:
        _examine_copy(message, wire)
    return message


def _examine_views(message: Request | Response) -> None:
    for line in (message.start_line, *(value for _, value in message.headers.items())):
        assert line.isprintable() or not any(ord(c) < 32 and c != "\t" for c in line)
        assert "\x7f" not in line
    addresses = [message.from_, message.to, *message.contacts]
    for address in addresses + message.routes + message.record_routes:
        assert Address.parse(str(address)) == address
        assert Uri.parse(str(address.uri)) == address.uri
        assert address.uri.equivalent(address.uri)
        assert "\x00" not in address.uri.user_text
    for via in message.vias:
        assert Via.parse(str(via)) == via
        _ = via.rport, via.received, via.with_source("192.0.2.1", 5060)
    _ = message.call_id, message.cseq, message.content_type, message.supported, message.required
    _ = message.allowed, message.session_expires, message.min_se, message.rseq, message.rack
    _ = message.q850_cause, message.retry_after_s
    if isinstance(message, Request):
        _ = message.max_forwards


def _examine_copy(message: Request | Response, wire: bytes) -> None:
    again = parse_message(wire)
    assert again.encode() == wire
    assert again.start_line == message.start_line
    assert again.body == message.body
    ours, theirs = message.headers.copy(), again.headers.copy()
    ours.remove("Content-Length")
    theirs.remove("Content-Length")
    assert ours == theirs
    assert list(StreamFramer().feed(wire)) == [wire]


def examine_stream(pieces: list[bytes]) -> list[bytes | KeepAlive]:
    """What a framer and the parser make of a stream, up to its first error."""
    framer = StreamFramer()
    found: list[bytes | KeepAlive] = []
    try:
        for piece in pieces:
            for item in framer.feed(piece):
                found.append(item)
                if isinstance(item, bytes):
                    examine(item)
    except RemoteProtocolError:
        pass
    return found


def run(count: int, seed: int, failures: Path) -> Counter[str]:
    """Examines `count` messages. The bytes of a failing one are kept in `failures`."""
    tally: Counter[str] = Counter()
    for number, data in enumerate(messages(seed, count)):
        try:
            if number % 10 == 0:
                parse_message(data)
            accepted = examine(data) is not None
        except Exception as error:
            failures.mkdir(parents=True, exist_ok=True)
            path = failures / f"sip-{seed}-{number}.bin"
            path.write_bytes(data)
            raise AssertionError(f"{error!r} for {data[:2000]!r}, kept in {path}") from error
        tally["accepted" if accepted else "refused"] += 1
    return tally


def main() -> None:
    """Runs the number of messages given on the command line."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    for verdict, number in sorted(run(count, seed, Path("fuzz-failures")).items()):
        print(f"{verdict}: {number}")


if __name__ == "__main__":
    main()
