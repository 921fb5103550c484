"""Commands on calls that go on: carried out here, or by the node that has the call.

Commands on one call are carried out one after the other, in the order in which they came. Each is
on the disk, with who asked, before anything is done: when the record is away it is refused and
nothing has changed. Hanging up alone waits for nothing and nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from outdial import ids, log
from outdial.calls import codes, commands
from outdial.calls.commands import Command, HangUp, Mute, Record, Redirect, SendDigits
from outdial.calls.leg import CallLeg
from outdial.calls.peers import Peers
from outdial.calls.services import Services
from outdial.calls.states import State
from outdial.calls.storing import store_in_time
from outdial.didml.run.outcome import DocumentRequest
from outdial.errors import MediaUnavailable, Refused, StoreConflict, StoreUnavailable
from outdial.legs import Ending, Outcome, Source
from outdial.store.records import CallRecord, Change
from outdial.store.store import Store

MOST_DIGITS_WAITING = 8
"""Commands whose digits are still being sent to one far end."""
NOTED_S = 1.0
"""How long the answer to a hang-up may wait for the record."""

_BY_API = Ending(
    Outcome.COMPLETED, "normal-clearing", Source.CALLER, detail="hung up through the API"
)
_CANCELLED_BY_API = Ending(
    Outcome.CANCELED, "originator-cancel", Source.CALLER, detail="cancelled through the API"
)

_log = log.get("control")


class Control:
    """`withdraw` takes a call out of the queue; whether it waited there."""

    def __init__(
        self,
        services: Services,
        store: Store,
        legs: Mapping[str, CallLeg],
        withdraw: Callable[[str], object | None],
        peers: Peers | None,
    ) -> None:
        self._services = services
        self._store = store
        self._legs = legs
        self._withdraw = withdraw
        self._peers = peers

    # ------------------------------------------------------------------ hanging up

    async def hang_up(self, sid: str, by: str = "") -> bool:
        """See CallService."""
        leg = self._legs.get(sid)
        if leg is None:
            call = await self._known(sid)
            return call.ended_at is None and await self._hang_up_elsewhere(call, by)
        if leg.is_over:
            return False
        if leg.state is State.QUEUED:
            return await self._take_out(leg, by)
        if leg.ending is None:
            noted = self._note_hang_up(leg, by)
            leg.hang_up(_BY_API if leg.state is State.ANSWERED else _CANCELLED_BY_API)
            await asyncio.wait((noted,), timeout=NOTED_S)
        return True

    def _note_hang_up(self, leg: CallLeg, by: str) -> asyncio.Future[None]:
        """Done when it is on the disk; a record that is away gets it later."""
        noted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        event = leg.timeline.event("command", {"command": HangUp.kind, "by": by})
        change = Change(leg.sid, events=(event,))
        self._services.journal.write(change, lambda: noted.set_result(None))
        return noted

    async def _take_out(self, leg: CallLeg, by: str) -> bool:
        """Cancels a call that waits: unless another node has taken it at this moment."""
        self._withdraw(leg.sid)
        event = leg.timeline.event("command", {"command": HangUp.kind, "by": by})
        still_here = {"state": State.QUEUED.text, "node": leg.call.node}
        change = Change(leg.sid, {"state": State.QUEUED.text}, (event,), only_if=still_here)
        try:
            await self._services.journal.durable(change)
        except StoreConflict:
            if leg.state is State.QUEUED:
                leg.forget()
            else:  # it is being dialled, by this node
                self._services.journal.write(Change(leg.sid, events=(event,)))
        except StoreUnavailable as error:
            _log.warning("hang-up not noted", call=leg.sid, error=str(error))
        leg.hang_up(_CANCELLED_BY_API)
        if self._peers is None:
            return True
        await self._store.flush()
        call = await self._known(leg.sid)
        if call.ended_at is None and call.node != self._store.node:
            return await self._hang_up_elsewhere(call, by)
        return True

    async def _hang_up_elsewhere(self, call: CallRecord, by: str) -> bool:
        """Tells the node that holds the call; False: it is over."""
        answer = await self._ask_holder(call, HangUp(), by)
        return answer is None or bool(answer.get("live", True))

    # ------------------------------------------------------------------ everything else

    async def command(self, sid: str, command: Command, by: str) -> bool:
        """See CallService."""
        leg = self._legs.get(sid)
        if leg is not None:
            await self._one_after_the_other(leg, command, by)
            return True
        call = await self._known(sid)
        if call.ended_at is not None:
            raise _ended(call.outcome, call.cause, call.detail)
        return await self._ask_holder(call, command, by) is not None

    async def _one_after_the_other(self, leg: CallLeg, command: Command, by: str) -> None:
        if leg.one_at_a_time is None:
            leg.one_at_a_time = asyncio.Lock()
        async with leg.one_at_a_time:
            check(leg, command)
            if _is_so(leg, command):
                return
            recording = ""
            told = {"command": command.kind, "by": by, **command.told()}
            if command == Record("start"):
                told["recording"] = recording = ids.new(ids.RECORDING)
            fields = {"recording_sid": recording} if recording else {}
            event = leg.timeline.event("command", told)
            change = Change(leg.sid, fields, (event,))
            storing = self._services.journal.durable(change)
            await store_in_time(storing, lambda stored: _too_late(leg, stored))
            try:
                check(leg, command)
            except Refused as refused:
                if leg.ending is None:
                    leg.note("warning", text=f"the command was not carried out: {refused.message}")
                raise
            self._carry_out(leg, command, recording)

    def _carry_out(self, leg: CallLeg, command: Command, recording: str) -> None:
        """Nothing is waited for: what it leads to happens in the order of the commands."""
        match command:
            case Redirect():
                request = DocumentRequest(
                    command.url or str(leg.call.request.get("url") or ""),
                    command.method,
                    document=command.document,
                    fallback_url=command.fallback_url,
                )
                if leg.on_redirect is not None:
                    leg.on_redirect(request)
            case SendDigits():
                leg.send_digits(command.digits)
            case Mute():
                leg.mute(command.muted)
            case Record():
                self._record(leg, command, recording)

    def _record(self, leg: CallLeg, command: Record, sid: str) -> None:
        recordings = leg.recordings
        if command.action == "start":
            leg.call.recording_sid = recordings.whole(leg.media, sid).sid
            return
        recording = recordings.of_everything
        if recording is None:
            return
        if command.action == "stop":
            recording.stop()
            self._services.tasks.start(recording.keep_in_the_end(), f"keep {recording.sid}")
        else:
            recording.pause(command.action == "pause")

    # ------------------------------------------------------------------ between nodes

    async def obey(self, sid: str, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        """What another node asks; what to answer it."""
        by = str(data.get("by", ""))
        try:
            command = commands.from_json(kind, data)
            if isinstance(command, HangUp):
                return {"live": await self.hang_up(sid, by)}
            await self.command(sid, command, by)
        except Refused as refused:
            return {
                "status": refused.status,
                "code": refused.code,
                "message": refused.message,
                "field": refused.field,
                "retry_after_s": refused.retry_after_s,
            }
        except StoreUnavailable as error:
            return {
                "status": 503,
                "code": codes.STORE_AWAY,
                "message": f"the record cannot be written: {error}",
                "retry_after_s": 2,
            }
        except ValueError as error:
            _log.error("node.unknown_command", kind=kind, call=sid, error=str(error))
        return {}

    async def _ask_holder(
        self, call: CallRecord, command: Command, by: str
    ) -> Mapping[str, Any] | None:
        """What the node that holds the call answers; None: nothing yet, but it has been told.

        Raises Refused, also with what that node refuses.
        """
        peers = self._peers
        if not call.node and peers is not None:
            problem = f"{call.sid} is on its way from one server to another"
            raise Refused(503, codes.DRAINING, problem, retry_after_s=1)
        if peers is None or call.node == self._store.node:
            problem = f"{call.sid} is just being taken or let go of here; ask again"
            raise Refused(503, codes.DRAINING, problem, retry_after_s=1)
        data = {**commands.to_json(command), "by": by}
        answer = await peers.ask(call.node, call.sid, command.kind, data)
        if answer is not None and "status" in answer:
            raise Refused(
                int(answer["status"]),
                int(answer["code"]),
                str(answer["message"]),
                field=str(answer.get("field") or ""),
                retry_after_s=answer.get("retry_after_s"),
            )
        return answer

    async def _known(self, sid: str) -> CallRecord:
        """Raises Refused (404)."""
        call = await self._store.call(sid)
        if call is None:
            raise Refused(404, codes.UNKNOWN_CALL, f"there is no call {sid}", field="sid")
        return call


def check(leg: CallLeg, command: Command) -> None:
    """Whether the command can be carried out now. Raises Refused (409)."""
    if leg.ending is not None:
        raise _ended(leg.ending.outcome.text, leg.ending.cause, leg.ending.detail)
    if isinstance(command, Redirect):
        if leg.call.parent_sid != leg.sid:
            problem = f"the call is a leg of {leg.call.parent_sid}: redirect that one"
            raise Refused(409, codes.SECOND_LEG, problem, field="sid")
        if leg.on_redirect is None:
            raise _not_yet(leg)
        return
    if leg.state is not State.ANSWERED:
        raise _not_yet(leg)
    try:
        leg.media  # noqa: B018
    except MediaUnavailable:
        raise _not_yet(leg) from None
    if isinstance(command, SendDigits) and leg.digits_waiting >= MOST_DIGITS_WAITING:
        problem = f"the digits of {leg.digits_waiting} commands are still being sent; ask again"
        raise Refused(409, codes.STILL_SENDING, problem, field="send_digits")
    if isinstance(command, Record):
        _check_recording(leg, command)


def _check_recording(leg: CallLeg, command: Record) -> None:
    recording = leg.recordings.of_everything
    goes_on = recording is not None and recording.goes_on
    if command.action != "start" and not goes_on:
        problem = "the call is not being recorded"
        raise Refused(409, codes.NOT_RECORDED, problem, field="recording")
    if command.action == "start" and recording is not None and goes_on:
        problem = f"the call is being recorded already, as {recording.sid}"
        raise Refused(409, codes.RECORDED, problem, field="recording")
    if command.action == "start" and leg.recordings.is_full:
        problem = "the call has as many recordings as one may have"
        raise Refused(409, codes.RECORDED, problem, field="recording")


def _is_so(leg: CallLeg, command: Command) -> bool:
    """Whether there is nothing to be done, because it was asked for before."""
    if isinstance(command, Mute):
        return leg.is_muted == command.muted
    recording = leg.recordings.of_everything
    if isinstance(command, Record) and recording is not None:
        wanted = {"pause": True, "resume": False}.get(command.action)
        return wanted is not None and recording.is_paused == wanted
    return False


def _ended(outcome: str | None, cause: str | None, detail: str | None) -> Refused:
    how = ", ".join(word for word in (outcome, cause) if word)
    why = f" ({detail})" if detail else ""
    return Refused(409, codes.CALL_ENDED, f"the call has ended: {how}{why}", field="sid")


def _not_yet(leg: CallLeg) -> Refused:
    state = leg.state.text
    if leg.state is State.ANSWERED:
        problem = f"the call is {state}, but cannot take this yet; ask again"
    else:
        problem = f"the call is {state}; until it is answered it can only be hung up"
    return Refused(409, codes.NOT_ANSWERED, problem, field="sid")


def _too_late(leg: CallLeg, stored: bool) -> None:
    """The command has been refused, because the record was slow, and is on the timeline now."""
    if stored and not leg.is_over:
        leg.note("warning", text="the command before came to the record too late: not carried out")
