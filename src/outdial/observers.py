"""Who watches what calls do, beside the record: log lines and traces, each if it is wanted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from outdial import log
from outdial.calls.journal import Told
from outdial.calls.steps import StepLog
from outdial.config import Settings
from outdial.errors import ConfigError
from outdial.net.addresses import AddressPolicy
from outdial.net.client import HttpClient
from outdial.net.trace import Signer
from outdial.store.records import EventRecord

if TYPE_CHECKING:
    from outdial.traces import Traces


class Observers:
    """Made by `start`, ended by `stop`."""

    def __init__(self, lines: log.Lines | log.ColouredLines | None, traces: Traces | None) -> None:
        self._lines = lines
        self._traces = traces
        self.told: Told | None = None
        """Gets the events of all timelines; None: nobody wants them."""

    @classmethod
    def start(cls, settings: Settings) -> Observers:
        """Must be called on the event loop. Raises ConfigError."""
        traces = _traces() if settings.traces.enabled else None
        if settings.log.calls == "off":
            watch = cls(None, traces)
            watch.told = None if traces is None else traces.told
            return watch
        later = asyncio.get_running_loop().call_later
        lines = log.Lines(later) if settings.log.json_ else log.ColouredLines()
        watch = cls(lines, traces)
        every = settings.log.calls == "steps"
        logged = StepLog(lines, every=every, level=settings.log.level)
        watch.told = logged if traces is None else _both(logged, traces.told)
        return watch

    def client(self, policy: AddressPolicy, signer: Signer) -> HttpClient:
        """The outgoing HTTP client, whose requests are seen too."""
        if self._traces is not None:
            return self._traces.client(policy, signer)
        return HttpClient(policy, signer=signer)

    def served(self, app: Any) -> Any:
        """The application (ASGI), whose callers may have a trace."""
        return app if self._traces is None else self._traces.served(app)

    async def stop(self) -> None:
        """What was seen last is written and sent."""
        if self._lines is not None:
            self._lines.flush()
        if self._traces is not None:
            await self._traces.stop()


def _traces() -> Traces:
    try:
        from outdial.traces import Traces
    except ImportError as missing:
        raise ConfigError(
            "traces.enabled",
            f"needs a package that is not installed ({missing.name})",
            "pip install 'outdial[otel]'",
        ) from missing
    return Traces.start()


def _both(first: Told, second: Told) -> Told:
    def tell(event: EventRecord) -> None:
        first(event)
        second(event)

    return tell
