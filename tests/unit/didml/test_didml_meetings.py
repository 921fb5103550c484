"""Conference, Queue and Enqueue: what the host is asked for, and what the action is told."""

from __future__ import annotations

import pytest

from doubles.application import FakeHost, run
from outdial.didml.run.host import ConferencePlan, DialEnd, EnqueuePlan, QueuePlan

AFTER = "http://app.example.test/after.php"


async def asked(document: str, end: DialEnd | None = None) -> FakeHost:
    host = FakeHost(start=document, after="<Say>after</Say>")
    host.dial_end = end or DialEnd("completed")
    await run(host)
    return host


async def test_a_conference_as_the_document_wants_it() -> None:
    host = await asked(
        '<Dial timelimit="600"><Conference muted="on" beep="off" startConferenceOnEnter="off" '
        'endConferenceOnExit="on" waitUrl="/music" waitMethod="get" maxParticipants="7" '
        'record="on">Sales</Conference></Dial><Say>next</Say>'
    )
    assert host.met == [
        ConferencePlan(
            name="Sales",
            muted=True,
            beep=False,
            starts=False,
            ends=True,
            wait_url="http://app.example.test/music",
            wait_method="GET",
            max_participants=7,
            record=True,
            time_limit_s=600.0,
        )
    ]
    assert host.answers > 0
    assert [text for text, _, _ in host.spoken] == ["next"]
    assert host.dialled == []


@pytest.mark.parametrize(
    ("dial", "room", "recorded"),
    [("", "", False), ('record="on"', "", True), ('record="on"', 'record="off"', False)],
)
async def test_a_conference_is_recorded_as_it_says_or_else_its_dial(
    dial: str, room: str, recorded: bool
) -> None:
    host = await asked(f"<Dial {dial}><Conference {room}>Sales</Conference></Dial>")
    (plan,) = host.met
    assert isinstance(plan, ConferencePlan)
    assert plan.record is recorded


async def test_a_queue_as_the_document_wants_it() -> None:
    host = await asked(
        '<Dial timeout="9" timelimit="60" record="on"><Queue url="/hi" method="get">help desk'
        "</Queue></Dial>"
    )
    assert host.met == [
        QueuePlan("helpdesk", "http://app.example.test/hi", "GET", 9.0, 60.0, record=True)
    ]


@pytest.mark.parametrize("inside", ["{}", "<Dial>{}</Dial>"])
async def test_enqueue_and_then_the_next_verb(inside: str) -> None:
    verb = '<Enqueue waitUrl="/m" waitMethod="GET">support</Enqueue>'
    host = await asked(inside.format(verb) + "<Say>next</Say>")
    assert host.met == [EnqueuePlan("support", "http://app.example.test/m", "GET")]
    assert [text for text, _, _ in host.spoken] == ["next"]


@pytest.mark.parametrize(
    ("verb", "end", "told"),
    [
        (
            "<Conference>Sales</Conference>",
            DialEnd("completed", duration_s=7, recording_url="http://r", conference_sid="CF1"),
            [
                ("DialCallStatus", "completed"),
                ("DialCallSid", ""),
                ("DialCallDuration", "7"),
                ("RecordingUrl", "http://r"),
                ("ConferenceSid", "CF1"),
            ],
        ),
        (
            "<Queue>support</Queue>",
            DialEnd("no-answer", queue_sid="QU1"),
            [
                ("DialCallStatus", "no-answer"),
                ("DialCallSid", ""),
                ("DialCallDuration", "0"),
                ("QueueSid", "QU1"),
            ],
        ),
    ],
)
async def test_what_the_action_is_told(verb: str, end: DialEnd, told: object) -> None:
    host = await asked(f'<Dial action="/after.php">{verb}</Dial><Say>never</Say>', end)
    assert host.fetched[1:] == [(AFTER, "POST", tuple(told))]  # type: ignore[arg-type]
    assert [text for text, _, _ in host.spoken] == ["after"]
