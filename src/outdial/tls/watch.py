"""Looks now and then whether the files of certificates have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from outdial import log
from outdial.errors import ConfigError
from outdial.tls.contexts import Secured

EVERY_S = 10.0

_log = log.get("tls")


class CertificateWatch:
    """One for a server."""

    def __init__(self) -> None:
        self._watched: list[tuple[Secured, Callable[[], None]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, secured: Secured | None, changed: Callable[[], None] = lambda: None) -> None:
        """Looks after the files of it, if there is any; `changed` is called when they are in use
        anew."""
        if secured is not None:
            self._watched.append((secured, changed))

    def secured(self) -> list[Secured]:
        """All that is looked after."""
        return [secured for secured, _ in self._watched]

    def start(self) -> None:
        """Looks from now on, if there is anything to look after."""
        if any(secured.paths for secured, _ in self._watched):
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self._look)

    def stop(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()

    def look(self) -> None:
        """Reads what has changed."""
        for secured, changed in self._watched:
            files = ", ".join(map(str, secured.paths))
            try:
                if secured.refresh():
                    changed()
                    _log.info("certificate read again", files=files)
            except ConfigError as error:
                _log.error("certificate not read again", files=files, problem=str(error))

    def _look(self) -> None:
        self.look()
        self.start()
