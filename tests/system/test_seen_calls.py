"""What a server says of a call beside its record: log lines, and traces to a collector."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from outdial.testing.server import OutdialServer
from outdial.testing.web import Answer, Received, WebServer

pytestmark = pytest.mark.system

ANSWERS = "15005550001"
PIN = "Your pin is 8 9 70"


@pytest.fixture(scope="module")
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture(scope="module")
def outdial(web: WebServer) -> Iterator[OutdialServer]:
    web.script("/v1/traces", Answer(content_type="application/x-protobuf"))
    settings = {
        "sim": {"enabled": True},
        "log": {"calls": "steps"},
        "traces": {"enabled": True},
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", web.url("").rstrip("/"))
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        environment.setenv("OTEL_SERVICE_NAME", "voice")
        with OutdialServer(settings) as server:
            yield server


def spans_at(web: WebServer, enough: Callable[[list[Span]], bool]) -> list[Span]:
    """What the collector got by OTLP over HTTP, once it is enough."""
    found: list[Span] = []

    def look(requests: list[Received]) -> bool:
        found.clear()
        for request in requests:
            for resource in ExportTraceServiceRequest.FromString(request.body).resource_spans:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                assert names["service.name"] == "voice"
                found.extend(span for scope in resource.scope_spans for span in scope.spans)
        return enough(found)

    web.wait_until("/v1/traces", look)
    return found


def lines_of(outdial: OutdialServer, sid: str) -> list[dict[str, Any]]:
    """Its log lines, once the last is there: they are written a moment late."""
    deadline = time.monotonic() + 10
    while True:
        lines = [line for line in outdial.log() if line.get("call") == sid]
        if lines and lines[-1]["event"] == "state.completed":
            return lines
        assert time.monotonic() < deadline, outdial.tail()
        time.sleep(0.05)


def test_each_step_of_a_call_is_a_log_line(outdial: OutdialServer, web: WebServer) -> None:
    url = web.serve("/say.xml", f"<Response><Say>{PIN}</Say></Response>")
    sid = outdial.place_call(to=ANSWERS, **{"from": "18005797676"}, url=f"{url}?token=s3cret")
    outdial.wait_until_over(sid)
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    lines = lines_of(outdial, sid)
    assert [(line["seq"], line["event"]) for line in lines] == [
        (event["seq"], event["kind"]) for event in events
    ]
    assert {line["level"] for line in lines} == {"info"}
    (fetched,) = [line for line in lines if line["event"] == "document.fetched"]
    assert fetched["url"] == f"{url}?…"
    assert "s3cret" not in json.dumps(lines) and PIN not in json.dumps(lines)
    assert any(PIN in json.dumps(event) for event in events), "the record has it"


TRACE, ASKED_BY = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_call_is_in_the_trace_of_who_asked_for_it(outdial: OutdialServer, web: WebServer) -> None:
    url = web.serve("/traced.xml", f"<Response><Say>{PIN}</Say></Response>")
    post = urllib.request.Request(
        outdial.url("/didforsaleapi/index.php/api/V2/CallTermination/"),
        urllib.parse.urlencode(
            {
                "from": "18005797676",
                "to": ANSWERS,
                "url": f"{url}?token=s3cret",
                "statusCallback": web.collect("/events"),
            }
        ).encode(),
        {
            "Authorization": f"Bearer {outdial.key}",
            "traceparent": f"00-{TRACE}-{ASKED_BY}-01",
        },
    )
    with urllib.request.urlopen(post, timeout=10) as answer:
        sid = json.load(answer)["callSid"]
    outdial.wait_until_over(sid)

    def of_this(spans: list[Span]) -> list[Span]:
        return [span for span in spans if span.trace_id.hex() == TRACE]

    spans = of_this(spans_at(web, lambda spans: len(of_this(spans)) >= 7))
    names = {span.span_id.hex(): span.name for span in spans}
    below = sorted((span.name, names.get(span.parent_span_id.hex(), "")) for span in spans)
    assert below == [
        ("Say", "talking"),
        ("call", ""),
        ("callback", "call"),
        ("dialling", "call"),
        ("document", "talking"),
        ("ringing", "call"),
        ("talking", "call"),
    ]
    (call,) = [span for span in spans if span.name == "call"]
    assert call.parent_span_id.hex() == ASKED_BY
    for path, name in (("/traced.xml", "document"), ("/events", "callback")):
        (received,) = web.received(path)
        _, trace_id, span_id, _ = received.headers["traceparent"].split("-")
        assert (trace_id, names[span_id]) == (TRACE, name)
    assert b"s3cret" not in b"".join(one.body for one in web.received("/v1/traces"))
    assert PIN.encode() not in b"".join(one.body for one in web.received("/v1/traces"))
