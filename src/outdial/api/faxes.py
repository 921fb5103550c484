"""Faxes: the PDF files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from outdial import ids
from outdial.api import problems
from outdial.api.record import Record
from outdial.api.recordings import key_lost
from outdial.calls import codes
from outdial.errors import Refused
from outdial.stored_file import KeyLost, SealingKeys, read_whole

_MOST_BYTES = 64 << 20
"""No fax is larger: the helper that writes them may not."""


class FaxRoutes:
    """The handler. `folder` is where the files are, named by our own ids only."""

    def __init__(self, record: Record, folder: Path, keys: SealingKeys) -> None:
        self._record = record
        self._folder = folder
        self._keys = keys

    def add_to(self, routes: APIRouter) -> None:
        """Adds the handler with what the OpenAPI document says of it."""
        routes.get("/faxes/{sid}.pdf", **_FAX)(self.fax)

    async def fax(self, sid: str) -> Response:
        """The pages that were received, as PDF."""
        known = ids.is_sid(sid, ids.FAX) and await self._record.fax(sid)
        path = self._folder / f"{sid}.pdf"
        try:
            content = await asyncio.to_thread(_read, path, self._keys) if known else None
        except KeyLost as error:
            raise key_lost("fax", error) from None
        if content is None:
            raise Refused(404, codes.UNKNOWN_FAX, "There is no fax with this sid", field="sid")
        return Response(content, media_type="application/pdf")


def _read(path: Path, keys: SealingKeys) -> bytes | None:
    """The plain file, links not followed; None when there is none. Raises KeyLost."""
    try:
        return read_whole(path, keys, _MOST_BYTES)
    except OSError:
        return None


_FAX: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "Its pages.",
            "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems.documented(401, 404, 503),
    },
    "summary": "A fax that was received",
    "operation_id": "get_fax",
}
