"""Supervisory tones by country (ITU-T E.180 supplement 2), and the digits as in-band tones (Q.23).

A tone is rendered once into both laws as the bytes of one full cadence, to be played in a loop.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from math import gcd, pi, sin
from typing import Final, NamedTuple

from outdial.media.core import dtmf, g711, rtp


class Tone(NamedTuple):
    """Frequencies that sound together, and for how long they are on and off in turn."""

    frequencies_hz: tuple[int, ...]
    cadence_ms: tuple[int, ...]
    endless: bool = True
    level: int = 3300
    """Amplitude of each frequency: about -20 dBm0, what E.180 recommends for two together."""


class Rendered(NamedTuple):
    """One cadence in both laws."""

    ulaw: bytes
    alaw: bytes


_DIGIT_LEVEL: Final = 5200

_DOUBLE_RING: Final = (400, 200, 400, 2000)

_TONES: Final[dict[str, dict[str, Tone]]] = {
    "us": {
        "ringback": Tone((440, 480), (2000, 4000)),
        "busy": Tone((480, 620), (500, 500)),
        "congestion": Tone((480, 620), (250, 250)),
    },
    "uk": {
        "ringback": Tone((400, 450), _DOUBLE_RING),
        "busy": Tone((400,), (375, 375)),
        "congestion": Tone((400,), (400, 350, 225, 525)),
    },
    "de": {
        "ringback": Tone((425,), (1000, 4000)),
        "busy": Tone((425,), (480, 480)),
        "congestion": Tone((425,), (240, 240)),
    },
    "fr": {
        "ringback": Tone((440,), (1500, 3500)),
        "busy": Tone((440,), (500, 500)),
        "congestion": Tone((440,), (250, 250)),
    },
    "es": {
        "ringback": Tone((425,), (1500, 3000)),
        "busy": Tone((425,), (200, 200)),
        "congestion": Tone((425,), (200, 200, 200, 200, 200, 600)),
    },
    "it": {
        "ringback": Tone((425,), (1000, 4000)),
        "busy": Tone((425,), (500, 500)),
        "congestion": Tone((425,), (200, 200)),
    },
    "in": {
        # 400 Hz modulated with 25 Hz is its two side bands.
        "ringback": Tone((375, 425), _DOUBLE_RING),
        "busy": Tone((400,), (750, 750)),
        "congestion": Tone((400,), (250, 250)),
    },
    "au": {
        "ringback": Tone((400, 450), _DOUBLE_RING),
        "busy": Tone((425,), (375, 375)),
        "congestion": Tone((425,), (375, 375)),
    },
    "jp": {
        # 400 Hz modulated with 16 Hz.
        "ringback": Tone((384, 416), (1000, 2000)),
        "busy": Tone((400,), (500, 500)),
        "congestion": Tone((400,), (500, 500)),
    },
    "mx": {
        "ringback": Tone((425,), (1000, 4000)),
        "busy": Tone((425,), (250, 250)),
        "congestion": Tone((425,), (250, 250)),
    },
    "br": {
        "ringback": Tone((425,), (1000, 4000)),
        "busy": Tone((425,), (250, 250)),
        "congestion": Tone((425,), (250, 250)),
    },
}

_BEEP: Final = Tone((1000,), (500,), endless=False)
_HOLD: Final = Tone((392, 494), (400, 3600), level=1200)
"""Not a supervisory tone: it only says that the line is alive, and is soft enough for an hour."""

_EVERYWHERE: Final = {"beep": _BEEP, "hold": _HOLD}

COUNTRIES: Final = tuple(_TONES)
NAMES: Final = ("ringback", "busy", "congestion", "beep", "hold")

LOW_HZ: Final = (697, 770, 852, 941)
HIGH_HZ: Final = (1209, 1336, 1477, 1633)
KEYPAD: Final = ("123A", "456B", "789C", "*0#D")
"""A row a low frequency, a column a high one (ITU-T Q.23)."""


def find(name: str, country: str = "us") -> Tone:
    """The tone called ``ringback`` or, with its country, ``ringback:de``. ValueError if unknown."""
    plain, _, variant = name.partition(":")
    if plain in _EVERYWHERE:
        return _EVERYWHERE[plain]
    try:
        return _TONES[variant or country][plain]
    except KeyError:
        raise ValueError(
            f"no tone {name!r}: there are {', '.join(NAMES)} for {', '.join(COUNTRIES)}"
        ) from None


def render(tone: Tone) -> Rendered:
    """One cadence of the tone."""
    return _laws(
        b"".join(
            bytes(16 * length_ms)
            if off % 2
            else _sines(tone.frequencies_hz, 8 * length_ms, tone.level)
            for off, length_ms in enumerate(tone.cadence_ms)
        )
    )


def render_digits(steps: Sequence[dtmf.Step]) -> Rendered:
    """Digits and pauses as sound, for a far end that takes no telephone events."""
    parts = [_digit(step) for step in steps]
    return Rendered(b"".join(p.ulaw for p in parts), b"".join(p.alaw for p in parts))


@lru_cache(maxsize=32)
def _digit(step: dtmf.Step) -> Rendered:
    quiet = bytes(16 * step.gap_ms)
    if not step.digit:
        return _laws(bytes(16 * step.duration_ms) + quiet)
    row = next(index for index, letters in enumerate(KEYPAD) if step.digit in letters)
    pair = (LOW_HZ[row], HIGH_HZ[KEYPAD[row].index(step.digit)])
    return _laws(_sines(pair, 8 * step.duration_ms, _DIGIT_LEVEL) + quiet)


def _laws(samples: bytes) -> Rendered:
    return Rendered(g711.encode(samples, rtp.PCMU), g711.encode(samples, rtp.PCMA))


def _sines(frequencies_hz: Sequence[int], count: int, level: int) -> bytes:
    """16-bit samples of the frequencies added up."""
    # The sum repeats with the greatest common divisor: 200 samples for the American ringback.
    period = min(count, g711.RATE_HZ // gcd(g711.RATE_HZ, *frequencies_hz))
    steps = [2 * pi * frequency / g711.RATE_HZ for frequency in frequencies_hz]
    wave = array("h", (int(level * sum(sin(s * n) for s in steps)) for n in range(period)))
    return (wave * (count // period + 1))[:count].tobytes()
