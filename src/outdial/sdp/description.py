"""Reading a session description (RFC 4566, RFC 8866), within limits and in linear time.

Only what a negotiation needs is kept: connection addresses, media lines, and their attributes.
Unknown line types are skipped, as RFC 8866 section 5 asks for attributes and practice for lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from outdial.errors import RemoteProtocolError

MAX_BYTES = 16 * 1024
MAX_LINES = 1000
MAX_MEDIA = 16
MAX_FORMATS = 64
MAX_CRYPTO = 32

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_MEDIA = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`{|}~-]+) +(\d{1,5})(?:/\d{1,5})? +(\S+) +(\S.*)")


@dataclass(slots=True)
class MediaDescription:
    """One ``m=`` line and what follows it."""

    kind: str
    """audio, video, image ..."""
    port: int
    protocol: str
    """RTP/AVP, as written."""
    formats: tuple[str, ...]
    """For RTP the payload types, best first."""
    address: str = ""
    """From its own ``c=`` line; "" when the session's holds."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Attributes that occur once (the first one counts); a property attribute has the value ""."""
    rtpmaps: dict[str, str] = field(default_factory=dict)
    """Payload type to encoding in lower case: ``{"101": "telephone-event/8000"}``."""
    crypto: list[str] = field(default_factory=list, repr=False)
    """The values of its ``a=crypto`` lines (RFC 4568), best first: they have keys in them."""


@dataclass(slots=True)
class SessionDescription:
    """A parsed description."""

    origin: str = ""
    """The value of ``o=``, as written."""
    address: str = ""
    """From the session's ``c=`` line; "" without one."""
    attributes: dict[str, str] = field(default_factory=dict)
    media: list[MediaDescription] = field(default_factory=list)


def parse(raw: bytes) -> SessionDescription:
    """The description. Raises RemoteProtocolError (488 for too large, 400 for malformed)."""
    if len(raw) > MAX_BYTES:
        raise RemoteProtocolError(f"session description over {MAX_BYTES} bytes", 488)
    # Latin-1 cannot fail, and no field that is used may hold anything beyond ASCII.
    text = raw.decode("latin-1")
    if _CONTROL.search(text):
        raise RemoteProtocolError("control character in session description")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    if len(lines) > MAX_LINES:
        raise RemoteProtocolError(f"session description over {MAX_LINES} lines", 488)
    if lines[0].rstrip() != "v=0":
        raise RemoteProtocolError("session description does not start with v=0")
    session = SessionDescription()
    media: MediaDescription | None = None
    for line in lines:
        kind, value = line[:2], line[2:]
        if kind == "a=":
            _attribute(value, session.attributes if media is None else media.attributes, media)
        elif kind == "c=":
            owner: SessionDescription | MediaDescription = session if media is None else media
            # RFC 8866 5.7: several c= lines are multicast layers; the first is enough.
            owner.address = owner.address or _connection(value)
        elif kind == "m=":
            if len(session.media) == MAX_MEDIA:
                raise RemoteProtocolError(f"more than {MAX_MEDIA} media lines", 488)
            media = _media(value)
            session.media.append(media)
        elif kind == "o=":
            session.origin = value.strip()
        elif line and line[1:2] != "=":
            raise RemoteProtocolError("line of a session description without '='")
    return session


def _attribute(value: str, attributes: dict[str, str], media: MediaDescription | None) -> None:
    name, _, content = value.partition(":")
    if name == "rtpmap":
        payload_type, _, encoding = content.strip().partition(" ")
        if media is not None:
            media.rtpmaps.setdefault(payload_type, encoding.strip().lower())
        return
    name = name.strip().lower()
    if name == "crypto":
        if media is not None and len(media.crypto) < MAX_CRYPTO:
            media.crypto.append(content.strip())
        return
    attributes.setdefault(name, content.strip())


def _connection(value: str) -> str:
    parts = value.split()
    if len(parts) != 3 or parts[0].upper() != "IN" or parts[1].upper() not in ("IP4", "IP6"):
        raise RemoteProtocolError("c= is not of the form IN IP4 address")
    return parts[2].partition("/")[0]


def _media(value: str) -> MediaDescription:
    match = _MEDIA.fullmatch(value.rstrip())
    if match is None:
        raise RemoteProtocolError("m= is not of the form kind port protocol formats")
    kind, port_text, protocol, formats = match.groups()
    port = int(port_text)
    if port > 65535:
        raise RemoteProtocolError("m= has a port over 65535")
    return MediaDescription(kind.lower(), port, protocol, tuple(formats.split()[:MAX_FORMATS]))
