"""Recordings that are there: pages of them, and deleting one with its file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from outdial import ids, log
from outdial.calls import codes
from outdial.errors import Refused
from outdial.store.records import RecordingFilter, RecordingPage, RecordingRecord

ENDINGS = (".wav", ".ulaw", ".alaw")
"""Of the files that a recording may have: it, and it as a prompt while its maker listens to it."""

_log = log.get("recordings")


class Rows(Protocol):
    """The part of the store that has the rows of recordings; `store.archive.Archive`."""

    async def page(
        self, wanted: RecordingFilter | None = None, cursor: str = "", limit: int = 50
    ) -> RecordingPage: ...

    async def delete(self, recording: RecordingRecord) -> None: ...


class Notes(Protocol):
    """The part of the journal that writes on timelines."""

    def note(self, kind: str, sid: str, data: Mapping[str, Any]) -> None:
        """A line on the call's timeline, also when the call is over."""


class Copies(Protocol):
    """What may still have a recording's sound; `speech.mp3.Mp3s`."""

    def forget(self, path: Path) -> None: ...


class Recordings:
    """All of them. Everything may raise StoreUnavailable."""

    def __init__(self, folder: Path, rows: Rows, notes: Notes, copies: Copies) -> None:
        self._folder = folder
        self._rows = rows
        self._notes = notes
        self._copies = copies

    async def page(self, wanted: RecordingFilter, cursor: str, limit: int) -> RecordingPage:
        """Newest first. Raises ValueError for a cursor that no page gave."""
        return await self._rows.page(wanted, cursor, limit)

    async def delete(self, recording: RecordingRecord, key_name: str) -> None:
        """File and row are gone on return. Raises Refused (503) when the file cannot be removed.

        The file goes first: what is interrupted can be asked for again.
        """
        path = self._folder / f"{recording.sid}.wav"
        try:
            await asyncio.to_thread(remove_files, self._folder, recording.sid)
        except OSError as error:
            reason = error.strerror or str(error)
            _log.error("recording.stays", recording=recording.sid, reason=reason)
            message = f"The recording's file cannot be removed: {reason}; try again when it can"
            raise Refused(503, codes.RECORDING_STAYS, message, retry_after_s=5) from None
        self._copies.forget(path)
        await self._rows.delete(recording)
        told = {"recording": recording.sid, "key": key_name}
        self._notes.note("recording.deleted", recording.call_sid, told)
        _log.info("recording.deleted", recording=recording.sid, key=key_name)


def remove_files(folder: Path, sid: str) -> None:
    """All that there is of the recording, by our own id only: what a row says of a path is not
    asked. Links are removed, not followed. Raises OSError."""
    if ids.is_sid(sid, ids.RECORDING):
        for ending in ENDINGS:
            (folder / f"{sid}{ending}").unlink(missing_ok=True)
