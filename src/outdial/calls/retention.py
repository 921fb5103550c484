"""Deletes what is older than the settings say, little by little, so that nobody waits for it.

Each round deletes a bounded number of batches with a pause after each; what is left is for the next
round. Files go before the rows that name them: what is interrupted is taken up again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from outdial import ids, log
from outdial.calls.archive import remove_files
from outdial.clock import Clock
from outdial.config import Retention
from outdial.errors import StoreUnavailable
from outdial.store.expiry import Expiry

BATCH = 50
"""Calls in a transaction: some 700 rows, a few milliseconds."""
BATCHES = 200
"""Of each kind in a round."""
PAUSE_S = 0.1
EVERY_S = 60.0
SOON_S = 5.0
"""Until the next round when the last one left something."""
_DAY_S = 86_400.0
_HOUR_S = 3600.0

_log = log.get("retention")


class Sweeper:
    """One for the process. `start` and `stop`, or `sweep` for one round at once."""

    def __init__(
        self,
        expiry: Expiry,
        settings: Retention,
        recordings: Path,
        clock: Clock,
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._expiry = expiry
        self._settings = settings
        self._recordings = recordings
        self._clock = clock
        self._pause_s = pause_s
        self._deleted: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Sweeps from time to time until `stop`."""
        self._task = asyncio.create_task(self._run(), name="retention")

    async def stop(self) -> None:
        """Ends it; a batch under way is deleted or not, as a whole."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            is_done = True
            try:
                is_done = await self.sweep()
            except StoreUnavailable as error:
                _log.warning("retention.waits_for_store", error=str(error))
            except Exception:
                _log.exception("retention.defect")
            await asyncio.sleep(EVERY_S if is_done else SOON_S)

    async def sweep(self) -> bool:
        """One round; whether nothing is left to be deleted. Raises StoreUnavailable."""
        self._deleted.clear()
        days, now = self._settings, self._clock.now()
        is_done = True
        try:
            for days_kept, sweep in (
                (days.recordings_days, self._sweep_recordings),
                (days.recordings_days, self._sweep_faxes),
                (days.ladders_days, self._sweep_ladders),
                (days.calls_days, self._sweep_strays),
                (days.calls_days, self._sweep_faxes),  # each is older than its call's end
                (days.calls_days, self._sweep_calls),
            ):
                if days_kept:
                    before = now - days_kept * _DAY_S
                    is_done &= await self._batches(partial(sweep, before))
            if days.calls_days:
                is_done &= await self._batches(self._sweep_feed)
            before = now - days.idempotency_hours * _HOUR_S
            is_done &= await self._batches(partial(self._sweep_tokens, before))
        finally:
            if self._deleted:
                _log.info("retention.deleted", **self._deleted)
        return is_done

    async def _batches(self, sweep: Callable[[], Awaitable[int]]) -> bool:
        """Batch after batch until one is not full (True), or until it is enough for a round."""
        for _ in range(BATCHES):
            if await sweep() < BATCH:
                return True
            await asyncio.sleep(self._pause_s)
        return False

    # ------------------------------------------------------------------ one batch each

    async def _sweep_calls(self, before: float) -> int:
        calls = await self._expiry.calls(before, BATCH)
        await self._delete_files(sid for call in calls for sid in call.recordings)
        await self._expiry.delete_calls(calls, before)
        self._count("calls", len(calls))
        return len(calls)

    async def _sweep_recordings(self, before: float) -> int:
        return await self._delete_recordings(await self._expiry.recordings(before, BATCH))

    async def _delete_recordings(self, sids: Sequence[str]) -> int:
        await self._delete_files(sids)
        await self._expiry.delete_recordings(sids)
        self._count("recordings", len(sids))
        return len(sids)

    async def _sweep_strays(self, before: float) -> int:
        """Recordings of no call (`left_recordings`) go when calls of their age do."""
        return await self._delete_recordings(await self._expiry.strays(before, BATCH))

    async def _sweep_faxes(self, before: float) -> int:
        sids = await self._expiry.faxes(before, BATCH)
        wanted = [self._recordings / f"{sid}.pdf" for sid in sids if ids.is_sid(sid, ids.FAX)]
        await asyncio.to_thread(_unlink, wanted)
        await self._expiry.delete_faxes(sids)
        self._count("faxes", len(sids))
        return len(sids)

    async def _sweep_ladders(self, before: float) -> int:
        sids = await self._expiry.ladders(before, BATCH)
        await self._expiry.delete_ladders(sids)
        self._count("ladders", len(sids))
        return len(sids)

    async def _sweep_feed(self) -> int:
        # a call has about five lines; a few old calls that stay must not fill a batch
        count = await self._expiry.delete_feed(BATCH * 5)
        return BATCH if count >= BATCH else 0

    async def _sweep_tokens(self, before: float) -> int:
        count = await self._expiry.delete_tokens(before, BATCH)
        self._count("idempotency", count)
        return count

    def _count(self, what: str, count: int) -> None:
        if count:
            self._deleted[what] += count

    async def _delete_files(self, sids: Iterable[str]) -> None:
        wanted = list(sids)
        if wanted:
            await asyncio.to_thread(self._delete_files_now, wanted)

    def _delete_files_now(self, sids: Iterable[str]) -> None:
        for sid in sids:
            try:
                remove_files(self._recordings, sid)
            except OSError as error:
                _log.warning("retention.file_stays", recording=sid, error=str(error))


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("retention.file_stays", file=path.name, error=str(error))
