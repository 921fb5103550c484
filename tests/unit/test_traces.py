"""Traces made of timelines, kept by the SDK's own exporter in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from outdial import traces
from outdial.config import Settings
from outdial.errors import ConfigError, FetchError
from outdial.net.addresses import AddressPolicy
from outdial.observers import Observers
from outdial.store.records import EventRecord
from outdial.testing.web import Answer, WebServer
from outdial.traces import TracedClient, Traces

A, B = "CA" + "a" * 32, "CA" + "b" * 32
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


class Kept:
    """Traces whose spans stay here."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.traces = Traces(SimpleSpanProcessor(self.exporter))
        self._seq = 0

    def tell(self, sid: str, kind: str, at: float, **data: Any) -> None:
        self._seq += 1
        self.traces.told(EventRecord(sid, self._seq, at, kind, data))

    def answered(self, sid: str = A, **queued: Any) -> None:
        """Up to the answer, three seconds after it was asked for."""
        self.tell(sid, "state.queued", 0.0, **(queued or {"to": "15551230001"}))
        self.tell(sid, "state.dialling", 1.0)
        self.tell(sid, "state.ringing", 2.0, status=180, trunk="carrier-a")
        self.tell(sid, "state.answered", 3.0, trunk="carrier-a", codec="PCMU")

    def completed(self, sid: str = A, at: float = 9.0, **data: Any) -> None:
        ended = {"outcome": "completed", "cause": "normal-clearing", "sip_code": 200} | data
        self.tell(sid, "state.completed", at, **ended)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that are over, in the order in which they began, the longer one first."""
        finished = self.exporter.get_finished_spans()
        return sorted(finished, key=lambda span: (span.start_time or 0, -(span.end_time or 0)))

    def drawn(self) -> list[tuple[str, str, float, float]]:
        """Name, its parent's name, begin and end in seconds."""
        names = {span.context.span_id: span.name for span in self.spans if span.context}
        return [
            (
                span.name,
                "" if span.parent is None else names.get(span.parent.span_id, "elsewhere"),
                (span.start_time or 0) / 1e9,
                (span.end_time or 0) / 1e9,
            )
            for span in self.spans
        ]

    def trace_ids(self) -> set[str]:
        return {f"{span.context.trace_id:032x}" for span in self.spans if span.context}


@pytest_asyncio.fixture
async def kept() -> AsyncIterator[Kept]:
    made = Kept()
    yield made
    await made.traces.stop()


async def test_a_call_is_one_trace(kept: Kept) -> None:
    kept.answered()
    kept.tell(A, "document.fetched", 3.5, url="http://h/x?token=s3cret", status=200)
    kept.tell(A, "verb.started", 4.0, verb="Gather", text="Gather", line=2)
    kept.tell(A, "verb.started", 4.0, verb="Say", text="Your pin is Zulu 8", line=3)
    kept.tell(A, "verb.started", 5.0, verb="Play", text="http://h/a.wav", line=4)
    kept.tell(A, "verb.ended", 6.0, verb="Gather", result="digits", count=4)
    kept.tell(A, "verb.started", 6.0, verb="Say", text="Thank you", line=9)
    kept.tell(A, "warning", 6.5, text="could not say “Zulu 8”: no voice")
    kept.completed()
    assert sorted(kept.drawn()) == sorted(
        [
            ("call", "", 0.0, 9.0),
            ("dialling", "call", 1.0, 2.0),
            ("ringing", "call", 2.0, 3.0),
            ("talking", "call", 3.0, 9.0),
            ("Gather", "talking", 4.0, 6.0),
            ("Say", "Gather", 4.0, 5.0),
            ("Play", "Gather", 5.0, 6.0),
            ("Say", "talking", 6.0, 9.0),
        ]
    )
    assert len(kept.trace_ids()) == 1
    call = next(span for span in kept.spans if span.name == "call")
    assert dict(call.attributes or {}) == {
        "outdial.call": A,
        "outdial.to": "15551230001",
        "outdial.outcome": "completed",
        "outdial.cause": "normal-clearing",
        "outdial.sip_code": 200,
    }
    assert call.resource.attributes["service.name"] == "outdial"
    assert [event.name for event in call.events] == ["warning"]
    everything = "".join(span.to_json() for span in kept.spans)
    assert "Zulu" not in everything and "s3cret" not in everything


async def test_a_failed_call_is_an_error(kept: Kept) -> None:
    kept.tell(A, "state.dialling", 1.0)
    kept.tell(A, "trunk.failed", 1.5, trunk="carrier-a", status=503)
    kept.completed(at=2.0, outcome="failed", cause="carrier-failure", sip_code=None)
    spans = {span.name: span for span in kept.spans}
    assert set(spans) == {"call", "dialling"}
    call = spans["call"]
    assert call.status.status_code is StatusCode.ERROR
    assert call.status.description == "carrier-failure"


async def test_a_call_towards_us_begins_with_its_ringing(kept: Kept) -> None:
    kept.tell(A, "state.ringing", 1.0, trunk="carrier-a")
    kept.tell(A, "state.answered", 2.0)
    kept.completed(at=3.0)
    assert [name for name, *_ in kept.drawn()] == ["call", "ringing", "talking"]


async def test_a_second_leg_is_below_the_verb_that_dials_it(kept: Kept) -> None:
    kept.answered()
    kept.tell(A, "verb.started", 4.0, verb="Dial", text="15551230002", line=1)
    kept.answered(B, parent=A)
    kept.completed(B, at=5.0)
    kept.tell(A, "verb.ended", 6.0, verb="Dial", result="completed")
    kept.completed()
    assert ("call", "Dial", 0.0, 5.0) in kept.drawn()
    assert len(kept.trace_ids()) == 1


async def test_what_was_interrupted_ends_with_what_follows(kept: Kept) -> None:
    kept.answered()
    kept.tell(A, "verb.started", 4.0, verb="Gather", line=1)
    kept.tell(A, "verb.started", 4.0, verb="Play", line=1)
    kept.tell(A, "document.given", 5.0, bytes=12)  # through the API
    kept.tell(A, "verb.ended", 5.5, verb="Gather", result="digits")
    kept.tell(A, "verb.started", 6.0, verb="Record", line=1)
    kept.completed()
    spans = {(name, begin): end for name, _, begin, end in kept.drawn()}
    assert spans[("Gather", 4.0)] == spans[("Play", 4.0)] == 5.0
    assert spans[("Record", 6.0)] == 9.0


async def test_late_and_unknown_events_begin_nothing(kept: Kept) -> None:
    kept.tell(A, "callback.dead", 1.0, event="completed")
    kept.tell(A, "verb.ended", 1.0, verb="Say")
    kept.completed()
    assert kept.spans == []
    assert kept.traces.request(A, "document", "POST", "http://h/") == (None, ())


async def test_memory_is_bounded(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST_ENDED", 10)
    kept.answered(A)
    for number in range(50):
        sid = f"CA{number:032x}"
        kept.tell(sid, "state.dialling", 1.0)
        kept.completed(sid)
    assert len(kept.traces._calls) == 1
    assert len(kept.traces._contexts) == 11
    assert A in kept.traces._contexts


async def _post(kept: Kept, headers: list[tuple[bytes, bytes]]) -> None:
    """A post that makes a call while it is answered."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        kept.tell(A, "state.queued", 0.0, to="15551230001")

    served = kept.traces.served(app)
    scope = {"type": "http", "headers": headers}
    await asyncio.create_task(served(scope, None, None))


async def test_the_trace_of_who_asked_goes_on(kept: Kept) -> None:
    await _post(kept, [(b"traceparent", PARENT.encode()), (b"tracestate", b"vendor=x")])
    span, headers = kept.traces.request(A, "document", "POST", "http://h/")
    assert span is not None
    span.end()
    sent = dict(headers)
    assert sent["traceparent"].startswith(f"00-{TRACE}-") and SPAN not in sent["traceparent"]
    assert sent["tracestate"] == "vendor=x"
    kept.completed()
    assert kept.trace_ids() == {TRACE}
    call = next(span for span in kept.spans if span.name == "call")
    assert call.parent is not None and f"{call.parent.span_id:016x}" == SPAN


@pytest.mark.parametrize(
    "value", [b"", b"garbage", b"\xff\x00", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"]
)
async def test_what_is_no_context_begins_a_trace_of_its_own(kept: Kept, value: bytes) -> None:
    await _post(kept, [(b"traceparent", value), (b"tracestate", value)])
    kept.completed()
    assert len(kept.trace_ids()) == 1 and TRACE not in kept.trace_ids()
    assert next(span for span in kept.spans if span.name == "call").parent is None


@pytest.mark.parametrize(
    "state", [b"vendor=" + b"x" * 600, b"vendor=\x01", b"vendor=\xff", b"a\tb", b"=", b"\r\nX: y"]
)
async def test_a_state_that_is_none_is_not_passed_on(kept: Kept, state: bytes) -> None:
    await _post(kept, [(b"traceparent", PARENT.encode()), (b"tracestate", state)])
    span, headers = kept.traces.request(A, "document", "POST", "http://h/")
    assert span is not None
    span.end()
    assert [name for name, _ in headers] == ["traceparent"]
    kept.completed()
    assert kept.trace_ids() == {TRACE}


@pytest_asyncio.fixture
async def client(kept: Kept) -> AsyncIterator[TracedClient]:
    made = TracedClient(AddressPolicy(["127.0.0.0/8"], []))
    made.traces = kept.traces
    yield made
    await made.close()


async def test_requests_are_spans_and_carry_their_context(kept: Kept, client: TracedClient) -> None:
    kept.answered()
    params = [("callSid", A), ("Digits", "89*70#")]
    with WebServer() as web:
        url = web.serve("/a.xml", "<Response/>")
        web.script("/events", Answer(status=500))
        await client.request("POST", f"{url}?token=s3cret", params=params)
        await client.request("POST", web.url("/events"), params=params, message_id="DE1")
        await client.request("GET", url, params=[("callSid", B)])
        await client.request("GET", url)
        with pytest.raises(FetchError):
            await client.request("GET", "http://10.0.0.1/", params=params)
        document, other, none = web.received("/a.xml")
        (callback,) = web.received("/events")
    kept.completed()
    assert "traceparent" not in other.headers and "traceparent" not in none.headers
    spans = {span.name: span for span in kept.spans if span.name in ("document", "callback")}
    failed = [span for span in kept.spans if span.name == "document"]
    parents = {name: parent for name, parent, *_ in kept.drawn()}
    assert (parents["document"], parents["callback"]) == ("talking", "call")
    for received, span in ((document, failed[0]), (callback, spans["callback"])):
        assert span.context is not None
        ids = f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-"
        assert received.headers["traceparent"][:-2] == ids
    attributes = dict(failed[0].attributes or {})
    assert attributes["url.full"] == f"{url}?…"
    assert attributes["http.response.status_code"] == 200
    assert spans["callback"].status.status_code is StatusCode.ERROR
    assert failed[1].status.description == "refused-address"
    assert "89*70#" not in "".join(span.to_json() for span in kept.spans)


async def test_what_is_open_at_the_end_is_sent() -> None:
    kept = Kept()
    kept.answered()
    await kept.traces.stop()
    assert [name for name, *_ in kept.drawn()] == ["call", "dialling", "ringing", "talking"]


@pytest.mark.parametrize("name", ["OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"])
async def test_the_environment_names_the_service(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    value = "voice" if name == "OTEL_SERVICE_NAME" else "service.name=voice,region=eu"
    monkeypatch.setenv(name, value)
    kept = Kept()
    kept.tell(A, "state.dialling", 1.0)
    kept.completed()
    await kept.traces.stop()
    assert kept.spans[0].resource.attributes["service.name"] == "voice"


async def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ConfigError, match="grpc"):
        Observers.start(Settings.model_validate({"traces": {"enabled": True}}))


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "outdial.traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ConfigError, match=r"outdial\[otel\]"):
        Observers.start(Settings.model_validate({"traces": {"enabled": True}}))


async def test_both_watchers_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"traces": {"enabled": True}, "log": {"calls": "steps"}}
    watch = Observers.start(Settings.model_validate(settings))
    assert watch.told is not None
    watch.told(EventRecord(A, 0, 1.0, "state.dialling", {}))
    assert watch._traces is not None and A in watch._traces._calls
    watch._traces._calls.clear()
    await watch.stop()
    assert A in capsys.readouterr().err


def test_nothing_is_imported_when_it_is_off() -> None:
    code = (
        "import asyncio, sys\n"
        "import outdial.app\n"
        "from outdial.config import Settings\n"
        "from outdial.observers import Observers\n"
        "watch = Observers.start(Settings())\n"
        "assert watch.told is None and watch.served(7) == 7\n"
        "asyncio.run(watch.stop())\n"
        # others may look for the API of OpenTelemetry by themselves
        "assert not {'opentelemetry.sdk', 'outdial.traces'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
