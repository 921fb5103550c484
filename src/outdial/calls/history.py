"""What a leg writes of itself: each step to another state with its event and its callback."""

from __future__ import annotations

from typing import Any

from outdial.calls.callbacks import Subscription
from outdial.calls.journal import Timeline
from outdial.calls.postcall import Postcall
from outdial.calls.recording import Recordings
from outdial.calls.states import ENTERED_AT, STATUS_EVENT, Event, State, following
from outdial.clock import Clock
from outdial.legs import Ending, MediaStats
from outdial.media.core.quality import score
from outdial.store.records import CallRecord, Change


class History:
    """Of one leg. Its record and state are changed when the change is made, not when written."""

    __slots__ = ("_call", "_clock", "_sequence_number", "_subscription", "_timeline", "state")

    def __init__(
        self,
        call: CallRecord,
        timeline: Timeline,
        subscription: Subscription | None,
        clock: Clock,
    ) -> None:
        self._call = call
        self._timeline = timeline
        self._subscription = subscription
        self._clock = clock
        self.state = State(call.state)
        self._sequence_number = sum(
            getattr(call, column) is not None for column in ENTERED_AT.values()
        )

    def step(
        self,
        event: Event,
        data: dict[str, Any],
        fields: dict[str, Any],
        recordings: Recordings | None = None,
    ) -> Change:
        """Moves to the next state; the change to be written, with those fields of the call.

        `recordings` are stored and told of with it.
        """
        now = self._clock.now()
        call = self._call
        # a call leaves the queue once, on whichever node
        waits = self.state is State.QUEUED
        only_if = {"state": State.QUEUED.text, "node": call.node} if waits else {}
        self.state = following(self.state, event)
        call.state = self.state.text
        column = ENTERED_AT[self.state]
        reached_at = getattr(call, column) or now
        setattr(call, column, reached_at)
        fields = {**fields, "state": call.state, column: reached_at, "trunk": call.trunk}
        recorded = recordings.told if recordings is not None else None
        recording_url = recorded.url if recorded is not None else ""
        recording_error = recordings.error if recordings is not None else ""
        status = STATUS_EVENT[self.state]
        told = self._timeline.event(f"state.{call.state}", data)
        deliveries = []
        if self._subscription is not None:
            deliveries.append(
                self._subscription.delivery(
                    call,
                    status,
                    self._sequence_number,
                    now,
                    told.seq,
                    recording_url,
                    recording_error,
                )
            )
        if self.state is State.COMPLETED and (postcall := Postcall.of(call)) is not None:
            deliveries.append(
                postcall.delivery(call, now, told.seq, recording_url, recording_error)
            )
        self._sequence_number += 1
        return Change(
            call.sid,
            fields,
            (told,),
            tuple(delivery for delivery in deliveries if delivery is not None),
            recordings.to_store() if recordings is not None else (),
            only_if,
        )

    def end(
        self,
        ending: Ending,
        stats: MediaStats,
        recordings: Recordings,
        codec: str,
    ) -> Change:
        """The step to completed, for that reason: nothing is left for another process to end."""
        call, told = self._call, recordings.told
        call.dialog = None
        call.recording_sid = told.sid if told is not None else None
        call.outcome = ending.outcome.text
        call.sip_code = ending.sip_code
        call.cause = ending.cause
        call.hangup_source = ending.source.text
        call.detail = ending.detail
        heard = {**stats.to_json(), "codec": codec, "mos": score(stats, codec)}
        call.media = heard if call.answered_at is not None else None
        data = {
            "outcome": call.outcome,
            "cause": call.cause,
            "source": call.hangup_source,
            "sip_code": call.sip_code,
            "detail": call.detail,
        }
        fields = {
            "outcome": call.outcome,
            "sip_code": call.sip_code,
            "cause": call.cause,
            "hangup_source": call.hangup_source,
            "detail": call.detail,
            "media": call.media,
            "dialog": None,
            "recording_sid": call.recording_sid,
        }
        return self.step(Event.END, data, fields, recordings)
