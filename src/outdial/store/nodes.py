"""Several servers on one PostgreSQL database: leases, what passes from one to another, messages.

Everything that decides who has what is one transaction here, by the database's own clock. What a
node has is its own until its row in `nodes` says `taken_by`: see docs/design/nodes.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from outdial import ids, log
from outdial.errors import StoreUnavailable
from outdial.frozen import frozen
from outdial.store import postgresql
from outdial.store.postgresql import Connection

CHANNEL: Final = "outdial"
"""Where nodes tell each other that there is something to look at."""

_NOW = "extract(epoch FROM clock_timestamp())::float8"
_FORGET_AFTER_S = 86400.0
_MOST_IN_A_NOTICE = 200  # sids; a notice has at most 8000 bytes

_JOIN = f"INSERT INTO nodes VALUES ($1, $2, {_NOW}, {_NOW} + $3, '')"
_FORGET = f"DELETE FROM nodes WHERE taken_by <> '' AND lease_until < {_NOW} - {_FORGET_AFTER_S}"
_SUPERSEDE = (
    "UPDATE nodes SET taken_by = $1 WHERE name = $2 AND id <> $1 AND taken_by = '' RETURNING id"
)
_RENEW = (
    f"UPDATE nodes SET lease_until = {_NOW} + $2 WHERE id = $1 AND taken_by = '' RETURNING true"
)
_LEAVE = f"UPDATE nodes SET lease_until = {_NOW} WHERE id = $1 AND taken_by = ''"
_EXPIRED = f"SELECT id FROM nodes WHERE taken_by = '' AND lease_until < {_NOW} AND id <> $1"
_HOLD = "SELECT true FROM nodes WHERE id = $1 AND taken_by = '' FOR SHARE"
# One that is in the middle of a transaction is left alone until that has ended.
_TAKE = (
    "UPDATE nodes SET taken_by = $1 WHERE id = (SELECT id FROM nodes WHERE id = $2 "
    f"AND taken_by = '' AND lease_until < {_NOW} FOR NO KEY UPDATE SKIP LOCKED) RETURNING name"
)
_PASS_ON = (
    "UPDATE calls SET node = $1 WHERE ended_at IS NULL AND node = ANY($2::text[])",
    "UPDATE deliveries SET node = $1 WHERE state = 'pending' AND node = ANY($2::text[])",
    "UPDATE messages SET node = $1 WHERE ended_at IS NULL AND node = ANY($2::text[])",
    "UPDATE commands SET node = $1 WHERE node = ANY($2::text[])",
)
_QUEUED_ELSEWHERE = (
    "SELECT sid, key_name, to_number, request FROM calls WHERE ended_at IS NULL "
    "AND state = 'queued' AND node <> $1 AND parent_sid = sid ORDER BY created_at LIMIT $2"
)
# Whoever is about to dial one of them holds its row; that one is not waited for but left out.
_CLAIM = (
    "UPDATE calls SET node = $1 FROM (SELECT sid, node FROM calls WHERE sid = ANY($2::text[]) "
    "AND ended_at IS NULL AND state = 'queued' AND node <> $1 FOR UPDATE SKIP LOCKED) AS before "
    "WHERE calls.sid = before.sid RETURNING calls.sid, before.node"
)
_RELEASE = (
    "UPDATE calls SET node = '' WHERE ended_at IS NULL AND state = 'queued' AND node = $1 "
    "AND parent_sid = sid"
)
_SEND = (
    f"INSERT INTO commands (node, call_sid, kind, data, created_at) VALUES ($1, $2, $3, $4, {_NOW})"
)
_COMMANDS = "SELECT number, call_sid, kind, data FROM commands WHERE node = $1 ORDER BY number"
_DONE = "DELETE FROM commands WHERE number = ANY($1::bigint[])"
_NOTIFY = "SELECT pg_notify($1, $2)"
_LIST = (
    f"SELECT id, name, started_at, lease_until - {_NOW} FROM nodes "
    "WHERE taken_by = '' ORDER BY started_at"
)

_log = log.get("nodes")

Listener = Callable[[Mapping[str, Any]], None]


@frozen
class NodeRecord:
    """A server on the database, as far as the database knows."""

    id: str
    name: str
    started_at: float
    lease_left_s: float
    """Negative: it has run out, and any other node may take over."""


@frozen
class QueuedCall:
    """A call that waits with another node, and what decides whether it may start here."""

    sid: str
    key_name: str
    to_number: str
    trunk: str
    """The one that it asks for, "" for any."""


@frozen
class Command:
    """What another node asks about a call."""

    number: int
    call_sid: str
    kind: str
    """As `calls.commands` has it."""
    data: Mapping[str, Any]
    """What it needs, who asked, and whom to answer."""


class NodeLink:
    """One connection of one node. Every method raises StoreUnavailable, after which it is closed
    and another one must be opened."""

    def __init__(self, connection: Connection, node: str) -> None:
        self._connection = connection
        self.node = node

    @classmethod
    async def open(cls, url: str, node: str, on_notice: Listener | None = None) -> NodeLink:
        """`on_notice` is called with each notice of another node. Raises StoreUnavailable."""
        try:
            connection = await postgresql.connect(url)
        except postgresql.TROUBLE as problem:
            raise _unavailable(problem) from None
        link = cls(connection, node)

        def listen(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            notice = json.loads(payload)
            if on_notice is not None and notice.get("from") != node:
                on_notice(notice)

        if on_notice is not None:
            async with link._trouble():
                await connection.add_listener(CHANNEL, listen)
        return link

    async def close(self) -> None:
        """Idempotent."""
        await postgresql.close(self._connection)

    # ------------------------------------------------------------------ the lease

    async def join(self, name: str, lease_s: float) -> list[str]:
        """Makes the node, in place of those of its name; the ids of these.

        What they had is this one's when this returns, and none of them can write any more.
        """
        async with self._trouble(), self._connection.transaction():
            await self._connection.execute(_FORGET)
            await self._connection.execute(_JOIN, self.node, name, lease_s)
            rows = await self._connection.fetch(_SUPERSEDE, self.node, name)
            superseded = [row[0] for row in rows]
            # "": of a time when nobody shared the database
            await self._pass_on([*superseded, ""])
        return superseded

    async def renew(self, lease_s: float) -> bool:
        """Holds on to the lease; False when another node has taken this one over."""
        async with self._trouble():
            return await self._connection.fetchval(_RENEW, self.node, lease_s) is not None

    async def release(self) -> None:
        """Lets go of the calls that wait: whoever is free may take them."""
        async with self._trouble():
            await self._connection.execute(_RELEASE, self.node)
        await self.notify({"kind": "queue"})

    async def leave(self) -> None:
        """An orderly end: what is left may be taken at once."""
        async with self._trouble():
            await self._connection.execute(_LEAVE, self.node)
        await self.notify({"kind": "left"})

    async def take_expired(self) -> list[str]:
        """Takes over nodes whose lease has run out; the names of those that became this one's."""
        taken: list[str] = []
        async with self._trouble():
            for (victim,) in await self._connection.fetch(_EXPIRED, self.node):
                async with self._connection.transaction():
                    if await self._connection.fetchval(_HOLD, self.node) is None:
                        break
                    name = await self._connection.fetchval(_TAKE, self.node, victim)
                    if name is not None:
                        await self._pass_on([victim])
                        taken.append(name)
        return taken

    async def _pass_on(self, nodes: Sequence[str]) -> None:
        for statement in _PASS_ON:
            await self._connection.execute(statement, self.node, list(nodes))

    # ------------------------------------------------------------------ calls that wait

    async def queued_elsewhere(self, limit: int) -> list[QueuedCall]:
        """Calls that wait with other nodes or with none, oldest first."""
        async with self._trouble():
            rows = await self._connection.fetch(_QUEUED_ELSEWHERE, self.node, limit)
        return [
            QueuedCall(sid, key, number, str(json.loads(request).get("trunk") or ""))
            for sid, key, number, request in rows
        ]

    async def claim(self, sids: Sequence[str]) -> list[str]:
        """Takes those of the calls that still wait elsewhere; these nodes are told."""
        async with self._trouble():
            async with self._connection.transaction():
                if await self._connection.fetchval(_HOLD, self.node) is None:
                    return []
                rows = await self._connection.fetch(_CLAIM, self.node, list(sids))
            claimed = [row[0] for row in rows]
            if any(row[1] for row in rows):
                for start in range(0, len(claimed), _MOST_IN_A_NOTICE):
                    part = claimed[start : start + _MOST_IN_A_NOTICE]
                    await self.notify({"kind": "claimed", "sids": part})
            return claimed

    # ------------------------------------------------------------------ messages

    async def notify(self, notice: Mapping[str, Any]) -> None:
        """Tells all nodes that listen now."""
        text = json.dumps({**notice, "from": self.node})
        async with self._trouble():
            await self._connection.execute(_NOTIFY, CHANNEL, text)

    async def send(self, node: str, call_sid: str, kind: str, data: Mapping[str, Any]) -> None:
        """Leaves a command for the node; durable on return."""
        async with self._trouble():
            await self._connection.execute(_SEND, node, call_sid, kind, json.dumps(data))
        await self.notify({"kind": "command", "to": node})

    async def commands(self) -> list[Command]:
        """What other nodes ask of this one, oldest first, until it is `done`."""
        async with self._trouble():
            rows = await self._connection.fetch(_COMMANDS, self.node)
        return [Command(number, sid, kind, json.loads(data)) for number, sid, kind, data in rows]

    async def done(self, commands: Sequence[Command]) -> None:
        """They have been obeyed."""
        async with self._trouble():
            await self._connection.execute(_DONE, [command.number for command in commands])

    def _trouble(self) -> _Trouble:
        return _Trouble(self._connection)


class _Trouble:
    """Makes StoreUnavailable of what goes wrong with a connection, and closes it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if problem is None or isinstance(problem, StoreUnavailable):
            return
        self._connection.terminate()
        if isinstance(problem, postgresql.TROUBLE):
            raise _unavailable(problem) from None


async def listed(url: str) -> list[NodeRecord]:
    """The servers on the database, oldest first. Raises StoreUnavailable."""
    try:
        connection = await postgresql.connect(url)
        try:
            return [NodeRecord(*row) for row in await connection.fetch(_LIST)]
        finally:
            await postgresql.close(connection)
    except postgresql.TROUBLE as problem:
        raise _unavailable(problem) from None


def new_id() -> str:
    """An id for a node that joins."""
    return ids.new(ids.NODE)


def _unavailable(problem: Exception) -> StoreUnavailable:
    return StoreUnavailable(str(postgresql.told(problem)))
