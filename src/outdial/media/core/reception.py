"""What is known of a received RTP stream: RFC 3550 A.1 (sequence), A.3 (loss), A.8 (jitter).

Arrival times are given in samples (8 a millisecond) of any steady clock.
"""

from __future__ import annotations

from typing import Final

MAX_DROPOUT: Final = 3000
"""A larger step forward in the sequence is a restart of the sender."""
MAX_MISORDER: Final = 100
PLAYOUT_SAMPLES: Final = 800
"""A packet this much later than the promptest ones counts as late: it missed its play-out."""

NEW: Final = 0
OLD: Final = 1
RESTART: Final = 2


class Reception:
    """Counters of one source; starts again when the SSRC changes, keeping the totals."""

    __slots__ = (
        "_bad_sequence",
        "_base_sequence",
        "_cycles",
        "_earlier_expected",
        "_prompt_transit",
        "_transit",
        "expected_at_report",
        "highest",
        "jitter",
        "late",
        "received",
        "received_at_report",
        "ssrc",
    )

    def __init__(self) -> None:
        self.ssrc: int | None = None
        self.received = 0
        self.late = 0
        self.jitter = 0.0
        """In samples."""
        self.highest = 0
        self.expected_at_report = 0
        self.received_at_report = 0
        self._cycles = 0
        self._base_sequence = 0
        self._bad_sequence = -1
        self._earlier_expected = 0
        self._transit = 0
        self._prompt_transit = 0.0

    def packet(
        self, sequence: int, timestamp: int, ssrc: int, arrival: int, timed: bool = True
    ) -> int:
        """Takes one packet into account: NEW, OLD (duplicate or out of order) or RESTART.

        RESTART: the first packet, another SSRC, or a jump in the sequence; what was derived from
        older sequence numbers and timestamps is void. Not `timed` is a telephone event, whose
        timestamp is not of its own moment.
        """
        self.received += 1
        if ssrc != self.ssrc:
            self._restart(sequence, timestamp, ssrc, arrival)
            return RESTART
        step = (sequence - self.highest) & 0xFFFF
        if step == 0 or step > 0xFFFF - MAX_MISORDER:
            return OLD
        if step >= MAX_DROPOUT:
            # A.1: believed only when a second packet follows in sequence.
            if sequence != self._bad_sequence:
                self._bad_sequence = (sequence + 1) & 0xFFFF
                return OLD
            self._restart(sequence, timestamp, ssrc, arrival)
            return RESTART
        if sequence < self.highest:
            self._cycles += 0x10000
        self.highest = sequence
        if not timed:
            return NEW
        # The transit time is only ever compared, so it may wrap as the timestamp does.
        transit = (arrival - timestamp) & 0xFFFFFFFF
        change = transit - self._transit
        if change > 0x7FFFFFFF:
            change -= 0x100000000
        elif change < -0x7FFFFFFF:
            change += 0x100000000
        self._transit = transit
        self.jitter += ((change if change >= 0 else -change) - self.jitter) * 0.0625
        # Delay beyond the promptest packets; the promptest creeps up, so that clocks may drift.
        delay = self._prompt_transit + change
        if delay <= 0:
            self._prompt_transit = 0.0
        else:
            if delay > PLAYOUT_SAMPLES:
                self.late += 1
            self._prompt_transit = delay - 0.02
        return NEW

    def _restart(self, sequence: int, timestamp: int, ssrc: int, arrival: int) -> None:
        if self.ssrc is not None:
            self._earlier_expected += self._expected_now()
        self.ssrc = ssrc
        self.highest = self._base_sequence = sequence
        self._cycles = 0
        self._bad_sequence = -1
        self._transit = (arrival - timestamp) & 0xFFFFFFFF
        self._prompt_transit = 0.0

    def _expected_now(self) -> int:
        return self._cycles + self.highest - self._base_sequence + 1

    @property
    def extended_highest(self) -> int:
        """Highest sequence number with its cycles, as a report block carries it."""
        return (self._cycles + self.highest) & 0xFFFFFFFF

    @property
    def expected(self) -> int:
        """Packets the sequence numbers speak of."""
        return self._earlier_expected + (self._expected_now() if self.ssrc is not None else 0)

    @property
    def lost(self) -> int:
        """Packets that never came; duplicates can hide some."""
        return max(0, self.expected - self.received)

    @property
    def jitter_ms(self) -> float:
        return self.jitter / 8

    def interval_loss(self) -> int:
        """Loss since the last call as a fraction of 256, RFC 3550 A.3. Begins a new interval."""
        expected, received = self.expected, self.received
        wanted = expected - self.expected_at_report
        missing = wanted - (received - self.received_at_report)
        self.expected_at_report, self.received_at_report = expected, received
        return min(255, (missing << 8) // wanted) if wanted > 0 and missing > 0 else 0
