"""Attributes and kinds of value that several verbs have."""

from __future__ import annotations

from outdial.didml.rows import Attribute
from outdial.didml.values import METHOD, URL, integer

LOOP = integer(0, 1000)
RINGING_S = integer(1, 600, "seconds")
TALKING_S = integer(1, 86400, "seconds")

WAITING = (
    "The document at `waitUrl` is requested and run over and over: Say, Play, Pause and Redirect. "
    "A Hangup in it only begins it anew, so `waitUrl` may lead to a sound. Without it, or when it "
    "cannot be run or is over within a second, a soft tone tells that the line is alive."
)
"""What the reference says of `waiting`."""


def action(meaning: str) -> tuple[Attribute, Attribute]:
    """`action` and its `method`."""
    return (
        Attribute("action", URL, "", meaning, "action"),
        Attribute("method", METHOD, "POST", "Method of the request to `action`.", "method"),
    )


def waiting(until: str) -> tuple[Attribute, Attribute]:
    """`waitUrl` and its `waitMethod`."""
    return (
        Attribute(
            "waitUrl",
            URL,
            "",
            f"What is heard until {until}.",
            "wait_url",
            shown_default="a soft tone",
        ),
        Attribute(
            "waitMethod", METHOD, "POST", "Method of the requests to `waitUrl`.", "wait_method"
        ),
    )
