"""Queues: who waits, which agents want one of them, and the conversation of two.

The first caller in is the first out, and goes to the agent who asked first. Like conferences they
live in this process alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from outdial import ids
from outdial.calls.digits import forward_to
from outdial.didml.run.host import DialEnd, Gone, Params, QueuePlan
from outdial.errors import MediaUnavailable
from outdial.legs import MediaEvent, Room

if TYPE_CHECKING:
    from outdial.calls.leg import CallLeg
    from outdial.calls.recording import Recording
    from outdial.calls.services import Services

MOST_REMEMBERED = 1000
"""Empty queues are shown, with their names, until there are so many."""

Hold = Callable[[Callable[[], Params]], Coroutine[Any, Any, None]]
"""What one who waits hears, until it is cancelled; it is given what its requests are to say."""
Announce = Callable[["Conversation"], Awaitable[None]]
"""What the caller hears before the two are connected."""


class Waiting:
    """A caller in a queue."""

    def __init__(self, leg: CallLeg, since: float) -> None:
        self.leg = leg
        self.since = since
        """Wall time."""
        self.is_gone = False
        self.taken: asyncio.Future[Conversation] = _future()


class Conversation:
    """An agent and the caller whom it took."""

    def __init__(
        self, services: Services, queue_sid: str, agent: CallLeg, caller: CallLeg, plan: QueuePlan
    ) -> None:
        self.queue_sid = queue_sid
        self.agent = agent
        self.caller = caller
        self.plan = plan
        self.connected: asyncio.Future[None] = _future()
        self.over: asyncio.Future[str] = _future()
        """Who ended it."""
        self.began_at = 0.0
        """Wall time of the connection."""
        self.recording: Recording | None = None
        self._services = services
        self._room: Room | None = None

    def connect(self) -> None:
        """Audio both ways from here on."""
        agent, caller = self.agent, self.caller
        if self.over.done() or agent.is_over or caller.is_over:
            return
        for leg, other in ((agent, caller), (caller, agent)):
            leg.media.stop_playing()
            leg.on_digit = forward_to(other, of=leg)
            leg.note("bridged", leg=other.sid)
        try:
            self._join()
        except MediaUnavailable as error:
            agent.note("warning", text=f"not connected: {error}")
            self.end("no-media")
            return
        if self.plan.record:
            self.recording = caller.recordings.conversation(caller.media)
        self.began_at = self._services.clock.now()
        self.connected.set_result(None)

    def _join(self) -> None:
        """Bridges the two; legs that live on different workers meet in a room. MediaUnavailable."""
        agent, caller = self.agent.media, self.caller.media
        try:
            agent.bridge(caller)
        except MediaUnavailable:
            self._room = self._services.media.room(self.caller.sid, _ignore)
            agent.join(self._room)
            caller.join(self._room)

    def end(self, by: str) -> None:
        """It is over. Idempotent."""
        if self.over.done():
            return
        self.over.set_result(by)
        if self.recording is not None:
            self.recording.stop()
        if self._room is not None:
            self._room.close()
        elif self.connected.done() and not self.agent.is_over:
            self.agent.media.unbridge()

    async def end_of_dial(self) -> DialEnd:
        """What the agent's Dial came to, once it is over."""
        seconds = round(self._services.clock.now() - self.began_at)
        recording_url = ""
        if self.recording is not None and not (await self.recording.end()).error:
            await self.recording.keep()
            recording_url = self.recording.url
        return DialEnd(
            "completed", self.caller.sid, seconds, recording_url, queue_sid=self.queue_sid
        )


class Queue:
    """One queue."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sid = ids.QUEUE + hashlib.sha256(name.encode()).hexdigest()[:32]
        """The same after every start."""
        self._callers: deque[Waiting] = deque()
        self._agents: deque[asyncio.Future[Waiting]] = deque()

    @property
    def callers(self) -> list[Waiting]:
        """Those who wait, the first in front."""
        return list(self._callers)

    @property
    def agents(self) -> int:
        """How many wait for a caller."""
        return len(self._agents)

    def add(self, waiting: Waiting, *, first: bool = False) -> None:
        """At the end, or as the `first` again; at once to an agent who waits."""
        while self._agents:
            agent = self._agents.popleft()
            if not agent.done():
                agent.set_result(waiting)
                return
        if first:
            self._callers.appendleft(waiting)
        else:
            self._callers.append(waiting)

    def told(self, waiting: Waiting, now: float) -> Params:
        """What one who waits is told of that."""
        place = self._callers.index(waiting) + 1 if waiting in self._callers else 0
        return (
            ("QueueSid", self.sid),
            ("QueuePosition", str(place)),
            ("QueueTime", str(round(max(0.0, now - waiting.since)))),
            ("CurrentQueueSize", str(len(self._callers))),
        )

    def remove(self, waiting: Waiting) -> None:
        """The caller waits no longer."""
        waiting.is_gone = True
        if waiting in self._callers:
            self._callers.remove(waiting)

    async def take(self) -> Waiting:
        """The first caller; cancelled, nobody is lost."""
        while True:
            if self._callers:
                return self._callers.popleft()
            agent: asyncio.Future[Waiting] = _future()
            self._agents.append(agent)
            try:
                waiting = await agent
            except asyncio.CancelledError:
                if agent in self._agents:
                    self._agents.remove(agent)
                elif agent.done() and not agent.cancelled() and not agent.result().is_gone:
                    self.add(agent.result(), first=True)
                raise
            if not waiting.is_gone:
                return waiting


class Queues:
    """All queues of this process."""

    def __init__(self) -> None:
        self._by_name: dict[str, Queue] = {}

    def __iter__(self) -> Iterator[Queue]:
        """Those there are and were, by name."""
        return iter([self._by_name[name] for name in sorted(self._by_name)])

    def find(self, name_or_sid: str) -> Queue | None:
        """The one of that name or id."""
        queue = self._by_name.get(name_or_sid)
        if queue is None and ids.is_sid(name_or_sid, ids.QUEUE):
            queue = next((one for one in self if one.sid == name_or_sid), None)
        return queue

    def _named(self, name: str) -> Queue:
        if name not in self._by_name:
            if len(self._by_name) >= MOST_REMEMBERED:
                used = [q for q in self._by_name.values() if q.callers or q.agents]
                self._by_name = {queue.name: queue for queue in used}
            self._by_name[name] = Queue(name)
        return self._by_name[name]

    async def wait(
        self, services: Services, leg: CallLeg, name: str, hold: Hold, announce: Announce
    ) -> None:
        """Waits until an agent takes the caller, and through their conversation."""
        queue = self._named(name)
        waiting = Waiting(leg, services.clock.now())
        queue.add(waiting)
        leg.note("queue.entered", queue=queue.sid, name=name, waiting=len(queue.callers))
        while True:
            conversation = await _taken(queue, waiting, hold, services.clock.now)
            leg.note(
                "queue.left",
                queue=queue.sid,
                agent=conversation.agent.sid,
                seconds=round(services.clock.now() - waiting.since, 1),
            )
            try:
                await _until(announce(conversation), conversation.over)
                conversation.connect()
                if conversation.connected.done():
                    await asyncio.shield(conversation.over)
                    return
            finally:
                conversation.end("caller")
            # The agent was gone before they could speak.
            waiting.taken = _future()
            queue.add(waiting, first=True)

    async def take(self, services: Services, leg: CallLeg, plan: QueuePlan) -> DialEnd:
        """Takes the first caller, and returns after the conversation or when nobody came."""
        queue = self._named(plan.name)
        leg.media.tone(f"ringback:{services.settings.media.country}")
        try:
            conversation = await _first_to_speak(services, leg, plan, queue)
        except asyncio.CancelledError:
            if plan.gone is not None and leg.is_over:
                plan.gone(DialEnd("canceled", queue_sid=queue.sid))
            raise
        if conversation is None:
            leg.media.stop_playing()
            return DialEnd("no-answer", queue_sid=queue.sid)
        try:
            async with asyncio.timeout(plan.time_limit_s):
                await asyncio.shield(conversation.over)
        except TimeoutError:
            conversation.end("time-limit")
        except asyncio.CancelledError:
            if plan.gone is not None and leg.is_over:
                telling = _tell_gone(conversation, plan.gone)
                services.tasks.start(telling, f"end of dial {leg.sid}")
            raise
        finally:
            conversation.end("agent")
        return await conversation.end_of_dial()


async def _tell_gone(conversation: Conversation, gone: Gone) -> None:
    gone(await conversation.end_of_dial())


async def _taken(
    queue: Queue, waiting: Waiting, hold: Hold, now: Callable[[], float]
) -> Conversation:
    """On hold until an agent takes the caller."""
    holding = asyncio.ensure_future(hold(lambda: queue.told(waiting, now())))
    try:
        return await asyncio.shield(waiting.taken)
    except asyncio.CancelledError:
        queue.remove(waiting)
        if waiting.taken.done():
            waiting.taken.result().end("caller")
        raise
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        if not waiting.leg.is_over:
            waiting.leg.media.stop_playing()


async def _first_to_speak(
    services: Services, leg: CallLeg, plan: QueuePlan, queue: Queue
) -> Conversation | None:
    """The conversation with the first caller who does not hang up before; None: nobody came."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + plan.timeout_s
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                waiting = await queue.take()
        except TimeoutError:
            return None
        if waiting.is_gone:
            continue
        conversation = Conversation(services, queue.sid, leg, waiting.leg, plan)
        waiting.taken.set_result(conversation)
        try:
            await asyncio.wait(
                (conversation.connected, conversation.over), return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            conversation.end("agent")
            raise
        if conversation.connected.done():
            return conversation


async def _until(work: Awaitable[None], over: asyncio.Future[str]) -> None:
    """Runs the work to its end, or until the conversation is over."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, over), return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _ignore(event: MediaEvent) -> None:
    """The room of two has nothing to say that its legs do not."""
