"""What one request sent and got, for whoever keeps a record of it."""

from __future__ import annotations

from typing import Protocol

from outdial import log

_MOST_HEAD = 1024
_MOST_VALUE = 512


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
        lines = [f"HTTP/1.1 {self.status} {self.reason.decode('latin-1')}".rstrip()]
        left = _MOST_HEAD - len(lines[0])
        for name, value in self.fields.items():
            line = f"{name.decode('latin-1')}: {value[:_MOST_VALUE].decode('utf-8', 'replace')}"
            left -= len(line) + 1
            if left < 0:
                lines.append("...")
                break
            lines.append(line)
        if not all(map(str.isprintable, lines)):
            lines = [log.escape(line)[:_MOST_HEAD] for line in lines]
        return "\n".join(lines)[: _MOST_HEAD + 3]
