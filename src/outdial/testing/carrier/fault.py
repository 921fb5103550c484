"""Faults of carriers by name, each with its script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Literal

from outdial.frozen import frozen
from outdial.testing.carrier.carrier import Script, ScriptedCarrier
from outdial.testing.carrier.registration import RegistrarScript

Dns = Literal[
    "right", "unknown", "silent", "slow", "broken", "lost", "no service", "dangling", "cut off"
]
"""unknown: there is no such name. broken: the answer is of no use. lost: one answer, then silence.
no service: SRV says that there is none. dangling: the target of the SRV record has no address.
cut off: the whole answer comes over TCP."""
Network = Callable[[ScriptedCarrier], None]


@frozen
class Fault:
    """What a carrier does. docs/reference/carrier-faults.md has a line for each."""

    name: str
    script: Script | None
    """None: there is nobody at the trunk's address."""
    stays_s: int = 5
    """How long the application stays on the line."""
    trunk: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of the trunk."""
    network: Network | None = None
    second: Script | None = None
    """A second trunk for the same numbers, behind the first. It does not register."""
    servers: tuple[Script | None, ...] = ()
    """The servers that the SRV records of the first trunk's domain lead to, the preferred first;
    None: there is nobody at its address. Without any the trunk has an address."""
    dns: Dns = "right"
    """What the name servers make of the domain."""
    certificates: tuple[tuple[str, str], ...] = ()
    """PEM files of certificate and key that the carriers of first and second trunk show over
    TLS."""
    registrar: RegistrarScript | None = None
    """What becomes of REGISTER; None: nothing."""


Scripted = Callable[[Script], Script]


class Faults:
    """A collection of them. `of` is a decorator for their scripts."""

    def __init__(self) -> None:
        self.by_name: dict[str, Fault] = {}

    def of(self, name: str, **more: Any) -> Scripted:
        """The fault of that name is what the decorated function does."""

        def add(script: Script) -> Script:
            self.add(Fault(name, script, **more))
            return script

        return add

    def add(self, fault: Fault) -> None:
        """Takes one more. ValueError for a name that there is already."""
        if fault.name in self.by_name:
            raise ValueError(f"there are two faults named {fault.name}")
        self.by_name[fault.name] = fault
