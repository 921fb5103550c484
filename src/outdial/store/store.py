"""The record of everything that happens: one object for all who write or read it.

Writes are made durable in groups by `writer.Writer`; reads run beside it, over connections of
their own, and see what was committed. Every method must be called on the event loop the
store was opened on, and may raise StoreUnavailable, after which it may simply be tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from outdial import ids
from outdial.clock import Clock
from outdial.legs import TracedMessage
from outdial.store import cursors, rows
from outdial.store.archive import Archive
from outdial.store.backends import Backend, open_backend
from outdial.store.expiry import Expiry
from outdial.store.groups import Rows
from outdial.store.numbers import Numbers
from outdial.store.queries import NOT_A_CURSOR, queries_in
from outdial.store.records import (
    CallFilter,
    CallPage,
    CallRecord,
    Change,
    DeliveryFilter,
    DeliveryPage,
    DeliveryRecord,
    EventRecord,
    FaxRecord,
    FeedEvent,
    IdempotencyRecord,
    KeyRecord,
    MessageRecord,
    RecordingRecord,
    Talked,
    Usage,
)

STATE_EVENTS = "state."
"""What the kinds of the events begin with that are in the feed."""
_LONGEST_LIFE_S = 2 * 86_400.0
"""Of a call that may still count in what is talked today: as long in the queue as on the line."""
_SOON_S = 0.08


class Store:
    """The record. Made by `Store.open`."""

    def __init__(self, backend: Backend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self.node = ""
        """This process among those that share the database; "" when it has it for itself."""
        self._closed = False
        self._queries = queries_in(backend.dialect)
        self._writer = backend.writer
        self._readers = backend.readers
        self.expiry = Expiry(backend)
        """What forgets."""
        self.archive = Archive(backend)
        """Recordings, as many as there are."""
        self.numbers = Numbers(backend)
        """Numbers of ours that the API manages."""

    @classmethod
    async def open(cls, url: str, clock: Clock, *, serving: bool = False) -> Store:
        """Opens the database and brings its tables up to date, making them when there are none.

        ``sqlite:///:memory:`` is a temporary file, removed by `close`. `serving`: it is a server
        that opens it, of which a SQLite database may have one. Raises ConfigError for a URL that
        names no database and for a second server, StoreUnavailable when it cannot be opened.
        """
        return cls(await open_backend(url, serving), clock)

    async def close(self) -> None:
        """Writes what is waiting, then closes every connection. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._backend.close()

    def belongs_to(self, node: str, on_taken: Callable[[], None]) -> None:
        """From now on calls and callbacks are written as this node's, and nothing is written once
        another node has taken it over; `on_taken` is called then."""
        self.node = node
        if self._backend.transactions is not None:
            self._backend.transactions.fence(node, on_taken)

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is under way: somebody may be waiting for the disk."""
        return self._writer.is_writing

    async def check(self) -> None:
        """Writes nothing and waits for it: raises StoreUnavailable when writing fails now."""
        await self._writer.submit([])

    # ------------------------------------------------------------------ writing

    async def create_call(
        self,
        call: CallRecord,
        events: Iterable[EventRecord] = (),
        deliveries: Iterable[DeliveryRecord] = (),
        idempotency: IdempotencyRecord | None = None,
    ) -> None:
        """A new call with its first events, durable on return.

        Raises StoreConflict when the `idempotency` token was used before: `idempotent` has it.
        """
        queries = self._queries
        call.node = self.node
        written: Rows = [(queries.insert_call, rows.call_row(call))]
        if idempotency is not None:
            row = rows.idempotency_row(idempotency)
            written.append((queries.insert_idempotency, row))
        self._add(written, events, deliveries)
        await self._writer.submit(written)

    def commit_soon(self, change: Change, within_s: float = _SOON_S) -> asyncio.Future[None]:
        """Commits the change with the next group, within 80 ms; the future is done once durable.

        The future raises StoreConflict when `change.only_if` does not hold. Cheaper than `commit`,
        which makes a group of its own when nothing else is going on.
        """
        written: Rows = []
        if change.fields:
            update = self._queries.update_call(tuple(change.fields), tuple(change.only_if))
            row = rows.call_fields(change.call_sid, change.fields, change.only_if)
            written.append((update, row))
        for recording in change.recordings:
            written.append((self._queries.save_recording, rows.recording_row(recording)))
        for fax in change.faxes:
            written.append((self._queries.save_fax, rows.fax_row(fax)))
        for message in change.messages:
            message.node = self.node
            written.append((self._queries.save_message, rows.message_row(message)))
        self._add(written, change.events, change.deliveries)
        return self._writer.submit(written, within_s)

    async def commit(self, change: Change) -> None:
        """Commits the change at once, durable on return."""
        await self.commit_soon(change, within_s=0.0)

    def note(self, event: EventRecord) -> None:
        """Adds to a call's timeline within 80 ms, or with the next commit; nobody waits."""
        self._writer.add(self._queries.insert_event, rows.event_row(event), _SOON_S)

    def settle_delivery(self, delivery: DeliveryRecord) -> None:
        """Records what came of an attempt, as `note` does."""
        self._writer.add(self._queries.settle_delivery, rows.settled_row(delivery), _SOON_S)

    def save_ladder(self, call_sid: str, messages: Sequence[TracedMessage]) -> None:
        """Keeps a leg's SIP messages, as `note` does; a second time replaces the first."""
        self._writer.add(self._queries.save_ladder, rows.ladder_row(call_sid, messages), _SOON_S)

    async def flush(self) -> None:
        """Waits until everything written so far is durable."""
        await self._writer.submit([])

    async def save_recording(self, recording: RecordingRecord) -> None:
        """Adds or replaces a recording's row, durable on return."""
        await self._writer.submit([(self._queries.save_recording, rows.recording_row(recording))])

    async def add_key(self, key: KeyRecord) -> None:
        """Adds an API key, durable on return."""
        await self._writer.submit([(self._queries.insert_key, rows.key_row(key))])

    async def revoke_key(self, name: str) -> list[KeyRecord]:
        """Revokes the keys of this name or id from now on; gives them as they were."""
        now = self._clock.now()
        revoked = [
            key
            for key in await self.keys()
            if (key.revoked_at is None or key.revoked_at > now) and name in (key.name, key.id)
        ]
        if revoked:
            await self._writer.submit([(self._queries.revoke_key, (now, k.id)) for k in revoked])
        return revoked

    async def replace_key(self, successor: KeyRecord, old: Iterable[KeyRecord], at: float) -> None:
        """Adds a key; those before it are revoked then, if they are not before."""
        writes: Rows = [(self._queries.insert_key, rows.key_row(successor))]
        for key in old:
            until = at if key.revoked_at is None else min(at, key.revoked_at)
            writes.append((self._queries.revoke_key, (until, key.id)))
        await self._writer.submit(writes)

    async def keys_used(self, at: Mapping[str, float]) -> None:
        """Notes when keys were last used, by their ids."""
        await self._writer.submit(
            [(self._queries.use_key, (then, id_)) for id_, then in at.items()]
        )

    def _add(
        self,
        written: Rows,
        events: Iterable[EventRecord],
        deliveries: Iterable[DeliveryRecord],
    ) -> None:
        for event in events:
            written.append((self._queries.insert_event, rows.event_row(event)))
            if event.kind.startswith(STATE_EVENTS):
                written.append((self._queries.insert_feed, (event.call_sid, event.seq)))
        for delivery in deliveries:
            delivery.node = self.node
            written.append((self._queries.insert_delivery, rows.delivery_row(delivery)))

    # ------------------------------------------------------------------ reading

    async def call(self, sid: str) -> CallRecord | None:
        """The call, None when there is none of this sid."""
        found = await self._readers.fetch(self._queries.call.bind(sid=sid), rows.call_record)
        return found[0] if found else None

    async def calls(
        self, wanted: CallFilter | None = None, cursor: str = "", limit: int = 50
    ) -> CallPage:
        """A page of at most `limit` calls, newest first.

        `cursor` is a page's `next_cursor`; "" starts. Raises ValueError for any other text.
        """
        before = cursors.read(cursor) if cursor else None
        bound = self._queries.list_calls(wanted or CallFilter(), before, limit + 1)
        found = await self._readers.fetch(bound, rows.call_record)
        if len(found) <= limit:
            return CallPage(tuple(found), "")
        last = found[limit - 1]
        return CallPage(tuple(found[:limit]), cursors.write(last.created_at, last.sid))

    async def unfinished_calls(self) -> list[CallRecord]:
        """Calls of this node that have not ended, oldest first."""
        bound = self._queries.unfinished_calls.bind(node=self.node)
        return await self._readers.fetch(bound, rows.call_record)

    async def call_counts(self) -> dict[str, int]:
        """How many calls that have not ended are in each state; states without any are left out."""
        return dict(await self._readers.fetch(self._queries.call_counts.bind(), tuple))

    async def events(
        self, call_sid: str, after_seq: int = -1, limit: int = 1000
    ) -> list[EventRecord]:
        """The call's timeline in order, from behind `after_seq`."""
        bound = self._queries.events.bind(sid=call_sid, after=after_seq, most=limit)
        return await self._readers.fetch(bound, rows.event_record)

    async def ladder(self, call_sid: str) -> list[TracedMessage]:
        """The leg's SIP messages; [] until they were saved."""
        bound = self._queries.ladder.bind(sid=call_sid)
        found = await self._readers.fetch(bound, rows.ladder_messages)
        return found[0] if found else []

    async def deliveries(self, call_sid: str) -> list[DeliveryRecord]:
        """The call's callbacks in the order they were made."""
        bound = self._queries.deliveries.bind(sid=call_sid)
        return await self._readers.fetch(bound, rows.delivery_record)

    async def delivery(self, sid: str) -> DeliveryRecord | None:
        """The callback, None when there is none of this id."""
        first, last = ids.calls_of(sid)
        bound = self._queries.delivery.bind(first=first, last=last, id=sid)
        found = await self._readers.fetch(bound, rows.delivery_record)
        return found[0] if found else None

    async def delivery_page(
        self, wanted: DeliveryFilter | None = None, cursor: str = "", limit: int = 50
    ) -> DeliveryPage:
        """A page of at most `limit` callbacks, newest first.

        `cursor` is a page's `next_cursor`; "" starts. Raises ValueError for any other text.
        """
        before = _read_number(cursor) if cursor else None
        bound = self._queries.list_deliveries(wanted or DeliveryFilter(), before, limit + 1)
        found = await self._readers.fetch(
            bound, lambda row: (int(row[0]), rows.delivery_record(row[1:]))
        )
        page = tuple(delivery for _, delivery in found[:limit])
        return DeliveryPage(page, str(found[limit - 1][0]) if len(found) > limit else "")

    async def replay(self, deliveries: Iterable[DeliveryRecord]) -> None:
        """Makes them pending on this node, to be delivered once more; durable on return."""
        written: Rows = []
        for delivery in deliveries:
            row = ("pending", 0, delivery.next_at, None, self.node, delivery.call_sid, delivery.id)
            written.append((self._queries.replay_delivery, row))
        await self._writer.submit(written)

    async def feed(self, after: str = "", limit: int = 100) -> list[FeedEvent]:
        """The events that changed a call's state, of all calls, in the order they became durable.

        `after` is the `cursor` of the event to go on behind; "" starts with the oldest there is.
        Whoever has read an event will not find a new one before it. Raises ValueError for a
        cursor that no event had.
        """
        bound = self._queries.list_feed(after, limit)
        return await self._readers.fetch(bound, rows.feed_event)

    async def idempotent(self, key_name: str, token: str) -> IdempotencyRecord | None:
        """The post that used this token with this API key, None when none did."""
        bound = self._queries.idempotent.bind(key_name=key_name, token=token)
        found = await self._readers.fetch(bound, rows.idempotency_record)
        return found[0] if found else None

    async def queue_position(self, call: CallRecord) -> int:
        """How many calls wait in the queue up to this one, which is counted too."""
        bound = self._queries.queue_position.bind(at=call.created_at, sid=call.sid)
        (count,) = await self._readers.fetch(bound, lambda row: int(row[0]))
        return count

    async def usage(self, since: float, until: float) -> list[Usage]:
        """What the calls created in that time came to, by API key, trunk and outcome."""
        bound = self._queries.usage.bind(since=since, until=until)
        return await self._readers.fetch(bound, lambda row: Usage(*row))

    async def talked_since(self, since: float) -> list[Talked]:
        """How long was talked since then on calls that were dialled and are over, by API key and
        trunk. None of them was made more than two days before."""
        bound = self._queries.talked.bind(since=since, oldest=since - _LONGEST_LIFE_S)
        return await self._readers.fetch(bound, lambda row: Talked(*row))

    async def called_since(self, since: float) -> list[tuple[str, float]]:
        """The numbers of the calls that were asked for since then, and when, oldest first."""
        bound = self._queries.called.bind(since=since)
        return await self._readers.fetch(bound, lambda row: (str(row[0]), float(row[1])))

    async def pending_deliveries(
        self, limit: int, after: int = 0
    ) -> tuple[list[DeliveryRecord], int]:
        """Callbacks of this node neither delivered nor given up, oldest first, and where to go on.

        Within a lane they come in order. The number given with a full page is the `after` of the
        next one; a page shorter than `limit` is the last.
        """
        bound = self._queries.pending_deliveries.bind(after=after, most=limit, node=self.node)
        found = await self._readers.fetch(
            bound, lambda row: (int(row[0]), rows.delivery_record(row[1:]))
        )
        return [delivery for _, delivery in found], found[-1][0] if found else after

    async def keys(self) -> list[KeyRecord]:
        """Every API key, the revoked ones too, oldest first."""
        return await self._readers.fetch(self._queries.keys.bind(), rows.key_record)

    async def recording(self, sid: str) -> RecordingRecord | None:
        """The recording, None when there is none of this sid."""
        bound = self._queries.recording.bind(sid=sid)
        found = await self._readers.fetch(bound, rows.recording_record)
        return found[0] if found else None

    async def recordings(self, call_sid: str) -> list[RecordingRecord]:
        """The call's recordings, oldest first."""
        bound = self._queries.recordings_of_call.bind(sid=call_sid)
        return await self._readers.fetch(bound, rows.recording_record)

    async def fax(self, sid: str) -> FaxRecord | None:
        """The fax, None when there is none of this sid."""
        found = await self._readers.fetch(self._queries.fax.bind(sid=sid), rows.fax_record)
        return found[0] if found else None

    async def messages(self, call_sid: str) -> list[MessageRecord]:
        """The short messages that the call sent, oldest first."""
        bound = self._queries.messages_of_call.bind(sid=call_sid)
        return await self._readers.fetch(bound, rows.message_record)

    async def unfinished_messages(self) -> list[MessageRecord]:
        """Short messages of this node that are neither sent nor failed, oldest first."""
        bound = self._queries.unfinished_messages.bind(node=self.node)
        return await self._readers.fetch(bound, rows.message_record)


def _read_number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise ValueError(NOT_A_CURSOR)
    return int(cursor)
