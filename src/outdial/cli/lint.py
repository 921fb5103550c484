"""`outdial lint`: reads a document as the server would, and says what is wrong with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outdial.didml.lint import Finding, lint
from outdial.errors import FetchError, OutdialError
from outdial.frozen import frozen
from outdial.log import escape
from outdial.net.addresses import AddressPolicy, check_url
from outdial.net.client import HttpClient

if TYPE_CHECKING:
    from outdial.config import Settings

BASE = "https://application.example/"
"""Where a file's relative URLs lead to unless somebody says."""
_ANYWHERE = ("0.0.0.0/0", "::/0")
"""Who lints a URL of their own network may reach it, whatever the server may."""
_MOST_BYTES = 16_000_000
"""Of a file that is looked at: more than any document may have, and less than a device gives."""
_EXAMPLE = (
    ("To", "12025550123"),
    ("From", "12025550100"),
    ("CallerName", ""),
    ("callSid", "CA" + "0" * 32),
    ("Direction", "outbound"),
    ("CallStatus", "answered"),
)


@frozen
class Source:
    """A document and where it is from."""

    name: str
    url: str
    content_type: str
    body: bytes


class Unreadable(OutdialError):
    """The document cannot be had."""


@frozen
class Report:
    """What was found in one document."""

    source: Source
    findings: list[Finding]
    verbs: int

    def is_well(self, *, strict: bool) -> bool:
        """Whether it can be run; `strict`: and nothing was found."""
        return not any(strict or finding.severity == "error" for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """As compilers write it."""
        name = escape(self.source.name)
        for finding in self.findings:
            place = f"{finding.line}:{finding.column}: " if finding.line else ""
            yield f"{name}:{place or ' '}{finding.severity}: {escape(finding.message)}"
        if not self.findings:
            yield f"{name}: well, {self.verbs} {'verb' if self.verbs == 1 else 'verbs'}"

    def objects(self) -> Iterator[dict[str, Any]]:
        """For `--json`: one for each finding, then one that sums up."""
        for finding in self.findings:
            yield {"source": self.source.name, **asdict(finding)}
        yield {
            "source": self.source.name,
            "verbs": self.verbs,
            "errors": sum(finding.severity == "error" for finding in self.findings),
            "warnings": sum(finding.severity == "warning" for finding in self.findings),
        }


def read(name: str, settings: Settings, method: str, base: str) -> Source:
    """The document in a file, in the answer of a URL, or on standard input (``-``).

    Raises Unreadable.
    """
    if name.lower().startswith(("http://", "https://")):
        return asyncio.run(_fetch(name, settings, method))
    try:
        if name == "-":
            body = sys.stdin.buffer.read(_MOST_BYTES)
        else:
            with Path(name).open("rb") as file:
                body = file.read(_MOST_BYTES)
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror}") from None
    return Source("standard input" if name == "-" else name, base or BASE, "", body)


async def _fetch(url: str, settings: Settings, method: str) -> Source:
    client = HttpClient(AddressPolicy(_ANYWHERE))
    try:
        answer = await client.request(
            method,
            url,
            params=_EXAMPLE,
            timeout_s=settings.didml.fetch_timeout_s,
            max_bytes=settings.didml.max_document_bytes,
        )
    except FetchError as error:
        raise Unreadable(f"{url} cannot be fetched: {error}") from None
    finally:
        await client.close()
    if not 200 <= answer.status < 300:
        raise Unreadable(
            f"{url} answers {answer.status} to {method}; the server wants 2xx, and follows no "
            "redirections"
        )
    return Source(url, url, answer.content_type, answer.body)


def check(source: Source, settings: Settings) -> Report:
    """What there is to say of the document under the settings."""
    webhooks = settings.webhooks
    policy = AddressPolicy(webhooks.allow_private, webhooks.allow_ports)

    def judge(url: str) -> str:
        try:
            check_url(url, policy)
        except FetchError as error:
            return str(error)
        return ""

    findings, verbs = lint(
        source.body, source.content_type, source.url, judge, settings.didml.max_document_bytes
    )
    return Report(source, findings, verbs)
