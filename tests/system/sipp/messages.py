"""SIP messages as SIPp wrote them into its message file, read without the server's own parser."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEADING = re.compile(
    r"^-{20,} (?P<time>\S+ \S+)\n(?:UDP|TCP) message (?P<way>sent|received)[^\n]*\n\n", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message over the wire."""

    time: str
    sent: bool
    """By SIPp."""
    start_line: str
    headers: tuple[tuple[str, str], ...]
    body: str

    def get(self, name: str) -> str:
        """The first header of that name. Raises KeyError."""
        for known, value in self.headers:
            if known.lower() == name.lower():
                return value
        raise KeyError(f"{name} in {self.start_line}")

    def get_all(self, name: str) -> list[str]:
        """Every header of that name."""
        return [value for known, value in self.headers if known.lower() == name.lower()]


def read_trace(text: str) -> list[Message]:
    """The messages of SIPp's file, in order."""
    text = text.replace("\r\n", "\n")
    headings = list(_HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return [
        _message(heading["time"], heading["way"] == "sent", text[heading.end() : end])
        for heading, end in zip(headings, ends, strict=True)
    ]


def _message(time: str, sent: bool, text: str) -> Message:
    head, _, body = text.partition("\n\n")
    start_line, *lines = head.split("\n")
    headers = tuple(
        (name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
    )
    return Message(time, sent, start_line, headers, body.strip())
