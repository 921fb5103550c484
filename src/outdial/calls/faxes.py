"""Faxes that calls receive: the call's audio goes to a helper process and back, until it is over.

The helper is a far end of its own on this machine: a second stream on the worker of the call speaks
RTP with it, and the two are bridged like any two calls. So the media worker carries packets, and
whatever becomes of the helper, it is one fax that fails.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from outdial import config, ids
from outdial.didml.run.host import FaxEnd
from outdial.errors import FaxError, MediaUnavailable
from outdial.fax.receiver import LAST_PAGE_S, FaxOrder, Reception
from outdial.fax.receiver import FaxEnd as Received
from outdial.legs import MediaEvent, MediaParams
from outdial.store.records import Change, FaxRecord

if TYPE_CHECKING:
    from outdial.calls.leg import CallLeg
    from outdial.calls.services import Services

NO_EVENTS = 126
"""A payload type for telephone events that never come: with one agreed on, nobody looks for keys
in the tones of a modem."""


class Faxes:
    """All that are being received here."""

    def __init__(self, settings: config.Fax, folder: Path) -> None:
        """`folder`: absolute, and there."""
        self._settings = settings
        self.folder = folder
        self.under_way = 0

    def receive(self, services: Services, leg: CallLeg) -> Fax:
        """Begins; the fax is under way when this returns, or has failed."""
        return Fax(self, services, leg, self._settings.longest_s)

    @property
    def problem(self) -> str:
        """Why no more can be received now."""
        most = self._settings.concurrent
        if self.under_way < most:
            return ""
        return f"{most} faxes are being received already; the setting fax.concurrent allows no more"


class Fax:
    """One reception. It is what a verb holds (`didml.run.host.FaxTake`)."""

    def __init__(self, faxes: Faxes, services: Services, leg: CallLeg, longest_s: float) -> None:
        self._faxes = faxes
        self._services = services
        self._leg = leg
        self._longest_s = longest_s
        self._stopped = asyncio.Event()
        self.sid = ids.new(ids.FAX)
        self._task = services.tasks.start(self._run(), f"fax {self.sid}")

    @property
    def url(self) -> str:
        """Where the PDF can be fetched, with an API key."""
        return f"{self._services.public_url}/v1/faxes/{self.sid}.pdf"

    def stop(self) -> None:
        """Takes no more; what is here by now is kept."""
        self._stopped.set()

    async def end(self) -> FaxEnd:
        """Waits until it is over, and what there is of it can be fetched."""
        return await asyncio.shield(self._task)

    async def _run(self) -> FaxEnd:
        problem = self._faxes.problem
        self._leg.note("fax.started", fax=self.sid)
        if problem:
            return await self._keep(Received(False, reason=problem))
        self._faxes.under_way += 1
        try:
            received = await self._receive()
        except (FaxError, MediaUnavailable) as error:
            received = Received(False, reason=str(error))
        finally:
            self._faxes.under_way -= 1
        return await self._keep(received)

    async def _receive(self) -> Received:
        """Raises FaxError, MediaUnavailable."""
        services, leg = self._services, self._leg
        codec = leg.codec
        if not codec.is_g711:
            raise FaxError(f"a fax needs G.711, and the call has {codec.encoding}")
        stream = services.media.open(f"{leg.sid} fax", _ignore, near=leg.media)
        reception: Reception | None = None
        path = self._faxes.folder / f"{self.sid}.pdf"
        drafts = services.copies or self._faxes.folder
        try:
            address = services.settings.media.address
            reception = await Reception.begin(
                FaxOrder(
                    address,
                    stream.port,
                    codec.value,
                    leg.call.to_number,
                    path,
                    self._longest_s,
                    drafts,
                    services.sealing.new(),
                )
            )
            leg.media.stop_playing()
            stream.start(MediaParams(address, reception.port, codec, NO_EVENTS))
            leg.media.bridge(stream)
            try:
                return await self._until_end(reception)
            finally:
                if not leg.is_over:
                    leg.media.unbridge()
        finally:
            stream.close()
            if reception is not None:
                await reception.close()
                # of a helper that came to no end of its own
                await asyncio.to_thread(
                    _remove, drafts / f"{self.sid}.tif", path.with_suffix(".part")
                )

    async def _until_end(self, reception: Reception) -> Received:
        """The end of the fax, or what there is of it when the call is over or the verb is."""
        ending = asyncio.ensure_future(reception.end(self._paged))
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait(
                (ending, stopped, self._leg.ended), return_when=asyncio.FIRST_COMPLETED
            )
            if not ending.done():
                reception.hang_up()
                await asyncio.wait((ending,), timeout=LAST_PAGE_S)
            if ending.done():
                return ending.result()
            return Received(False, reason="the helper did not come to an end")
        finally:
            ending.cancel()
            stopped.cancel()
            await asyncio.gather(ending, stopped, return_exceptions=True)

    def _paged(self, count: int) -> None:
        self._leg.note("fax.page", fax=self.sid, pages=count)

    async def _keep(self, received: Received) -> FaxEnd:
        """Writes what came of it; a fax that has pages can be fetched then."""
        services, leg = self._services, self._leg
        status = "Complete" if received.is_whole else "incomplete" if received.pages else "failed"
        end = FaxEnd(
            status, received.pages, min(received.confirmed, received.pages), received.sender,
            received.reason,
        )  # fmt: skip
        leg.note(
            "fax.done",
            fax=self.sid,
            status=status,
            pages=end.pages,
            sender=end.sender,
            problem=end.error,
        )
        if received.pages:
            record = FaxRecord(
                self.sid,
                leg.sid,
                services.clock.now(),
                status,
                end.pages,
                end.received,
                end.sender,
                received.size_bytes,
                end.error,
            )
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            change = Change(leg.sid, faxes=(record,))
            services.journal.write(change, partial(_set, written))
            await asyncio.wait((written,), timeout=STORE_WAIT_S)
        return end


STORE_WAIT_S = 2.0
"""How long `action` waits for the fax to be fetchable when the store is away."""


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _ignore(event: MediaEvent) -> None:
    """The stream to the helper has nothing to say: the call's own stream lives on that worker."""
