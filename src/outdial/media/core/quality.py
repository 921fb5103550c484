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
_LONG_DELAY_MS: Final = 177.3
_PACKET_MS: Final = 20.0


def rating(loss: float, delay_ms: float) -> float:
    """The R factor, 0 to 93.2, for a fraction lost at random and a delay from mouth to ear."""
    impaired_by_delay = 0.024 * delay_ms + 0.11 * max(0.0, delay_ms - _LONG_DELAY_MS)
    percent = 100 * min(max(loss, 0.0), 1.0)
    impaired_by_loss = 95 * percent / (percent + _ROBUSTNESS)
    return max(0.0, _BEST_R - impaired_by_delay - impaired_by_loss)


def opinion(r: float) -> float:
    """The mean opinion score, 1 to 4.5, of an R factor (G.107 annex B)."""
    return max(1.0, 1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r))


def score(stats: MediaStats) -> float | None:
    """The MOS of what came from the far end; None when nothing did.

    What came too late to be played is lost. The delay is half the round trip, where RTCP told it,
    a packet, and a jitter buffer of twice the jitter.
    """
    if not stats.packets_received:
        return None
    missing = stats.packets_lost + stats.packets_late
    loss = missing / (stats.packets_received + stats.packets_lost)
    delay_ms = stats.round_trip_ms / 2 + _PACKET_MS + 2 * stats.jitter_ms
    return round(opinion(rating(loss, delay_ms)), 2)
