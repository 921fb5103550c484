"""The HTTP application: V2, `/v1`, health, metrics, and one error shape for each door."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client.registry import Collector

import outdial
from outdial.api import metrics, v2
from outdial.api.keys import Keys
from outdial.calls.checks import Rules
from outdial.calls.service import CallService
from outdial.config import Settings


class Api(FastAPI):
    """FastAPI with a short cut: the V2 paths go to their handler without its routing.

    Routing, validation and the middleware stack would take about as long as the whole answer does.
    """

    termination: v2.CallTermination

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One connection's request."""
        if scope["type"] == "http" and scope["path"] in v2.PATHS:
            await self.termination(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def create_app(
    *,
    calls: CallService,
    keys: Keys,
    settings: Settings,
    check_url: Callable[[str], None],
    extra: Iterable[APIRouter] = (),
    collectors: Iterable[Collector] = (),
) -> FastAPI:
    """The whole API. `extra` are further routers (the simulated phones'), `collectors` further
    metrics."""
    counters = metrics.Metrics(calls, collectors)
    rules = Rules.of(settings, check_url)
    app = Api(title="Outdial", version=outdial.__version__, redirect_slashes=False)
    app.termination = v2.CallTermination(calls, keys, rules, counters, settings.http.max_body_bytes)
    for router in extra:
        app.include_router(router)
    return app
