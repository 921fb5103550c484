"""How good a stream sounded: the E-model of ITU-T G.107, as far as packets can tell.

Echo, noise and loudness keep their default values, as G.107 means it for planning. What is left is
what networks do: delay, in the approximation of Cole and Rosenbluth (2001), and loss.
"""

from __future__ import annotations

from typing import Final

from outdial.legs import MediaStats

_BEST_R: Final = 93.2
"""G.107's R with everything at its default."""
_ROBUSTNESS: Final = 25.1
"""Bpl of G.711 with packet loss concealment, which telephones have (G.113, table I.4)."""
_EQUIPMENT: Final = {"G722": (2.0, 25.1), "opus": (5.0, 25.1)}
"""Ie and Bpl of what is not G.711, as it sounds at 8 kHz. The ITU has no figures for these: taken
are those of the nearest relatives in G.113. The lower band of G.722 is ADPCM, a little finer than
that of G.726 at 40 kbit/s (2); opus at 24 kbit/s is not worse than GSM-EFR (5), and what it does
about loss not worse than concealment in G.711."""
_LONG_DELAY_MS: Final = 177.3
_PACKET_MS: Final = 20.0


def rating(loss: float, delay_ms: float, codec: str = "") -> float:
    """The R factor, 0 to 93.2, for a fraction lost at random and a delay from mouth to ear.

    `codec` by its name in SDP; G.711 when it is none of those that take something away.
    """
    impairment, robustness = _EQUIPMENT.get(codec, (0.0, _ROBUSTNESS))
    impaired_by_delay = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - _LONG_DELAY_MS)
    percent = 100 * min(max(loss, 0.0), 1.0)
    impaired_by_loss = impairment + (95 - impairment) * percent / (percent + robustness)
    return max(0.0, _BEST_R - impaired_by_delay - impaired_by_loss)


def opinion(r: float) -> float:
    """The mean opinion score, 1 to 4.5, of an R factor (G.107 annex B)."""
    return max(1.0, 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r))


def score(stats: MediaStats, codec: str = "") -> float | None:
    """The MOS of what came from the far end; None when nothing did.

    What came too late to be played is lost. The delay is half the round trip, where RTCP told it,
    a packet, and a jitter buffer of twice the jitter.
    """
    if not stats.packets_received:
        return None
    missing = stats.packets_lost + stats.packets_late
    loss = missing / (stats.packets_received + stats.packets_lost)
    delay_ms = stats.round_trip_ms / 2 + _PACKET_MS + 2 * stats.jitter_ms
    return round(opinion(rating(loss, delay_ms, codec)), 2)
