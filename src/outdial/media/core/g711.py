"""G.711: silence, conversion between the two laws and to linear samples (ITU-T G.711, G.191)."""

from __future__ import annotations

from typing import Final

from outdial.media.core import rtp
from outdial.media.core.pcm import audioop

RATE_HZ: Final = 8000

SILENCE: Final = {rtp.PCMU: b"\xff", rtp.PCMA: b"\xd5"}
"""The byte of a zero sample, by payload type."""
SILENT_FRAME: Final = {law: byte * 160 for law, byte in SILENCE.items()}
"""20 ms of it."""

_ALL: Final = bytes(range(256))
ULAW_TO_ALAW: Final = audioop.lin2alaw(audioop.ulaw2lin(_ALL, 2), 2)
ALAW_TO_ULAW: Final = audioop.lin2ulaw(audioop.alaw2lin(_ALL, 2), 2)

TRANSCODING: Final = {(rtp.PCMU, rtp.PCMA): ULAW_TO_ALAW, (rtp.PCMA, rtp.PCMU): ALAW_TO_ULAW}
"""Tables for bytes.translate, by payload types from and to."""


def decode(payload: bytes, payload_type: int) -> bytes:
    """16-bit samples in the machine's byte order."""
    law = audioop.ulaw2lin if payload_type == rtp.PCMU else audioop.alaw2lin
    samples: bytes = law(payload, 2)
    return samples


def encode(samples: bytes, payload_type: int) -> bytes:
    """G.711 bytes of 16-bit samples in the machine's byte order."""
    law = audioop.lin2ulaw if payload_type == rtp.PCMU else audioop.lin2alaw
    payload: bytes = law(samples, 2)
    return payload
