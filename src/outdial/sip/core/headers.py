"""Header fields of a message: names, compact forms, the ordered collection (RFC 3261 section 7.3).

Names are held in one spelling, so a look-up is one dictionary access. Values are held as they
stand on the wire, one text per line, with folding undone; typed views are made by `message`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, KeysView, Sequence
from typing import Any, Final

from outdial.errors import LocalProtocolError, RemoteProtocolError
from outdial.sip.core.grammar import check_text, is_token

_NAMES: Final = """
Accept Accept-Contact Accept-Encoding Accept-Language Alert-Info Allow Allow-Events
Authentication-Info Authorization Call-ID Call-Info Contact Content-Disposition Content-Encoding
Content-Language Content-Length Content-Type CSeq Date Diversion Error-Info Event Expires
Feature-Caps Flow-Timer From Geolocation History-Info Identity Identity-Info In-Reply-To
Info-Package Join Max-Forwards MIME-Version Min-Expires Min-SE Organization P-Access-Network-Info
P-Asserted-Identity P-Charging-Vector P-Early-Media P-Preferred-Identity Path Priority Privacy
Proxy-Authenticate Proxy-Authorization Proxy-Require RAck Reason Record-Route Recv-Info Refer-Sub
Refer-To Referred-By Reject-Contact Remote-Party-ID Replaces Reply-To Request-Disposition Require
Retry-After Route RSeq Security-Client Security-Server Security-Verify Server Service-Route
Session-Expires SIP-ETag SIP-If-Match Subject Subscription-State Supported Timestamp To
Unsupported User-Agent Via Warning WWW-Authenticate
""".split()  # noqa: SIM905 - a line each would be a page

_COMPACT: Final = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}

_BY_LOWER: Final = {name.lower(): name for name in _NAMES} | _COMPACT

CANONICAL: Final = {
    **{name: name for name in _NAMES},
    **_BY_LOWER,
    **{name.upper(): name for name in _NAMES},
    **{short.upper(): name for short, name in _COMPACT.items()},
}
"""The usual spellings of the known names. The parser looks here before it calls `canonical`."""

SINGLE: Final = frozenset(
    {
        "Call-ID", "Content-Length", "Content-Type", "CSeq", "Expires", "From", "Max-Forwards",
        "Min-Expires", "Min-SE", "RAck", "Refer-To", "Retry-After", "RSeq", "Session-Expires", "To",
    }
)  # fmt: skip
"""Those that may stand in a message once, and mean something to us (THREATS row 3)."""


def canonical(name: str) -> str:
    """The one spelling of a header name; white space after it is dropped as HCOLON allows.

    Unknown names get a capital after each hyphen. RemoteProtocolError when it is no token.
    """
    name = name.rstrip(" \t")
    if not is_token(name):
        raise RemoteProtocolError(f"malformed header name: {name[:40]!r}")
    known = _BY_LOWER.get(name.lower())
    return known or "-".join(part.capitalize() for part in name.split("-"))


def _own_name(name: str) -> str:
    known = CANONICAL.get(name)
    if known is None:
        if not is_token(name):
            raise LocalProtocolError(f"not a header name: {name[:40]!r}")
        known = canonical(name)
    return known


class Headers:
    """Names in order of first appearance, each with its lines in order.

    Names may be given in any case and in compact form. Lines of one name stand together when
    written: RFC 3261 section 7.3.1 gives the order across names no meaning.
    """

    __slots__ = ("_lines", "views")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._lines: dict[str, list[str]] = {}
        self.views: dict[str, Any] = {}
        """What `message` has read from the lines; emptied whenever a line changes."""
        for name, value in items:
            self.add(name, value)

    @classmethod
    def received(cls, lines: dict[str, list[str]]) -> Headers:
        """Takes over what the parser has checked: canonical names, no control characters."""
        headers = cls.__new__(cls)
        headers._lines = lines
        headers.views = {}
        return headers

    def get(self, name: str) -> str | None:
        """The first line of `name`, or None."""
        lines = self._lines.get(CANONICAL.get(name) or _own_name(name))
        return lines[0] if lines else None

    def get_all(self, name: str) -> list[str]:
        """All lines of `name`; several values may stand in one line, separated by commas."""
        return list(self._lines.get(CANONICAL.get(name) or _own_name(name), ()))

    def lines(self, known: str) -> Sequence[str]:
        """As `get_all`, without a copy, for a name in its one spelling."""
        return self._lines.get(known, ())

    def add(self, name: str, value: str) -> None:
        """Appends a line. LocalProtocolError if it holds a control character."""
        check_text(value)
        self.views.clear()
        self._lines.setdefault(CANONICAL.get(name) or _own_name(name), []).append(value)

    def set(self, name: str, value: str) -> None:
        """Makes this the only line of `name`, in the place of the first one."""
        self._lines[CANONICAL.get(name) or _own_name(name)] = [check_text(value)]
        self.views.clear()

    def set_all(self, name: str, values: Iterable[str]) -> None:
        """Makes these the lines of `name`; none removes it."""
        checked = [check_text(value) for value in values]
        self.views.clear()
        if checked:
            self._lines[_own_name(name)] = checked
        else:
            self.remove(name)

    def remove(self, name: str) -> None:
        """Removes all lines of `name`, if any."""
        self._lines.pop(_own_name(name), None)
        self.views.clear()

    def insert_first(self, name: str, value: str) -> None:
        """Puts a line before all others of `name`; a name not there yet goes to the top."""
        check_text(value)
        known = _own_name(name)
        self.views.clear()
        lines = self._lines.get(known)
        if lines is None:
            self._lines = {known: [value], **self._lines}
        else:
            lines.insert(0, value)

    def copy_from(self, other: Headers, *names: str) -> None:
        """Takes over all lines of these names from `other`, where it has them."""
        self.views.clear()
        for name in names:
            known = CANONICAL.get(name) or _own_name(name)
            lines = other._lines.get(known)
            if lines:
                self._lines[known] = list(lines)

    def copy(self) -> Headers:
        """An independent copy."""
        return Headers.received({name: list(lines) for name, lines in self._lines.items()})

    def items(self) -> Iterator[tuple[str, str]]:
        """Each line as (name, value)."""
        for name, lines in self._lines.items():
            for value in lines:
                yield name, value

    def names(self) -> KeysView[str]:
        """The names that are there, in the one spelling."""
        return self._lines.keys()

    def __contains__(self, name: str) -> bool:
        return (CANONICAL.get(name) or _own_name(name)) in self._lines

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._lines == other._lines

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"
