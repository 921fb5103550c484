"""Certificates of every kind, made where they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LOCAL = ("sip.example.com", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Made:
    """One certificate with its key, as files."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    path: Path
    key_path: Path

    @property
    def der(self) -> bytes:
        """As it goes over the wire."""
        return self.certificate.public_bytes(Encoding.DER)


class Authority:
    """Vouches for others. `path` is its own certificate."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        self._folder = folder
        self._serial = 0
        self.own = self.make(name, names=(), is_authority=True)
        self.path = str(self.own.path)

    def make(
        self,
        common_name: str = "sip.example.com",
        names: Sequence[str] = LOCAL,
        *,
        days: tuple[float, float] = (-1, 30),
        self_signed: bool = False,
        is_authority: bool = False,
        under: str = "",
    ) -> Made:
        """A certificate for the names (``sip:...`` a URI, else an address, else a DNS name), valid
        from so many days to so many days from now; `under` replaces files of that name."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = None if self_signed or is_authority else self.own
        subject = _name(common_name)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.certificate.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(one) for one in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(issuer.key if issuer else key, hashes.SHA256())
        self._serial += 1
        stem = under or f"{common_name.lower().replace(' ', '-')}-{self._serial}"
        made = Made(certificate, key, self._folder / f"{stem}.pem", self._folder / f"{stem}.key")
        made.path.write_bytes(certificate.public_bytes(Encoding.PEM))
        made.key_path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return made


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Outdial tests"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _alternative(name: str) -> x509.GeneralName:
    if ":" in name and name.partition(":")[0] in ("sip", "sips", "https"):
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
