"""The attacker's side of calls that are really up, and the messages that could come next on them.

Written with regular expressions and nothing of Outdial's: it has to understand only what Outdial
sends.
"""

from __future__ import annotations

import random
import re
from typing import Final

METHODS: Final = (
    *("INVITE", "INVITE", "UPDATE", "INFO", "INFO", "ACK", "ACK", "CANCEL", "PRACK", "OPTIONS"),
    *("REFER", "NOTIFY", "MESSAGE", "SUBSCRIBE", "PUBLISH", "REGISTER", "BYE", "FOO"),
)
_MOST_CALLS: Final = 25

_TO = re.compile(rb"^To:[ \t]*([^\r\n]+)", re.M | re.I)
_FROM = re.compile(rb"^From:[ \t]*([^\r\n]+)", re.M | re.I)
_CALL_ID = re.compile(rb"^Call-ID:[ \t]*([^\r\n]+)", re.M | re.I)
_CSEQ = re.compile(rb"^CSeq:[ \t]*(\d+)[ \t]+(\w+)", re.M | re.I)
_CONTACT = re.compile(rb"^Contact:[ \t]*<([^>\r\n]+)>", re.M | re.I)
_VIA = re.compile(rb"^Via:[^\r\n]+", re.M | re.I)


class Call:
    """One call that is up, as the attacker's headers have it."""

    def __init__(self, call_id: bytes, ours: bytes, theirs: bytes, target: bytes) -> None:
        self.call_id = call_id
        self.ours = ours
        """From of what we send."""
        self.theirs = theirs
        """To of what we send."""
        self.target = target
        self.cseq = 10


class Switchboard:
    """All calls of one attacking socket. Bytes in, bytes to send out."""

    def __init__(self, transport: str, host: str, port: int, number: str, seed: int) -> None:
        self._transport = transport
        self._address = f"{host}:{port}"
        self._number = number
        self._chance = random.Random(seed)
        self._prefix = f"{transport}{port}x{seed}"
        self._serial = 0
        self.calls: dict[bytes, Call] = {}
        """By Call-ID."""
        self.requests: list[bytes] = []
        """The latest requests of the server, for answers to them."""
        self.answered = 0
        """Calls that came to be, in either direction."""

    # ------------------------------------------------------------------ what is sent

    def sdp(self) -> str:
        """An offer or an answer; nobody listens at the port."""
        host = self._address.partition(":")[0]
        direction = self._chance.choice(("sendrecv", "sendrecv", "sendonly", "inactive"))
        return (
            f"v=0\r\no=- 1 {self._serial} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {40000 + self._serial % 1000 * 2} RTP/AVP 0 8 101\r\n"
            f"a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
        )

    def _request(
        self, method: str, uri: str, fields: str, cseq: int, branch: str = "", body: str = ""
    ) -> bytes:
        self._serial += 1
        branch = branch or f"z9hG4bK{self._prefix}{self._serial}"
        kind = "Content-Type: application/sdp\r\n" if body.startswith("v=0") else ""
        if method == "INFO":
            body = f"Signal={self._serial % 10}\r\nDuration=160\r\n"
            kind = "Content-Type: application/dtmf-relay\r\n"
        return (
            f"{method} {uri} SIP/2.0\r\n"
            f"Via: SIP/2.0/{self._transport.upper()} {self._address};branch={branch}\r\n"
            f"Max-Forwards: 70\r\n{fields}"
            f"CSeq: {cseq} {method}\r\nContact: <sip:a@{self._address}>\r\n"
            f"RAck: 1 1 INVITE\r\nRefer-To: <sip:2@{self._address}>\r\nEvent: refer\r\n"
            f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def outside(self, method: str, number: str) -> bytes:
        """A request that belongs to no call."""
        fields = (
            f"From: <sip:9@{self._address}>;tag=o{self._serial}\r\nTo: <sip:{number}@127.0.0.1>\r\n"
            f"Call-ID: o{self._prefix}{self._serial}\r\n"
        )
        body = self.sdp() if method == "INVITE" else ""
        return self._request(method, f"sip:{number}@127.0.0.1", fields, 1, body=body)

    def invite(self) -> bytes:
        """A call to a number of the server's, with nothing wrong; some want PRACK (RFC 3262)."""
        data = self.outside("INVITE", self._number)
        if self._chance.random() < 0.2:
            data = data.replace(b"Max-Forwards", b"Require: 100rel\r\nMax-Forwards", 1)
        return data

    def inside(self) -> bytes:
        """What could come next on one of the calls; a call to make when there is none."""
        if not self.calls:
            return self.invite()
        call = self._chance.choice(list(self.calls.values()))
        method = self._chance.choice(METHODS)
        if method == "BYE" and self._chance.random() < 0.9:
            method = "UPDATE"
        call.cseq += method not in ("ACK", "CANCEL")
        body = self.sdp() if method in ("INVITE", "UPDATE") else ""
        return self._request(method, call.target.decode(), _fields(call), call.cseq, body=body)

    def answer(self) -> bytes | None:
        """Some answer to one of the server's latest requests."""
        if not self.requests:
            return None
        status = self._chance.choice((100, 180, 183, 200, 200, 302, 401, 407, 422, 481, 491, 503))
        return self._response(self._chance.choice(self.requests), status)

    # ------------------------------------------------------------------ what comes

    def take(self, data: bytes) -> bytes | None:
        """What a peer that means well sends back: without it no call would ever be up."""
        if data.startswith(b"SIP/2.0 "):
            return self._on_response(data)
        method = data.partition(b" ")[0]
        if method == b"ACK":
            return None
        self.requests = [*self.requests[-30:], data]
        if method == b"BYE":
            self.calls.pop(_first(_CALL_ID, data), None)
        return self._response(data, 200)

    def _on_response(self, data: bytes) -> bytes | None:
        cseq = _CSEQ.search(data)
        if cseq is None or cseq[2] != b"INVITE" or not b"1" <= data[8:9] <= b"6":
            return None
        call = Call(
            _first(_CALL_ID, data), _first(_FROM, data), _first(_TO, data), _first(_CONTACT, data)
        )
        target = call.target.decode() or f"sip:{self._number}@127.0.0.1"
        if data[8:9] == b"1":
            if b"\r\nRSeq:" not in data or self._chance.random() < 0.5:
                return None
            return self._request("PRACK", target, _fields(call), int(cseq[1]) + 1)
        if data[8:9] == b"2":
            self._keep(call)
            return self._request("ACK", target, _fields(call), int(cseq[1]))
        via = _VIA.search(data)
        branch = re.search(rb"branch=([^;\r\n]+)", via[0]) if via is not None else None
        text = branch[1].decode("latin-1") if branch is not None else ""
        return self._request("ACK", target, _fields(call), int(cseq[1]), text)

    def _response(self, request: bytes, status: int) -> bytes:
        """Via, From, To, Call-ID and CSeq are the request's; To gets a tag if it has none."""
        head = request.partition(b"\r\n\r\n")[0]
        lines = [
            line
            for line in head.split(b"\r\n")[1:]
            if line.lower().startswith((b"via:", b"from:", b"to:", b"call-id:", b"cseq:"))
        ]
        call_id, to = _first(_CALL_ID, request), _first(_TO, request)
        if b"tag=" not in to:
            tagged = to + b";tag=h" + call_id[:8]
            lines = [b"To: " + tagged if one[:3].lower() == b"to:" else one for one in lines]
            if request.startswith(b"INVITE ") and status == 200:
                target = _first(_CONTACT, request)
                self._keep(Call(call_id, tagged, _first(_FROM, request), target))
        body = self.sdp().encode() if request.startswith((b"INVITE ", b"UPDATE ")) else b""
        lines += [
            b"Contact: <sip:a@" + self._address.encode() + b">",
            *([b"Content-Type: application/sdp"] if body else []),
            b"Content-Length: %d" % len(body),
        ]
        return b"SIP/2.0 %d Hm\r\n" % status + b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _keep(self, call: Call) -> None:
        if call.call_id not in self.calls:
            self.answered += 1
        self.calls[call.call_id] = call
        while len(self.calls) > _MOST_CALLS:
            del self.calls[next(iter(self.calls))]


def _fields(call: Call) -> str:
    return (
        f"From: {call.ours.decode('latin-1')}\r\nTo: {call.theirs.decode('latin-1')}\r\n"
        f"Call-ID: {call.call_id.decode('latin-1')}\r\n"
    )


def _first(pattern: re.Pattern[bytes], data: bytes) -> bytes:
    found = pattern.search(data)
    return found[1] if found is not None else b""
