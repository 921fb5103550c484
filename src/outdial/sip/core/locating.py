"""Which server of a domain to call: NAPTR and SRV records as RFC 3263 reads them.

The random numbers that RFC 2782 wants are arguments, so that a choice can be tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from outdial.frozen import frozen

TRANSPORTS = ("udp", "tcp", "tls")
"""Those that can be named, in the order in which they are preferred when a domain does not say."""
_PREFIXES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_SERVICES = {"SIP+D2U": "udp", "SIP+D2T": "tcp", "SIPS+D2T": "tls"}
_NOWHERE = "."
MAX_TARGETS = 16
"""Of one domain; further ones are not looked at."""


class Target(NamedTuple):
    """An address that a message can be sent to."""

    transport: str
    """udp, tcp or tls."""
    host: str
    """IPv4 or IPv6 literal, without brackets."""
    port: int
    name: str = ""
    """Of the machine, as the records have it; "" for a literal."""


@frozen
class Naptr:
    """A NAPTR record (RFC 3403), as far as SIP looks at it."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@frozen
class Srv:
    """An SRV record (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str
    """A name, without the dot at its end; "." says that there is no such service."""

    @property
    def leads_nowhere(self) -> bool:
        """Whether it says that the service is not there, rather than where it is."""
        return self.target in (_NOWHERE, "")


@frozen
class Choice:
    """One SRV record with what its target's addresses are."""

    priority: int
    weight: int
    targets: tuple[Target, ...]


def service_name(transport: str, domain: str) -> str:
    """The name whose SRV records say where the domain takes that transport."""
    return f"{_PREFIXES[transport]}.{domain}"


def default_port(transport: str) -> int:
    """Where no record says one."""
    return 5061 if transport == "tls" else 5060


def services(records: Iterable[Naptr], spoken: Sequence[str]) -> list[tuple[str, str]]:
    """Transport and SRV name of each record that is of use, best first (RFC 3263 section 4.1).

    `spoken` are the transports that there is a listener for. Records of other services, and those
    that do not lead to SRV records, are passed over.
    """
    ranked = sorted(records, key=lambda record: (record.order, record.preference))
    found = (
        (_SERVICES.get(record.service.upper(), ""), record.replacement)
        for record in ranked
        if record.flags.lower() == "s" and record.replacement not in (_NOWHERE, "")
    )
    return [one for one in dict.fromkeys(found) if one[0] in spoken]


def first_targets(records: Iterable[Srv]) -> list[Srv]:
    """Those that are looked at of too many: the best ones, without those that lead nowhere."""
    leading = [record for record in records if not record.leads_nowhere]
    return sorted(leading, key=lambda one: (one.priority, -one.weight))[:MAX_TARGETS]


def in_order(choices: Sequence[Choice], draw: Callable[[], float]) -> list[Target]:
    """Every target once: lower priorities first, and within one by lot, as RFC 2782 says: a record
    is first as often as its weight is a part of all weights there.

    `draw` gives numbers from 0 to 1, 1 excluded. It is asked only where there is a choice.
    """
    targets: list[Target] = []
    ranked = sorted(choices, key=attrgetter("priority"))
    for _, group in groupby(ranked, key=attrgetter("priority")):
        for choice in _by_lot(list(group), draw):
            targets += choice.targets
    unique: dict[tuple[str, str, int], Target] = {}
    for target in targets:
        unique.setdefault(target[:3], target)
    return list(unique.values())


def _by_lot(choices: list[Choice], draw: Callable[[], float]) -> list[Choice]:
    # records without a weight stand first, so that they have a small chance too
    left = sorted(choices, key=lambda choice: choice.weight > 0)
    drawn: list[Choice] = []
    while len(left) > 1:
        total = sum(choice.weight for choice in left)
        lot = int(draw() * (total + 1))
        sum_so_far = 0
        for place, choice in enumerate(left):  # noqa: B007 - place is used behind the loop
            sum_so_far += choice.weight
            if sum_so_far >= lot:
                break
        drawn.append(left.pop(place))
    return drawn + left
