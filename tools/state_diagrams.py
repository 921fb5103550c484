"""Writes docs/design/states.md: the state diagrams, drawn from the tables that run.

Run it after a table has changed; tests/docs/test_states_documented.py checks that it was run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from outdial.calls import states
from outdial.sip.core import machines

PAGE = Path(__file__).parents[1] / "docs/design/states.md"

Edge = tuple[str, str, str]


def diagram(start: str, edges: Iterable[Edge], ends: str) -> str:
    """A Mermaid state diagram; edges of the same two states share one arrow."""
    labels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for source, label, target in edges:
        labels[source, target].append(label)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {start}"]
    lines += [f"    {a} --> {b}: {', '.join(label)}" for (a, b), label in labels.items()]
    lines += [f"    {ends} --> [*]", "```"]
    return "\n".join(lines)


def call() -> str:
    """The states of a call."""
    edges = [
        (source.value, event.value, target.value)
        for (source, event), target in states.TRANSITIONS.items()
    ]
    return diagram(states.State.QUEUED.value, edges, states.State.COMPLETED.value)


def machine(table: machines.Table, start: machines.State) -> str:
    """A SIP transaction; events that change nothing are left out, for the eye's sake."""
    edges = [
        (source.name, event.name.lower().replace("_", " "), target.name)
        for (source, event), (actions, target) in table.items()
        if source is not target or actions
    ]
    return diagram(start.name, edges, machines.State.TERMINATED.name)


def page() -> str:
    """The whole page."""
    idle, trying = machines.State.IDLE, machines.State.TRYING
    proceeding = machines.State.PROCEEDING
    parts = [
        "# State diagrams",
        "Drawn by `tools/state_diagrams.py` from the tables that run. An event that a table does "
        "not list for a state is an error, never ignored.",
        "## A call (`outdial.calls.states`)",
        call(),
        "Every state reached is written together with its event, and told by the status callback "
        "of its name: `dialling` is `initiated`.",
        "## SIP transactions (`outdial.sip.core.machines`)",
        "RFC 3261 section 17 with the Accepted states of RFC 6026. Events that change nothing and "
        "send nothing are left out.",
        "### INVITE client",
        machine(machines.INVITE_CLIENT, idle),
        "### Other clients",
        machine(machines.CLIENT, idle),
        "### INVITE server",
        machine(machines.INVITE_SERVER, proceeding),
        "### Other servers",
        machine(machines.SERVER, trying),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
