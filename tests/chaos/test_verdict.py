"""The judge finds each kind of fault, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chaos import carrier
from chaos.__main__ import write
from chaos.carrier import Taken
from chaos.ledger import Call
from chaos.nodes import Kill
from chaos.poster import EVENTS, Post
from chaos.sink import Arrival
from chaos.verdict import (
    Evidence,
    Verdict,
    found_by_kills,
    judge,
    percentile,
    recovery_times,
    release_times,
)

NUMBER, FROM = "12022000000", "13032000000"
STATES = ("queued", "dialling", "ringing", "answered", "completed")


def taken(number: str = NUMBER, **changed: object) -> Taken:
    one = Taken(
        call_id="CA1-abc",
        number=number,
        at=101.0,
        script=carrier.SCRIPTS[0],
        cseq=1,
        branch="z9hG4bKa",
        from_="<sip:1@a>;tag=a",
        to="<sip:2@b>;tag=b",
        head="",
        target="sip:1@a",
        source=("127.0.0.1", 5060),
        audio_port=20000,
        final="200 OK",
        final_at=103.0,
        acked_at=103.1,
        ended_at=104.0,
        ended_by="outdial",
    )
    for name, value in changed.items():
        setattr(one, name, value)
    return one


def call(sid: str = "CA1", number: str = NUMBER) -> Call:
    return Call(
        *(sid, sid, FROM, number, "completed", 100.0, 101.0, 103.0, "completed", "normal-clearing"),
        states=[(state, 100.0 + place) for place, state in enumerate(STATES)],
        deliveries=[(event, "done", 1) for event in EVENTS],
    )


@dataclass
class Story:
    """One call that went as it should, for a test to spoil."""

    posts: list[Post] = field(
        default_factory=lambda: [Post(NUMBER, FROM, "say", EVENTS, 99.9, "acknowledged", "CA1")]
    )
    calls: dict[str, Call] = field(default_factory=lambda: {"CA1": call()})
    taken: list[Taken] = field(default_factory=lambda: [taken()])
    arrivals: dict[str, list[Arrival]] = field(
        default_factory=lambda: {
            "CA1": [
                Arrival(101.0 + place, event, place, f"id{place}", "ok")
                for place, event in enumerate(EVENTS)
            ]
        }
    )
    kills: list[Kill] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def verdict(self) -> Verdict:
        return judge(self.evidence())

    def evidence(self) -> Evidence:
        return Evidence(
            self.posts, self.calls, self.taken, self.arrivals, self.kills, 1, self.complaints
        )


def test_nothing_is_found_where_nothing_is() -> None:
    assert Story().verdict().broken == {}


def lose_the_call(story: Story) -> None:
    story.calls.clear()
    story.arrivals.clear()


def store_another_number(story: Story) -> None:
    story.calls["CA1"].to_number = "12029999999"


def store_it_twice(story: Story) -> None:
    story.calls["CA2"] = call("CA2")
    story.arrivals["CA2"] = story.arrivals["CA1"]


def never_end(story: Story) -> None:
    story.calls["CA1"].state = "answered"
    story.calls["CA1"].states.pop()


def end_twice(story: Story) -> None:
    story.calls["CA1"].states.append(("completed", 105.0))


def go_on_after_the_end(story: Story) -> None:
    story.calls["CA1"].states.append(("ringing", 105.0))


def invite_again(story: Story) -> None:
    story.taken.append(taken(call_id="CA1-def"))


def ring_on(story: Story) -> None:
    story.taken[0].final = ""


def bill_on(story: Story) -> None:
    story.taken[0].ended_at = 0.0


def never_acknowledge(story: Story) -> None:
    story.taken[0].acked_at = story.taken[0].ended_at = 0.0
    story.taken[0].gave_up_at = 135.0


def drop_an_event(story: Story) -> None:
    del story.arrivals["CA1"][1]


def refuse_an_event_for_ever(story: Story) -> None:
    attempt = story.arrivals["CA1"][3]
    story.arrivals["CA1"][3] = Arrival(attempt.at, attempt.event, 3, "id3", "500")


def make_no_callback(story: Story) -> None:
    drop_an_event(story)
    story.calls["CA1"].deliveries = []


def swap_events(story: Story) -> None:
    events = story.arrivals["CA1"]
    events[1], events[2] = events[2], events[1]


def overtake_a_failed_one(story: Story) -> None:
    events = story.arrivals["CA1"]
    failed = Arrival(101.9, "ringing", 1, "id1", "500")
    story.arrivals["CA1"] = [events[0], failed, events[2], events[1], events[3]]


def change_the_id(story: Story) -> None:
    story.arrivals["CA1"].append(Arrival(110.0, "completed", 3, "another", "ok"))


def recover_slowly(story: Story) -> None:
    story.kills.append(Kill("control", 0, 103.5, 103.6, 104.6))
    story.calls["CA1"].states[-1] = ("completed", 113.7)


def complain(story: Story) -> None:
    story.complaints.append("BYE on CA9")


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lose_the_call, "acknowledged posts lost"),
        (store_another_number, "acknowledged posts lost"),
        (store_it_twice, "calls stored twice for one post"),
        (never_end, "calls without exactly one terminal event"),
        (end_twice, "calls without exactly one terminal event"),
        (go_on_after_the_end, "calls without exactly one terminal event"),
        (invite_again, "numbers with a second INVITE"),
        (ring_on, "calls the carrier still rings"),
        (bill_on, "calls the carrier still bills"),
        (never_acknowledge, "answers never acknowledged, without a kill meanwhile"),
        (drop_an_event, "events never delivered"),
        (refuse_an_event_for_ever, "events never delivered"),
        (make_no_callback, "events never delivered"),
        (swap_events, "events out of order"),
        (overtake_a_failed_one, "events out of order"),
        (change_the_id, "events with more than one id"),
        (recover_slowly, "calls not over 10 s after the restart"),
        (complain, "SIP requests that fit no call"),
    ],
)
def test_each_fault_is_found(spoil: Callable[[Story], None], kind: str) -> None:
    story = Story()
    spoil(story)
    verdict = story.verdict()
    assert list(verdict.broken) == [kind]
    assert verdict.broken[kind][0] in str(verdict)


def test_what_is_allowed_is_no_fault() -> None:
    story = Story()
    again = story.arrivals["CA1"][3]
    story.arrivals["CA1"].append(again)  # its answer was lost in a crash
    story.arrivals["CA1"].insert(1, Arrival(101.9, "ringing", 1, "id1", "500"))
    story.posts.append(Post("12022000001", FROM, "say", EVENTS, 99.9, "unanswered"))
    never_acknowledge(story)
    story.kills.append(Kill("control", 0, 120.0, 120.1, 140.0))
    assert story.verdict().broken == {}


def test_only_what_was_asked_for_must_be_told() -> None:
    story = Story()
    story.posts[0].events = ("completed",)
    del story.arrivals["CA1"][:3]
    assert story.verdict().broken == {}


def test_times_count_from_the_first_restart_after_the_kill() -> None:
    story = Story()
    story.kills = [
        Kill("worker", 0, 103.2, 103.2, 103.4),
        Kill("control", 0, 103.5, 103.6, 103.8),
        Kill("control", 0, 103.85, 103.9, 104.1),
        Kill("control", 0, 200.0, 200.1, 200.2),
    ]
    ((_, recovered),) = recovery_times(story.evidence())
    (released,) = release_times(story.evidence())
    assert round(recovered, 3) == round(released, 3) == 0.4
    assert found_by_kills(story.evidence()) == {"answered": 2}


def test_a_call_that_was_queued_is_not_late_when_it_is_dialled_after_the_restart() -> None:
    story = Story()
    story.kills = [Kill("control", 0, 100.5, 100.6, 100.9)]
    assert recovery_times(story.evidence()) == []
    assert found_by_kills(story.evidence()) == {"queued": 1}


def test_percentiles() -> None:
    assert percentile([], 0.5) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 1.0) == 3.0


def test_figures_are_written_between_their_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- kill measured: begin -->\nold\n<!-- kill measured: end -->\n"
        "<!-- dial measured: begin -->\nold\n<!-- dial measured: end -->\n"
    )
    write(page, "kill", Story().verdict())
    text = page.read_text()
    assert "| acknowledged posts lost | 0 |\n" in text
    assert text.count("\nold\n") == 1
    write(page, "kill", Story().verdict())
    assert page.read_text() == text
    with pytest.raises(SystemExit, match="no place"):
        write(page, "stop", Story().verdict())
