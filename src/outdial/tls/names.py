"""Whether a certificate is that of a SIP domain (RFC 5922 section 7).

A ``sip:`` URI among its names says it, else a DNS name; the common name counts only where there is
no other. One thing is taken that section 7.2 forbids: ``*.example.com``, for one label, because
the certificates of several large carriers have no other name.
"""

from __future__ import annotations

from ipaddress import ip_address

from outdial.tls.certificate import Certificate


def is_for(certificate: Certificate, domain: str) -> bool:
    """Whether whoever shows the certificate may speak for the domain, or the IP address."""
    wanted = domain.strip("[]").rstrip(".").lower()
    address = _address(wanted)
    if address:
        return address in certificate.addresses or address in _sip_hosts(certificate)
    return any(_matches(name, wanted) for name in identities(certificate))


def identities(certificate: Certificate) -> tuple[str, ...]:
    """The domains that the certificate is for (section 7.1)."""
    return _sip_hosts(certificate) + certificate.dns_names or tuple(
        name.lower() for name in certificate.names
    )


def _sip_hosts(certificate: Certificate) -> tuple[str, ...]:
    """The hosts of its ``sip:`` URIs; one with a user part names a person, and no domain."""
    hosts = []
    for uri in certificate.uris:
        scheme, _, rest = uri.partition(":")
        if scheme.lower() == "sip" and rest and not set(rest) & set("@:;?/"):
            hosts.append(rest.lower())
    return tuple(hosts)


def _matches(name: str, wanted: str) -> bool:
    name = name.rstrip(".")
    if not name.startswith("*."):
        return name == wanted
    first, _, rest = wanted.partition(".")
    return bool(first) and "." in rest and rest == name[2:]


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return ""
