"""Who is calling, as requests say it: From (RFC 3261 section 20.20), P-Asserted-Identity and
P-Preferred-Identity (RFC 3325), Remote-Party-ID (an expired draft that many carriers still go by),
Privacy (RFC 3323), Diversion (RFC 5806).
"""

from __future__ import annotations

from typing import NamedTuple

from outdial.errors import RemoteProtocolError
from outdial.frozen import frozen
from outdial.legs import Caller
from outdial.sip.core.address import Address
from outdial.sip.core.fields import token_list
from outdial.sip.core.grammar import split_list
from outdial.sip.core.message import Request
from outdial.sip.core.outline import name_addr, user_part

WITHHELD = "anonymous"
"""The caller ID of somebody who does not show it."""
NOBODY = '"Anonymous" <sip:anonymous@anonymous.invalid>'
"""From of such a caller (RFC 3323 section 4.1.1.3)."""

_WITHHELD = frozenset(("", "anonymous", "restricted", "private", "withheld", "unavailable"))
"""What stands for a number in From when there is none to be shown."""
_HIDING = frozenset(("id", "user", "header"))
"""Values of Privacy that ask for the caller not to be shown."""
_DRAFT_HIDING = frozenset(("full", "name", "uri"))
"""The same in Remote-Party-ID."""
_MOST_VALUES = 4
"""Identities looked at: a caller has a SIP address and perhaps a number."""

Fields = tuple[tuple[str, str], ...]


def is_withheld(number: str) -> bool:
    """Whether a caller ID is none."""
    return number.lower() in _WITHHELD


# ---------------------------------------------------------------------- what we say


class Shown(NamedTuple):
    """A caller as a request shows him."""

    from_: str
    """From without tag."""
    fields: Fields = ()


@frozen
class Presentation:
    """How callers are shown to a trunk."""

    user: str = ""
    """User part of From whoever calls; "": the caller's number."""
    domain: str = ""
    """"": our own host."""
    names: bool = True
    headers: tuple[str, ...] = ()
    """Those that carry the identity besides From."""
    trusted: bool = False
    """Whether who withholds the number is vouched for by Privacy: id."""
    diversion: bool = False

    def show(self, number: str, name: str, host: str, diverted_by: str = "") -> Shown:
        """The caller with that number ("" or "anonymous": withheld) and name. `host` is our own;
        `diverted_by` the number that was called before the call was passed on."""
        domain = self.domain or host
        if not number or number.lower() == WITHHELD:
            return Shown(NOBODY, self._withheld(domain))
        name = name if self.names else ""
        address = f"sip:{user_part(number)}@{domain}"
        if not (self.user or self.headers or self.diversion):
            return Shown(name_addr(name, address))
        from_ = f"sip:{user_part(self.user)}@{domain}" if self.user else address
        fields = [
            (header, name_addr(name, address) + _draft_params(header, "off"))
            for header in self.headers
        ]
        if self.diversion and diverted_by:
            diverted = f"<sip:{user_part(diverted_by)}@{domain}>;reason=unconditional"
            fields.append(("Diversion", diverted))
        return Shown(name_addr(name, from_), tuple(fields))

    def _withheld(self, domain: str) -> Fields:
        """A trusted trunk is told whose account it is, and to tell nobody (RFC 3325 section 7)."""
        if not self.trusted:
            return ()
        fields = [("Privacy", "id")]
        if self.user:
            account = f"<sip:{user_part(self.user)}@{domain}>"
            fields += [(header, account + _draft_params(header, "full")) for header in self.headers]
        return tuple(fields)


PLAIN = Presentation()
"""The caller's number in From, and nothing else."""


def _draft_params(header: str, privacy: str) -> str:
    if header != "Remote-Party-ID":
        return ""
    return f";party=calling;screen=yes;privacy={privacy}"


# ---------------------------------------------------------------------- what we are told


def caller_of(invite: Request, *, trusted: bool) -> Caller:
    """The caller of an INVITE: of a trusted peer as it asserts (RFC 3325 section 9.1), else as
    From says. Who asks for privacy has no number and no name, whoever the peer is."""
    asserted = _asserted(invite) if trusted else None
    address = asserted or invite.from_
    number = address.uri.user_text
    if _is_private(invite):
        return Caller(WITHHELD)
    name = address.display_name or invite.from_.display_name
    return Caller(WITHHELD if is_withheld(number) else number, name)


def _asserted(invite: Request) -> Address | None:
    """Of several the one with a number, and P-Asserted-Identity before Remote-Party-ID."""
    found = _identities(invite, "P-Asserted-Identity") or _identities(invite, "Remote-Party-ID")
    numbers = [one for one in found if one.uri.user_text.lstrip("+").isdigit()]
    return next(iter(numbers or found), None)


def _is_private(invite: Request) -> bool:
    wanted = {
        word.lower()
        for line in invite.headers.get_all("Privacy")
        for word in token_list(line.split(";"))
    }
    if not wanted.isdisjoint(_HIDING):
        return True
    return any(
        (one.params.get("privacy") or "").lower() in _DRAFT_HIDING
        for one in _identities(invite, "Remote-Party-ID")
    )


def _identities(invite: Request, header: str) -> list[Address]:
    """The values of the header; lines that nobody can read are passed over."""
    found: list[Address] = []
    for line in invite.headers.get_all(header)[:_MOST_VALUES]:
        try:
            found += [Address.parse(value) for value in split_list(line)[:_MOST_VALUES]]
        except RemoteProtocolError:
            continue
    return [one for one in found if (one.params.get("party") or "calling").lower() == "calling"]


# ---------------------------------------------------------------------- what goes with it

_EXTRA = "X-"
_MOST_EXTRA = 16
_LONGEST_EXTRA = 256


def extra_headers(invite: Request) -> Fields:
    """The header fields of an INVITE that are for the application and no standard's: their names
    begin with X-. Several lines of one name are one value with commas between; what is longer than
    256 characters, or behind 16 names, is left out."""
    found: list[tuple[str, str]] = []
    for name in invite.headers.names():
        if name.startswith(_EXTRA) and len(found) < _MOST_EXTRA:
            value = ", ".join(invite.headers.lines(name))
            if len(name) <= _LONGEST_EXTRA and len(value) <= _LONGEST_EXTRA and value.isprintable():
                found.append((name, value))
    return tuple(found)
