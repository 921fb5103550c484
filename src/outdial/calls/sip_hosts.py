"""Which hosts a document may dial by SIP URI, and whose trunk one of them is. Pure.

A SIP URI goes past the routes, so it would go past everything that is said of trunks: a document
that anybody can change would ring any machine on the Internet, and a carrier that knows us by our
address would take any number at its own host. So hosts are named in the settings, the trunks'
hosts are theirs already, and what is dialled at a trunk's host is that trunk's call.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

from outdial.calls import codes
from outdial.config import Trunk
from outdial.config.checks import host_and_port
from outdial.errors import Refused, RemoteProtocolError
from outdial.sip.core.uri import Uri

_PORT = 5060
_FEW_DIGITS = 3
"""A user part at a trunk with as many may be a number: short ones such as 118 cost money too."""
_MANY_DIGITS = 7
"""Elsewhere shorter ones are extensions."""
_NUMBER = frozenset("0123456789+().- \t")


class SipHosts:
    """The hosts of `limits.sip_hosts` and of the trunks."""

    def __init__(self, allowed: Iterable[str], trunks: Iterable[Trunk], *, sim: bool) -> None:
        """`sim`: nothing leaves the machine, so every host may be dialled."""
        self._allowed = [_place(text) for text in allowed]
        self._trunks = [(_place(trunk.address), trunk) for trunk in trunks]
        # whatever the port: it is a machine of the owner's carrier or of his own
        self._trunk_hosts = {host for (host, _), _ in self._trunks}
        self._sim = sim

    def check(self, uri: str, field: str) -> str:
        """Whether it may be dialled; gives the number in it, which must pass the gate of numbers
        too, "" when it has none. Raises Refused."""
        try:
            parsed = Uri.parse(uri)
        except RemoteProtocolError as error:
            raise Refused(
                400, codes.BAD_VALUE, f"{field} is not a SIP URI: {error}", field=field
            ) from None
        at_trunk = _same(parsed.host) in self._trunk_hosts
        if not at_trunk and not self._sim and not self._is_allowed(parsed):
            raise Refused(
                403,
                codes.SIP_HOST,
                f"{field} is at {parsed.host_port}, which is no trunk; the setting "
                f'limits.sip_hosts lists the others, e.g. sip_hosts = ["{parsed.host_port}"]',
                field=field,
            )
        if "maddr" in parsed.params:
            raise Refused(
                403,
                codes.SIP_HOST,
                f"{field} has a maddr parameter, which would send the call to another host",
                field=field,
            )
        return _number_in(parsed, at_trunk=at_trunk)

    def trunk_at(self, uri: str) -> Trunk | None:
        """The trunk whose host the URI is at."""
        try:
            return self._of(Uri.parse(uri))
        except RemoteProtocolError:
            return None

    def _of(self, uri: Uri) -> Trunk | None:
        return next((trunk for place, trunk in self._trunks if _is_at(uri, place)), None)

    def is_listed(self, uri: Uri) -> bool:
        """Whether the settings name its host, apart from trunks."""
        return self._is_allowed(uri)

    def _is_allowed(self, uri: Uri) -> bool:
        return any(_is_at(uri, place) for place in self._allowed)


def is_over_tls(uri: str) -> bool:
    """Whether the address says that it is to be dialled over TLS."""
    try:
        parsed = Uri.parse(uri)
    except RemoteProtocolError:
        return False
    return parsed.scheme == "sips" or (parsed.params.get("transport") or "").lower() == "tls"


def _number_in(uri: Uri, *, at_trunk: bool) -> str:
    """The user part, if a gateway would take it for a number."""
    user = uri.user_text.partition(";")[0]
    if at_trunk:
        whole = f"{user}:{uri.password}" if uri.password else user
        return whole if _digits(whole) >= _FEW_DIGITS else ""
    return user if _digits(user) >= _MANY_DIGITS and _NUMBER.issuperset(user) else ""


def _digits(text: str) -> int:
    return sum(char.isdigit() for char in text)


def _place(text: str) -> tuple[str, int | None]:
    host, port = host_and_port(text)
    return _same(host), port


def _is_at(uri: Uri, place: tuple[str, int | None]) -> bool:
    """A place without a port is all ports of its host."""
    host, port = place
    return _same(uri.host) == host and port in (None, uri.port or _PORT)


def _same(host: str) -> str:
    """The host in the one way that two spellings of it have in common."""
    bare = host.strip("[]").lower().removesuffix(".")
    try:
        return str(ip_address(bare))
    except ValueError:
        return bare
