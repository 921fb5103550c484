"""This server among those that share its database.

It holds a lease, takes over what nodes have whose lease has run out, takes queued calls when it has
room, and passes commands about a call to the node that holds it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from outdial import log
from outdial.errors import StoreUnavailable
from outdial.store.nodes import Command, NodeLink, QueuedCall, new_id
from outdial.store.store import Store

_RETRY_S = 0.5
_ANNOUNCE_EVERY_S = 0.25
"""Calls that begin to wait within are announced together."""
_LOOK_EVERY_S = 0.25
"""How often a node looks for room while calls wait elsewhere."""
_MOST_CLAIMED = 50
_LEAVE_S = 2.0
_ANSWER_S = 3.0
"""How long another node may take to obey a command, before whoever asked is told to wait."""
_JOIN_S = 5.0
"""How long joining may be tried; the database ends an abandoned transaction after 3 s."""

_log = log.get("nodes")


class Calls(Protocol):
    """What a node needs of the registry."""

    def choose(self, waiting: Sequence[QueuedCall]) -> list[str]:
        """Those that it would start at once, were they to come."""

    async def take_up(self, claimed: Collection[str]) -> None:
        """Looks for calls that have become this node's: `claimed` out of another node's queue, the
        others left behind by a node that is gone. Raises StoreUnavailable."""

    def let_go(self, sids: Collection[str] | None = None) -> None:
        """Those of the queued calls have become another node's; None: all."""

    async def obey(self, call_sid: str, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """What another node asks; what to answer it."""


class Callbacks(Protocol):
    """What a node needs of the deliverer."""

    def take_up(self) -> None:
        """Looks for callbacks that have become this node's."""


class Member:
    """Made by `join`; `serve` when calls are taken, `retire` and `leave` at the end.

    `on_taken` is called when another node has taken over what this one had: nothing can be written
    any more, and whatever goes on must stop at once.
    """

    def __init__(self, url: str, name: str, lease_s: float, on_taken: Callable[[], None]) -> None:
        self.id = new_id()
        self.name = name
        self.takeovers = 0
        """Nodes that this one has taken over."""
        self.claimed = 0
        """Queued calls that this one has taken from others."""
        self._store: Store
        self._url = url
        self._lease_s = lease_s
        self._on_taken = on_taken
        self._loop = asyncio.get_running_loop()
        self._link: NodeLink | None = None
        self._calls: Calls | None = None
        self._callbacks: Callbacks | None = None
        self._retiring = self._has_left = False
        self._wake = asyncio.Event()
        self._renewed_at = float("-inf")  # when the lease was last known to be held
        self._steady_since: float | None = None  # held without a gap; None: there is trouble
        self._inherited = False  # something has become this node's that is still to be looked at
        self._fresh: set[str] = set()  # which of that was waiting elsewhere
        self._others_wait = True
        self._asked: dict[str, asyncio.Future[Mapping[str, Any]]] = {}  # by token
        self._obeying: dict[int, asyncio.Task[None]] = {}  # by the command's number
        self._answers: list[Mapping[str, Any]] = []  # notices that are still to be sent
        self._to_announce = False
        self._announced_at = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @classmethod
    async def join(
        cls, store: Store, url: str, name: str, lease_s: float, on_taken: Callable[[], None]
    ) -> Member:
        """From now on the store writes for this node only. Raises StoreUnavailable."""
        member = cls(url, name, lease_s, on_taken)
        member._store = store
        superseded = await member._join_patiently()
        _log.info("node.joined", node=member.id, name=name, in_place_of=superseded)
        member._held()
        store.belongs_to(member.id, member._taken)
        member._task = member._loop.create_task(member._run())
        return member

    async def _join_patiently(self) -> list[str]:
        """An earlier process of this name may have been stopped in the middle of a transaction,
        which the database ends after a while."""
        deadline = self._loop.time() + _JOIN_S
        while True:
            try:
                link = await self._connected()
                return await link.join(self.name, self._lease_s)
            except StoreUnavailable:
                self._link = None
                if self._loop.time() > deadline:
                    raise
                await asyncio.sleep(_RETRY_S)

    def serve(self, calls: Calls, callbacks: Callbacks) -> None:
        """Everything is there: what other nodes leave behind may come."""
        self._calls, self._callbacks = calls, callbacks
        self._wake.set()

    async def retire(self) -> None:
        """Takes nothing more; the calls that wait here are for others to take."""
        self._retiring = True
        if self._calls is not None:
            self._calls.let_go()
        await self._say_goodbye(NodeLink.release)

    async def leave(self) -> None:
        """Gives up the lease: other nodes may take what is left at once."""
        self._has_left = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._say_goodbye(NodeLink.leave)
        if self._link is not None:
            await self._link.close()

    async def _say_goodbye(self, word: Callable[[NodeLink], Any]) -> None:
        """Over a connection of its own, because the other one may be in use or lost."""
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_LEAVE_S):
                link = await NodeLink.open(self._url, self.id)
                try:
                    await word(link)
                finally:
                    await link.close()

    # ------------------------------------------------------------------ what this server asks

    @property
    def holds_lease(self) -> bool:
        """Whether no other node can have taken over, as far as this one can know."""
        return self._loop.time() - self._renewed_at < self._lease_s

    async def confirm(self) -> None:
        """Asks the database whether this node is still its own. Raises StoreUnavailable."""
        await self._store.flush()

    def calls_wait(self) -> None:
        """Calls were stored that there is no room for here: perhaps another node has some."""
        if not self._to_announce:
            self._to_announce = True
            due = self._announced_at + _ANNOUNCE_EVERY_S - self._loop.time()
            self._loop.call_later(max(0.0, due), self._wake.set)

    def has_room(self) -> None:
        """There is room, and nobody waits here."""
        if self._others_wait:
            self._wake.set()

    async def ask(
        self, node: str, call_sid: str, kind: str, data: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """A command about a call that the other node holds: what it answers. None: nothing within
        3 s, but the command is durable, and will be obeyed.

        Raises StoreUnavailable.
        """
        token = new_id()
        answered: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        self._asked[token] = answered
        try:
            link = await NodeLink.open(self._url, self.id)
            try:
                await link.send(node, call_sid, kind, {**data, "from": self.id, "token": token})
            finally:
                await link.close()
            await asyncio.wait((answered,), timeout=_ANSWER_S)
            return answered.result() if answered.done() else None
        finally:
            del self._asked[token]

    # ------------------------------------------------------------------ the node's life

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            nap_s = _LOOK_EVERY_S if self._others_wait else self._lease_s / 3
            try:
                await self._turn()
            except StoreUnavailable as problem:
                if self._steady_since is not None:
                    _log.warning("node.lease_in_doubt", node=self.id, reason=str(problem))
                self._steady_since = self._link = None
                nap_s = _RETRY_S
            except Exception:  # a defect must not cost the lease
                _log.exception("node.defect", node=self.id)
                nap_s = _RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(nap_s):
                    await self._wake.wait()

    async def _turn(self) -> None:
        link = await self._connected()
        if self._loop.time() - self._renewed_at >= self._lease_s / 4:
            if not await link.renew(self._lease_s):
                self._taken()
                return
            self._held()
            await self._take_over(link)
        if self._calls is None:
            return
        await self._obey(link, self._calls)
        if self._to_announce:
            self._to_announce = False
            self._announced_at = self._loop.time()
            await link.notify({"kind": "queue"})
        if not self._retiring:
            await self._claim(link, self._calls)
            await self._look_at_inheritance(self._calls)

    def _held(self) -> None:
        self._renewed_at = self._loop.time()
        if self._steady_since is None:
            self._steady_since = self._renewed_at

    async def _take_over(self, link: NodeLink) -> None:
        """Takes what nodes have whose lease has run out.

        Right after trouble with the database nobody has a lease any more: whoever comes back first
        must leave the others the time to come back too.
        """
        if self._calls is None or self._retiring or self._steady_since is None:
            return
        if self._loop.time() - self._steady_since < self._lease_s:
            return
        for name in await link.take_expired():
            self.takeovers += 1
            self._inherited = True
            _log.warning("node.takes_over", node=self.id, of=name)

    async def _claim(self, link: NodeLink, calls: Calls) -> None:
        """Takes calls that wait elsewhere, if they would be started at once."""
        if not self._others_wait:
            return
        waiting = await link.queued_elsewhere(_MOST_CLAIMED)
        self._others_wait = bool(waiting)
        chosen = calls.choose(waiting) if waiting else []
        if chosen:
            claimed = await link.claim(chosen)
            self.claimed += len(claimed)
            self._fresh.update(claimed)

    async def _look_at_inheritance(self, calls: Calls) -> None:
        if self._inherited and self._callbacks is not None:
            self._callbacks.take_up()
        if self._inherited or self._fresh:
            await calls.take_up(self._fresh)
            self._inherited = False
            self._fresh.clear()

    async def _obey(self, link: NodeLink, calls: Calls) -> None:
        """Each command once, in the order they were given. It is not waited for what comes of
        them: the lease goes on meanwhile."""
        commands = await link.commands()
        for command in commands:
            if command.number not in self._obeying:
                work = self._obey_one(calls, command)
                self._obeying[command.number] = self._loop.create_task(work)
        if commands:
            await link.done(commands)
        known = {command.number for command in commands}
        for number in [n for n, task in self._obeying.items() if task.done() and n not in known]:
            del self._obeying[number]
        answers, self._answers = self._answers, []
        for answer in answers:
            await link.notify(answer)

    async def _obey_one(self, calls: Calls, command: Command) -> None:
        data = command.data
        try:
            answer = await calls.obey(command.call_sid, command.kind, data)
        except Exception:  # the others must be obeyed all the same
            _log.exception("node.defect", node=self.id, command=command.kind)
            return
        if "token" in data:
            notice = {"kind": "answer", "to": data.get("from"), "token": data["token"]}
            self._answers.append({**notice, "answer": answer})
            self._wake.set()

    async def _connected(self) -> NodeLink:
        if self._link is None:
            self._link = await NodeLink.open(self._url, self.id, self._on_notice)
        return self._link

    def _on_notice(self, notice: Mapping[str, Any]) -> None:
        """Another node has something to say."""
        kind = notice.get("kind")
        if kind == "claimed":
            if self._calls is not None:
                self._calls.let_go(notice["sids"])
        elif kind == "answer":
            answered = self._asked.get(str(notice.get("token")))
            if notice.get("to") == self.id and answered is not None and not answered.done():
                answered.set_result(notice["answer"])
        elif kind == "command":
            if notice.get("to") == self.id:
                self._wake.set()
        else:
            self._others_wait = True
            self._wake.set()

    def _taken(self) -> None:
        """The database says that another node has taken over."""
        if self._has_left:
            return
        _log.error("node.taken_over", node=self.id, name=self.name)
        self._on_taken()
