"""Faxes of calls: a helper process that may die, and a call that may end at any moment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from doubles.faxes import is_installed
from doubles.legs import FakeMedia, FakeMediaLeg
from doubles.world import World, until
from outdial import config, ids
from outdial.calls import faxes as module
from outdial.calls.faxes import Fax, Faxes
from outdial.calls.leg import CallLeg
from outdial.errors import FaxError
from outdial.fax import spandsp
from outdial.fax.receiver import FaxEnd as Received
from outdial.fax.receiver import FaxOrder, Reception
from outdial.legs import Codec, Ending, Outcome, Source
from outdial.store.records import CallRecord

OVER = Ending(Outcome.COMPLETED, "normal-clearing", Source.CALLEE)
needs_library = pytest.mark.skipif(
    not is_installed(), reason="libspandsp is not installed (Debian: apt install libspandsp2)"
)


class FakeLeg:
    """An answered call, as a fax sees it."""

    def __init__(self, world: World) -> None:
        self.sid = ids.new(ids.CALL)
        self.call = CallRecord(
            self.sid, self.sid, "inbound", "12025550100", "12025550177", "", "answered", 0.0
        )
        self.media = FakeMediaLeg(self.sid, lambda event: None, None)
        self.codec = Codec.PCMU
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.notes: list[tuple[str, dict[str, Any]]] = []

    @property
    def is_over(self) -> bool:
        return self.ended.done()

    def note(self, kind: str, **data: Any) -> None:
        self.notes.append((kind, data))


class Office:
    """The service and one call."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.world = World()
        self.faxes = Faxes(config.Fax(**settings), folder)
        self.leg = FakeLeg(self.world)

    def receive(self) -> Fax:
        return self.faxes.receive(self.world.services, cast(CallLeg, self.leg))

    @property
    def media(self) -> FakeMedia:
        return self.world.media

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.leg.notes]


@pytest.fixture
async def helpers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Reception]]:
    """The receptions that were begun; their processes are gone in the end."""
    begun: list[Reception] = []
    begin = Reception.begin

    async def noted(order: FaxOrder) -> Reception:
        reception = await begin(order)
        begun.append(reception)
        return reception

    monkeypatch.setattr(Reception, "begin", noted)
    yield begun
    for reception in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(reception.pid, 0)


@needs_library
async def test_a_call_that_ends_without_a_fax_leaves_nothing(
    tmp_path: Path, helpers: list[Reception]
) -> None:
    office = Office(tmp_path)
    fax = office.receive()
    await until(lambda: office.media.legs and "start" in office.media.legs[0].done)
    (stream,) = office.media.legs
    assert stream.near is office.leg.media
    (params,) = stream.started
    assert (params.remote_address, params.codec, params.telephone_event) == (
        "127.0.0.1", Codec.PCMU, module.NO_EVENTS
    )  # fmt: skip
    await until(lambda: "bridge" in office.leg.media.done)
    office.leg.ended.set_result(OVER)
    end = await fax.end()
    assert (end.status, end.pages) == ("failed", 0)
    assert "dropped" in end.error
    assert stream.closed and "unbridge" not in office.leg.media.done
    assert office.kinds() == ["fax.started", "fax.done"]
    assert os.listdir(tmp_path) == []
    assert office.faxes.under_way == 0


@pytest.mark.parametrize("codec", [Codec.G722, Codec.OPUS])
async def test_a_fax_needs_g711(tmp_path: Path, codec: Codec) -> None:
    """It fails at once, and says why; nothing is opened for it."""
    office = Office(tmp_path)
    office.leg.codec = codec
    end = await office.receive().end()
    assert (end.status, end.pages) == ("failed", 0)
    assert end.error == f"a fax needs G.711, and the call has {codec.encoding}"
    assert office.media.legs == []
    assert office.kinds() == ["fax.started", "fax.done"]


@needs_library
async def test_a_helper_that_dies_costs_one_fax(tmp_path: Path, helpers: list[Reception]) -> None:
    office = Office(tmp_path)
    fax = office.receive()
    await until(lambda: "bridge" in office.leg.media.done)
    for suffix in ("tif", "part"):
        (tmp_path / f"{fax.sid}.{suffix}").write_bytes(b"half of it")
    os.kill(helpers[0].pid, signal.SIGSEGV)
    end = await fax.end()
    assert os.listdir(tmp_path) == []
    assert end.status == "failed" and "helper process died" in end.error
    assert "unbridge" in office.leg.media.done, "the call goes on"


@needs_library
async def test_a_verb_that_is_given_up_ends_the_fax(
    tmp_path: Path, helpers: list[Reception]
) -> None:
    office = Office(tmp_path)
    fax = office.receive()
    await until(lambda: "bridge" in office.leg.media.done)
    fax.stop()
    assert (await fax.end()).status == "failed"
    assert "unbridge" in office.leg.media.done


async def test_no_more_at_once_than_the_setting_allows(tmp_path: Path) -> None:
    office = Office(tmp_path, concurrent=0)
    end = await office.receive().end()
    assert (end.status, office.media.legs) == ("failed", [])
    assert "fax.concurrent allows no more" in end.error


async def test_without_a_port_it_fails(tmp_path: Path) -> None:
    office = Office(tmp_path)
    office.media.is_full = True
    assert (await office.receive().end()).error == "no free port"


async def test_without_the_library_it_fails_and_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin(order: FaxOrder) -> Reception:
        raise FaxError("libspandsp is not installed (Debian, Ubuntu: apt install libspandsp2)")

    monkeypatch.setattr(Reception, "begin", begin)
    office = Office(tmp_path)
    end = await office.receive().end()
    assert "apt install libspandsp2" in end.error
    assert office.media.legs[0].closed
    assert office.leg.media.done == []


def test_the_library_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spandsp, "NAMES", ("libno-such-thing.so.2",))
    with pytest.raises(FaxError, match="apt install libspandsp2"):
        spandsp.load()


@pytest.mark.parametrize(
    ("received", "status", "pages", "whole"),
    [
        (Received(True, 2, 2, "1 555", 900), "Complete", 2, 2),
        (Received(False, 2, 1, "1 555", 900, "The call dropped"), "incomplete", 2, 1),
    ],
)
async def test_a_fax_with_pages_is_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    received: Received,
    status: str,
    pages: int,
    whole: int,
) -> None:
    async def receive(fax: Fax) -> Received:
        return received

    monkeypatch.setattr(Fax, "_receive", receive)
    office = Office(tmp_path)
    fax = office.receive()
    end = await fax.end()
    assert (end.status, end.pages, end.received, end.sender) == (status, pages, whole, "1 555")
    assert fax.url == f"http://outdial.test/v1/faxes/{fax.sid}.pdf"
    (change,) = office.world.store.changes
    (record,) = change.faxes
    assert (record.sid, record.call_sid, record.status, record.size_bytes) == (
        fax.sid, office.leg.sid, status, 900
    )  # fmt: skip
    done = dict(office.leg.notes)["fax.done"]
    assert (done["status"], done["pages"], done["problem"]) == (status, pages, received.reason)
