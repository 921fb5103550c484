"""Requests and responses (RFC 3261 section 7).

A message holds its header lines as text; the typed views (`from_`, `vias`, `contacts` ...) are
read from it. Those that every message is asked for several times are kept until a line of the
headers changes, so no view is ever out of step with the text. Lists among them are not copied:
they are for reading.

Views of a parsed message never raise: the parser has called `check`. On messages of our own
making they raise RemoteProtocolError if what was put in is malformed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from outdial.errors import LocalProtocolError, RemoteProtocolError
from outdial.sip.core.address import Address
from outdial.sip.core.fields import (
    CSeq,
    MediaType,
    RAck,
    SessionExpires,
    option_tags,
    parse_delta,
    q850_cause,
    retry_after_s,
    words,
)
from outdial.sip.core.grammar import check_text, is_token, parse_number
from outdial.sip.core.headers import Headers
from outdial.sip.core.limits import MAX_VALUES
from outdial.sip.core.uri import Uri
from outdial.sip.core.via import Via

REASON_PHRASES: Final = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued",
    183: "Session Progress", 199: "Early Dialog Terminated",
    200: "OK", 202: "Accepted", 204: "No Notification",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    380: "Alternative Service",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
    407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone",
    412: "Conditional Request Failed", 413: "Request Entity Too Large",
    414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
    420: "Bad Extension", 421: "Extension Required", 422: "Session Interval Too Small",
    423: "Interval Too Brief", 428: "Use Identity Header", 429: "Provide Referrer Identity",
    433: "Anonymity Disallowed", 436: "Bad Identity Info", 437: "Unsupported Credential",
    438: "Invalid Identity Header", 469: "Bad Info Package", 470: "Consent Needed",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
    483: "Too Many Hops", 484: "Address Incomplete", 485: "Ambiguous", 486: "Busy Here",
    487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event",
    491: "Request Pending", 493: "Undecipherable", 494: "Security Agreement Required",
    500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported",
    513: "Message Too Large", 555: "Push Notification Service Not Supported",
    580: "Precondition Failure",
    600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere",
    606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}  # fmt: skip
"""The registered phrases. An unknown status gets the phrase of its class."""

_CLASS_PHRASES: Final = (
    "",
    "Progress",
    "OK",
    "Redirection",
    "Client Error",
    "Server Error",
    "Failure",
)


_call_id = re.compile(r"[!-+\--:<-~]++")
_Item = TypeVar("_Item", Address, Via)


def reason_phrase(status: int) -> str:
    """The registered phrase of a status."""
    return REASON_PHRASES.get(status) or _CLASS_PHRASES[status // 100]


class Message:
    """What requests and responses share."""

    __slots__ = ("body", "headers")

    def __init__(self, headers: Headers, body: bytes) -> None:
        self.headers = headers
        self.body = body

    @property
    def start_line(self) -> str:
        """The first line, without its end. LocalProtocolError if it holds a control character."""
        raise NotImplementedError

    @property
    def top_via(self) -> Via:
        """The first Via."""
        return self.vias[0]

    @property
    def vias(self) -> list[Via]:
        """All Vias, top first."""
        kept = self.headers.views
        vias: list[Via] | None = kept.get("Via")
        if vias is None:
            vias = kept["Via"] = _vias(self.headers.lines("Via"))
        return vias

    @property
    def from_(self) -> Address:
        """The From address."""
        kept = self.headers.views
        address: Address | None = kept.get("From")
        if address is None:
            address = kept["From"] = Address.parse(self._one("From"))
        return address

    @property
    def to(self) -> Address:
        """The To address."""
        kept = self.headers.views
        address: Address | None = kept.get("To")
        if address is None:
            address = kept["To"] = Address.parse(self._one("To"))
        return address

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        return self._one("Call-ID")

    @property
    def cseq(self) -> CSeq:
        """The CSeq."""
        kept = self.headers.views
        cseq: CSeq | None = kept.get("CSeq")
        if cseq is None:
            cseq = kept["CSeq"] = CSeq.parse(self._one("CSeq"))
        return cseq

    @property
    def contacts(self) -> list[Address]:
        """The Contact addresses; empty for ``Contact: *`` too (see `is_wildcard_contact`).

        An empty line says no more than none: an answer is worth too much to be lost for that.
        """
        kept = self.headers.views
        contacts: list[Address] | None = kept.get("Contact")
        if contacts is None:
            lines = () if self.is_wildcard_contact else self.headers.lines("Contact")
            contacts = kept["Contact"] = _addresses([line for line in lines if line])
        return contacts

    @property
    def is_wildcard_contact(self) -> bool:
        """Whether the Contact is "*" (RFC 3261 section 10.2.2)."""
        return self.headers.lines("Contact") == ["*"]

    @property
    def routes(self) -> list[Address]:
        """The Route set, top first."""
        return _addresses(self.headers.lines("Route"))

    @property
    def record_routes(self) -> list[Address]:
        """The Record-Route set as it stands in the message, top first."""
        return _addresses(self.headers.lines("Record-Route"))

    @property
    def content_type(self) -> MediaType | None:
        """The Content-Type; None when there is none."""
        text = self.headers.get("Content-Type")
        return None if text is None else MediaType.parse(text)

    @property
    def supported(self) -> frozenset[str]:
        """Option tags in Supported."""
        return option_tags(self.headers.lines("Supported"))

    @property
    def required(self) -> frozenset[str]:
        """Option tags in Require."""
        return option_tags(self.headers.lines("Require"))

    @property
    def allowed(self) -> frozenset[str] | None:
        """Methods in Allow; None when there is no Allow, which then says nothing."""
        lines = self.headers.lines("Allow")
        return words(lines) if lines else None

    @property
    def session_expires(self) -> SessionExpires | None:
        """Session-Expires (RFC 4028)."""
        text = self.headers.get("Session-Expires")
        return None if text is None else SessionExpires.parse(text)

    @property
    def min_se(self) -> int | None:
        """Min-SE in seconds (RFC 4028)."""
        text = self.headers.get("Min-SE")
        return None if text is None else parse_delta(text, "Min-SE")[0]

    @property
    def rseq(self) -> int | None:
        """RSeq (RFC 3262)."""
        text = self.headers.get("RSeq")
        return None if text is None else parse_number(text, 2**32 - 1, "RSeq")

    @property
    def rack(self) -> RAck | None:
        """RAck (RFC 3262)."""
        text = self.headers.get("RAck")
        return None if text is None else RAck.parse(text)

    @property
    def q850_cause(self) -> int | None:
        """The Q.850 cause that a Reason header gives (RFC 3326)."""
        return q850_cause(self.headers.get_all("Reason"))

    @property
    def retry_after_s(self) -> int | None:
        """Seconds of Retry-After; None when absent or malformed."""
        return retry_after_s(self.headers.get("Retry-After"))

    def addresses(self, name: str) -> list[Address]:
        """All addresses in the lines of `name`, in order."""
        return _addresses(self.headers.get_all(name))

    def encode(self) -> bytes:
        """The message as it goes on the wire, with the Content-Length of its body."""
        lines = [self.start_line]
        for name, value in self.headers.items():
            if name != "Content-Length":
                lines.append(f"{name}: {value}")
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode() + self.body

    def check(self) -> None:
        """Reads all views that a request or response must have, or whose misreading would matter.

        Raises RemoteProtocolError for the first that is malformed.
        """
        raise NotImplementedError

    def _check_common(self) -> CSeq:
        _ = self.vias, self.from_, self.to
        if not _is_call_id(self.call_id):
            raise RemoteProtocolError(f"malformed Call-ID: {self.call_id[:60]!r}")
        for name in _CHECKED_NAMES.intersection(self.headers.names()):
            _CHECKED[name](self)
        return self.cseq

    def _one(self, name: str) -> str:
        lines = self.headers.lines(name)
        if not lines:
            raise RemoteProtocolError(f"no {name}")
        return lines[0]


_CHECKED: Final[dict[str, Callable[[Message], object]]] = {
    "Contact": lambda message: message.contacts,
    "Route": lambda message: message.routes,
    "Record-Route": lambda message: message.record_routes,
    "Content-Type": lambda message: message.content_type,
    "Session-Expires": lambda message: message.session_expires,
    "Min-SE": lambda message: message.min_se,
    "RSeq": lambda message: message.rseq,
    "RAck": lambda message: message.rack,
}
_CHECKED_NAMES: Final = frozenset(_CHECKED)


class Request(Message):
    """A request."""

    __slots__ = ("method", "uri")

    def __init__(self, method: str, uri: Uri, headers: Headers | None = None, body: bytes = b""):
        super().__init__(headers if headers is not None else Headers(), body)
        self.method = method
        self.uri = uri

    @property
    def start_line(self) -> str:
        if not is_token(self.method):
            raise LocalProtocolError(f"not a method: {self.method[:40]!r}")
        return check_text(f"{self.method} {self.uri} SIP/2.0")

    @property
    def max_forwards(self) -> int | None:
        """Max-Forwards; None when there is none, as from peers of RFC 2543."""
        text = self.headers.get("Max-Forwards")
        return None if text is None else parse_number(text, 255, "Max-Forwards")

    def check(self) -> None:
        cseq = self._check_common()
        if cseq.method != self.method:
            raise RemoteProtocolError(f"CSeq of {cseq.method[:40]!r} in a {self.method[:40]!r}")
        _ = self.max_forwards

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri}>"


class Response(Message):
    """A response."""

    __slots__ = ("reason", "status")

    def __init__(
        self, status: int, reason: str = "", headers: Headers | None = None, body: bytes = b""
    ):
        super().__init__(headers if headers is not None else Headers(), body)
        self.status = status
        self.reason = reason

    @classmethod
    def to_request(
        cls,
        request: Request,
        status: int,
        reason: str = "",
        *,
        to_tag: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """A response as RFC 3261 section 8.2.6 builds it.

        Via, From, To, Call-ID and CSeq are taken over as they stand; `to_tag` is added to To where
        the request had none, Timestamp is copied into a 100, Record-Route into what can make a
        dialog (101-299). `headers` come after these; an empty `reason` gives the registered phrase.
        """
        response = cls(status, reason or reason_phrase(status), body=body)
        own = response.headers
        own.copy_from(request.headers, "Via", "From", "To", "Call-ID", "CSeq")
        if status == 100:
            own.copy_from(request.headers, "Timestamp")
        elif status < 300:
            own.copy_from(request.headers, "Record-Route")
        if to_tag is not None and request.to.tag is None:
            own.set("To", f"{request.headers.get('To')};tag={to_tag}")
        for name, value in headers:
            own.add(name, value)
        return response

    @property
    def start_line(self) -> str:
        return check_text(f"SIP/2.0 {self.status} {self.reason}")

    def check(self) -> None:
        self._check_common()

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"


def _is_call_id(text: str) -> bool:
    """One word without white space, comma and semicolon; the grammar's finer rules tell nothing."""
    return _call_id.fullmatch(text) is not None


def _vias(lines: Sequence[str]) -> list[Via]:
    if not lines:
        raise RemoteProtocolError("no Via")
    if len(lines) == 1 and "," not in lines[0]:
        return [Via.parse(lines[0])]
    return _at_most([via for line in lines for via in Via.parse_list(line)])


def _addresses(lines: Sequence[str]) -> list[Address]:
    if len(lines) == 1 and "," not in lines[0]:
        return [Address.parse(lines[0])]
    return _at_most([item for line in lines for item in Address.parse_list(line)])


def _at_most(items: list[_Item]) -> list[_Item]:
    if len(items) > MAX_VALUES:
        raise RemoteProtocolError(f"more than {MAX_VALUES} values of one header")
    return items
