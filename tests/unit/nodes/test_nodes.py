"""Nodes on a real database: leases by its clock, takeover, fences, claims and commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from doubles.records import a_call, a_delivery, an_event
from outdial.cli import doctor
from outdial.clock import SystemClock
from outdial.config import Settings
from outdial.errors import StoreUnavailable
from outdial.nodes.member import Member
from outdial.nodes.metrics import NodeGauges
from outdial.nodes.name import node_name
from outdial.store import postgresql
from outdial.store.nodes import NodeLink, QueuedCall, listed, new_id
from outdial.store.records import Change
from outdial.store.store import Store

LEASE_S = 1.0


class FakeCalls:
    """A registry that remembers."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.taken_up: list[set[str]] = []
        self.gone: list[str] = []
        self.obeyed: list[tuple[str, str]] = []
        self.answer: Mapping[str, Any] = {}

    def choose(self, waiting: Sequence[QueuedCall]) -> list[str]:
        return [call.sid for call in waiting[: self.room]]

    async def take_up(self, claimed: Collection[str]) -> None:
        self.taken_up.append(set(claimed))

    def let_go(self, sids: Collection[str] | None = None) -> None:
        self.gone += ["everything"] if sids is None else sids

    async def obey(self, call_sid: str, kind: str, data: Mapping[str, Any]) -> Mapping[str, Any]:
        self.obeyed.append((call_sid, kind))
        return {**self.answer, "by": data["by"]}


class FakeCallbacks:
    def __init__(self) -> None:
        self.times = 0

    def take_up(self) -> None:
        self.times += 1


class Node:
    """A store, its member, and what it serves."""

    def __init__(self, store: Store, url: str) -> None:
        self.store = store
        self.url = url
        self.calls = FakeCalls()
        self.callbacks = FakeCallbacks()
        self.taken = 0
        self.member: Member

    def on_taken(self) -> None:
        self.taken += 1

    async def freeze(self) -> None:
        """As SIGSTOP does: it renews nothing, and knows nothing of it."""
        task = self.member._task
        assert task is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


Join = Callable[[str], Awaitable[Node]]


@pytest.fixture
async def join(new_database: Callable[[], str]) -> AsyncIterator[Join]:
    url = new_database()
    nodes: list[Node] = []

    async def joined(name: str) -> Node:
        node = Node(await Store.open(url, SystemClock()), url)
        nodes.append(node)
        node.member = await Member.join(node.store, url, name, LEASE_S, node.on_taken)
        node.member.serve(node.calls, node.callbacks)
        return node

    yield joined
    for node in nodes:
        await node.member.leave()
        await node.store.close()


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_calls_and_callbacks_are_the_nodes_that_wrote_them(join: Join) -> None:
    one, two = await join("one"), await join("two")
    mine, yours = a_call(), a_call()
    await one.store.create_call(mine, deliveries=[a_delivery(mine.sid, 0)])
    await two.store.create_call(yours)
    found = await one.store.call(yours.sid)
    assert found is not None and found.node == two.member.id
    assert [call.sid for call in await one.store.unfinished_calls()] == [mine.sid]
    assert [call.sid for call in await two.store.unfinished_calls()] == [yours.sid]
    assert len((await one.store.pending_deliveries(9))[0]) == 1
    assert (await two.store.pending_deliveries(9))[0] == []


async def test_a_lease_that_is_not_renewed_is_taken_by_one_and_the_other_cannot_write(
    join: Join,
) -> None:
    one, two, three = await join("one"), await join("two"), await join("three")
    call = a_call()
    await one.store.create_call(call, deliveries=[a_delivery(call.sid, 0)])
    await one.freeze()
    await until(lambda: two.member.takeovers + three.member.takeovers == 1)
    winner = two if two.member.takeovers else three
    await until(lambda: winner.calls.taken_up and winner.callbacks.times)
    assert [one.sid for one in await winner.store.unfinished_calls()] == [call.sid]
    assert len((await winner.store.pending_deliveries(9))[0]) == 1
    change = Change(call.sid, {"state": "dialling"}, (an_event(call.sid, 0),))
    with pytest.raises(StoreUnavailable, match="taken over"):
        await one.store.commit(change)
    assert one.taken == 1
    await winner.store.commit(change)
    assert not one.member.holds_lease
    assert two.taken == three.taken == 0


async def test_a_frozen_node_that_wakes_learns_it_at_its_next_renewal(join: Join) -> None:
    one, two = await join("one"), await join("two")
    await one.freeze()
    await until(lambda: two.member.takeovers)
    one.member._task = asyncio.ensure_future(one.member._run())
    await until(lambda: one.taken)


async def test_takeover_waits_for_a_transaction_that_is_being_written(join: Join) -> None:
    one, two = await join("one"), await join("two")
    call = a_call()
    await one.store.create_call(call)
    other = await postgresql.connect(one.url)
    begun = other.transaction()
    await begun.start()
    await other.fetch("SELECT 1 FROM nodes WHERE id = $1 FOR SHARE", one.member.id)
    await one.freeze()
    await asyncio.sleep(2.2 * LEASE_S)  # the database ends the transaction after 3 s
    assert two.member.takeovers == 0
    await begun.commit()
    await other.close()
    await until(lambda: two.member.takeovers == 1)


async def test_a_restart_under_the_same_name_has_everything_at_once(join: Join) -> None:
    one = await join("one")
    call = a_call()
    await one.store.create_call(call, deliveries=[a_delivery(call.sid, 0)])
    again = await join("one")
    assert [one.sid for one in await again.store.unfinished_calls()] == [call.sid]
    assert len((await again.store.pending_deliveries(9))[0]) == 1
    with pytest.raises(StoreUnavailable, match="taken over"):
        await one.store.create_call(a_call())
    assert [node.name for node in await listed(one.url)] == ["one"]


async def test_waiting_calls_are_claimed_by_who_has_room(join: Join) -> None:
    one, two = await join("one"), await join("two")
    waiting = [a_call(at=float(n)) for n in range(4)]
    for call in waiting:
        await one.store.create_call(call)
    await one.store.commit(Change(waiting[0].sid, {"state": "dialling"}))
    two.calls.room = 2
    one.member.calls_wait()
    expected = {waiting[1].sid, waiting[2].sid}
    await until(lambda: two.calls.taken_up)
    assert two.calls.taken_up[0] == expected
    await until(lambda: set(one.calls.gone) == expected)
    two.calls.room = 0
    assert {call.sid for call in await two.store.unfinished_calls()} == expected
    begin = Change(
        waiting[1].sid,
        {"state": "dialling"},
        only_if={"state": "queued", "node": one.member.id},
    )
    with pytest.raises(Exception, match="no longer"):
        await one.store.commit(begin)
    assert two.member.claimed == 2


async def test_a_call_that_is_just_being_dialled_is_not_claimed(join: Join) -> None:
    one, two = await join("one"), await join("two")
    call = a_call()
    await one.store.create_call(call)
    other = await postgresql.connect(one.url)
    begun = other.transaction()
    await begun.start()
    await other.execute("UPDATE calls SET state = 'dialling' WHERE sid = $1", call.sid)
    link = await NodeLink.open(one.url, two.member.id)
    assert [waits.sid for waits in await link.queued_elsewhere(9)] == [call.sid]
    assert await link.claim([call.sid]) == []
    await begun.commit()
    await other.close()
    await link.close()


async def test_a_node_that_retires_lets_go_of_its_queue_and_takes_nothing(join: Join) -> None:
    one, two = await join("one"), await join("two")
    call = a_call()
    await one.store.create_call(call)
    two.calls.room = 1
    await one.member.retire()
    assert one.calls.gone[0] == "everything"  # the other may have taken the call already
    await until(lambda: two.calls.taken_up == [{call.sid}])
    one.calls.room = 9
    await two.store.create_call(a_call())
    two.member.calls_wait()
    await asyncio.sleep(0.6)
    assert one.calls.taken_up == []


async def test_what_a_node_leaves_is_taken_at_once(join: Join) -> None:
    one, two = await join("one"), await join("two")
    await until(lambda: two.member._steady_since is not None)
    await asyncio.sleep(LEASE_S)
    await one.store.create_call(a_call(), deliveries=[a_delivery("CA1", 0)])
    await one.member.leave()
    await until(lambda: two.callbacks.times, LEASE_S)
    assert len((await two.store.pending_deliveries(9))[0]) == 1
    assert one.taken == 0


async def test_commands_reach_the_node_they_are_for(join: Join) -> None:
    one, two, three = await join("one"), await join("two"), await join("three")
    two.calls.answer = {"live": True}
    answer = await one.member.ask(two.member.id, "CA1", "hang-up", {"by": "ops"})
    assert answer == {"live": True, "by": "ops"}
    assert two.calls.obeyed == [("CA1", "hang-up")]
    assert (one.calls.obeyed, three.calls.obeyed) == ([], [])
    await asyncio.sleep(LEASE_S)
    assert len(two.calls.obeyed) == 1


async def test_right_after_trouble_nobody_is_taken_over(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await join("one"), await join("two")
    await asyncio.sleep(LEASE_S * 1.5)
    away = True

    async def refused(url: str) -> object:
        if away:
            raise ConnectionRefusedError("away")
        return await connect(url)

    connect = postgresql.connect
    monkeypatch.setattr(postgresql, "connect", refused)
    for node in (one, two):
        link = node.member._link
        assert link is not None
        await link.close()
    await asyncio.sleep(LEASE_S * 2)
    assert not one.member.holds_lease
    away = False
    await until(lambda: one.member.holds_lease and two.member.holds_lease)
    await asyncio.sleep(LEASE_S * 2)
    assert one.member.takeovers == two.member.takeovers == 0
    assert one.taken == two.taken == 0


async def test_the_nodes_are_listed_and_counted(join: Join) -> None:
    one = await join("one")
    two = await join("two")
    found = await listed(one.url)
    assert [(node.id, node.name) for node in found] == [
        (one.member.id, "one"),
        (two.member.id, "two"),
    ]
    assert all(0 < node.lease_left_s <= LEASE_S for node in found)
    metrics = {metric.name: metric for metric in NodeGauges(one.member).collect()}
    assert metrics["outdial_node_lease_held"].samples[0].value == 1
    assert len(metrics) == 3


async def test_a_link_to_nowhere_says_so() -> None:
    with pytest.raises(StoreUnavailable):
        await NodeLink.open("postgresql://u@127.0.0.1:1/db", new_id())
    with pytest.raises(StoreUnavailable):
        await listed("postgresql://u@127.0.0.1:1/db")


def test_a_node_is_called_as_the_setting_says_or_by_where_it_is() -> None:
    settings = Settings.model_validate({"node": {"name": "voice-1"}})
    assert node_name(settings) == "voice-1"
    assert node_name(Settings()).endswith(" 127.0.0.1:8080")
    anywhere = Settings.model_validate({"http": {"listen": "127.0.0.1:0"}})
    assert "process" in node_name(anywhere)


async def test_the_doctor_says_who_is_on_the_database(join: Join) -> None:
    one = await join("voice-1")
    settings = Settings.model_validate({"store": {"url": one.url}, "node": {"name": "voice-2"}})
    found = {finding.check: finding async for finding in doctor.examine_store(settings)}
    assert found["store"].ok
    assert found["store"].detail == "PostgreSQL can be written"
    assert found["nodes"].detail == (
        "voice-1: holds its lease; voice-2, which is this one, is not running"
    )
