"""A leg's SIP messages as text: a ladder for a terminal. Pure; everything is escaped for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from outdial.log import escape


def clock_time(moment: str) -> str:
    """The time of day of an RFC 3339 time, with milliseconds."""
    return escape(moment.partition("T")[2].rstrip("Z") or moment)


def ladder_lines(messages: Sequence[Mapping[str, Any]], width: int = 64) -> Iterator[str]:
    """SIP messages, as the API shows them, between us on the left and the peer on the right::

                      Outdial                        127.0.0.1:5090
    10:00:01.250         |  INVITE sip:19499300360@...  -->  |
    """
    if not messages:
        return
    peer = escape(str(messages[0]["peer"]))
    margin = " " * 14
    yield f"{margin}Outdial{peer:>{max(width - 5, len(peer) + 1)}}"
    for message in messages:
        start = _fitted(escape(str(message["start_line"])), width - 8)
        if message["direction"] == "out":
            arrow = f"{start} " + "-" * (width - len(start) - 4) + "->"
        else:
            arrow = "<-" + "-" * (width - len(start) - 4) + f" {start}"
        note = "" if escape(str(message["peer"])) == peer else f"  {escape(str(message['peer']))}"
        yield f"{clock_time(message['at'])}  |{arrow:<{width - 1}}|{note}"


def message_lines(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The ladder, and below it each message in full."""
    yield from ladder_lines(messages)
    for message in messages:
        way = "to" if message["direction"] == "out" else "from"
        peer, transport = escape(str(message["peer"])), escape(str(message["transport"]))
        yield ""
        yield f"{escape(str(message['at']))}  {way} {peer} over {transport}"
        for line in str(message["text"]).rstrip("\r\n").split("\r\n"):
            yield f"  {escape(line)}".rstrip()


def _fitted(text: str, width: int) -> str:
    text = text.removesuffix(" SIP/2.0").removeprefix("SIP/2.0 ")
    return text if len(text) <= width else text[: width - 1] + "…"
