"""Trunks with G.722 and opus: what is offered, and what is made of the answer.

What arrives is decoded by FFmpeg, which has no part in how it was encoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import av
import numpy as np
import pytest

from outdial.testing import audio
from system.sipp.ear import PCMU, Packet
from system.sipp.stage import LINGER, STEPS, WELL, Scene, Stage

OPUS, G722 = 96, 9
"""opus by the number of the phone's answer, which is not that of the offer."""
RATES = {"libopus": 48000, "g722": 16000}


@pytest.fixture(scope="module")
def wide() -> Iterator[Stage]:
    with Stage({"media": {"codecs": ["opus", "G722", "PCMU"]}}) as stage:
        yield stage


@pytest.fixture
def scene(wide: Stage) -> Iterator[Scene]:
    with Scene(wide).running() as scene:
        yield scene


def decoded(packets: list[Packet], name: str) -> audio.Sound:
    context: Any = av.CodecContext.create(name, "r")
    context.sample_rate, context.layout = RATES[name], "mono"
    frames = [frame for one in packets for frame in context.decode(av.Packet(one.payload))]
    samples = np.concatenate([np.asarray(frame.to_ndarray()).reshape(-1) for frame in frames])
    return audio.Sound(samples / 32768, RATES[name])


def played(scene: Scene) -> str:
    """A document that plays a second of 700 Hz."""
    sound = scene.stage.web.serve("/700.wav", audio.wav(audio.tone(700, seconds=1.0)), "audio/wav")
    return f"<Response><Play>{sound}</Play></Response>"


def test_opus_under_the_number_of_the_answer(scene: Scene) -> None:
    phone = scene.phone("answer", sdp="@sdp-opus@")
    call = scene.call(phone, played(scene))
    call.ended(*STEPS, WELL)
    (invite,) = phone.received("INVITE ")
    body = invite.body
    assert " RTP/AVP 111 9 0 101 110\n" in body
    assert "a=rtpmap:111 opus/48000/2\na=fmtp:111 useinbandfec=1;maxplaybackrate=8000" in body
    assert "a=rtpmap:110 telephone-event/48000\n" in body
    packets = phone.ear.packets
    assert {packet.payload_type for packet in packets} == {OPUS}
    assert {b.timestamp - a.timestamp for a, b in pairwise(packets)} == {960}
    assert {b.sequence - a.sequence for a, b in pairwise(packets)} == {1}
    heard = decoded(packets, "libopus")
    assert audio.active_s(heard) == pytest.approx(1.0, abs=0.1)
    assert audio.tone_share(heard.cut(0.2, 0.9), 700) > 0.95
    assert audio.level_dbfs(heard) == pytest.approx(-15, abs=1)


def test_a_reinvite_goes_over_to_another_codec(scene: Scene) -> None:
    phone = scene.phone("reinvites", new_sdp="@sdp-g722@")
    call = scene.call(phone, LINGER)
    call.ended(*STEPS, WELL)
    kinds = [packet.payload_type for packet in phone.ear.packets]
    assert set(kinds) == {PCMU, G722}
    assert kinds == sorted(kinds), "first one, then the other"
    events = scene.stage.outdial.get(f"/v1/calls/{call.sid}/events")["events"]
    codecs = [event["data"]["codec"] for event in events if "codec" in event["data"]]
    assert codecs == ["PCMU", "G722"]
    assert scene.stage.outdial.get(f"/v1/calls/{call.sid}")["media"]["codec"] == "G722"
