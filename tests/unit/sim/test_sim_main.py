"""The carrier on real sockets: SIP and RTP over loopback, called by our own user agent."""

from __future__ import annotations

import asyncio
import re
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from outdial import sdp
from outdial.clock import SystemClock
from outdial.config import Media, Settings, Sip
from outdial.errors import ConfigError
from outdial.legs import (
    Answered,
    Codec,
    DialTarget,
    Digit,
    MediaEvent,
    MediaStats,
    Rejected,
    Released,
    SignallingEvent,
)
from outdial.media.plane import WorkerPool
from outdial.sim.main import (
    LOOPBACK,
    MEDIA_PORTS,
    RunningCarrier,
    beside,
    run,
    serve,
    standalone,
)
from outdial.sim.steps import Answer, Listen, Persona, Press, Tone, Wait
from outdial.sip.endpoint import SipEndpoint
from outdial.sip.plane import SipPlane
from outdial.testing.audio import read_mono, tone_share
from outdial.testing.server import free_port

CODECS = (Codec.PCMU, Codec.PCMA)
ANSWERING = Persona("answers", "", (Answer(), Press("42#"), Listen()))
BEEPING = Persona("beeps", "", (Answer(), Tone("beep"), Wait(0.1)))


class Caller:
    """One call towards the carrier, and what came of it."""

    def __init__(self, pool: WorkerPool, plane: SipPlane, number: str) -> None:
        self.digits: asyncio.Queue[str] = asyncio.Queue()
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self.last: SignallingEvent | None = None
        self.stats = asyncio.get_running_loop().create_future()
        self.media = pool.open("CA" + "0" * 32, self._on_media)
        offer = sdp.offer(self.media.address, self.media.port, 1, CODECS)
        target = DialTarget("CA" + "0" * 32, "sim", number, "18005797676")
        self.leg = plane.dial(target, offer, self._on_signalling)

    def _on_signalling(self, event: SignallingEvent) -> None:
        self.last = event
        if isinstance(event, Answered) and event.sdp is not None:
            self.media.start(sdp.accept(event.sdp, CODECS))
            self.leg.acknowledge()
            self.answered.set()
        elif isinstance(event, Released | Rejected):
            self.media.close()
            self.ended.set()

    def _on_media(self, event: MediaEvent) -> None:
        if isinstance(event, Digit):
            self.digits.put_nowait(event.digit)
        elif isinstance(event, MediaStats):
            self.stats.set_result(event)


class World:
    def __init__(self, carrier: RunningCarrier, pool: WorkerPool, plane: SipPlane) -> None:
        self.carrier = carrier
        self._pool = pool
        self._plane = plane

    def call(self, number: str) -> Caller:
        return Caller(self._pool, self._plane, number)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    settings = Settings.model_validate(
        {"media": {"workers": 1}, "storage": {"cache": str(tmp_path)}}
    )
    personas = {"15551230001": ANSWERING, "15551230002": BEEPING}
    clock = SystemClock()
    async with standalone(settings, ["udp:127.0.0.1:0"], personas=personas) as carrier:
        pool = await WorkerPool.start(settings.media, clock)
        endpoint = await SipEndpoint.start(Sip(listen=["udp:127.0.0.1:0"]), clock=clock)
        plane = SipPlane(settings.sip, [carrier.trunk], endpoint, clock)
        try:
            yield World(carrier, pool, plane)
        finally:
            plane.close()
            await endpoint.close()
            await pool.stop()
    assert carrier.phones.calls == 0


async def test_digits_pass_both_ways_and_rtp_does_not_stop(world: World) -> None:
    caller = world.call("15551230001")
    async with asyncio.timeout(10):
        await caller.answered.wait()
        await caller.media.send_digits("7*")
        keyed = [await caller.digits.get() for _ in "42#"]
        caller.leg.hang_up()
        await caller.ended.wait()
        stats = await caller.stats
    assert "".join(keyed) == "42#"
    heard = world.carrier.phones.heard("15551230001")
    assert heard is not None
    await asyncio.wait_for(heard.over.wait(), 5)
    assert heard.digits == "7*"
    assert heard.answered_at is not None and heard.ended_at is not None
    lasted_s = heard.ended_at - heard.answered_at
    assert stats.packets_received > 40 * lasted_s, "50 packets a second, less the start"
    assert heard.duration_s == pytest.approx(lasted_s, abs=0.3)


async def test_a_phone_that_ends_hangs_up_and_was_heard(world: World) -> None:
    caller = world.call("15551230002")
    async with asyncio.timeout(10):
        await caller.ended.wait()
        stats = await caller.stats
    assert caller.last == Released(by_far_end=True, q850_cause=16)
    assert stats.packets_received >= 25


async def test_a_leg_that_beeps_is_heard_by_the_phone(world: World) -> None:
    caller = world.call("15551230001")
    async with asyncio.timeout(10):
        await caller.answered.wait()
        await caller.media.tone("beep")
        caller.leg.hang_up()
        await caller.ended.wait()
    heard = world.carrier.phones.heard("15551230001")
    assert heard is not None
    await asyncio.wait_for(heard.over.wait(), 5)
    assert tone_share(read_mono(heard.path), 1000) > 0.9


async def test_a_number_out_of_the_table_is_the_person(world: World) -> None:
    caller = world.call("442071838750")
    async with asyncio.timeout(10):
        await caller.answered.wait()
        caller.leg.hang_up()
        await caller.ended.wait()
    heard = world.carrier.phones.heard("442071838750")
    assert heard is not None and heard.persona == "person"


async def test_the_program_prints_the_trunk_and_answers_what_was_heard(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"media": {"workers": 1}, "storage": {"cache": str(tmp_path)}}
    )
    said: list[str] = []
    ready = asyncio.Event()
    port = free_port()

    def say(line: str) -> None:
        said.append(line)
        if line.startswith("What they heard"):
            ready.set()

    listen = ["udp:127.0.0.1:0"]
    task = asyncio.create_task(serve(settings, listen, f"127.0.0.1:{port}", ["127.0.0.0/8"], say))
    await asyncio.wait_for(ready.wait(), 10)

    def get() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/sim/phones", timeout=5) as answer:
            data: bytes = answer.read()
            return data

    assert b"15005550014" in await asyncio.to_thread(get)
    assert '  username = "sim"' in said
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("listen", "http", "allow", "ports", "key"),
    [
        ("udp:127.0.0.1:0", "8090", "127.0.0.0/8", MEDIA_PORTS, "--http"),
        ("udp:127.0.0.1:0", "127.0.0.1:8090", "nowhere", MEDIA_PORTS, "--allow"),
        ("udp:127.0.0.1", "127.0.0.1:8090", "127.0.0.0/8", MEDIA_PORTS, "--listen"),
        ("udp:127.0.0.1:0", "127.0.0.1:8090", "127.0.0.0/8", "30000", "--media-ports"),
    ],
)
def test_what_is_wrong_is_named(
    listen: str, http: str, allow: str, ports: str, key: str, tmp_path: Path
) -> None:
    settings = Settings.model_validate(
        {"media": {"workers": 1}, "storage": {"cache": str(tmp_path)}}
    )
    with pytest.raises(ConfigError) as raised:
        run([listen], http, [allow], media_ports=ports, settings=settings, say=print)
    assert raised.value.key == key


def test_alone_it_has_ports_and_an_address_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[Settings] = []

    async def serve_nobody(settings: Settings, *_: object) -> None:
        used.append(settings)

    monkeypatch.setattr("outdial.sim.main.serve", serve_nobody)
    server = Settings.model_validate(
        {"media": {"ports": "20000-20003", "public_address": "203.0.113.7", "country": "de"}}
    )
    run(settings=server, say=print)
    (own,) = used
    assert (own.media.ports, own.media.public_address) == (MEDIA_PORTS, "")
    assert (own.media.country, own.speech) == ("de", server.speech)


@pytest.mark.parametrize(
    ("listen", "expected", "host"),
    [
        (["udp:127.0.0.1:5060"], "udp:127.0.0.1:0", "127.0.0.1"),
        (["udp:203.0.113.7:5060"], "udp:203.0.113.7:0", "203.0.113.7"),
        (["udp:[2001:db8::7]:5060"], "udp:[2001:db8::7]:0", "2001:db8::7"),
        (["udp:0.0.0.0:5060"], "udp:127.0.0.1:0", "127.0.0.1"),
        (["udp:[::]:5060"], "udp:[::1]:0", "::1"),
        (["tcp:127.0.0.1:5060"], "tcp:127.0.0.1:0", "127.0.0.1"),
        (["tcp:[::1]:5060", "udp:127.0.0.2:5060"], "udp:127.0.0.2:0", "127.0.0.2"),
    ],
)
def test_phones_are_where_the_server_beside_them_reaches_them(
    listen: list[str], expected: str, host: str
) -> None:
    assert beside(Sip(listen=listen)) == (expected, (*LOOPBACK, host))


@pytest.mark.parametrize(
    ("listen", "address", "transport"),
    [("udp:[::1]:0", r"\[::1\]:[0-9]+", "udp"), ("tcp:127.0.0.1:0", r"127\.0\.0\.1:[0-9]+", "tcp")],
)
async def test_the_trunk_that_is_printed_leads_to_the_phones(
    listen: str, address: str, transport: str
) -> None:
    async with standalone(Settings(media=Media(workers=1)), [listen]) as carrier:
        assert re.fullmatch(address, carrier.trunk.address)
        assert carrier.trunk.transport == transport


def test_phones_beside_a_server_that_speaks_tls_alone_are_refused() -> None:
    assert beside(Sip(listen=["tls:127.0.0.1:0", "tcp:127.0.0.1:0"]))[0] == "tcp:127.0.0.1:0"
    with pytest.raises(ConfigError, match=r"^sip\.listen: has TLS alone"):
        beside(Sip(listen=["tls:127.0.0.1:0"]))
