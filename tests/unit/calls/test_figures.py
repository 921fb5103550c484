"""What `/metrics` is told of a call that is over."""

from __future__ import annotations

from typing import Any

from outdial.calls.figures import Figures
from outdial.legs import MediaStats
from outdial.media.core.quality import score
from outdial.store.records import CallRecord


def call(stats: MediaStats | None = None, **known: Any) -> CallRecord:
    media = None if stats is None else {**stats.to_json(), "mos": score(stats)}
    return CallRecord(
        sid="CA" + "0" * 32,
        parent_sid="CA" + "0" * 32,
        direction="outbound",
        from_number="18005797676",
        to_number="15005550001",
        caller_name="",
        state="completed",
        created_at=1000.0,
        trunk="main",
        media=media,
        **known,
    )


def told(*calls: CallRecord) -> dict[str, float]:
    """The sums and counts, without `outdial_`."""
    figures = Figures()
    for one in calls:
        figures.take(one)
    samples = [sample for metric in figures.collect() for sample in metric.samples]
    assert all(sample.labels.get("trunk", "main") == "main" for sample in samples)
    return {
        sample.name.removeprefix("outdial_"): sample.value
        for sample in samples
        if not sample.name.endswith("_bucket")
    }


def test_nothing_is_known_of_a_call_that_was_never_dialled() -> None:
    assert told(call()) == {"rtp_ticks_late_total": 0}


def test_the_set_up_ends_with_the_ringing_or_else_with_the_answer() -> None:
    rang = call(dialled_at=1001.0, ringing_at=1002.5, answered_at=1010.0)
    answered = call(dialled_at=1001.0, answered_at=1004.0)
    arrived = call(ringing_at=1001.0, answered_at=1004.0)
    silent = call(dialled_at=1001.0)
    found = told(rang, answered, arrived, silent)
    assert (found["call_setup_seconds_sum"], found["call_setup_seconds_count"]) == (4.5, 2)


def test_how_a_call_sounded() -> None:
    stats = MediaStats(
        packets_received=90,
        packets_lost=10,
        jitter_ms=4.0,
        ticks_late=3,
        sound_after_ms=250.0,
    )
    found = told(call(stats), call(MediaStats(ticks_late=2)))
    assert found == {
        "answer_to_audio_seconds_sum": 0.25,
        "answer_to_audio_seconds_count": 1,
        "rtp_loss_ratio_sum": 0.1,
        "rtp_loss_ratio_count": 1,
        "rtp_jitter_seconds_sum": 0.004,
        "rtp_jitter_seconds_count": 1,
        "call_mos_sum": score(stats),
        "call_mos_count": 1,
        "rtp_ticks_late_total": 5,
    }
