"""Why two ends could not agree on TLS, in words, and what to change."""

from __future__ import annotations

import ssl

from outdial.frozen import frozen
from outdial.tls.certificate import Certificate, day_of


@frozen
class Trouble:
    """One reason. `kind` is a word for tables, `text` what people read."""

    kind: str
    text: str


class TlsFailed(Exception):
    """The connection cannot be used."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        super().__init__(trouble.text)


_OF_CERTIFICATE = {
    9: ("not-yet-valid", "the certificate is not valid yet"),
    10: ("expired", "the certificate has expired"),
    18: ("self-signed", "the certificate is self-signed, and not one that is trusted"),
    19: ("unknown-ca", "nobody who is trusted vouches for the certificate: its chain ends in a "
         "certificate of its own"),
    20: ("unknown-ca", "nobody who is trusted vouches for the certificate"),
    21: ("unknown-ca", "nobody who is trusted vouches for the certificate: the far end does not "
         "send those between it and its authority"),
    23: ("revoked", "the certificate was revoked"),
    26: ("wrong-purpose", "the certificate is not one for a server"),
    62: ("wrong-name", "the certificate is for another name"),
    64: ("wrong-name", "the certificate is for another name or address"),
    66: ("weak", "the certificate's key is too short"),
    67: ("weak", "the key of the certificate's authority is too short"),
    68: ("weak", "the certificate's signature is of an algorithm that is too weak"),
}  # fmt: skip
"""OpenSSL's verify codes (openssl-verification-options(1))."""

_OF_REASON = (
    ("CERTIFICATE_REQUIRED", "client-certificate-wanted",
     "the far end wants a certificate of ours (tls_certificate)"),
    ("CERTIFICATE_EXPIRED", "client-certificate-refused",
     "the far end says that our certificate has expired"),
    ("UNKNOWN_CA", "client-certificate-refused",
     "the far end does not know who vouches for our certificate"),
    ("BAD_CERTIFICATE", "client-certificate-refused", "the far end refuses our certificate"),
    ("CERTIFICATE_UNKNOWN", "client-certificate-refused", "the far end refuses our certificate"),
    ("CERTIFICATE_REVOKED", "client-certificate-refused", "the far end refuses our certificate"),
    ("UNSUPPORTED_CERTIFICATE", "client-certificate-refused",
     "the far end cannot use our certificate"),
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "no-certificate", "the far end showed no certificate"),
    ("ACCESS_DENIED", "client-certificate-refused", "the far end refuses us"),
    ("UNRECOGNIZED_NAME", "unknown-name", "the far end does not know that name"),
    ("UNSUPPORTED_PROTOCOL", "protocol", "the far end speaks no version of TLS from 1.2 on"),
    ("PROTOCOL_VERSION", "protocol", "the far end does not speak our versions of TLS, 1.2 and 1.3"),
    ("NO_SHARED_CIPHER", "protocol", "the two ends have no cipher in common"),
    ("HANDSHAKE_FAILURE", "protocol",
     "the far end refused the handshake: it has no cipher in common with us, or wants a "
     "certificate of ours (tls_certificate)"),
    ("WRONG_VERSION_NUMBER", "no-tls", "what answers there is not TLS"),
    ("RECORD_LAYER_FAILURE", "no-tls", "what answers there is not TLS"),
    ("PACKET_LENGTH_TOO_LONG", "no-tls", "what answers there is not TLS"),
    ("HTTP_REQUEST", "no-tls", "what came is a request of HTTP, not TLS"),
    ("DH_KEY_TOO_SMALL", "weak", "the far end's key is too short"),
    ("EE_KEY_TOO_SMALL", "weak", "the certificate's key is too short"),
    ("EOF", "closed", "the far end closed the connection in the middle of the handshake"),
)  # fmt: skip
"""Parts of OpenSSL's reasons. The alerts have ALERT in them, and concern our own certificate."""


def trouble_of(error: ssl.SSLError | OSError) -> Trouble:
    """What the error of the `ssl` module means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        kind, text = _OF_CERTIFICATE.get(
            error.verify_code,
            ("bad-certificate", f"the certificate is not good: {error.verify_message}"),
        )
        return Trouble(kind, text)
    reason = (getattr(error, "reason", None) or "").upper()
    for part, kind, text in _OF_REASON:
        if part in reason:
            return Trouble(kind, text)
    if isinstance(error, ssl.SSLEOFError):
        return Trouble("closed", _OF_REASON[-1][2])
    return Trouble("other", reason.replace("_", " ").lower() or str(error) or type(error).__name__)


def wrong_name(certificate: Certificate, name: str) -> Trouble:
    """The certificate is good, but somebody else's."""
    shown = ", ".join(certificate.names[:5]) or "nobody"
    more = f" and {len(certificate.names) - 5} more" if len(certificate.names) > 5 else ""
    return Trouble("wrong-name", f"the certificate is for {shown}{more}, not for {name}")


def life(certificate: Certificate, now: float) -> str:
    """How long it is good for, in words."""
    day, days = day_of(certificate.valid_until), certificate.days_left(now)
    if days < 0:
        return f"it expired on {day}"
    if now < certificate.valid_from:
        return f"it is not valid before {day_of(certificate.valid_from)}"
    return f"it is good until {day}, {days:.0f} days"
