"""The record, on every database: what was written is read, in order, and survives a kill."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from doubles.records import a_call, a_delivery, an_event
from outdial import ids
from outdial.clock import SystemClock
from outdial.errors import StoreConflict, StoreUnavailable
from outdial.legs import TracedMessage
from outdial.store.groups import Operation
from outdial.store.queries import Queries
from outdial.store.records import (
    CallFilter,
    CallRecord,
    Change,
    DeliveryFilter,
    IdempotencyRecord,
    KeyRecord,
    MessageRecord,
    RecordingRecord,
    Talked,
    Usage,
)
from outdial.store.statement import POSTGRESQL, SQLITE
from outdial.store.store import Store


async def test_several_may_open_a_new_database_at_once(url: str) -> None:
    stores = await asyncio.gather(*(Store.open(url, SystemClock()) for _ in range(4)))
    for store in stores:
        await store.create_call(a_call())
    assert len((await stores[0].calls()).calls) == 4
    for store in stores:
        await store.close()


async def test_opening_again_keeps_what_is_there(url: str) -> None:
    call = a_call()
    for expected in (None, call):
        store = await Store.open(url, SystemClock())
        assert await store.call(call.sid) == expected
        if expected is None:
            await store.create_call(call)
        await store.close()


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_every_statement_compiles_for_both_databases(dialect: object) -> None:
    queries = Queries(dialect)  # type: ignore[arg-type]
    everything = CallFilter("queued", "busy", "1", "2", "CA", "outbound", 1.0, 2.0)
    sql, values = queries.list_calls(everything, (3.0, "CA1"), 10)
    assert "ORDER BY calls.created_at DESC" in sql
    assert {"queued", "busy", 1.0, 3.0, "CA1"} <= set(values)
    assert queries.update_call(["state", "media"]).sql.startswith("UPDATE calls SET state=")
    with pytest.raises(KeyError):
        queries.update_call(["state; DROP TABLE calls"])


async def test_a_call_is_read_as_it_was_written(store: Store) -> None:
    call = a_call(
        caller_name="Zoë \ud800 \x00",
        trunk="a",
        dialled_at=1.5,
        sip_code=486,
        media={"jitter": 1.5},
    )
    call.caller_name = "Zoë"
    await store.create_call(call, [an_event(call.sid, 0, text="lone \ud800 surrogate, NUL \x00")])
    assert await store.call(call.sid) == call
    assert (await store.events(call.sid))[0].data == {"text": "lone \ud800 surrogate, NUL \x00"}
    assert await store.call(ids.new(ids.CALL)) is None


async def test_a_change_is_written_as_a_whole(store: Store) -> None:
    call = a_call()
    await store.create_call(call)
    delivery = a_delivery(call.sid, 0)
    await store.commit(
        Change(
            call.sid,
            {"state": "completed", "ended_at": 9.0, "media": {"packets_sent": 3}},
            (an_event(call.sid, 0), an_event(call.sid, 1)),
            (delivery,),
        )
    )
    expected = replace(call, state="completed", ended_at=9.0, media={"packets_sent": 3})
    assert await store.call(call.sid) == expected
    assert await store.events(call.sid) == [an_event(call.sid, 0), an_event(call.sid, 1)]
    assert await store.deliveries(call.sid) == [delivery]


async def test_a_recording_is_listed_with_the_change_that_tells_of_it(store: Store) -> None:
    call = a_call()
    await store.create_call(call)
    recording = RecordingRecord("RE1", call.sid, "RE1.wav", 1.0, 1500, 2, 48044)
    change = Change(call.sid, {"recording_sid": "RE1"}, recordings=(recording,))
    await store.commit(change)
    assert await store.recording("RE1") == recording


async def test_changes_of_one_call_are_applied_in_order(store: Store) -> None:
    """Also when a group holds the same statement for another call before them."""
    one, two = a_call(), a_call()
    await asyncio.gather(store.create_call(one), store.create_call(two))
    await asyncio.gather(
        store.commit(Change(two.sid, {"state": "answered", "answered_at": 1.0})),
        store.commit(Change(one.sid, {"state": "ringing", "ringing_at": 2.0})),
        store.commit(Change(one.sid, {"state": "answered", "answered_at": 3.0})),
    )
    found = await store.call(one.sid)
    assert found is not None
    assert (found.state, found.ringing_at, found.answered_at) == ("answered", 2.0, 3.0)


async def test_operations_that_come_together_share_a_transaction(store: Store) -> None:
    before = store._writer.transactions
    calls = [a_call(at=float(i)) for i in range(100)]
    await asyncio.gather(*(store.create_call(c, [an_event(c.sid, 0)]) for c in calls))
    assert store._writer.transactions == before + 1
    assert [c.sid for c in (await store.calls(limit=100)).calls] == [c.sid for c in calls[::-1]]
    assert len(await store.events(calls[50].sid)) == 1


async def test_more_than_a_group_holds_is_written_in_several(store: Store) -> None:
    call = a_call()
    await store.create_call(call)
    changes = [Change(call.sid, events=(an_event(call.sid, i),)) for i in range(1300)]
    await asyncio.gather(*(store.commit(change) for change in changes))
    assert [e.seq for e in await store.events(call.sid, limit=2000)] == list(range(1300))


async def test_notes_are_there_after_a_flush_and_after_closing(url: str) -> None:
    store = await Store.open(url, SystemClock())
    messages = [
        TracedMessage(1.5, True, "127.0.0.1:5060", "udp", b"INVITE sip:1@x SIP/2.0\r\n\xff\x00"),
        TracedMessage(2.5, False, "127.0.0.1:5060", "udp", b"", "127.0.0.1:5070"),
        TracedMessage(3.5, False, "127.0.0.1:5060", "udp", b"SIP/2.0 200 OK\r\n\r\n"),
    ]
    store.save_ladder("CA1", messages[:1])
    store.save_ladder("CA1", messages)
    store.note(an_event("CA1", 0))
    await store.flush()
    assert await store.ladder("CA1") == messages
    assert await store.ladder("CA2") == []
    assert await store.events("CA1") == [an_event("CA1", 0)]
    store.note(an_event("CA1", 1))
    await store.close()
    store = await Store.open(url, SystemClock())
    assert [e.seq for e in await store.events("CA1", after_seq=0)] == [1]
    await store.close()


async def test_notes_are_written_by_themselves(store: Store) -> None:
    store.note(an_event("CA1", 0))
    async with asyncio.timeout(5):
        while store._writer._timer is not None or store._writer.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert await store.events("CA1") == [an_event("CA1", 0)]


async def test_pages_of_calls(store: Store) -> None:
    calls = [a_call(at=float(i // 2), to_number=str(i % 3)) for i in range(11)]
    await asyncio.gather(*(store.create_call(c) for c in calls))
    newest = sorted(calls, key=lambda c: (c.created_at, c.sid), reverse=True)
    found: list[CallRecord] = []
    cursor, pages = "", 0
    while True:
        page = await store.calls(cursor=cursor, limit=3)
        found += page.calls
        pages += 1
        cursor = page.next_cursor
        if not cursor:
            break
    assert found == newest
    assert pages == 4
    page = await store.calls(CallFilter(to_number="1", created_after=0.5, created_before=4.5))
    assert [c.sid for c in page.calls] == [
        c.sid for c in newest if c.to_number == "1" and 0.5 < c.created_at < 4.5
    ]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "é", "MS4wIA", "a" * 3000, "\x00"])
async def test_a_cursor_nobody_gave_is_refused(store: Store, cursor: str) -> None:
    if cursor == "MS4wIA":  # "1.0 ": well-formed though never given, finds nothing
        assert (await store.calls(cursor=cursor)).calls == ()
    else:
        with pytest.raises(ValueError, match="not a cursor"):
            await store.calls(cursor=cursor)


async def test_unfinished_calls_and_their_counts(store: Store) -> None:
    for at, state in enumerate(["queued", "queued", "answered"]):
        await store.create_call(a_call(at=float(at), state=state))
    await store.create_call(a_call(state="completed", ended_at=5.0))
    assert [c.state for c in await store.unfinished_calls()] == ["queued", "queued", "answered"]
    assert await store.call_counts() == {"queued": 2, "answered": 1}


async def test_pending_deliveries_come_in_order_and_by_pages(store: Store) -> None:
    made = [a_delivery(f"CA{i % 3}", i) for i in range(7)]
    await store.commit(Change("CA0", deliveries=tuple(made)))
    made[1].state, made[1].attempts, made[1].last_status = "done", 2, 200
    made[4].state, made[4].last_error = "dead", "answered 410"
    store.settle_delivery(made[1])
    store.settle_delivery(made[4])
    made[1].attempts = 99  # what was settled is what counts, not what became of the object
    await store.flush()
    page, after = await store.pending_deliveries(3)
    assert [d.position for d in page] == [0, 2, 3]
    page, after = await store.pending_deliveries(3, after)
    assert [d.position for d in page] == [5, 6]
    assert await store.pending_deliveries(3, after) == ([], after)
    settled = (await store.deliveries("CA1"))[0]
    assert (settled.state, settled.attempts, settled.last_status) == ("done", 2, 200)


async def test_messages_are_what_was_written_last(store: Store) -> None:
    call = a_call()
    await store.create_call(call)
    waiting = MessageRecord("SM1", call.sid, "1", "2", "Grüße 👋", "queued", 5.0)
    gone = MessageRecord("SM2", call.sid, "1", "2", "hi", "sent", 6.0, 7.0, "trunk-a", 202)
    await store.commit(Change(call.sid, messages=(waiting, gone)))
    assert await store.messages(call.sid) == [waiting, gone]
    assert await store.unfinished_messages() == [waiting]
    waiting.state, waiting.ended_at, waiting.error = "failed", 9.0, "Not Found"
    await store.commit(Change(call.sid, messages=(waiting,)))
    assert (await store.messages(call.sid))[0] == waiting
    assert await store.unfinished_messages() == []


async def test_keys_and_recordings(store: Store) -> None:
    key = KeyRecord("KE1", "dev", "ok_abcd", "d" * 64, 1.0)
    await store.add_key(key)
    with pytest.raises(StoreConflict):
        await store.add_key(replace(key, id="KE2"))
    assert await store.keys() == [key]
    assert await store.revoke_key("nobody") == []
    assert await store.revoke_key("dev") == [key]
    assert (await store.keys())[0].revoked_at is not None
    recording = RecordingRecord("RE1", "CA1", "CA1/RE1.wav", 1.0)
    await store.save_recording(recording)
    recording.duration_ms, recording.size_bytes = 1500, 48044
    await store.save_recording(recording)
    assert await store.recording("RE1") == recording
    assert await store.recordings("CA1") == [recording]
    assert await store.recording("RE2") is None


async def test_a_guarded_change_is_written_only_while_its_condition_holds(store: Store) -> None:
    call = a_call()
    await store.create_call(call, [an_event(call.sid, 0, "state.queued")])
    begin = Change(
        call.sid,
        {"state": "dialling", "node": "ND2"},
        (an_event(call.sid, 1, "state.dialling"),),
        only_if={"state": "queued", "node": ""},
    )
    await store.commit(begin)
    with pytest.raises(StoreConflict):
        await store.commit(replace(begin, events=(an_event(call.sid, 2, "state.dialling"),)))
    found = await store.call(call.sid)
    assert found is not None and (found.state, found.node) == ("dialling", "ND2")
    assert [event.seq for event in await store.events(call.sid)] == [0, 1]


async def test_the_dialog_of_a_call_comes_and_goes(store: Store) -> None:
    call = a_call()
    await store.create_call(call)
    for dialog in ({"call_id": "x", "routes": ["<sip:a;lr>"]}, None):
        await store.commit(Change(call.sid, {"dialog": dialog}))
        found = await store.call(call.sid)
        assert found is not None and found.dialog == dialog


async def test_a_token_is_used_once_and_its_answer_is_kept(store: Store) -> None:
    call, other = a_call(), a_call()
    first = IdempotencyRecord("dev", "order-7", "d1", call.sid, '{"sid": "…"}', 1.0)
    await store.create_call(call, idempotency=first)
    with pytest.raises(StoreConflict):
        await store.create_call(other, idempotency=replace(first, call_sid=other.sid))
    assert await store.call(other.sid) is None
    assert await store.idempotent("dev", "order-7") == first
    assert await store.idempotent("prod", "order-7") is None


async def test_the_feed_has_the_states_of_all_calls_in_order(store: Store) -> None:
    calls = [a_call() for _ in range(3)]
    for call in calls:
        await store.create_call(call, [an_event(call.sid, 0, "state.queued")])
    for call in calls:
        store.note(an_event(call.sid, 1, "verb.started"))
        await store.commit(Change(call.sid, {}, (an_event(call.sid, 2, "state.dialling"),)))
    found = await store.feed()
    expected = [(call.sid, seq) for seq in (0, 2) for call in calls]
    assert [(one.event.call_sid, one.event.seq) for one in found] == expected
    assert [one.call.sid for one in found] == [sid for sid, _ in expected]
    behind = await store.feed(after=found[3].cursor, limit=1)
    assert [one.event for one in behind] == [found[4].event]
    with pytest.raises(ValueError):
        await store.feed(after="x")


async def test_callbacks_are_found_by_page_by_state_and_by_id(store: Store) -> None:
    call = a_call()
    tries = ({"at": 1.0, "status": 500},)
    made = [
        a_delivery(call.sid, n, id=ids.of_delivery(call.sid, n), event_id=ids.of_event(call.sid, n))
        for n in range(5)
    ]
    await store.create_call(call, deliveries=made)
    for one in made[:2]:
        one.state, one.tries, one.attempts = "dead", tries, 1
        store.settle_delivery(one)
    await store.flush()
    first = await store.delivery_page(limit=3)
    assert [one.position for one in first.deliveries] == [4, 3, 2]
    second = await store.delivery_page(cursor=first.next_cursor, limit=3)
    assert [one.position for one in second.deliveries] == [1, 0]
    assert second.next_cursor == ""
    dead = (await store.delivery_page(DeliveryFilter(state="dead"))).deliveries
    assert list(dead) == made[1::-1]
    assert await store.delivery(made[3].id) == made[3]
    assert await store.delivery(ids.of_delivery(call.sid, 9)) is None
    await store.replay(replace(one, next_at=7.0) for one in dead)
    again = await store.delivery(made[0].id)
    assert again is not None
    assert (again.state, again.attempts, again.next_at, again.tries) == ("pending", 0, 7.0, tries)


async def test_places_in_the_queue_and_usage(store: Store) -> None:
    waiting = [a_call(at=10.0 + n // 2) for n in range(4)]
    for call in waiting:
        await store.create_call(call)
    ended = a_call(at=5.0, trunk="a", outcome="completed", answered_at=6.0, ended_at=16.5)
    await store.create_call(ended)
    waiting.sort(key=lambda call: (call.created_at, call.sid))
    assert [await store.queue_position(call) for call in waiting] == [1, 2, 3, 4]
    assert await store.usage(0.0, 11.0) == [
        Usage("dev", "", "", 2, 0, 0.0),
        Usage("dev", "a", "completed", 1, 1, 10.5),
    ]


async def test_what_was_talked_since_a_moment(store: Store) -> None:
    noon = 1_000_000.0
    for call in (
        a_call(at=noon + 1, trunk="a", answered_at=noon + 2, ended_at=noon + 12),
        a_call(at=noon + 3, trunk="a", answered_at=noon + 4, ended_at=noon + 5.5),
        a_call(at=noon - 50, trunk="b", answered_at=noon - 40, ended_at=noon + 7),
        a_call(at=noon - 50, trunk="b", answered_at=noon - 40, ended_at=noon - 1),
        a_call(at=noon + 1, trunk="b", ended_at=noon + 9),
        a_call(at=noon + 1, trunk="b", answered_at=noon + 2),
        a_call(at=noon + 1, trunk="b", direction="inbound", answered_at=noon, ended_at=noon + 9),
    ):
        await store.create_call(call)
    assert await store.talked_since(noon) == [
        Talked("dev", "a", 11.5),
        Talked("dev", "b", 7.0),
    ]


async def test_the_numbers_that_were_called_since_a_moment(store: Store) -> None:
    parent = a_call(at=12.0)
    second = a_call(at=13.0)
    second.parent_sid = parent.sid
    for call in (
        parent,
        second,
        a_call(at=11.0),
        a_call(at=10.0),
        a_call(at=14.0, direction="inbound"),
    ):
        await store.create_call(call)
    assert await store.called_since(10.0) == [(parent.to_number, 11.0), (parent.to_number, 12.0)]


async def test_one_bad_operation_harms_no_other(store: Store) -> None:
    call = a_call()
    await store.create_call(call)
    results = await asyncio.gather(
        store.create_call(a_call(at=1.0)),
        store.create_call(call),
        store.create_call(a_call(at=2.0)),
        return_exceptions=True,
    )
    assert [type(r) for r in results] == [type(None), StoreConflict, type(None)]
    assert len((await store.calls()).calls) == 3


async def test_a_failed_change_leaves_nothing_half_done(store: Store) -> None:
    call = a_call()
    await store.create_call(call, [an_event(call.sid, 0)])
    with pytest.raises(StoreConflict):
        await store.commit(Change(call.sid, {"state": "ringing"}, (an_event(call.sid, 0),)))
    found = await store.call(call.sid)
    assert found is not None and found.state == "queued"


async def test_what_no_database_takes_in_a_text_harms_nothing(store: Store) -> None:
    """A far end may say anything, for one in the reason of a response."""
    call = a_call()
    await store.create_call(call)
    await asyncio.gather(
        store.commit(Change(call.sid, {"detail": "busy \x00 here"}, (an_event(call.sid, 0),))),
        store.create_call(a_call()),
    )
    found = await store.call(call.sid)
    assert found is not None and found.detail is not None
    assert found.detail.startswith("busy ") and found.detail.endswith(" here")
    assert len(await store.events(call.sid)) == 1


async def test_many_conflicts_among_many_writes(store: Store) -> None:
    call = a_call()
    await store.create_call(call, [an_event(call.sid, n) for n in range(0, 200, 7)])
    changes = [Change(call.sid, events=(an_event(call.sid, n),)) for n in range(200)]
    results = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)
    assert [n for n, r in enumerate(results) if isinstance(r, StoreConflict)] == [*range(0, 200, 7)]
    assert len(await store.events(call.sid)) == 200


async def test_a_transaction_that_does_not_end_keeps_nobody_waiting(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outdial.store.writer._STUCK_S", 0.05)
    writer = store._writer
    held: list[list[Operation]] = []
    monkeypatch.setattr(writer._transactions, "write", held.append)
    first = store.commit_soon(Change("CA1", events=(an_event("CA1", 0),)), 0.0)
    await asyncio.sleep(0.01)
    second = store.commit_soon(Change("CA1", events=(an_event("CA1", 1),)), 0.0)
    store.note(an_event("CA1", 2))
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await second
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await store.create_call(a_call())
    assert not first.done()
    monkeypatch.undo()
    writer._transactions.write(held[0])
    await first
    await store.flush()
    assert [event.seq for event in await store.events("CA1")] == [0, 2]


async def test_a_long_queue_is_refused(store: Store) -> None:
    store._writer._most_waiting = 3
    results = await asyncio.gather(
        *(store.create_call(a_call()) for _ in range(5)), return_exceptions=True
    )
    assert [type(r).__name__ for r in results] == ["NoneType"] * 3 + ["StoreUnavailable"] * 2
    store.note(an_event("CA1", 0))
    await store.flush()
    assert len(await store.events("CA1")) == 1


async def test_after_closing_every_use_says_so(url: str) -> None:
    store = await Store.open(url, SystemClock())
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await store.create_call(a_call())
    with pytest.raises(StoreUnavailable):
        await store.calls()
    store.note(an_event("CA1", 0))
    assert store._writer.lost == 1


_KILLED = """
import asyncio, sys
from outdial.clock import SystemClock
from outdial.store.records import CallRecord, Change, EventRecord
from outdial.store.store import Store

async def place(store, n):
    sid = f"CA{n:032x}"
    await store.create_call(
        CallRecord(sid, sid, "outbound", "1", "2", "", "queued", float(n)),
        [EventRecord(sid, 0, 0.0, "state.queued")],
    )
    print(sid, flush=True)

async def main():
    store = await Store.open(sys.argv[1], SystemClock())
    n = 0
    while True:
        await asyncio.gather(*(place(store, n + i) for i in range(10)))
        n += 10

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9(url: str) -> None:
    acknowledged: set[str] = set()
    for lines in (35, 61):
        child = subprocess.Popen(  # noqa: ASYNC220
            [
                sys.executable,
                "-c",
                _KILLED.replace("n = 0", f"n = {len(acknowledged) * 1000}"),
                url,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(lines):
            acknowledged.add(child.stdout.readline().strip())
        os.kill(child.pid, signal.SIGKILL)
        acknowledged.update(line.strip() for line in child.stdout if line.endswith("\n"))
        child.stdout.close()
        child.wait()
    store = await Store.open(url, SystemClock())
    for sid in acknowledged:
        assert await store.call(sid) is not None
        assert len(await store.events(sid)) == 1
    assert len(acknowledged) >= 96
    await store.close()
