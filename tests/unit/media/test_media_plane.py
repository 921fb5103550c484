"""A real worker process, real loopback sockets."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from doubles.far_end import PATIENCE_S, FarEnd, Listener, power_at, tone
from outdial import sdp
from outdial.clock import SystemClock
from outdial.config import Media
from outdial.errors import MediaUnavailable
from outdial.legs import (
    Clip,
    Codec,
    Digit,
    Direction,
    MediaLost,
    MediaStats,
    NoRtp,
    PlayEnd,
    SpeechBegan,
    SpeechHeard,
)
from outdial.media.core import dtmf, g711, rtp, tones
from outdial.media.plane import WorkerPool
from outdial.media.process import COUNTERS

pytestmark = pytest.mark.asyncio(loop_scope="module")
MakeClip = Callable[[str, bytes], Clip]
SILENCE = b"\xff" * 160


async def settled(pool: WorkerPool, name: str, value: int) -> None:
    """Waits until a counter of the pool has the value."""
    async with asyncio.timeout(PATIENCE_S):
        while (await pool.stats())[name] != value:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.01)


async def test_the_first_packet_leaves_at_once_and_silence_follows(
    pool: WorkerPool, far: FarEnd
) -> None:
    leg = pool.open("CA1", Listener())
    assert leg.port % 2 == 0
    leg.start(far.params())
    first, payload = await far.receive()
    assert (first.payload_type, first.marker, payload) == (0, True, SILENCE)
    second, _ = await far.receive()
    assert second.sequence == (first.sequence + 1) & 0xFFFF
    assert second.timestamp == (first.timestamp + 160) & 0xFFFFFFFF
    assert second.ssrc == first.ssrc
    assert not second.marker


async def test_a_clip_queued_with_start_is_in_the_first_packet(
    pool: WorkerPool, far: FarEnd, clips: MakeClip
) -> None:
    samples = tone(440, 40)
    leg = pool.open("CA1", Listener())
    leg.start(far.params())
    played = leg.queue(clips("first", samples))
    _, payload = await far.receive()
    assert payload == g711.encode(samples[:320], rtp.PCMU)
    assert await played is PlayEnd.FINISHED


async def test_clips_follow_each_other_without_a_gap_in_either_law(
    pool: WorkerPool, far: FarEnd, clips: MakeClip
) -> None:
    one, two = tone(300, 50), tone(500, 50)
    for codec in (Codec.PCMU, Codec.PCMA):
        leg = pool.open("CA1", Listener())
        leg.start(far.params(codec))
        ends = [leg.queue(clips("one", one)), leg.queue(clips("two", two), 2)]
        got = b"".join([(await far.receive())[1] for _ in range(8)])
        expected = g711.encode(one + two + two, codec.value)
        assert got[: len(expected)] == expected
        assert got[len(expected) :] == g711.SILENCE[codec.value] * (len(got) - len(expected))
        assert [await end for end in ends] == [PlayEnd.FINISHED, PlayEnd.FINISHED]
        leg.close()
        far.drain()


async def test_a_packet_time_other_than_20_ms(pool: WorkerPool, far: FarEnd) -> None:
    for ptime_ms in (10, 30, 60):
        leg = pool.open("CA1", Listener())
        leg.start(far.params(ptime_ms=ptime_ms))
        first, payload = await far.receive()
        second, _ = await far.receive()
        assert len(payload) == 8 * ptime_ms
        assert (second.timestamp - first.timestamp) & 0xFFFFFFFF == 8 * ptime_ms
        leg.close()
        await settled(pool, "streams", 0)
        far.drain()


async def test_stop_playing_ends_everything_that_is_queued(
    pool: WorkerPool, far: FarEnd, clips: MakeClip
) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params())
    clip = clips("endless", tone(440, 100))
    ends = [leg.queue(clip, 0), leg.queue(clip), leg.tone("ringback:de")]
    await far.until(lambda packet, payload: payload != SILENCE)
    leg.stop_playing()
    assert [await end for end in ends] == [PlayEnd.STOPPED] * 3
    await far.until(lambda packet, payload: payload == SILENCE)


async def test_totals_keep_what_closed_streams_sent_and_heard(
    pool: WorkerPool, far: FarEnd
) -> None:
    for calls in (1, 2):
        leg = pool.open("CA1", Listener())
        leg.start(far.params())
        await far.receive()
        far.send(leg, SILENCE)
        await settled(pool, "packets_received", calls)
        leg.close()
        await settled(pool, "streams", 0)
        stats = await pool.stats()
        assert stats["packets_received"] == calls
        assert stats["packets_sent"] >= calls


async def test_the_first_sound_is_timed_from_the_start(
    pool: WorkerPool, far: FarEnd, clips: MakeClip
) -> None:
    listeners = [Listener() for _ in range(3)]
    silent, prompt, queued = (pool.open(f"CA{n}", one) for n, one in enumerate(listeners))
    queued.queue(clips("first", tone(500, 800)))
    for leg in (silent, prompt, queued):
        leg.start(far.params())
    await far.receive()
    await asyncio.sleep(0.1)
    for name in ("second", "third"):
        prompt.queue(clips(name, tone(500, 800)))
    await far.receive()
    for leg in (silent, prompt, queued):
        leg.close()
    after = [(await listener.wait(MediaStats))[0].sound_after_ms for listener in listeners]
    assert after[0] is None
    assert after[1] is not None and after[1] >= 100
    assert after[2] == 0


async def test_totals_never_fall_when_a_worker_dies(far: FarEnd) -> None:
    pool = await WorkerPool.start(Media(workers=1, ports="30000-39999"), SystemClock())
    try:
        leg = pool.open("CA1", Listener())
        leg.start(far.params())
        await far.receive()
        far.send(leg, SILENCE)
        await settled(pool, "packets_received", 1)
        scrapes = [await pool.stats()]
        os.kill(pool.pids[0], signal.SIGKILL)
        async with asyncio.timeout(PATIENCE_S):
            while not scrapes[-1]["restarts"]:
                scrapes.append(await pool.stats())
                await asyncio.sleep(0.01)
        leg = pool.open("CA2", Listener())
        leg.start(far.params())
        far.send(leg, SILENCE)
        await settled(pool, "packets_received", 2)
        scrapes.append(await pool.stats())
    finally:
        await pool.stop()
    assert scrapes[0]["packets_sent"] >= 1
    for before, after in pairwise(scrapes):
        for name in COUNTERS:
            assert before[name] <= after[name], name


async def test_the_address_that_is_shown_may_differ_from_the_bound_one(far: FarEnd) -> None:
    settings = Media(workers=1, ports="30000-39999", public_address="203.0.113.7")
    pool = await WorkerPool.start(settings, SystemClock())
    try:
        leg = pool.open("CA1", Listener())
        offer = sdp.offer(leg.address, leg.port, 1, [Codec.PCMU])
        assert b"c=IN IP4 203.0.113.7\r\n" in offer
        leg.start(far.params())
        await far.receive()
        far.socket.sendto(rtp.build(0, 100, 5000, 77, SILENCE), ("127.0.0.1", leg.port))
        await settled(pool, "packets_received", 1)
    finally:
        await pool.stop()


async def test_tones(pool: WorkerPool, far: FarEnd) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params())
    assert await leg.tone("beep") is PlayEnd.FINISHED
    with pytest.raises(ValueError, match="no tone"):
        leg.tone("jingle")
    with pytest.raises(ValueError, match="no tone"):
        leg.tone("busy:atlantis")


async def test_digits_go_out_as_events(pool: WorkerPool, far: FarEnd) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params(telephone_event=99))
    assert await leg.send_digits("4#") is PlayEnd.FINISHED
    receiver = dtmf.EventReceiver()
    heard = [
        digit
        for packet, payload in far.drain()
        if packet.payload_type == 99
        for digit in receiver.packet(packet.timestamp, payload, 0.0)
    ]
    assert heard == [("4", 100), ("#", 100)]
    with pytest.raises(ValueError, match="not a DTMF digit"):
        leg.send_digits("12x")


async def test_digits_in_both_directions_with_every_twentieth_packet_lost(
    pool: WorkerPool, far: FarEnd
) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    digits = "1590*#AD"
    sender, packets = dtmf.EventSender(digits), []
    timestamp = 1000
    while not sender.finished:
        packets.append(sender.tick(timestamp, 160))
        timestamp += 160
    lost = [index % 20 == 7 for index in range(len(packets))]
    for packet, gone in zip(packets, lost, strict=True):
        if packet is not None and not gone:
            far.send(leg, packet.payload, pt=101, timestamp=packet.timestamp)
            await asyncio.sleep(0.002)
        else:
            far.sequence += 1
    got = await listener.wait(Digit, len(digits))
    assert "".join(event.digit for event in got) == digits
    assert {event.source for event in got} == {"rfc4733"}


async def test_in_band_digits_when_events_were_not_negotiated(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    listener = Listener()
    sender, receiver = pool.open("CA1", Listener()), pool.open("CA2", listener)
    sender.start(far.params(telephone_event=None))
    receiver.start(other_far.params(telephone_event=None))
    assert await sender.send_digits("27D") is PlayEnd.FINISHED
    for _, payload in far.drain():
        other_far.send(receiver, payload)
        await asyncio.sleep(0.001)
    for _ in range(4):
        other_far.send(receiver, SILENCE)
    got = await listener.wait(Digit, 3)
    assert [(event.digit, event.source) for event in got] == [
        ("2", "in-band"),
        ("7", "in-band"),
        ("D", "in-band"),
    ]


async def test_a_bridge_relays_both_ways_and_transcodes(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    listener = Listener()
    one = pool.open("CA1", listener)
    two = pool.open("CA2", Listener(), near=one)
    one.start(far.params(Codec.PCMU))
    two.start(other_far.params(Codec.PCMA, telephone_event=96))
    one.bridge(two)
    ulaw, alaw = bytes(range(1, 161)), bytes(range(80, 240))
    # A relayed stream stays one stream: same SSRC, sequence going on.
    before, _ = await other_far.receive()
    far.send(one, ulaw)
    packet, payload = await other_far.until(lambda packet, payload: payload != b"\xd5" * 160)
    assert payload == ulaw.translate(g711.ULAW_TO_ALAW)
    assert (packet.payload_type, packet.ssrc) == (8, before.ssrc)
    other_far.send(two, alaw, pt=8)
    _, payload = await far.until(lambda packet, payload: payload != SILENCE)
    assert payload == alaw.translate(g711.ALAW_TO_ULAW)
    event = dtmf.payload("5", 800, end=True)
    far.send(one, event, pt=101)
    packet, payload = await other_far.until(lambda packet, payload: len(payload) == 4)
    assert (packet.payload_type, payload) == (96, event)
    assert (await listener.wait(Digit))[0].digit == "5"


async def test_a_play_wins_over_the_bridge_and_unbridge_ends_it(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd, clips: MakeClip
) -> None:
    samples = tone(700, 60)
    one = pool.open("CA1", Listener())
    two = pool.open("CA2", Listener(), near=one)
    one.start(far.params())
    two.start(other_far.params())
    one.bridge(two)
    talking = asyncio.create_task(far.talk(one, [b"\x10" * 160] * 3000))
    await other_far.until(lambda packet, payload: payload == b"\x10" * 160)
    assert await two.queue(clips("whisper", samples)) is PlayEnd.FINISHED
    await other_far.until(lambda _, payload: payload == g711.encode(samples[:320], 0))
    await other_far.until(lambda packet, payload: payload == b"\x10" * 160)
    one.unbridge()
    talking.cancel()
    await pool.stats()
    other_far.drain()
    far.send(one, b"\x20" * 160)
    for _ in range(5):
        _, payload = await other_far.receive()
        assert payload == SILENCE


async def test_ringback_gives_way_to_the_first_sound_of_the_other_end(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    one = pool.open("CA1", Listener())
    two = pool.open("CA2", Listener(), near=one)
    one.start(far.params())
    two.start(other_far.params())
    ringing = asyncio.ensure_future(one.tone("ringback:us"))
    one.bridge(two)
    await far.until(lambda _, payload: len(set(payload)) > 20)
    other_far.send(two, dtmf.payload("6", 800, end=True), pt=101)
    await pool.stats()
    assert not ringing.done(), "a digit is no sound"
    other_far.send(two, b"\x21" * 160)
    assert await ringing is PlayEnd.STOPPED
    await far.until(lambda _, payload: payload == b"\x21" * 160)
    await far.until(lambda _, payload: payload == SILENCE)


async def test_a_digit_reaches_a_bridged_end_that_takes_no_events(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    one = pool.open("CA1", Listener())
    two = pool.open("CA2", Listener(), near=one)
    one.start(far.params())
    two.start(other_far.params(telephone_event=None))
    one.bridge(two)
    await pool.stats()
    far.send(one, dtmf.payload("6", 800, end=True), pt=101)
    expected = tones.render_digits(dtmf.steps("6")).ulaw
    await other_far.until(lambda _, payload: payload == expected[:160])
    await other_far.until(lambda _, payload: payload == expected[640:800])


async def test_comfort_noise_is_neither_lost_nor_relayed(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    listener = Listener()
    one = pool.open("CA1", listener)
    two = pool.open("CA2", Listener(), near=one)
    one.start(far.params())
    two.start(other_far.params())
    one.bridge(two)
    relayed = (await pool.stats())["packets_relayed"]
    for pt in (0, 13, 0, 72, 0):
        far.send(one, b"\x21" * 160 if pt == 0 else b"\x40", pt=pt)
    await settled(pool, "packets_relayed", relayed + 3)
    one.close()
    (stats,) = await listener.wait(MediaStats)
    assert (stats.packets_received, stats.packets_lost) == (5, 0)


async def test_the_old_hold_keeps_the_far_end_and_opens_to_nobody(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    held = replace(far.params(), remote_address="0.0.0.0", direction=Direction.RECVONLY)
    leg.start(held)
    await pool.stats()
    far.send(leg, dtmf.payload("1", 800, end=True), pt=101)
    leg.update(far.params())
    await far.receive()
    leg.update(held)
    await pool.stats()
    other_far.send(leg, dtmf.payload("2", 800, end=True), pt=101)
    far.send(leg, dtmf.payload("3", 800, end=True), pt=101, timestamp=9000)
    assert [event.digit for event in await listener.wait(Digit)] == ["3"]


async def test_packets_from_elsewhere_are_never_heard(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    attacker = other_far
    # Before the answer anyone can send, afterwards the kernel drops it.
    attacker.send(leg, dtmf.payload("1", 800, end=True), pt=101)
    await pool.stats()
    leg.start(far.params())
    await far.receive()
    for _ in range(10):
        attacker.send(leg, dtmf.payload("1", 800, end=True), pt=101)
    far.send(leg, dtmf.payload("2", 800, end=True), pt=101)
    assert [event.digit for event in await listener.wait(Digit)] == ["2"]
    leg.close()
    stats = (await listener.wait(MediaStats))[0]
    assert stats.packets_received == 1
    assert stats.packets_refused >= 1
    assert attacker.drain() == []


@pytest.mark.parametrize(("source", "believed"), [("127.0.0.9", True), ("127.0.9.1", False)])
async def test_learning_believes_only_neighbours(
    pool: WorkerPool, far: FarEnd, source: str, believed: bool
) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params(learn_address=True))
    behind = FarEnd(source)
    received = (await pool.stats())["packets_received"]
    try:
        await far.receive()
        behind.send(leg, b"\x30" * 160, pt=0)
        if believed:
            await behind.receive()
            # Locked: the next one learns nothing.
            far.send(leg, b"\x40" * 160)
        await settled(pool, "packets_received", received + believed)
    finally:
        behind.socket.close()
        leg.close()
    stats = (await listener.wait(MediaStats))[0]
    assert (stats.packets_refused == 0) is believed


async def test_learning_ends_after_half_a_second(pool: WorkerPool, far: FarEnd) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params(learn_address=True))
    first, _ = await far.receive()
    await far.until(lambda packet, _: (packet.sequence - first.sequence) & 0xFFFF > 27)
    received = (await pool.stats())["packets_received"]
    late = FarEnd("127.0.0.9")
    try:
        late.send(leg, b"\x30" * 160)
        far.send(leg, b"\x40" * 160)
        await settled(pool, "packets_received", received + 1)
        assert late.drain() == []
    finally:
        late.socket.close()


async def test_what_is_learnt_of_early_media_holds_until_the_answer(
    pool: WorkerPool, far: FarEnd
) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    announcement, phone = FarEnd("127.0.0.8"), FarEnd("127.0.0.9")

    def press(end: FarEnd, key: str, timestamp: int) -> None:
        end.send(leg, dtmf.payload(key, 800, end=True), pt=101, timestamp=timestamp)

    try:
        leg.start(far.params(learn_address=True, early=True))
        first, _ = await far.receive()
        # later than half a second: early media may take their time
        await far.until(lambda packet, _: (packet.sequence - first.sequence) & 0xFFFF > 27)
        press(announcement, "1", 8000)
        await announcement.receive()
        press(phone, "9", 16000)
        press(announcement, "2", 24000)
        await listener.wait(Digit, 2)
        leg.update(far.params(learn_address=True))
        press(phone, "3", 32000)
        await phone.receive()
        # locked: nobody else is heard any more
        press(announcement, "9", 40000)
        press(far, "9", 48000)
        press(phone, "4", 56000)
        assert [event.digit for event in await listener.wait(Digit, 4)] == ["1", "2", "3", "4"]
    finally:
        announcement.socket.close()
        phone.socket.close()
        leg.close()


async def test_a_far_end_behind_nat_that_moves_is_learnt_again(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    leg = pool.open("CA1", Listener())
    before, after = FarEnd("127.0.0.8"), FarEnd("127.0.0.9")
    try:
        leg.start(far.params(learn_address=True))
        await far.receive()
        before.send(leg, b"\x30" * 160)
        await before.receive()
        leg.update(other_far.params(learn_address=True))
        await other_far.receive()
        after.send(leg, b"\x30" * 160)
        await after.receive()
    finally:
        before.socket.close()
        after.socket.close()
        leg.close()


async def test_hold_stops_our_packets_and_an_update_moves_them(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd
) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params())
    await far.receive()
    leg.update(far.params(direction=Direction.RECVONLY))
    await pool.stats()
    far.drain()
    leg.update(other_far.params(Codec.PCMA))
    packet, payload = await other_far.receive()
    assert (packet.payload_type, payload) == (8, b"\xd5" * 160)
    assert far.drain() == []


async def test_silence_of_the_far_end_is_told_once(pool: WorkerPool, far: FarEnd) -> None:
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    leg.watch_silence(0.2)
    (event,) = await listener.wait(NoRtp)
    assert 0.2 <= event.seconds < PATIENCE_S
    # Not again for the same silence; but for the next one.
    far.send(leg, SILENCE)
    assert len(await listener.wait(NoRtp, 2)) == 2


def spoken(ms: int) -> list[bytes]:
    """Sound as loud as speech, in packets of 20 ms."""
    ulaw = g711.encode(tone(400, ms), rtp.PCMU)
    return [ulaw[at : at + 160] for at in range(0, len(ulaw), 160)]


async def test_what_is_said_is_told_once_when_it_is_over(pool: WorkerPool, far: FarEnd) -> None:
    listener = Listener()
    leg = pool.open("one", listener)
    leg.start(far.params())
    leg.listen(0.5)
    await far.receive()
    quiet = [g711.SILENT_FRAME[rtp.PCMU]] * 10
    await far.talk(leg, quiet + spoken(400))
    await listener.wait(SpeechBegan)
    assert not listener.of(SpeechHeard)
    await far.talk(leg, quiet * 4)
    (heard,) = await listener.wait(SpeechHeard)
    assert 400 <= len(heard.ulaw) / 8 <= 1050
    assert power_at(g711.decode(heard.ulaw, rtp.PCMU), 400) > 2000
    await far.talk(leg, spoken(200))
    await pool.stats()
    assert len(listener.of(SpeechBegan)) == 1, "it was asked for once"


async def test_what_is_said_ends_with_the_packets_too(pool: WorkerPool, far: FarEnd) -> None:
    listener = Listener()
    leg = pool.open("one", listener)
    leg.start(far.params())
    leg.listen(0.3)
    await far.receive()
    await far.talk(leg, spoken(400))
    (heard,) = await listener.wait(SpeechHeard)
    assert len(heard.ulaw) == 3200


async def test_nobody_is_told_who_does_not_listen(pool: WorkerPool, far: FarEnd) -> None:
    listener = Listener()
    leg = pool.open("one", listener)
    leg.start(far.params())
    leg.listen(0.1)
    await far.receive()
    await far.talk(leg, spoken(200))
    await listener.wait(SpeechBegan)
    leg.stop_listening()
    await far.talk(leg, [g711.SILENT_FRAME[rtp.PCMU]] * 20)
    await pool.stats()
    heard = len(listener.of(SpeechHeard))
    leg.listen(0.1)
    await far.talk(leg, spoken(200))
    await listener.wait(SpeechHeard, heard + 1)


async def test_stats_are_the_last_event_and_everything_is_given_back(
    pool: WorkerPool, far: FarEnd, clips: MakeClip
) -> None:
    clip = clips("endless", tone(440, 100))
    start = await pool.stats()
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    playing = leg.queue(clip, 0)
    for index in range(10):
        if index == 5:
            far.sequence += 2
        far.send(leg, SILENCE)
    await settled(pool, "packets_received", start["packets_received"] + 10)
    leg.close()
    leg.close()
    (stats,) = await listener.wait(MediaStats)
    assert stats.packets_received == 10
    assert stats.packets_lost == 2
    assert stats.packets_sent >= 1
    assert await playing is PlayEnd.LOST
    assert await leg.queue(clip) is PlayEnd.LOST
    leg.stop_playing()
    assert listener.events[-1] is stats
    end = await pool.stats()
    for name in ("streams", "started", "legs", "plays", "recordings", "descriptors"):
        assert end[name] == start[name], name


async def test_a_clip_that_is_gone_ends_at_once(pool: WorkerPool, far: FarEnd) -> None:
    leg = pool.open("CA1", Listener())
    leg.start(far.params())
    assert await leg.queue(Clip("/nowhere.ulaw", "/nowhere.alaw", 1000)) is PlayEnd.FINISHED
    assert await leg.queue(Clip("/nowhere.ulaw", "/nowhere.alaw", 1000), 0) is PlayEnd.FINISHED


async def test_a_worker_that_dies_takes_only_its_own_legs(far: FarEnd) -> None:
    pool = await WorkerPool.start(Media(workers=2, ports="30000-39999"), SystemClock())
    try:
        listeners = [Listener(), Listener()]
        legs = [pool.open(f"CA{n}", listener) for n, listener in enumerate(listeners)]
        for leg in legs:
            leg.start(far.params())
        play = legs[0].tone("ringback")
        await far.receive()
        victim = pool.pids[0]
        os.kill(victim, signal.SIGKILL)
        lost = await listeners[0].wait(MediaLost)
        assert "died" in lost[0].reason
        assert await play is PlayEnd.LOST
        assert listeners[1].events == []
        legs[0].close()
        other = pool.open("CA3", Listener())
        other.start(far.params())
        await settled(pool, "restarts", 1)
        assert victim not in pool.pids
        await settled(pool, "workers", 2)
    finally:
        await pool.stop()
    assert isinstance(listeners[1].events[-1], MediaStats)


async def test_a_worker_that_ends_just_before_it_is_killed_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # uvloop sees the end of a process in the same turn in which the patience with it is over
    pool = await WorkerPool.start(Media(workers=1, ports="30000-39999"), SystemClock())
    try:
        kill = asyncio.subprocess.Process.kill

        def too_late(process: asyncio.subprocess.Process) -> None:
            kill(process)
            raise ProcessLookupError

        monkeypatch.setattr(asyncio.subprocess.Process, "kill", too_late)
        os.kill(pool.pids[0], signal.SIGSTOP)  # else it may be gone before anybody asks
        pool._workers[0]._lose("the test says so")
        await settled(pool, "restarts", 1)
        await settled(pool, "workers", 1)
    finally:
        await pool.stop()


async def test_a_worker_is_started_again_once_descriptors_are_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = await WorkerPool.start(Media(workers=1, ports="30000-39999"), SystemClock())
    try:
        pair = socket.socketpair
        refused = 0

        def exhausted(*arguments: Any) -> Any:
            nonlocal refused
            if refused < 1:
                refused += 1
                raise OSError(errno.EMFILE, "Too many open files")
            return pair(*arguments)

        monkeypatch.setattr(socket, "socketpair", exhausted)
        os.kill(pool.pids[0], signal.SIGKILL)
        await settled(pool, "restarts", 1)
        assert refused == 1
    finally:
        await pool.stop()


async def test_streams_go_on_after_a_suspension(
    pool: WorkerPool, far: FarEnd, other_far: FarEnd, clips: MakeClip
) -> None:
    one, two = pool.open("CA1", Listener()), pool.open("CA2", Listener())
    one.start(far.params())
    two.start(other_far.params(ptime_ms=60))
    first, _ = await far.receive()
    began = time.monotonic()
    await other_far.receive()
    os.kill(pool.pids[0], signal.SIGSTOP)
    await asyncio.sleep(0.35)
    # Orders of the meantime are carried out, and none of them upsets the clock.
    ends = [one.queue(clips("after", tone(600, 60))), two.queue(clips("after", tone(600, 60)))]
    await asyncio.sleep(0.05)
    os.kill(pool.pids[0], signal.SIGCONT)
    assert [await end for end in ends] == [PlayEnd.FINISHED] * 2
    far.drain()
    other_far.drain()
    await other_far.receive()
    packet, _ = await far.receive()
    passed = (time.monotonic() - began) * 8000
    # The time that was lost is in the timestamps, not in the sequence.
    played = (packet.timestamp - first.timestamp) & 0xFFFFFFFF
    assert played <= passed + 480
    assert played - (packet.sequence - first.sequence) % 65536 * 160 >= 0.35 * 8000


async def test_stop_ends_the_processes_and_every_leg(far: FarEnd) -> None:
    pool = await WorkerPool.start(Media(workers=1, ports="30000-39999"), SystemClock())
    listener = Listener()
    leg = pool.open("CA1", listener)
    leg.start(far.params())
    await far.receive()
    pids = pool.pids
    await pool.stop()
    await pool.stop()
    assert isinstance(listener.events[-1], MediaStats)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(MediaUnavailable):
        pool.open("CA2", listener)


async def test_only_legs_of_one_worker_can_be_bridged(far: FarEnd) -> None:
    pool = await WorkerPool.start(Media(workers=2, ports="30000-39999"), SystemClock())
    try:
        one, two = pool.open("CA1", Listener()), pool.open("CA2", Listener())
        with pytest.raises(MediaUnavailable):
            one.bridge(two)
        assert pool.open("CA3", Listener(), near=one).address == one.address
    finally:
        await pool.stop()


async def test_ports_run_out_with_a_clear_error() -> None:
    # An address of its own, because others test on this machine too.
    address = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}.9"
    settings = Media(workers=1, address=address, ports="19990-19995")
    pool = await WorkerPool.start(settings, SystemClock())
    try:
        ports = {pool.open(f"CA{n}", Listener()).port for n in range(3)}
        assert ports == {19990, 19992, 19994}
        with pytest.raises(MediaUnavailable):
            pool.open("CA4", Listener())
    finally:
        await pool.stop()
