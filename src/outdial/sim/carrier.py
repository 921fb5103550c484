"""The simulated carrier: gives every incoming leg to a phone with the number's persona."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from outdial import log
from outdial.clock import Clock
from outdial.legs import Codec, MediaPlane
from outdial.sim.gate import Admits, DigestGate, SimulatedLeg
from outdial.sim.heard import HeardCall, HeardCalls, key_of
from outdial.sim.personas import PERSON, PERSONAS
from outdial.sim.phone import Phone, Speak, Surroundings
from outdial.sim.steps import Persona

MAX_CALLS = 5000
"""Calls at once; more are answered with 503."""

_log = log.get("sim")


class SimulatedCarrier:
    """Takes legs from a SIP endpoint and lives their calls. `stop` ends them all.

    `personas` maps numbers (digits only) to personas; every other number is `person`. `speak` is
    `Speech.speak`; `admits` and `sleep` are for tests.
    """

    def __init__(
        self,
        plane: MediaPlane,
        speak: Speak,
        clock: Clock,
        *,
        personas: Mapping[str, Persona] = PERSONAS,
        person: Persona = PERSON,
        codecs: Sequence[Codec] = (Codec.PCMU, Codec.PCMA),
        admits: Admits | None = None,
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep,
    ) -> None:
        self._room = Surroundings(
            plane=plane,
            speak=speak,
            admits=admits or DigestGate(clock).admits,
            clock=clock,
            codecs=codecs,
            sleep=sleep,
        )
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

    def take(self, leg: SimulatedLeg) -> None:
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

    async def _live(self, leg: SimulatedLeg) -> None:
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
