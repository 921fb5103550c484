"""Session descriptions (RFC 8866) and offer/answer (RFC 3264) for one audio stream. Pure."""

from outdial.sdp.description import MediaDescription, SessionDescription, parse
from outdial.sdp.negotiation import accept, answer, offer

__all__ = ["MediaDescription", "SessionDescription", "accept", "answer", "offer", "parse"]
