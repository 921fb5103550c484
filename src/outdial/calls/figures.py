"""What calls were like, for `/metrics`: counted once, when a leg is over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from outdial.histogram import Histogram, by_trunk
from outdial.store.records import CallRecord

_FIGURES = {
    "call_setup_seconds": (
        "From the dialling of a call to its first ringing, or its answer.",
        (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 60.0),
    ),
    "answer_to_audio_seconds": (
        "From the first moment a call could carry audio to the first sound that we played.",
        (0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
    ),
    "rtp_loss_ratio": (
        "Packets of the far end that never came, of each call.",
        (0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    ),
    "rtp_jitter_seconds": (
        "Interarrival jitter of the far end's packets at the end of each call.",
        (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2),
    ),
    "call_mos": (
        "Mean opinion score of what came from the far end, of each call (ITU-T G.107).",
        (1.5, 2.0, 2.5, 3.0, 3.5, 3.6, 4.0, 4.2, 4.3, 4.4),
    ),
}


class Figures(Collector):
    """Of all calls since the start, by trunk."""

    def __init__(self) -> None:
        self._of_trunks: dict[str, dict[str, Histogram]] = {name: {} for name in _FIGURES}
        self._ticks_late = 0

    def take(self, call: CallRecord) -> None:
        """A leg that is over."""
        trunk = call.trunk
        heard_of = call.ringing_at or call.answered_at
        if call.dialled_at and heard_of:
            self._observe("call_setup_seconds", trunk, heard_of - call.dialled_at)
        if call.media:
            self._take_media(trunk, dict(call.media))

    def _take_media(self, trunk: str, media: dict[str, Any]) -> None:
        self._ticks_late += media["ticks_late"]
        if media["sound_after_ms"] is not None:
            self._observe("answer_to_audio_seconds", trunk, media["sound_after_ms"] / 1000)
        if media["mos"] is None:  # nothing came
            return
        expected = media["packets_received"] + media["packets_lost"]
        self._observe("rtp_loss_ratio", trunk, media["packets_lost"] / expected)
        self._observe("rtp_jitter_seconds", trunk, media["jitter_ms"] / 1000)
        self._observe("call_mos", trunk, media["mos"])

    def _observe(self, name: str, trunk: str, value: float) -> None:
        histograms = self._of_trunks[name]
        histogram = histograms.get(trunk)
        if histogram is None:
            histogram = histograms[trunk] = Histogram(_FIGURES[name][1])
        histogram.observe(value)

    def collect(self) -> Iterator[Metric]:
        """One scrape."""
        for name, histograms in self._of_trunks.items():
            yield by_trunk(f"outdial_{name}", _FIGURES[name][0], histograms)
        yield CounterMetricFamily(
            "outdial_rtp_ticks_late",
            "Packets of ours sent more than half a packet time late, in calls that are over.",
            value=self._ticks_late,
        )
