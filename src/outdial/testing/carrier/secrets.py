"""What happens on trunks over TLS: certificates that are not good, and connections that break."""

from __future__ import annotations

from typing import Any

from outdial.frozen import frozen
from outdial.testing.carrier.fault import Fault, Faults
from outdial.testing.carrier.networks import cut_up, reset_in_call, reset_in_message
from outdial.testing.carrier.refusals import answers

NAME = "sip.carrier.example"
Files = tuple[str, str]
"""PEM files of a certificate and its key."""


@frozen
class Certificates:
    """What carriers show. Whoever runs the faults makes them: they do not last for ever."""

    authority: str
    """PEM file of whom the trunks trust."""
    good: Files
    """For `NAME`, by the authority."""
    expired: Files
    not_yet_valid: Files
    self_signed: Files
    other_name: Files
    other_authority: Files


def tls_faults(made: Certificates) -> Faults:
    """The faults, each with the certificate that its carrier shows."""
    faults = Faults()
    trunk: dict[str, Any] = {"transport": "tls", "tls_ca": made.authority, "tls_name": NAME}

    def add(name: str, shown: Files = made.good, **more: Any) -> None:
        given = {"script": answers, "trunk": trunk, "certificates": (shown, made.good), **more}
        faults.add(Fault(name, **given))

    add("tls")
    add("tls-nobody-there", script=None)
    add("tls-in-pieces", network=cut_up)
    add("tls-reset-in-message", script=reset_in_message)
    add("tls-reset-in-call", script=reset_in_call)
    for kind, shown in (
        ("expired", made.expired),
        ("not-yet-valid", made.not_yet_valid),
        ("self-signed", made.self_signed),
        ("other-name", made.other_name),
        ("other-authority", made.other_authority),
    ):
        add(f"tls-certificate-{kind}", shown)
    add("tls-certificate-expired-next-trunk", made.expired, second=answers)
    add("tls-certificate-expired-unchecked", made.expired, trunk={**trunk, "tls_verify": False})
    return faults
