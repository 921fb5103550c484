"""What must hold before a server makes anything: one that cannot serve leaves nothing behind."""

from __future__ import annotations

import contextlib
import errno
import socket

from outdial.config import Settings
from outdial.errors import ConfigError
from outdial.media.plane import parse_ports
from outdial.sip.endpoint import parse_listener


def check_addresses(settings: Settings) -> None:
    """Whether all can be listened on, before anything is made: what cannot be served must not
    leave a database behind. Raises ConfigError."""
    host, _, port = settings.http.listen.rpartition(":")
    _try_to_bind("http.listen", socket.SOCK_STREAM, host.strip("[]"), int(port))
    for listener in settings.sip.listen:
        transport, host, number = parse_listener(listener)
        kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
        _try_to_bind("sip.listen", kind, host, number)
    _try_to_bind("media.address", socket.SOCK_DGRAM, settings.media.address, 0)
    first, last = parse_ports(settings.media.ports)
    for number in range(first + first % 2, last, 2):
        with contextlib.suppress(ConfigError):
            for one in (number, number + 1):
                _try_to_bind("media.ports", socket.SOCK_DGRAM, settings.media.address, one)
            return
    raise ConfigError(
        "media.ports",
        f"all ports of {settings.media.ports} on {settings.media.address} are in use",
        "name a range that is free",
    )


def _try_to_bind(key: str, kind: int, host: str, port: int) -> None:
    """Raises ConfigError when the address cannot be listened on."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        in_use = error.errno == errno.EADDRINUSE
        raise ConfigError(
            key,
            f"{host}:{port} cannot be used: {error.strerror or error}",
            "choose a free port, or stop what uses it"
            if in_use
            else "name an address of this machine",
        ) from None
