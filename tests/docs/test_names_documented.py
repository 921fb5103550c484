"""The reference pages have every name that there is, and no other."""

from __future__ import annotations

import ast
import dataclasses
import re
from types import SimpleNamespace
from typing import Any, cast

from docs.pages import ROOT
from outdial.calls.host import LegHost
from outdial.calls.states import State
from outdial.didml.table import VERBS
from outdial.sim import steps
from outdial.sim.http import heard_router
from outdial.sim.personas import PERSON, PERSONAS
from outdial.store.records import CallRecord
from outdial.webhooks.payloads import status_params
from outdial.webhooks.schedule import DELAYS_S, LIVE_DELAYS_S

REFERENCE = ROOT / "docs/reference"
SOURCE = ROOT / "src/outdial"


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def ended_call() -> CallRecord:
    """A recorded call that somebody answered."""
    return CallRecord(
        sid="CA" + "0" * 32,
        parent_sid="CA" + "0" * 32,
        direction="outbound",
        from_number="18005797676",
        to_number="15005550001",
        caller_name="",
        state="completed",
        created_at=1000.0,
        key_name="dev",
        answered_at=1001.0,
        ended_at=1003.9,
        outcome="completed",
        sip_code=200,
        cause="normal-clearing",
        hangup_source="callee",
    )


# ------------------------------------------------------------------ callbacks


def test_the_parameters_of_callbacks_are_there_in_the_order_sent() -> None:
    table = page("callbacks.md").split("## Status callbacks")[1].split("### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (all|completed)", table, re.M)
    sent = status_params(
        ended_call(),
        "completed",
        sequence_number=3,
        at=1004.0,
        recording_url="u",
        recording_error="e",
        secret_key="k",
    )
    assert [name for name, _ in rows] == [name for name, _ in sent]
    early = status_params(ended_call(), "ringing", sequence_number=1, at=1001.0, secret_key="k")
    assert [name for name, when in rows if when == "all"] == [name for name, _ in early]


def test_the_parameters_of_document_requests_are_there_in_the_order_sent() -> None:
    table = page("callbacks.md").split("## Requests for documents")[1].split("The `action`")[0]
    leg = SimpleNamespace(
        call=ended_call(), state=State.ANSWERED, is_over=False, sip_headers=(("X-Account", "42"),)
    )
    host = cast(Any, SimpleNamespace(_leg=leg))
    sent = LegHost._standard_params(host)
    *six, (extra, _) = sent
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == [name for name, _ in six]
    assert f"`{extra}`" in table


def test_the_waits_before_callbacks_are_repeated_are_there() -> None:
    def written(seconds: float) -> str:
        for size, unit in ((3600, "h"), (60, "min")):
            if seconds >= size:
                return f"{seconds / size:g} {unit}"
        return f"{seconds:g} s"

    text = " ".join(page("callbacks.md").split())
    waits = [written(delay) for delay in DELAYS_S[1:]]
    assert f"{', '.join(waits[:-1])} and {waits[-1]} after the failure before" in text
    live = [written(delay) for delay in LIVE_DELAYS_S[1:]]
    assert f"the first two waits are {' and '.join(live)}" in text


# ------------------------------------------------------------------ the timeline


def noted() -> dict[str, set[str]]:
    """Kinds of events that the sources write, with the names of their data."""
    found: dict[str, set[str]] = {f"state.{state.value}": set() for state in State}
    for path in (*SOURCE.glob("calls/*.py"), *SOURCE.glob("didml/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr not in ("note", "event") or not node.args:
                continue
            kind = node.args[0]
            if isinstance(kind, ast.Constant) and isinstance(kind.value, str):
                data = found.setdefault(kind.value, set())
                data.update(keyword.arg for keyword in node.keywords if keyword.arg)
    journal = (SOURCE / "calls/journal.py").read_text()
    for word in re.findall(r'"(callback\.[a-z]+)"', journal):
        found[word] = {"event", "ms"}
    return found


def test_every_kind_of_event_is_there_with_its_data() -> None:
    rows = dict(re.findall(r"^\| `([a-z.]+)` \| (.+) \|$", page("timeline.md"), re.M))
    kinds = noted()
    assert len(kinds) > 20
    assert set(rows) == set(kinds)
    for kind, data in kinds.items():
        if kind != "callback.dead":  # as callback.failed
            assert [name for name in data if f"`{name}`" not in rows[kind]] == [], kind


# ------------------------------------------------------------------ verbs


def test_every_verb_is_there_with_its_attributes() -> None:
    index = page("didml.md")
    for row in VERBS:
        if row.build is None:
            unsupported = index.split("## Not in this version")[1]
            assert re.search(rf"\b{row.name}\b", unsupported), row.name
            continue
        assert f"[{row.name}](didml/{row.name.lower()}.md)" in index
        text = page(f"didml/{row.name.lower()}.md").lower()
        for attribute in row.attributes:
            for name in (attribute.name, *attribute.aliases):
                assert f"`{name}`".lower() in text, f"{row.name} {name}"


# ------------------------------------------------------------------ simulated phones


def test_every_simulated_phone_is_there() -> None:
    rows = dict(re.findall(r"^\| (\w[\w ]*) \| ([^|]+) \|", page("simulated-phones.md"), re.M))
    for number, persona in PERSONAS.items():
        assert rows[number].startswith(persona.summary)
    assert rows["any other"] == PERSON.summary


def test_every_step_of_a_phone_is_there() -> None:
    text = page("simulated-phones.md")
    names = [
        name
        for name, value in vars(steps).items()
        if dataclasses.is_dataclass(value) and name != "Persona"
    ]
    assert len(names) > 10
    assert [name for name in names if f"| `{name}(" not in text] == []


def test_every_path_of_the_simulated_phones_is_there() -> None:
    paths = [getattr(route, "path", "") for route in heard_router(cast(Any, None)).routes]
    assert len(paths) == 2
    assert [path for path in paths if f"GET {path}" not in page("simulated-phones.md")] == []


# ------------------------------------------------------------------ the test kit


def test_every_module_of_the_test_kit_is_there() -> None:
    modules = [path.stem for path in (SOURCE / "testing").glob("[a-z]*.py")]
    assert len(modules) > 4
    missing = [name for name in modules if f"`outdial.testing.{name}`" not in page("test-kit.md")]
    assert missing == []
