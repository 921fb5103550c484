"""Runs a voice application on a call: fetch, parse, run the verbs, next document.

A call towards us is answered when the first verb needs its audio.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from outdial.didml.parse import Document, parse
from outdial.didml.run import (
    dial,
    enqueue,
    fax,
    gather,
    hangup,
    pause,
    play,
    postcall,
    record,
    recording,
    redirect,
    reject,
    say,
    sms,
)
from outdial.didml.run.host import Fetched, Host
from outdial.didml.run.outcome import DocumentRequest, Goto, HangUp, Next
from outdial.didml.shown import shown_url
from outdial.didml.verbs import (
    Dial,
    Enqueue,
    Fax,
    Gather,
    Hangup,
    Pause,
    Play,
    Postcall,
    Record,
    Recording,
    Redirect,
    Reject,
    Say,
    Sms,
    Verb,
)
from outdial.errors import DocumentError, FetchError, MediaUnavailable
from outdial.frozen import frozen

RUNNERS: dict[type[Verb], Callable[[Any, Host], Awaitable[Next]]] = {
    Say: say.run,
    Play: play.run,
    Pause: pause.run,
    Gather: gather.run,
    Record: record.run,
    Recording: recording.run,
    Redirect: redirect.run,
    Hangup: hangup.run,
    Reject: reject.run,
    Postcall: postcall.run,
    Dial: dial.run,
    Enqueue: enqueue.run,
    Sms: sms.run,
    Fax: fax.run,
}
"""One module a verb; the dataclass chooses it."""

BEFORE_THE_ANSWER: tuple[type[Verb], ...] = (Pause, Redirect, Hangup, Reject, Postcall, Sms)
"""What needs no audio: a call towards us rings on while these run."""

_EMPTY = Document(())


@frozen
class Limits:
    """What one call's application may use up."""

    max_documents: int = 100
    max_document_bytes: int = 65536
    max_verbs: int = 5000


class EndKind(Enum):
    """How an application ended."""

    HANGUP = "hangup"
    """A verb ended the call."""
    END_OF_DOCUMENT = "end-of-document"
    """There was nothing more to run: the call is to be ended."""
    ERROR = "error"
    """It could not be fetched or run: the caller is owed an apology."""


@frozen
class ApplicationEnd:
    """The end of an application, in words for the timeline."""

    kind: EndKind
    reason: str
    status: int = 0
    """The SIP status to refuse the call with if it is not answered yet; 0: the usual one."""


class _Failed(Exception):
    """The application cannot go on; the message says why."""


async def run_application(
    host: Host, request: DocumentRequest, limits: Limits | None = None
) -> ApplicationEnd:
    """Runs the application from its first document to its end.

    A failure is answered by asking `request.fallback_url` once. Cancelling stops what plays and
    leaves nothing behind.
    """
    application = _Application(host, limits or Limits())
    try:
        try:
            return await application.run(request)
        except _Failed as failure:
            if not request.fallback_url:
                return ApplicationEnd(EndKind.ERROR, str(failure))
            host.note(
                "document.fallback", url=shown_url(request.fallback_url), problem=str(failure)
            )
        application.grant_fallback()
        return await application.run(DocumentRequest(request.fallback_url, request.method))
    except _Failed as failure:
        return ApplicationEnd(EndKind.ERROR, str(failure))
    except asyncio.CancelledError:
        with contextlib.suppress(MediaUnavailable):  # it was never answered
            host.media.stop_playing()
        raise


class _Application:
    """One call's application: what it has used up so far."""

    __slots__ = ("_documents_left", "_host", "_limits", "_verbs_left")

    def __init__(self, host: Host, limits: Limits) -> None:
        self._host = host
        self._limits = limits
        self._documents_left = limits.max_documents
        self._verbs_left = limits.max_verbs

    def grant_fallback(self) -> None:
        """Lets the fallback's document run even after the application used up its own."""
        self._documents_left = max(self._documents_left, 1)
        self._verbs_left = max(self._verbs_left, self._limits.max_verbs // 10)

    async def run(self, request: DocumentRequest) -> ApplicationEnd:
        """Runs documents until one ends the application. Raises _Failed."""
        first = True
        while True:
            document = await self._load(request, may_be_empty=not first)
            first = False
            following = await self._run_verbs(document)
            if following is None:
                return ApplicationEnd(EndKind.END_OF_DOCUMENT, "the document ended")
            if isinstance(following, HangUp):
                return ApplicationEnd(EndKind.HANGUP, following.reason, following.status)
            request = following.request

    async def _load(self, request: DocumentRequest, *, may_be_empty: bool) -> Document:
        if self._documents_left <= 0:
            raise _Failed(
                f"the application asked for more than {self._limits.max_documents} documents"
            )
        self._documents_left -= 1
        host = self._host
        if request.document:
            host.note("document.given", bytes=len(request.document.encode()))
            given = Fetched(request.url, 200, "text/xml; charset=utf-8", request.document.encode())
            return self._parse(given, "the document given")
        shown = shown_url(request.url)
        now = asyncio.get_running_loop().time
        began = now()
        try:
            fetched = await self._fetch(request)
        except FetchError as error:
            host.note("document.failed", url=shown, error=error.kind, problem=str(error))
            raise _Failed(f"{shown} could not be fetched ({error.kind}): {error}") from None
        host.note(
            "document.fetched",
            url=shown,
            method=request.method,
            status=fetched.status,
            bytes=len(fetched.body),
            ms=round((now() - began) * 1000, 1),
        )
        if may_be_empty and not fetched.body.strip():
            host.note(
                "document.warning",
                line=0,
                column=0,
                message="the answer is empty: taken for a document without verbs",
            )
            return _EMPTY
        return self._parse(fetched, shown)

    def _parse(self, fetched: Fetched, shown: str) -> Document:
        host = self._host
        try:
            document = parse(
                fetched.body, fetched.content_type, fetched.url, self._limits.max_document_bytes
            )
        except DocumentError as error:
            host.note(
                "document.failed",
                url=shown,
                error="document",
                problem=str(error),
                line=error.line,
                column=error.column,
            )
            where = f" (line {error.line}, column {error.column})" if error.line else ""
            raise _Failed(f"{shown} cannot be run: {error}{where}") from None
        for warning in document.warnings:
            host.note(
                "document.warning",
                line=warning.line,
                column=warning.column,
                message=warning.message,
            )
        return document

    async def _fetch(self, request: DocumentRequest) -> Fetched:
        """Raises FetchError. What a caller keyed or said arrives even if they hang up with it."""
        fetching = self._host.fetch(request.url, request.method, request.params)
        if not request.params:
            return await fetching
        asking = asyncio.ensure_future(fetching)
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            self._host.later(_finish(asking))
            raise

    async def _run_verbs(self, document: Document) -> Goto | HangUp | None:
        """Runs the verbs in order. None: the end of the document was reached."""
        for verb in document.verbs:
            if self._verbs_left <= 0:
                raise _Failed(f"the application ran more than {self._limits.max_verbs} verbs")
            self._verbs_left -= 1
            self._host.note(
                "verb.started", verb=type(verb).__name__, text=verb.summary(), line=verb.line
            )
            if not isinstance(verb, BEFORE_THE_ANSWER) and not await self._host.answer():
                return HangUp("the call ended before it was answered")
            following = await RUNNERS[type(verb)](verb, self._host)
            if isinstance(following, Goto | HangUp):
                return following
        return None


async def _finish(asking: asyncio.Future[Fetched]) -> None:
    """The call is over: what comes of the request is nobody's concern."""
    with contextlib.suppress(FetchError):
        await asking
