"""Finding the session description in a message: the body, or a part of a multipart one."""

from __future__ import annotations

import re

from outdial.sip.core.message import Request, Response

SDP = "application/sdp"

_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_MAX_PARTS = 16


def sdp_of(message: Request | Response) -> bytes | None:
    """The SDP that the message carries, None when it has none.

    Carriers send SDP beside ISUP in multipart/mixed (RFC 5621); the first application/sdp part
    counts.
    """
    body = message.body
    if not body:
        return None
    content_type = message.headers.get("Content-Type") or ""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == SDP:
        return body
    if media_type.startswith("multipart/"):
        return _sdp_part(body, content_type)
    return None


def _sdp_part(body: bytes, content_type: str) -> bytes | None:
    match = _BOUNDARY.search(content_type)
    if match is None:
        return None
    delimiter = b"--" + (match.group(1) or match.group(2)).encode()
    for part in body.split(delimiter, _MAX_PARTS)[1:_MAX_PARTS]:
        head, separator, content = part.partition(b"\r\n\r\n")
        if separator and _is_sdp(head):
            return content.removesuffix(b"\r\n") + b"\r\n"
    return None


def _is_sdp(head: bytes) -> bool:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"content-type", b"c"):
            return value.partition(b";")[0].strip().lower() == b"application/sdp"
    return False
