"""The Reason lines that we write (RFC 3326) with Q.850 causes (RFC 6432)."""

from __future__ import annotations

NORMAL_CLEARING = 16
TEMPORARY_FAILURE = 41
RECOVERY_ON_TIMER_EXPIRY = 102


def reason_fields(text: str, cause: int = NORMAL_CLEARING) -> str:
    """The Reason lines of our BYE or CANCEL; `text` is shortened and cleaned of controls."""
    lines = f"Reason: Q.850;cause={cause}\r\n"
    if not text:
        return lines
    clean = "".join(c if c.isprintable() else " " for c in text[:120])
    clean = clean.replace("\\", "\\\\").replace('"', '\\"')
    return f'{lines}Reason: SIP;text="{clean}"\r\n'
