"""Faxes: the PDF files."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from outdial import ids
from outdial.api import problems
from outdial.api.record import Record
from outdial.calls import codes
from outdial.errors import Refused

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_BYTES = 64 << 20
"""No fax is larger: the helper that writes them may not."""


class FaxRoutes:
    """The handler. `folder` is where the files are, named by our own ids only."""

    def __init__(self, record: Record, folder: Path) -> None:
        self._record = record
        self._folder = folder

    def add_to(self, routes: APIRouter) -> None:
        """Adds the handler with what the OpenAPI document says of it."""
        routes.get("/faxes/{sid}.pdf", **_FAX)(self.fax)

    async def fax(self, sid: str) -> Response:
        """The pages that were received, as PDF."""
        known = ids.is_sid(sid, ids.FAX) and await self._record.fax(sid)
        content = await asyncio.to_thread(_read, self._folder / f"{sid}.pdf") if known else None
        if content is None:
            raise Refused(404, codes.UNKNOWN_FAX, "There is no fax with this sid", field="sid")
        return Response(content, media_type="application/pdf")


def _read(path: Path) -> bytes | None:
    """The plain file, links not followed; None when there is none."""
    try:
        file = os.open(path, _FLAGS)
    except OSError:
        return None
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        return opened.read(_MOST_BYTES)


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
