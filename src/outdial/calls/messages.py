"""Short messages that calls send: kept before they leave, sent once, told of afterwards.

A message costs money as a call does, so it passes the same gate of destinations and is sent at most
once: that it is `sending` is on the disk before it leaves, and one that is found so after a crash
may have gone and has failed. One that is still `queued` then is sent. What became of it and the
status callback that tells of it are one transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Protocol

from outdial import ids, log
from outdial.calls.gateway import NAME, Gateway
from outdial.calls.journal import Journal, Timeline
from outdial.calls.key_checks import check_caller_of, check_destination_of
from outdial.calls.numbers import for_trunk, normalise
from outdial.calls.peers import Lease
from outdial.calls.quota import Quota
from outdial.calls.routes import Routes
from outdial.calls.tasks import Tasks
from outdial.clock import Clock
from outdial.config import Sms
from outdial.didml.run.host import SmsEnd, SmsPlan
from outdial.errors import Refused, StoreUnavailable
from outdial.key_rules import KeyBook
from outdial.messages import MessagePlane, MessageResult, MessageTarget
from outdial.store.records import CallRecord, Change, DeliveryRecord, EventRecord, MessageRecord
from outdial.webhooks.payloads import message_params

MOST_WAITING = 10_000
"""Messages that are not sent yet; more are refused."""
MOST_AT_ONCE = 64
STORE_RETRY_S = 1.0
STORE_WAIT_S = 1.0
"""How long a verb waits until its message is on the disk; it is sent once it is."""
LAST_ANSWERS_S = 5.0
"""How long those that are being sent may take when the server is stopped."""

EVENT = "sms"
"""What the callback of a message is listed as."""
_PLACE = 2
"""Of the callback among those of one event: see ids.of_delivery."""
_INTERRUPTED = (
    "Outdial was stopped while it was being sent: it may have arrived, and is not sent again"
)

_log = log.get("messages")


class MessageStore(Protocol):
    """The part of the store that messages are taken up from."""

    async def flush(self) -> None: ...

    async def unfinished_messages(self) -> list[MessageRecord]: ...


class Messages:
    """Sends the messages of all calls: through the gateway, else over the trunks."""

    def __init__(
        self,
        settings: Sms,
        *,
        store: MessageStore,
        journal: Journal,
        routes: Routes,
        plane: MessagePlane | None,
        gateway: Gateway | None,
        clock: Clock,
        check_destination: Callable[[str, str], None],
        lease: Lease | None = None,
        keys: KeyBook | None = None,
    ) -> None:
        self._settings = settings
        self._keys = keys or KeyBook()
        self._store = store
        self._journal = journal
        self._routes = routes
        self._plane = plane
        self._gateway = gateway
        self._clock = clock
        self._check_destination = check_destination
        self._lease = lease
        self._tasks = Tasks()
        self._held: set[str] = set()
        """Those whose end is not on the disk yet."""
        self._sending: set[asyncio.Task[object] | None] = set()
        self._lanes = _Lanes()
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._pace = Quota(settings.messages_per_second, 0, clock.monotonic())
        self._paced = asyncio.Lock()
        self._stopping = False
        self.tally: Counter[str] = Counter()
        """Messages that came to their end since the start: sent, failed."""

    @property
    def waiting(self) -> int:
        """Messages that have not come to their end."""
        return len(self._held)

    # ------------------------------------------------------------------ what calls ask

    async def send(
        self, call: CallRecord, timeline: Timeline, plan: SmsPlan, before: int, wait_s: float
    ) -> SmsEnd:
        """See `didml.run.host.Host.send_text`. `before`: how many the call has asked for."""
        to, sender, problem = self._addresses(call, plan)
        problem = problem or self._too_much(before, plan)
        data = {"to": to}
        asked = timeline.event("message.queued", data)
        message = MessageRecord(
            sid=ids.of_message(call.sid, asked.seq),
            call_sid=call.sid,
            from_number=sender,
            to_number=to,
            body=plan.text.encode("utf-8", "replace").decode(),
            state="queued",
            created_at=asked.at,
            status_callback=plan.status_callback,
            status_callback_method=plan.status_callback_method,
        )
        data["message"] = message.sid
        self._held.add(message.sid)
        if problem:
            self._end(message, MessageResult(0, problem, local=True), asked)
        else:
            kept = self._keep(message, asked)
            sending = self._start(message, kept)
            await asyncio.wait((kept,), timeout=STORE_WAIT_S)
            if wait_s > 0:
                await asyncio.wait((sending,), timeout=wait_s)
        return SmsEnd(message.sid, message.state, message.error)

    def _addresses(self, call: CallRecord, plan: SmsPlan) -> tuple[str, str, str]:
        """To, from, and what is wrong with them, if anything is.

        Without the attributes a text goes to who is on the line with us, from our number there:
        in spec 4.15 that is a call towards us.
        """
        ours, theirs = call.from_number, call.to_number
        if call.direction == "inbound":
            ours, theirs = theirs, ours
        to, sender = plan.to or theirs, plan.from_ or ours
        try:
            to = normalise(to, "to")
            sender = normalise(sender, "from")
            self._check_destination(to, "to")
            rules = self._keys.of(call.key_name)
            check_destination_of(rules, to, "to")
            check_caller_of(rules, sender, "from")
        except Refused as refused:
            return to, sender, refused.message
        return to, sender, ""

    def _too_much(self, before: int, plan: SmsPlan) -> str:
        settings = self._settings
        if len(plan.text) > settings.max_characters:
            return (
                f"the text has {len(plan.text)} characters; the setting sms.max_characters "
                f"allows {settings.max_characters}"
            )
        if before >= settings.messages_per_call:
            return f"the setting sms.messages_per_call allows {settings.messages_per_call}"
        if self.waiting >= MOST_WAITING or self._stopping:
            return "too many messages wait already" if not self._stopping else "Outdial is stopping"
        return ""

    def _keep(self, message: MessageRecord, asked: EventRecord) -> asyncio.Future[None]:
        """Done once it is on the disk; that may take as long as the store is away."""
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        change = Change(message.call_sid, events=(asked,), messages=(replace(message),))

        def keep() -> None:
            if not kept.done():
                kept.set_result(None)

        self._journal.write(change, keep)
        return kept

    # ------------------------------------------------------------------ the process's life

    async def take_up(self) -> None:
        """Deals with what an earlier process, or another node, left. Raises StoreUnavailable."""
        await self._store.flush()
        for message in await self._store.unfinished_messages():
            if message.sid in self._held:
                continue
            self._held.add(message.sid)
            if message.state == "queued":
                self._start(message)
            else:
                self._end(message, MessageResult(0, _INTERRUPTED, local=True))

    async def stop(self) -> None:
        """Those that wait stay queued, for the next start; the others may get their answers."""
        self._stopping = True
        for task in self._tasks.running():
            if task not in self._sending:
                task.cancel()
        await self._tasks.wait(LAST_ANSWERS_S)

    # ------------------------------------------------------------------ sending

    def _start(
        self, message: MessageRecord, kept: asyncio.Future[None] | None = None
    ) -> asyncio.Task[None]:
        return self._tasks.start(self._run(message, kept), f"message {message.sid}")

    async def _run(self, message: MessageRecord, kept: asyncio.Future[None] | None) -> None:
        if kept is not None:
            await kept
        async with self._lanes.turn(message.to_number), self._places:
            await self._await_pace()
            task = asyncio.current_task()
            self._sending.add(task)
            try:
                if await self._begin(message):
                    await self._await_lease()
                    self._end(message, await self._transmit(message))
            finally:
                self._sending.discard(task)

    async def _await_pace(self) -> None:
        async with self._paced:
            now = self._clock.monotonic()
            await asyncio.sleep(max(0.0, self._pace.ready_at(now) - now))
            self._pace.take(self._clock.monotonic())
            self._pace.give_back()

    async def _begin(self, message: MessageRecord) -> bool:
        """Makes it durable that it is being sent, before it is; False when it is too old."""
        while self._clock.now() - message.created_at <= self._settings.expire_s:
            message.state = "sending"
            try:
                await self._journal.durable(Change(message.call_sid, messages=(replace(message),)))
            except StoreUnavailable as error:
                message.state = "queued"
                _log.warning("message.waits_for_store", message=message.sid, error=str(error))
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return True
        late = f"it could not be sent within {self._settings.expire_s:g} s (sms.expire_s)"
        self._end(message, MessageResult(0, late, local=True))
        return False

    async def _await_lease(self) -> None:
        """This process may have been stopped since the commit, and the message another node's."""
        lease = self._lease
        while lease is not None and not lease.holds_lease:
            try:
                await lease.confirm()
            except StoreUnavailable:
                await asyncio.sleep(STORE_RETRY_S)
            else:
                return

    async def _transmit(self, message: MessageRecord) -> MessageResult:
        if self._gateway is not None:
            message.via = NAME
            return await self._gateway.send(message)
        result = MessageResult(0, f"no trunk takes {message.to_number}", local=True)
        plane = self._plane
        if plane is None:
            return result
        for trunk in self._routes.to(message.to_number):
            message.via = trunk.name
            target = MessageTarget(
                message.sid,
                trunk.name,
                for_trunk(message.to_number, trunk.number_format),
                for_trunk(message.from_number, trunk.number_format),
                message.body,
            )
            result = await plane.send(target)
            if not result.not_taken:
                break
        return result

    # ------------------------------------------------------------------ the end

    def _end(
        self, message: MessageRecord, result: MessageResult, asked: EventRecord | None = None
    ) -> None:
        """What became of it, its event and its callback are written together. `asked` is the event
        of one that was never queued."""
        now = self._clock.now()
        message.state = "sent" if result.is_taken else "failed"
        message.ended_at = now
        message.status = None if result.local else result.status
        message.error = "" if result.is_taken else result.reason or f"refused ({result.status})"
        self.tally[message.state] += 1
        events = () if asked is None else (asked,)
        told = self._tell(message, result)
        events = events if told is None else (*events, told)
        deliveries = () if not message.status_callback else (_delivery(message, now),)
        change = Change(message.call_sid, {}, events, deliveries, messages=(message,))
        self._journal.write(change, lambda: self._held.discard(message.sid))

    def _tell(self, message: MessageRecord, result: MessageResult) -> EventRecord | None:
        """The event of the end, for the transaction; of a call that is over it is noted apart."""
        timeline = self._journal.timeline(message.call_sid)
        data: dict[str, str | int] = {"message": message.sid, "via": message.via}
        if message.status is not None:
            data["status"] = message.status
        if message.state == "sent":
            data["parts"] = result.parts
        else:
            data["problem"] = message.error
        if timeline is None:
            self._journal.note_late(message.call_sid, f"message.{message.state}", data)
            return None
        if message.state == "sent":
            return timeline.event("message.sent", data)
        return timeline.event("message.failed", data)


def _delivery(message: MessageRecord, now: float) -> DeliveryRecord:
    seq = int(message.sid[-8:], 16)
    delivery_id = ids.of_delivery(message.call_sid, seq, _PLACE)
    return DeliveryRecord(
        id=delivery_id,
        call_sid=message.call_sid,
        lane=f"{message.sid} {message.status_callback}",
        position=0,
        event=EVENT,
        url=message.status_callback,
        method=message.status_callback_method,
        params=message_params(message, at=now),
        created_at=now,
        next_at=now,
        # Not that of the event: a status callback to the same receiver may have that one.
        event_id=delivery_id,
    )


class _Lanes:
    """One message at a time to a number (RFC 3428 section 8), in the order they were asked for."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @contextlib.asynccontextmanager
    async def turn(self, number: str) -> AsyncIterator[None]:
        """Waits until all before are done."""
        lock, users = self._locks.get(number, (asyncio.Lock(), 0))
        self._locks[number] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[number]
            if users > 1:
                self._locks[number] = (lock, users - 1)
            else:
                del self._locks[number]
