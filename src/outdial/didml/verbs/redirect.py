"""Redirect: another document instead of the rest."""

from __future__ import annotations

from outdial.didml.rows import Attribute, Body, VerbRow
from outdial.didml.shown import URL_IN_SUMMARY, shown_url
from outdial.didml.values import METHOD, URL
from outdial.frozen import frozen


@frozen
class Redirect:
    """Goes on with another document."""

    url: str
    method: str = "POST"
    line: int = 0

    def summary(self) -> str:
        """For the timeline."""
        return f"{self.method} {shown_url(self.url, URL_IN_SUMMARY)}"


ROW = VerbRow(
    "Redirect",
    "Drops what is left of the document and goes on with another one.",
    Redirect,
    Body("url", URL, "The other document."),
    (Attribute("method", METHOD, "POST", "Method of the request.", "method"),),
)
