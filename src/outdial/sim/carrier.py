"""The simulated carrier: gives every incoming leg to a phone with the number's persona."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from outdial import log
from outdial.legs import IncomingLeg
from outdial.sim.heard import HeardCall, HeardCalls, key_of
from outdial.sim.personas import PERSON, PERSONAS
from outdial.sim.phone import Phone, Surroundings
from outdial.sim.steps import Persona

MAX_CALLS = 5000
"""Calls at once; more are answered with 503."""

_log = log.get("sim")


class SimulatedCarrier:
    """Takes legs from a SIP endpoint and lives their calls. `stop` ends them all.

    `personas` maps numbers (digits only) to personas; every other number is `person`.
    """

    def __init__(
        self,
        room: Surroundings,
        personas: Mapping[str, Persona] = PERSONAS,
        person: Persona = PERSON,
    ) -> None:
        self._room = room
        self._personas = personas
        self._person = person
        # Ends with the process even when `stop` is never reached: only recordings are in it.
        self._folder = tempfile.TemporaryDirectory(prefix="outdial-sim-")
        self._heard = HeardCalls(Path(self._folder.name))
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def calls(self) -> int:
        """Calls running now."""
        return len(self._tasks)

    @property
    def personas(self) -> Mapping[str, Persona]:
        """The table of numbers."""
        return self._personas

    @property
    def person(self) -> Persona:
        """Who answers the numbers that are not in the table."""
        return self._person

    def take(self, leg: IncomingLeg) -> None:
        """A call has arrived. Returns at once."""
        if len(self._tasks) >= MAX_CALLS:
            leg.reject(503, "Too Many Calls")
            return
        task = asyncio.get_running_loop().create_task(self._live(leg))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def heard(self, number: str) -> HeardCall | None:
        """The last call of the number; None when it never had one."""
        return self._heard.last(number)

    async def stop(self) -> None:
        """Hangs up every call and deletes the recordings."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._folder.cleanup()

    async def _live(self, leg: IncomingLeg) -> None:
        persona = self._personas.get(key_of(leg.called), self._person)
        now = self._room.clock.now
        heard = self._heard.begin(leg.called, persona.name, leg.caller_id, now())
        _log.info("phone-called", number=heard.number, persona=persona.name, caller=leg.caller_id)
        try:
            await Phone(leg, persona, heard, self._room).run()
        except Exception as error:
            # A persona that asks for the impossible: said once, and the carrier lives on.
            _log.error("phone-failed", number=heard.number, persona=persona.name, error=repr(error))
        finally:
            self._heard.end(heard, now())
            _log.info("phone-done", number=heard.number, digits=heard.digits)
