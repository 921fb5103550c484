"""What one request sent and got, for whoever keeps a record of it."""

from __future__ import annotations

from typing import Protocol

from outdial import log

_MOST_HEAD = 1024


class Signer(Protocol):
    """Signs requests (`webhooks.secret_file.Signing`)."""

    def sign(self, message_id: str, payload: bytes) -> tuple[int, str]:
        """The values of webhook-timestamp and webhook-signature."""


class Trace:
    """Filled in by the client as it happens: of a request that failed it has what there was."""

    __slots__ = ("fields", "peer", "reason", "signature", "status", "timestamp")

    def __init__(self) -> None:
        self.timestamp = 0
        """webhook-timestamp; 0: not signed."""
        self.signature = ""
        """webhook-signature."""
        self.peer = ""
        """The address and port that was spoken to; "" when there was no connection."""
        self.status = 0
        """Of the answer, 0 until its head was read."""
        self.reason = b""
        self.fields: dict[bytes, bytes] = {}

    def head(self) -> str:
        """The answer's status line and header lines, safe to show; cut at about 1 KB."""
        if not self.status:
            return ""
        first = f"HTTP/1.1 {self.status} {self.reason.decode('latin-1')}".rstrip()
        lines = [b"%b: %b" % field for field in self.fields.items()]
        text = b"\n".join(lines).decode("utf-8", "replace")
        # nothing but printable text and our line breaks, as nearly always: told by one look
        if not (first + text.replace("\n", "")).isprintable() or text.count("\n") >= len(lines) > 0:
            first = log.escape(first)
            text = "\n".join([log.escape(line.decode("utf-8", "replace")) for line in lines])
        text = f"{first}\n{text}" if text else first
        return text if len(text) <= _MOST_HEAD else text[:_MOST_HEAD] + "..."
