"""The HTTP application: V2, `/v1`, health, metrics, and one error shape for each door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client.registry import Collector

import outdial
from outdial.api import document, health, metrics, problems, v1, v2
from outdial.api.api_keys import KeyRoutes
from outdial.api.bans import BanList
from outdial.api.faxes import FaxRoutes
from outdial.api.intake import Intake
from outdial.api.keys import Keys
from outdial.api.rate import PostRate
from outdial.api.record import Mp3s, Record, Replays
from outdial.api.recordings import RecordingRoutes
from outdial.api.trunks import TrunkBoard
from outdial.calls.archive import Recordings
from outdial.calls.called_numbers import CalledNumbers
from outdial.calls.checks import Rules
from outdial.calls.service import CallService
from outdial.clock import Clock, SystemClock
from outdial.config import Settings
from outdial.key_keeper import KeyKeeper
from outdial.stored_file import SealingKeys

_NO_KEYS = SealingKeys()


class Api(FastAPI):
    """FastAPI with a short cut: the V2 paths go to their handler without its routing.

    Routing, validation and the middleware stack would take about as long as the whole answer does.
    """

    termination: v2.CallTermination
    counters: metrics.Metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] == "http":
            if scope["path"] in v2.PATHS:
                await self.termination(scope, receive, send)
                return
            send = self.counters.counting(metrics.door(scope["path"]), send)
        await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return document.openapi(self)


def create_app(
    *,
    calls: CallService,
    store: Record,
    replays: Replays,
    numbers: CalledNumbers,
    recordings: Recordings,
    sealing: SealingKeys = _NO_KEYS,
    mp3s: Mp3s,
    bans: BanList,
    trunks: TrunkBoard,
    keys: Keys,
    keeper: KeyKeeper,
    settings: Settings,
    check_url: Callable[[str], None],
    extra: Iterable[APIRouter] = (),
    collectors: Iterable[Collector] = (),
    refresh: Callable[[], Awaitable[None]] | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """The whole API.

    `check_url` raises FetchError for a URL that may never be requested. `extra` are further
    routers (the simulated phones'), `collectors` further metrics, and `refresh` is awaited before
    each scrape of them.
    """
    clock = clock or SystemClock()
    counters = metrics.Metrics(calls, collectors)
    intake = Intake(
        calls,
        store,
        Rules.of(settings, check_url),
        PostRate(settings.limits.posts_per_second, clock),
        settings.http.max_body_bytes,
    )
    app = Api(
        title="Outdial",
        version=outdial.__version__,
        redirect_slashes=False,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
    )
    app.counters = counters
    app.termination = v2.CallTermination(intake, keys, counters)
    problems.install(app)
    folder = Path(settings.storage.recordings).absolute()
    sounds = RecordingRoutes(store, recordings, folder, mp3s, sealing)
    own = (
        v1.router(
            intake,
            store,
            replays,
            numbers,
            sounds,
            FaxRoutes(store, folder, sealing),
            bans,
            trunks,
            keys,
            KeyRoutes(keeper, settings.keys, settings.http.max_body_bytes),
            clock,
            settings.didml.max_document_bytes,
        ),
        health.router(calls, counters, refresh),
    )
    for router in (*own, *extra):
        # not include_router: that hides the routes' methods, which a 405 must name
        app.router.routes.extend(router.routes)
    return app
