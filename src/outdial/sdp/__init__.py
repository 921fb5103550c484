"""Session descriptions (RFC 8866) and offer/answer (RFC 3264) for one audio stream, plain or
encrypted (RFC 4568). Pure."""

from outdial.sdp.crypto import Security
from outdial.sdp.description import MediaDescription, SessionDescription, parse
from outdial.sdp.negotiation import accept, answer, offer

__all__ = [
    "MediaDescription",
    "Security",
    "SessionDescription",
    "accept",
    "answer",
    "offer",
    "parse",
]
