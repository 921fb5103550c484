"""SIP messages as their lines: what the scripted carrier reads, and how it writes."""

from __future__ import annotations

import re
from collections.abc import Sequence

_URI = re.compile(r"<([^>]*)>")
_TAG = re.compile(r";tag=([^;,\s]+)")
_BRANCH = re.compile(r";branch=([^;,\s]+)")


class SipText:
    """A message that has arrived. Nothing is checked."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.start, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        self.fields = [(name.strip().lower(), value.strip()) for name, _, value in pairs]

    def __repr__(self) -> str:
        return f"<{self.start}>"

    def __getitem__(self, name: str) -> str:
        """The first value of a header; "" when it is not there."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for one, value in self.fields if one == name.lower()]

    @property
    def status(self) -> int:
        """Of a response; 0 for a request."""
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Of a request, or of the one that the response answers."""
        return self["CSeq"].split(" ")[-1] if self.status else self.start.split(" ")[0]

    @property
    def to_tag(self) -> str:
        """ "" for a request outside dialogs."""
        found = _TAG.search(self["To"])
        return found[1] if found else ""

    @property
    def branch(self) -> str:
        """Of the top Via."""
        found = _BRANCH.search(self["Via"])
        return found[1] if found else ""

    @property
    def contact(self) -> str:
        """The URI in Contact."""
        found = _URI.search(self["Contact"])
        return found[1] if found else ""

    @property
    def audio(self) -> tuple[str, int] | None:
        """Where its description wants audio; None when it has none."""
        address = re.search(rb"c=IN IP[46] (\S+)", self.body)
        port = re.search(rb"m=audio (\d+)", self.body)
        return (address[1].decode(), int(port[1])) if address and port else None


def written(start: str, fields: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """The message, with its Content-Length."""
    lines = [start, *(f"{name}: {value}" for name, value in fields)]
    if body:
        lines.append("Content-Type: application/sdp")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def audio_description(
    host: str,
    port: int,
    *,
    formats: str = "0 101",
    maps: Sequence[str] = ("0 PCMU/8000", "101 telephone-event/8000"),
    direction: str = "sendrecv",
    protocol: str = "RTP/AVP",
    version: int = 1,
) -> bytes:
    """An SDP description of one audio stream, of whatever kind."""
    lines = [
        "v=0",
        f"o=carrier 1 {version} IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} {protocol} {formats}",
        *(f"a=rtpmap:{one}" for one in maps),
        f"a={direction}",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()
