"""Calls and timelines as lines of text. Pure; everything is escaped for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from outdial.calls.drawing import clock_time, ladder_lines, message_lines
from outdial.log import escape

_SHOWN_VALUE = 100


def event_line(event: Mapping[str, Any]) -> str:
    """``10:00:01.250  state.ringing       sip_code 180``"""
    data = "  ".join(
        f"{escape(str(name))} {_short(value)}"
        for name, value in event["data"].items()
        if value not in ("", None)
    )
    return f"{clock_time(event['at'])}  {escape(event['kind']):<20} {data}".rstrip()


def _short(value: object) -> str:
    text = escape(str(value))
    return text if len(text) <= _SHOWN_VALUE else text[: _SHOWN_VALUE - 1] + "…"


def standing(call: Mapping[str, Any]) -> str:
    """Where a call that is not over stands: ``ringing``, ``queued, place 3``."""
    place = call.get("queue_position")
    return escape(str(call["state"])) + (f", place {int(place)}" if place else "")


def ending(call: Mapping[str, Any]) -> str:
    """How a call ended, in one line."""
    parts = [escape(str(call["outcome"]))]
    if call["duration_s"]:
        parts.append(f"{call['duration_s']} s")
    if call["sip_code"] is not None:
        parts.append(f"SIP {call['sip_code']}")
    if call["cause"]:
        parts.append(escape(call["cause"]))
    if call["hangup_source"]:
        parts.append(f"by {escape(call['hangup_source'])}")
    if call["detail"]:
        parts.append(escape(call["detail"]))
    return ", ".join(parts)


def call_lines(
    call: Mapping[str, Any],
    events: Iterable[Mapping[str, Any]],
    deliveries: Sequence[Mapping[str, Any]],
    messages: Sequence[Mapping[str, Any]],
    *,
    whole: bool = False,
) -> Iterator[str]:
    """A call in full: who and when, what was asked for, the timeline, callbacks, the ladder; with
    `whole` each SIP message in full."""
    who = f"{escape(call['from'])} -> {escape(call['to'])}"
    yield f"{escape(call['sid'])}  {who}  {escape(call['direction'])}"
    if call["parent_sid"] != call["sid"]:
        yield f"second leg of {escape(call['parent_sid'])}"
    yield f"{escape(call['created_at'])}  placed with key {escape(call['key_name']) or '-'}"
    yield standing(call) if call["outcome"] is None else ending(call)
    for name, value in call["request"].items():
        if name not in ("to", "from") and value not in ("", None):
            yield f"  {escape(name)}: {_short(value)}"
    yield ""
    yield from map(event_line, events)
    if deliveries:
        yield ""
        yield from map(delivery_line, deliveries)
    if messages:
        yield ""
        yield from message_lines(messages) if whole else ladder_lines(messages)


def delivery_line(delivery: Mapping[str, Any]) -> str:
    """``10:00:03.310  callback ringing    done, 200  POST http://...``"""
    when = clock_time(delivery["done_at"] or delivery["created_at"])
    said = escape(str(delivery["last_status"] or delivery["last_error"] or "not tried yet"))
    tries = f" after {delivery['attempts']} tries" if delivery["attempts"] > 1 else ""
    result = f"{escape(delivery['state'])}, {said}{tries}"
    target = f"{escape(delivery['method'])} {_short(delivery['url'])}"
    return f"{when}  callback {escape(delivery['event']):<9}  {result}  {target}"


def usage_lines(usage: Mapping[str, Any]) -> Iterator[str]:
    """`/v1/usage`: what calls came to, and what goes on."""
    yield f"{escape(usage['since'])} to {escape(usage['until'])}"
    heads = ("KEY", "TRUNK", "OUTCOME", "CALLS", "ANSWERED", "SECONDS")
    yield from table(
        [heads]
        + [
            (
                row["key"],
                row["trunk"] or "-",
                row["outcome"] or "(not over)",
                str(row["calls"]),
                str(row["answered"]),
                f"{row['seconds']:.0f}",
            )
            for row in usage["calls"]
        ]
    )
    yield ""
    standings = [("in all", usage["total"])]
    standings += [(f"key {one['name']}", one) for one in usage["keys"]]
    standings += [(f"trunk {one['name']}", one) for one in usage["trunks"]]
    yield from table(
        [("NOW", "LIVE", "OF", "QUEUED", "A SECOND")]
        + [
            (
                name,
                str(one["live"]),
                str(one["concurrent_calls"] or "-"),
                str(one["queued"]),
                f"{one['calls_per_second']:g}" if one["calls_per_second"] else "-",
            )
            for name, one in standings
        ]
    )


def table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Columns padded to their widest cell, two spaces apart."""
    cells = [[escape(cell) for cell in row] for row in rows]
    if not cells:
        return
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
    for row in cells:
        padded = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()
