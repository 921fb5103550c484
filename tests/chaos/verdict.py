"""What was promised against what happened. Pure: everything it judges is given to it."""

from __future__ import annotations

import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chaos.carrier import Taken
from chaos.ledger import Call
from chaos.nodes import Kill
from chaos.poster import Post
from chaos.sink import Arrival

RECOVERED_WITHIN_S = 10.0
"""After a restart every earlier call is over."""
_TOLD = {
    "dialling": "initiated",
    "ringing": "ringing",
    "answered": "answered",
    "completed": "completed",
}
_EXAMPLES = 5


@dataclass
class Verdict:
    """Figures, and the faults by kind with examples."""

    figures: dict[str, str] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    """Every kind that was looked for; an empty list is what was promised."""

    @property
    def broken(self) -> dict[str, list[str]]:
        """The kinds that were found."""
        return {kind: found for kind, found in self.faults.items() if found}

    def rows(self) -> list[tuple[str, str]]:
        """All of it, a line each."""
        counted = [(kind, f"{len(found):,}") for kind, found in self.faults.items()]
        return [*self.figures.items(), *counted]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        lines = [f"{name:<{width}}  {value}" for name, value in self.rows()]
        for kind, found in self.broken.items():
            lines.append(f"\n{kind}:")
            lines += [f"  {example}" for example in found[:_EXAMPLES]]
        return "\n".join(lines)


@dataclass(frozen=True)
class Evidence:
    """What everybody saw."""

    posts: Sequence[Post]
    calls: Mapping[str, Call]
    taken: Sequence[Taken]
    arrivals: Mapping[str, Sequence[Arrival]]
    kills: Sequence[Kill]
    nodes: int = 1
    complaints: Sequence[str] = ()
    """Of the carrier: requests that did not fit."""


def judge(evidence: Evidence) -> Verdict:
    """Everything is over: what of it was not as promised."""
    verdict = Verdict(_figures(evidence), {})
    faults = verdict.faults
    faults["acknowledged posts lost"] = _lost(evidence)
    faults["calls stored twice for one post"] = _stored_twice(evidence)
    faults["calls without exactly one terminal event"] = _without_end(evidence.calls)
    faults["numbers with a second INVITE"] = _second_invites(evidence.taken)
    faults["calls the carrier still rings"] = [
        f"{one.number} {one.call_id} since {one.at:.3f}" for one in evidence.taken if one.is_ringing
    ]
    faults["calls the carrier still bills"] = [
        f"{one.number} {one.call_id} answered {one.final_at:.3f} acked {one.acked_at:.3f}"
        for one in evidence.taken
        if one.is_up
    ]
    faults["answers never acknowledged, without a kill meanwhile"] = [
        f"{one.number} {one.call_id} answered {one.final_at:.3f}"
        for one in evidence.taken
        if one.answered and one.gave_up_at and not _away_during(evidence, one)
    ]
    faults["events never delivered"] = _missing(evidence)
    faults["events out of order"] = _out_of_order(evidence.arrivals)
    faults["events with more than one id"] = _changed_ids(evidence.arrivals)
    faults["calls not over 10 s after the restart"] = [
        f"{sid} {seconds:.2f} s"
        for sid, seconds in recovery_times(evidence)
        if seconds > RECOVERED_WITHIN_S
    ]
    faults["SIP requests that fit no call"] = list(evidence.complaints)
    return verdict


def percentile(values: Iterable[float], share: float) -> float:
    """0 when there are none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def recovery_times(evidence: Evidence) -> list[tuple[str, float]]:
    """Seconds from the start of the next process to the end of each call that a kill found dialled.

    With several nodes only those that say so: the others may have been on a node that lived.
    """
    kills = sorted(_of_control(evidence.kills), key=lambda kill: kill.at)
    moments = [kill.at for kill in kills]
    times = []
    for call in evidence.calls.values():
        if call.dialled_at is None or call.over_at is None:
            continue
        if evidence.nodes > 1 and call.cause != "server-restart":
            continue
        first = bisect.bisect_right(moments, call.dialled_at)
        if first < len(moments) and moments[first] < call.over_at:
            times.append((call.sid, call.over_at - kills[first].started_at))
    return times


def release_times(evidence: Evidence) -> list[float]:
    """Seconds from the start of the next process to the BYE of each call that was up at a kill."""
    kills = sorted(_of_control(evidence.kills), key=lambda kill: kill.at)
    moments = [kill.at for kill in kills]
    times = []
    for one in evidence.taken:
        if not one.answered or not one.ended_at or one.ended_by != "outdial":
            continue
        first = bisect.bisect_right(moments, one.final_at)
        if first < len(moments) and kills[first].started_at < one.ended_at:
            times.append(one.ended_at - kills[first].started_at)
    return times


def found_by_kills(evidence: Evidence) -> Counter[str]:
    """How many calls were in which state when the control process was killed."""
    moments = sorted(kill.at for kill in _of_control(evidence.kills))
    found: Counter[str] = Counter()
    for call in evidence.calls.values():
        over_at = call.over_at or float("inf")
        for moment in moments[bisect.bisect(moments, call.created_at) :]:
            if moment >= over_at:
                break
            found[next((s for s, at in reversed(call.states) if at < moment), "queued")] += 1
    return found


def _away_during(evidence: Evidence, one: Taken) -> bool:
    """Whether a server was down at some time while the carrier repeated its answer."""
    return any(
        kill.at <= one.gave_up_at and kill.ready_at >= one.final_at
        for kill in _of_control(evidence.kills)
    )


def _of_control(kills: Sequence[Kill]) -> list[Kill]:
    return [kill for kill in kills if kill.kind != "worker"]


def _figures(evidence: Evidence) -> dict[str, str]:
    outcomes = Counter(post.outcome for post in evidence.posts)
    kinds = Counter(kill.kind for kill in evidence.kills)
    attempts = sum(map(len, evidence.arrivals.values()))
    told = sum(len({a.sequence for a in arrivals}) for arrivals in evidence.arrivals.values())
    refused = sum(n for outcome, n in outcomes.items() if outcome.startswith("refused"))
    recovered = [seconds for _, seconds in recovery_times(evidence)]
    released = release_times(evidence)
    away = [kill.ready_at - kill.at for kill in _of_control(evidence.kills)]
    found = found_by_kills(evidence)
    return {
        "kills": f"{len(evidence.kills)} ({_listed(kinds)})",
        "posts acknowledged": f"{outcomes['acknowledged']:,}",
        "of those repeated because no answer came": (
            f"{sum(p.attempts > 1 and p.outcome == 'acknowledged' for p in evidence.posts):,}"
        ),
        "posts refused, unanswered, without connection": (
            f"{refused:,}, {outcomes['unanswered']:,}, {outcomes['not sent']:,}"
        ),
        "calls found by the kills": _listed(found),
        "INVITEs, answered": (
            f"{len(evidence.taken):,}, {sum(one.answered for one in evidence.taken):,}"
        ),
        "answers that the carrier gave up": (
            f"{sum(one.answered and one.gave_up_at > 0 for one in evidence.taken):,}"
        ),
        "calls ended by a crash": (
            f"{sum(call.cause == 'server-restart' for call in evidence.calls.values()):,}"
        ),
        "events told, attempts": f"{told:,}, {attempts:,}",
        "away after a kill: p50, max": f"{_spread(away)}",
        "restart to the end of earlier calls: p50, max": _spread(recovered),
        "restart to BYE: p50, max": _spread(released),
    }


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in sorted(counts.items())) or "none"


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    return f"{percentile(seconds, 0.5):.2f} s, {max(seconds):.2f} s of {len(seconds):,}"


def _lost(evidence: Evidence) -> list[str]:
    lost = []
    for post in evidence.posts:
        if post.outcome != "acknowledged":
            continue
        call = evidence.calls.get(post.sid)
        if call is None:
            lost.append(f"{post.sid} to {post.number} is not stored")
        elif call.to_number != post.number:
            lost.append(f"{post.sid} was to call {post.number}, not {call.to_number}")
    return lost


def _stored_twice(evidence: Evidence) -> list[str]:
    stored: defaultdict[str, list[str]] = defaultdict(list)
    for call in evidence.calls.values():
        stored[call.to_number].append(call.sid)
    return [f"{number}: {', '.join(sids)}" for number, sids in stored.items() if len(sids) > 1]


def _without_end(calls: Mapping[str, Call]) -> list[str]:
    return [
        f"{call.sid} {call.state}: {[state for state, _ in call.states]}"
        for call in calls.values()
        if call.state != "completed"
        or not call.outcome
        or [state for state, _ in call.states].count("completed") != 1
        or call.states[-1][0] != "completed"
    ]


def _second_invites(taken: Sequence[Taken]) -> list[str]:
    calls: defaultdict[str, list[Taken]] = defaultdict(list)
    for one in taken:
        calls[one.number].append(one)
    return [
        f"{number}: " + ", ".join(f"{one.call_id} at {one.at:.3f}" for one in several)
        for number, several in calls.items()
        if len(several) > 1
    ]


def _missing(evidence: Evidence) -> list[str]:
    """What stands on the timeline and was subscribed to, and the receiver has not taken."""
    wanted = {post.number: post.events for post in evidence.posts}
    wanted |= {post.from_: post.events for post in evidence.posts}
    missing = []
    for call in evidence.calls.values():
        taken = {a.event for a in evidence.arrivals.get(call.sid, ()) if a.answer == "ok"}
        due = [_TOLD[state] for state, _ in call.states if state in _TOLD]
        for event in due:
            if event in wanted.get(call.to_number, ()) and event not in taken:
                rows = [row for row in call.deliveries if row[0] == event]
                missing.append(f"{call.sid} {event}: {rows or 'no callback was made'}")
    return missing


def _out_of_order(arrivals: Mapping[str, Sequence[Arrival]]) -> list[str]:
    """A first attempt behind that of a later event, or before an earlier one was taken."""
    wrong = []
    for sid, attempts in arrivals.items():
        tried: set[int] = set()
        taken: set[int] = set()
        for attempt in attempts:
            new = attempt.sequence not in tried
            overtaken = any(other > attempt.sequence for other in tried)
            if new and (overtaken or tried - taken):
                story = [(a.event, a.sequence, a.answer) for a in attempts]
                wrong.append(f"{sid}: {story}")
                break
            tried.add(attempt.sequence)
            if attempt.answer == "ok":
                taken.add(attempt.sequence)
    return wrong


def _changed_ids(arrivals: Mapping[str, Sequence[Arrival]]) -> list[str]:
    wrong = []
    for sid, attempts in arrivals.items():
        ids: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        for attempt in attempts:
            ids[attempt.event, attempt.sequence].add(attempt.event_id)
        wrong += [f"{sid} {event}: {found}" for (event, _), found in ids.items() if len(found) > 1]
    return wrong
