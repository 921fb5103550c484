"""What the routes under /sim answer, through the application as a server would call it."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from outdial.legs import Clip, Digit
from outdial.sim.carrier import SimulatedCarrier
from outdial.sim.http import heard_router
from outdial.sim.personas import PERSONAS
from outdial.testing.audio import read_mono
from outdial.testing.clock import FakeClock, settle
from outdial.testing.legs import FakeIncomingLeg, FakeMediaPlane


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.plane = FakeMediaPlane(self.clock.sleep)
        self.carrier = SimulatedCarrier(self.plane, _speak, self.clock, sleep=self.clock.sleep)
        self.app = FastAPI()
        self.app.include_router(heard_router(self.carrier))

    async def get(self, path: str, query: str = "", accept: str = "") -> Answer:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(b"accept", accept.encode())] if accept else [],
            "server": ("127.0.0.1", 80),
            "client": ("127.0.0.1", 1),
        }
        await self.app(scope, receive, send)
        headers = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(m.get("body", b"") for m in sent[1:]))

    async def answered_call(self, number: str, recording: bytes) -> FakeIncomingLeg:
        leg = FakeIncomingLeg(number)
        self.carrier.take(leg)
        await settle()
        await self.clock.advance(1)
        heard = self.carrier.heard(number)
        assert heard is not None
        heard.path.write_bytes(recording)
        return leg


async def _speak(text: str, voice: str, language: str) -> AsyncIterator[Clip]:
    yield Clip("", "", 500)


def tone_wav(seconds: float) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        times = np.arange(round(seconds * 8000)) / 8000
        file.writeframes((np.sin(2 * np.pi * 440 * times) * 8192).astype("<i2").tobytes())
    return out.getvalue()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.carrier.stop()


async def test_a_number_that_was_never_called_is_404_and_says_so(world: World) -> None:
    answer = await world.get("/sim/phones/15005550001/heard")
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"] == "15005550001 has not been called."


async def test_a_call_that_was_not_answered_is_404_as_audio_but_has_figures(world: World) -> None:
    world.carrier.take(FakeIncomingLeg("15005550002"))
    await settle()
    answer = await world.get("/sim/phones/15005550002/heard")
    assert answer.status == 404
    assert "not answered" in answer.json["detail"]
    figures = (await world.get("/sim/phones/15005550002/heard", "format=json")).json
    assert (figures["answered_at"], figures["duration_s"], figures["wav_url"]) == (None, 0.0, None)


async def test_the_last_call_is_given_as_wav_with_its_digits(world: World) -> None:
    leg = await world.answered_call("15005550001", tone_wav(2))
    for digit in "12#":
        world.plane.legs[-1].emit(Digit(digit, "rfc4733", 80))
    leg.bye()
    answer = await world.get("/sim/phones/15005550001/heard", accept="*/*")
    assert (answer.status, answer.headers["content-type"]) == (200, "audio/wav")
    assert answer.headers["x-outdial-digits"] == "12#"
    assert read_mono(answer.body).duration_s == pytest.approx(2)


@pytest.mark.parametrize(("query", "accept"), [("format=json", ""), ("", "application/json")])
async def test_the_figures_of_a_call(world: World, query: str, accept: str) -> None:
    leg = await world.answered_call("15005550001", tone_wav(2))
    leg.bye()
    figures = (await world.get("/sim/phones/15005550001/heard", query, accept)).json
    assert figures["number"] == "15005550001"
    assert figures["duration_s"] == figures["sound_s"] == 2.0
    assert figures["level_dbfs"] == pytest.approx(-15.1, abs=0.2)
    assert figures["running"] is False
    assert figures["answered_at"] == "2023-11-14T22:13:20.700Z"
    again = await world.get(*figures["wav_url"].split("?"))
    assert again.body[:4] == b"RIFF"


async def test_a_running_call_gives_what_was_heard_so_far_with_a_true_header(world: World) -> None:
    whole = tone_wav(3)
    await world.answered_call("15005550001", whole[: 44 + 16000])
    answer = await world.get("/sim/phones/15005550001/heard", "wait=0")
    with wave.open(io.BytesIO(answer.body)) as file:
        assert file.getnframes() == 8000
    figures = (await world.get("/sim/phones/15005550001/heard", "wait=0&format=json")).json
    assert (figures["running"], figures["duration_s"]) == (True, 1.0)


async def test_the_phones_are_listed_with_what_they_do(world: World) -> None:
    phones = (await world.get("/sim/phones")).json["phones"]
    assert [row["number"] for row in phones] == [*PERSONAS, "any"]
    assert phones[1]["summary"] == "is busy (486)"


@pytest.mark.parametrize("query", ["wait=-1", "wait=61", "wait=x", "format=mp3"])
async def test_wrong_parameters_are_422(world: World, query: str) -> None:
    assert (await world.get("/sim/phones/1/heard", query)).status == 422
