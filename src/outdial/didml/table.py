"""The language as one table, from which documents are parsed and the reference is written.

Names are matched without regard to case.
"""

from __future__ import annotations

from outdial.didml.rows import VerbRow
from outdial.didml.verbs import (
    conference,
    dial,
    enqueue,
    fax,
    gather,
    hangup,
    number,
    pause,
    play,
    postcall,
    queue,
    record,
    recording,
    redirect,
    reject,
    say,
    sip,
    sms,
)

VERBS: tuple[VerbRow, ...] = (
    say.ROW,
    play.ROW,
    pause.ROW,
    gather.ROW,
    record.ROW,
    recording.ROW,
    redirect.ROW,
    hangup.ROW,
    reject.ROW,
    postcall.ROW,
    dial.ROW,
    number.ROW,
    sip.ROW,
    queue.ROW,
    enqueue.ROW,
    conference.ROW,
    fax.ROW,
    sms.ROW,
)
"""In the order of the reference."""

BY_NAME: dict[str, VerbRow] = {
    name.lower(): row for row in VERBS for name in (row.name, *row.aliases)
}
"""Rows by lower-case element name."""
