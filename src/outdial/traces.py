"""OpenTelemetry: one trace a call, from who asked for it through to the application.

A trace is made of what the timeline tells, so that the call knows nothing of it: the call itself,
below it dialling, ringing and talking, and below that the verbs of its documents. Requests to the
application and callbacks are spans too, and have their context in the headers of the W3C (Trace
Context); a post that has them has its call's trace begin there.

Nothing imports this module, or OpenTelemetry, unless `traces.enabled` is set. Spans are sent by a
thread of the SDK, to where the standard variables (OTEL_EXPORTER_OTLP_ENDPOINT ...) say.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import outdial
from outdial.calls.steps import loggable
from outdial.errors import ConfigError, FetchError
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient, HttpResponse, Params
from outdial.net.trace import Signer
from outdial.store.records import EventRecord

MOST_ENDED: Final = 4096
"""Calls that are over whose context is kept, for callbacks that come later."""
MOST_HEADER: Final = 512
"""Characters of a header of a trace that is followed; so many everybody must pass on (section
3.3.1.5), and more would be sent with each request of the call."""
_CALL_ID: Final = "callSid"
"""The parameter by which requests of ours say whose they are."""
_HEADERS: Final = (b"traceparent", b"tracestate")
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_PHASES: Final = {
    "state.dialling": "dialling",
    "state.ringing": "ringing",
    "state.answered": "talking",
}
_WITH_END: Final = frozenset({"Dial", "Fax", "Gather", "Record", "Sms"})
"""Verbs whose end is told; others end with the next thing that happens."""
_given: ContextVar[Context | None] = ContextVar("given", default=None)
"""What the post that is being answered says of its trace."""

App = Callable[..., Coroutine[Any, Any, None]]


class _Call:
    """The open spans of one leg."""

    __slots__ = ("phase", "span", "verbs")

    def __init__(self, span: Span) -> None:
        self.span = span
        self.phase: Span | None = None
        self.verbs: list[tuple[str, Span]] = []
        """The outermost first: a Gather, and what it says."""

    def below(self) -> Context:
        """What begins now is below the innermost of them."""
        innermost = self.verbs[-1][1] if self.verbs else self.phase or self.span
        return trace.set_span_in_context(innermost)

    def end_verb(self, at: int) -> None:
        self.verbs.pop()[1].end(at)

    def end_verbs(self, at: int) -> None:
        while self.verbs:
            self.end_verb(at)

    def end_short_verb(self, at: int) -> None:
        """One whose end is not told."""
        if self.verbs and self.verbs[-1][0] not in _WITH_END:
            self.end_verb(at)

    def end_phase(self, at: int) -> None:
        self.end_verbs(at)
        if self.phase is not None:
            self.phase.end(at)
            self.phase = None


class Traces:
    """The traces of the process. `told` gets the events of all timelines."""

    def __init__(self, processor: SpanProcessor) -> None:
        resource = Resource.create({SERVICE_VERSION: outdial.__version__, **_service_name()})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("outdial", outdial.__version__)
        self._calls: dict[str, _Call] = {}
        self._contexts: dict[str, Context] = {}
        """Of calls, the newest last: more of them than there are spans open."""

    @classmethod
    def start(cls) -> Traces:
        """Sends to where the environment says. Raises ConfigError."""
        for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            protocol = os.environ.get(name)
            if protocol not in (None, "", "http/protobuf"):
                raise ConfigError(name, f"{protocol!r} is not spoken", "http/protobuf")
        return cls(BatchSpanProcessor(OTLPSpanExporter()))

    async def stop(self) -> None:
        """Ends what is open and sends what waits; that may take some seconds."""
        for call in self._calls.values():
            call.end_phase(time.time_ns())
            call.span.end()
        self._calls.clear()
        await asyncio.to_thread(self._provider.shutdown)

    # ------------------------------------------------------------------ what calls do

    def told(self, event: EventRecord) -> None:
        """An event of a timeline, as it is numbered."""
        kind, at = event.kind, int(event.at * 1e9)
        call = self._calls.get(event.call_sid)
        if call is None:
            if not kind.startswith("state.") or kind == "state.completed":
                return  # of a call that is over, or that another process had
            call = self._begin(event, at)
        if kind in _PHASES:
            call.end_phase(at)
            call.phase = self._span(_PHASES[kind], call.below(), at, event)
        elif kind == "state.completed":
            self._end(call, event, at)
        elif kind == "verb.started":
            call.end_short_verb(at)
            verb = str(event.data.get("verb"))
            call.verbs.append((verb, self._span(verb, call.below(), at, event)))
        elif kind == "verb.ended":
            _end_told_verb(call, event, at)
        elif kind in ("document.fetched", "document.given"):
            call.end_verbs(at)
        elif kind != "state.queued":
            call.span.add_event(kind, _attributes(kind, event.data), at)

    def _begin(self, event: EventRecord, at: int) -> _Call:
        parent = self._below(str(event.data.get("parent", ""))) or _given.get() or Context()
        call = _Call(self._tracer.start_span("call", parent, start_time=at))
        call.span.set_attributes({"outdial.call": event.call_sid})
        if event.kind == "state.queued":
            call.span.set_attributes(_attributes(event.kind, event.data))
        self._calls[event.call_sid] = call
        self._contexts[event.call_sid] = trace.set_span_in_context(call.span)
        return call

    def _below(self, sid: str) -> Context | None:
        """What the call does now, or did when it was over; None for one that is not known."""
        call = self._calls.get(sid)
        return self._contexts.get(sid) if call is None else call.below()

    def _end(self, call: _Call, event: EventRecord, at: int) -> None:
        call.end_phase(at)
        call.span.set_attributes(_attributes(event.kind, event.data))
        if event.data.get("outcome") == "failed":
            call.span.set_status(StatusCode.ERROR, str(event.data.get("cause")))
        call.span.end(at)
        del self._calls[event.call_sid]
        ended = len(self._contexts) - len(self._calls) - MOST_ENDED
        if ended > 0:
            for sid in [one for one in self._contexts if one not in self._calls][:ended]:
                del self._contexts[sid]

    def _span(self, name: str, parent: Context, at: int, event: EventRecord) -> Span:
        attributes = _attributes(event.kind, event.data)
        return self._tracer.start_span(name, parent, attributes=attributes, start_time=at)

    # ------------------------------------------------------------------ requests

    def client(self, policy: AddressPolicy, signer: Signer) -> HttpClient:
        """Whose requests are in the traces of their calls."""
        client = TracedClient(policy, signer=signer)
        client.traces = self
        return client

    def request(self, sid: str, name: str, method: str, url: str) -> tuple[Span | None, Params]:
        """The span of a request for the call, and its headers; None and none where the call is not
        known, such as one of before a restart."""
        below = self._contexts.get(sid) if name == "callback" else self._below(sid)
        if below is None:
            return None, ()
        span = self._tracer.start_span(
            name,
            below,
            kind=SpanKind.CLIENT,
            attributes={
                "outdial.call": sid,
                "http.request.method": method,
                "url.full": loggable("", {"url": url})["url"],
                "server.address": _host(url),
            },
        )
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        return span, tuple(carrier.items())

    def served(self, app: App) -> App:
        """The application, with what requests say of their trace known while they are answered."""

        async def traced(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
            headers = scope.get("headers") or ()
            carrier = {
                name.decode(): value.decode("latin-1")
                for name, value in headers
                if name in _HEADERS and len(value) <= MOST_HEADER
            }
            if carrier:
                _given.set(_PROPAGATOR.extract(carrier, Context()))
            await app(scope, receive, send)

        return traced


class TracedClient(HttpClient):
    """Sends each request that is a call's as a span of its trace."""

    traces: Traces

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Params = (),
        headers: Params = (),
        message_id: str = "",
        **more: Any,
    ) -> HttpResponse:
        """See HttpClient."""
        sid = next((value for name, value in params if name == _CALL_ID), "")
        name = "callback" if message_id else "document"
        span, traced = self.traces.request(sid, name, method, url) if sid else (None, ())
        try:
            answer = await super().request(
                method,
                url,
                params=params,
                headers=(*headers, *traced),
                message_id=message_id,
                **more,
            )
        except FetchError as error:
            if span is not None:
                span.set_status(StatusCode.ERROR, error.kind)
            raise
        else:
            if span is not None:
                span.set_attribute("http.response.status_code", answer.status)
                if answer.status >= 400:
                    span.set_status(StatusCode.ERROR)
            return answer
        finally:
            if span is not None:
                span.end()


def _end_told_verb(call: _Call, event: EventRecord, at: int) -> None:
    """The verb, and what it began and was not told to be over."""
    verb = str(event.data.get("verb"))
    if verb not in [name for name, _ in call.verbs]:
        return
    while call.verbs[-1][0] != verb:
        call.end_verb(at)
    call.verbs[-1][1].set_attributes(_attributes(event.kind, event.data))
    call.end_verb(at)


def _attributes(kind: str, data: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """The event's data as a log may have them."""
    return {
        f"outdial.{name}": value if isinstance(value, (str, int, float, bool)) else str(value)
        for name, value in loggable(kind, data).items()
        if value is not None
    }


def _service_name() -> dict[str, str]:
    """Ours, unless the environment gives another one."""
    given = os.environ.get("OTEL_SERVICE_NAME") or os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return (
        {}
        if os.environ.get("OTEL_SERVICE_NAME") or SERVICE_NAME in given
        else {SERVICE_NAME: "outdial"}
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
