"""What TLS connections are made with: certificates and keys from files, looked at again.

A file that changes is read again without a restart; one that is then wrong is told in the log, and
the old one stays in use.
"""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from pathlib import Path

from outdial.errors import ConfigError
from outdial.tls.certificate import Certificate, NoCertificate, read_pem

_MAX_FILE_BYTES = 4 << 20


class Secured(ABC):
    """Files, and the `ssl.SSLContext` made of them. Raises ConfigError when they cannot be used."""

    def __init__(self, section: str, *paths: str) -> None:
        self.section = section
        """What stands before the names of its settings, e.g. ``sip``."""
        self.own: Certificate | None = None
        """The certificate that we show; None: none."""
        self.paths = tuple(Path(path) for path in paths if path)
        self._stamps = self._stamp()
        self.context = self._make()
        """For connections from now on."""

    @abstractmethod
    def _make(self) -> ssl.SSLContext:
        """Of the files as they are. Raises ConfigError."""

    def refresh(self) -> bool:
        """Reads the files again if they have changed; whether they had. Raises ConfigError, once
        for each change, and the context is then the old one."""
        stamps = self._stamp()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        self.context = self._make()
        return True

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        found: list[tuple[int, int, int] | None] = []
        for path in self.paths:
            try:
                status = path.stat()
            except OSError:
                found.append(None)
            else:
                found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(found)


class ServerSecurity(Secured):
    """What we show to those who connect, and what they must show."""

    def __init__(self, section: str, certificate: str, key: str = "", client_ca: str = "") -> None:
        self._files = (certificate, key, client_ca)
        super().__init__(section, certificate, key, client_ca)

    def _make(self) -> ssl.SSLContext:
        certificate, key, client_ca = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _tighten(context)
        own = _show(context, self.section, certificate, key)
        if client_ca:
            trust(context, f"{self.section}.tls_client_ca", client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
        self.own = own
        return context


class ClientSecurity(Secured):
    """Whom we expect at the far end of a connection that we open, and what we show there."""

    def __init__(
        self,
        section: str,
        name: str,
        *,
        ca: str = "",
        certificate: str = "",
        key: str = "",
        verify: bool = True,
    ) -> None:
        """`name` is the domain or address whose certificate the far end must show; it is also
        told to it (SNI). `ca`: "" trusts whom the system trusts."""
        self.name = name.strip("[]").rstrip(".")
        self.verify = verify
        self.seen: Certificate | None = None
        """What the far end showed last."""
        self._files = (ca, certificate, key)
        super().__init__(section, ca, certificate, key)

    def __repr__(self) -> str:
        return f"ClientSecurity({self.section!r}, {self.name!r})"

    def _make(self) -> ssl.SSLContext:
        ca, certificate, key = self._files
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _tighten(context)
        context.check_hostname = False  # `names` does it: a SIP domain may stand in a URI
        if not self.verify:
            context.verify_mode = ssl.CERT_NONE
        elif ca:
            # one who trusts a certificate itself need not have that of its authority
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            trust(context, f"{self.section}.tls_ca", ca)
        else:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if certificate:
            self.own = _show(context, self.section, certificate, key)
        return context


def read_certificate(setting: str, path: str) -> Certificate:
    """The first certificate of a PEM file. Raises ConfigError."""
    try:
        with Path(path).open("rb") as file:
            return read_pem(file.read(_MAX_FILE_BYTES).decode("utf-8", "replace"))[0]
    except OSError as error:
        raise ConfigError(
            setting, f"{path} cannot be read: {error.strerror or error}", "name a PEM file"
        ) from None
    except NoCertificate as error:
        raise ConfigError(setting, f"{path}: {error}", "name a PEM file") from None


def _tighten(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _show(context: ssl.SSLContext, section: str, certificate: str, key: str) -> Certificate:
    """Loads our certificate, with those between it and its authority, and its key."""
    setting = f"{section}.tls_certificate"
    own = read_certificate(setting, certificate)
    try:
        context.load_cert_chain(certificate, key or None, _no_pass_phrase)
    except _Encrypted:
        raise ConfigError(
            f"{section}.tls_key",
            f"the key in {key or certificate} is encrypted",
            "there is nobody to ask for a pass phrase: `openssl pkey` writes it without",
        ) from None
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in (error.reason or ""):
            problem = f"the key in {key or certificate} is not that of {certificate}"
            raise ConfigError(f"{section}.tls_key", problem, "name the right one") from None
        what = key or certificate
        raise ConfigError(
            f"{section}.tls_key" if key else setting,
            f"{what} has no private key in PEM",
            "name the file of the private key" if key else f"name it in {section}.tls_key",
        ) from None
    except OSError as error:
        problem = f"{key or certificate} cannot be read: {error.strerror or error}"
        raise ConfigError(f"{section}.tls_key", problem, "name a PEM file") from None
    return own


def trust(context: ssl.SSLContext, setting: str, path: str) -> None:
    """Whom the PEM file names is believed. Raises ConfigError."""
    read_certificate(setting, path)
    try:
        context.load_verify_locations(path)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(setting, f"{path} cannot be used: {reason}", "name a PEM file") from None


class _Encrypted(Exception):
    """A private key has a pass phrase."""


def _no_pass_phrase() -> str:
    raise _Encrypted
