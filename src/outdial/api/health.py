"""`/healthz`, `/readyz` and `/metrics`: open to all, they say nothing about calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response

from outdial.api import metrics, schemas
from outdial.calls.service import CallService


def router(
    calls: CallService,
    counters: metrics.Metrics,
    refresh: Callable[[], Awaitable[None]] | None = None,
) -> APIRouter:
    """The routes. `refresh` is awaited before each scrape."""
    routes = APIRouter()

    @routes.get("/healthz", response_model=schemas.Alive, summary="The process answers")
    async def alive() -> schemas.Alive:
        return schemas.Alive()

    @routes.get(
        "/readyz",
        response_model=schemas.Health,
        responses={503: {"model": schemas.Health, "description": "Calls are not taken."}},
        summary="Calls are taken",
    )
    async def ready(response: Response) -> schemas.Health:
        health = schemas.Health.model_validate(calls.health())
        if not health.ready:
            response.status_code = 503
        return health

    @routes.get(
        "/metrics",
        response_class=Response,
        responses={
            200: {
                "description": "Prometheus text exposition.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
        summary="Metrics for Prometheus",
    )
    async def exposition() -> Response:
        if refresh is not None:
            await refresh()
        return Response(counters.exposition(), media_type=metrics.CONTENT_TYPE)

    return routes
