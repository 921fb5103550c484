"""Names are asked of name servers here, and nowhere else in `sip`: dnspython on asyncio.

A name with a dot is a whole name: no search list makes another one of it. A name without one, such
as that of a container, and one under ``.local`` are left to the system, which knows what they are.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.resolver

from outdial.config.checks import host_and_port
from outdial.frozen import frozen
from outdial.sip.core.locating import Naptr, Srv

_ONE_SERVER_S = 2.0
"""How long one server may take before the next one is asked."""
_ALL_SERVERS_S = 4.0
_AT_ONCE = 32
"""Queries under way; more wait."""
_NEGATIVE_S = 30.0
_SYSTEM_TTL_S = 60.0
"""For what the system resolves, which says no time."""
_HOSTS = Path("/etc/hosts")
_RESOLV_CONF = Path("/etc/resolv.conf")

T = TypeVar("T")


class NamesAway(Exception):
    """No name server gave an answer, neither what is asked for nor that there is none."""


@frozen
class Answer(Generic[T]):
    """What a name server said. No records: there are none of that kind."""

    records: tuple[T, ...]
    ttl_s: float


class Names(Protocol):
    """Where names are asked. Each raises NamesAway."""

    async def naptr(self, name: str) -> Answer[Naptr]:
        """NAPTR records."""

    async def srv(self, name: str) -> Answer[Srv]:
        """SRV records."""

    async def addresses(self, name: str) -> Answer[str]:
        """IPv4 addresses, and behind them IPv6 addresses."""


class NameServers:
    """The name servers of the settings or, without any there, of the system."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        """`servers` are addresses with or without a port."""
        self._servers = tuple(servers)
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._configured_at: float | None = None
        self._hosts = HostsFile(_HOSTS)
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def naptr(self, name: str) -> Answer[Naptr]:
        """See Names."""
        records, ttl_s = await self._ask(name, dns.rdatatype.NAPTR)
        return Answer(
            tuple(
                Naptr(
                    record.order,
                    record.preference,
                    _text(record.flags),
                    _text(record.service),
                    _bare(record.replacement),
                )
                for record in records
            ),
            ttl_s,
        )

    async def srv(self, name: str) -> Answer[Srv]:
        """See Names."""
        records, ttl_s = await self._ask(name, dns.rdatatype.SRV)
        return Answer(
            tuple(
                Srv(record.priority, record.weight, record.port, _bare(record.target))
                for record in records
            ),
            ttl_s,
        )

    async def addresses(self, name: str) -> Answer[str]:
        """See Names. The file of hosts comes first."""
        if found := await asyncio.to_thread(self._hosts.addresses, name):
            return Answer(found, _SYSTEM_TTL_S)
        if is_local(name):
            return await _system_addresses(name)
        kinds = (dns.rdatatype.A, dns.rdatatype.AAAA)
        outcomes = await asyncio.gather(
            *(self._ask(name, kind) for kind in kinds), return_exceptions=True
        )
        answers = [one for one in outcomes if not isinstance(one, BaseException)]
        found = tuple(str(record.address) for records, _ in answers for record in records)
        for one in outcomes:
            if isinstance(one, BaseException) and not found:
                raise one  # "there is none" counts only when both kinds say so
        return Answer(found, min(ttl_s for records, ttl_s in answers if records or not found))

    async def _ask(self, name: str, kind: dns.rdatatype.RdataType) -> tuple[list[Any], float]:
        """The records and how long they count. Raises NamesAway."""
        try:
            whole = dns.name.from_text(name)
        except (dns.exception.DNSException, UnicodeError, ValueError):
            return [], _NEGATIVE_S  # nobody can have it
        self._configure()
        if not self._resolver.nameservers:
            raise NamesAway("no name server is set up on this machine: see sip.nameservers")
        try:
            async with self._room:
                answer = await self._resolver.resolve(
                    whole,
                    kind,
                    search=False,
                    raise_on_no_answer=False,
                    lifetime=_ALL_SERVERS_S,
                )
        except (dns.resolver.NXDOMAIN, dns.resolver.YXDOMAIN):
            return [], _NEGATIVE_S
        except dns.exception.Timeout:
            raise NamesAway("the name server does not answer") from None
        except (dns.exception.DNSException, OSError, EOFError) as error:
            raise NamesAway(f"the name server gave no usable answer ({_words(error)})") from None
        if answer.rrset is None:
            return [], _NEGATIVE_S
        return list(answer.rrset), float(answer.chaining_result.minimum_ttl)

    def _configure(self) -> None:
        """Takes the servers of the settings, or those of the system as they are now."""
        if self._servers:
            if self._configured_at is None:
                self._configured_at = 0.0
                self._resolver.nameservers = [_server(text) for text in self._servers]
                self._resolver.timeout = _ONE_SERVER_S
            return
        try:
            changed_at = _RESOLV_CONF.stat().st_mtime
        except OSError:
            changed_at = 0.0
        if changed_at != self._configured_at:
            self._configured_at = changed_at
            self._resolver.reset()
            try:
                self._resolver.read_resolv_conf(os.fspath(_RESOLV_CONF))
            except (dns.exception.DNSException, OSError, ValueError):
                self._resolver.nameservers = []
            self._resolver.timeout = min(self._resolver.timeout, _ONE_SERVER_S)


class HostsFile:
    """The names that the machine's owner has written down, read again when the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed_at = -1.0
        self._names: dict[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...]:
        """Those of the name, () when it is not there."""
        try:
            changed_at = self._path.stat().st_mtime
        except OSError:
            return ()
        if changed_at != self._changed_at:
            self._changed_at = changed_at
            self._names = self._read()
        return self._names.get(name.lower().removesuffix("."), ())

    def _read(self) -> dict[str, tuple[str, ...]]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return {}
        found: dict[str, tuple[str, ...]] = {}
        for line in text.splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            for name in names:
                if address and "%" not in address:
                    key = name.lower()
                    found[key] = (*found.get(key, ()), address)
        return {name: tuple(dict.fromkeys(addresses)) for name, addresses in found.items()}


def is_local(name: str) -> bool:
    """Whether the system knows better than name servers what the name is."""
    bare = name.lower().removesuffix(".")
    return "." not in bare or bare.endswith(".local")


async def _system_addresses(name: str) -> Answer[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise NamesAway("the name server does not answer") from None
        return Answer((), _NEGATIVE_S)
    except (OSError, UnicodeError):
        return Answer((), _NEGATIVE_S)
    hosts = dict.fromkeys(str(entry[4][0]) for entry in found)
    return Answer(tuple(sorted(hosts, key=lambda host: ":" in host)), _SYSTEM_TTL_S)


def _server(text: str) -> dns.nameserver.Nameserver:
    host, port = host_and_port(text)
    return dns.nameserver.Do53Nameserver(host, port or 53)


def _text(data: bytes | str) -> str:
    return data.decode("ascii", "replace") if isinstance(data, bytes) else data


def _bare(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True)


def _words(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__
