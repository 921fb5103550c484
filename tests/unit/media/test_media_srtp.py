"""SRTP between a stream and its sockets: RFC 3711, RFC 7714."""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pylibsrtp
import pytest

from doubles.far_end import FarEnd, Listener, power_at, tone
from outdial.legs import (
    Clip,
    Codec,
    CryptoSuite,
    Digit,
    Direction,
    MediaKeys,
    MediaParams,
    MediaStats,
    RecordingDone,
    RecordingPlan,
)
from outdial.media import wire
from outdial.media.coders import coders
from outdial.media.core import dtmf, g711, rtcp, rtp
from outdial.media.plane import WorkerPool
from outdial.media.worker import srtp
from outdial.media.worker.srtp import Context
from outdial.media.worker.stream import Stream

LONG, SHORT = CryptoSuite.AES_CM_128_HMAC_SHA1_80, CryptoSuite.AES_CM_128_HMAC_SHA1_32
TAG_BYTES = {LONG: 10, SHORT: 4, CryptoSuite.AEAD_AES_128_GCM: 16, CryptoSuite.AEAD_AES_256_GCM: 16}


def keys(suite: CryptoSuite = LONG, seed: int = 1) -> MediaKeys:
    """Keys that differ with the seed and the direction."""
    size = suite.key_bytes
    return MediaKeys(suite, bytes([seed]) * size, bytes([seed + 100]) * size)


def turned(ours: MediaKeys) -> MediaKeys:
    """The far end's view of them."""
    return replace(ours, send=ours.receive, receive=ours.send)


# ---------------------------------------------------------------------- the algorithms


def test_the_key_of_rfc_3711_appendix_b3() -> None:
    """The session keys of B.3 make this packet: the authentication key is used here by itself."""
    master = bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6")
    packet = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
    sent = Context(MediaKeys(LONG, master, bytes(30))).protect(packet)
    wanted = "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"
    assert sent.hex() == wanted
    session_auth = bytes.fromhex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
    # section 4.2.1: over the packet and the roll-over counter, here 0
    tag = hmac.digest(session_auth, sent[:-10] + bytes(4), "sha1")
    assert sent[-10:] == tag[:10]
    short = Context(MediaKeys(SHORT, master, bytes(30))).protect(packet)
    assert short == sent[:-10] + tag[:4]
    assert Context(MediaKeys(LONG, bytes(30), master)).unprotect(sent) == packet


def test_the_packet_of_an_aead_suite() -> None:
    master = bytes(range(16)) + bytes(range(0xA0, 0xAC))
    packet = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16
    suite = CryptoSuite.AEAD_AES_128_GCM
    sent = Context(MediaKeys(suite, master, bytes(28))).protect(packet)
    assert sent.hex() == (
        "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392"
    )


@pytest.mark.parametrize("suite", CryptoSuite)
def test_there_and_back(suite: CryptoSuite) -> None:
    ours, theirs = Context(keys(suite)), Context(turned(keys(suite)))
    for sequence in range(1, 5):
        packet = rtp.build(0, sequence, 160 * sequence, 77, bytes(range(160)))
        sent = ours.protect(packet)
        assert len(sent) == len(packet) + TAG_BYTES[suite]
        assert sent[:12] == packet[:12] and sent[12:172] != packet[12:]
        assert theirs.unprotect(sent) == packet
    report = rtcp.receiver_report(77, [])
    sent = ours.protect_control(report)
    assert theirs.unprotect_control(sent) == report
    # RFC 4568 section 6.2.2: the short tag is for RTP alone; 4 bytes are the index
    assert len(sent) == len(report) + 4 + max(10, TAG_BYTES[suite])
    assert (ours.unauthentic, theirs.unauthentic) == (0, 0)


def test_the_sequence_number_wraps() -> None:
    ours, theirs = Context(keys()), Context(turned(keys()))
    for sequence in range(65500, 65600):
        packet = rtp.build(0, sequence & 0xFFFF, 160 * sequence, 77, bytes(160))
        assert theirs.unprotect(ours.protect(packet)) == packet


def test_what_is_not_authentic_is_dropped_and_counted() -> None:
    ours, theirs = Context(keys()), Context(turned(keys()))
    good = ours.protect(rtp.build(0, 1, 160, 77, bytes(160)))
    altered = good[:20] + bytes([good[20] ^ 1]) + good[21:]
    other = Context(keys(seed=3)).protect(rtp.build(0, 2, 320, 77, bytes(160)))
    plain = rtp.build(0, 3, 480, 77, bytes(160))
    for bad in (altered, other, plain, good[:5], b"", bytes(1500)):
        assert theirs.unprotect(bad) == b""
        assert theirs.unprotect_control(bad) == b""
    assert theirs.unauthentic == 6
    assert theirs.unprotect(good) != b"", "an attempt at it has not used it up"
    assert theirs.unprotect(good) == b"", "a second time is too often"
    report = ours.protect_control(rtcp.receiver_report(77, []))
    assert theirs.unprotect_control(report) != b""
    assert theirs.unprotect_control(report) == b""
    assert theirs.unauthentic == 7


def test_what_cannot_be_sent_is_an_error_of_the_network() -> None:
    ours = Context(keys())
    packet = rtp.build(0, 1, 160, 77, bytes(160))
    ours.protect(packet)
    for impossible in (packet, bytes(2000), b""):
        with pytest.raises(OSError):
            ours.protect(impossible)
    with pytest.raises(OSError):
        ours.protect_control(b"")


def test_a_key_that_stays_goes_on_and_another_begins_anew() -> None:
    first = keys()
    ours, theirs = Context(first), Context(turned(first))
    packets = [rtp.build(0, number, 160 * number, 77, bytes(160)) for number in range(1, 5)]
    sent = [ours.protect(packet) for packet in packets]
    assert theirs.unprotect(sent[0]) == packets[0]
    theirs.rekey(turned(first))
    assert theirs.unprotect(sent[0]) == b"", "it remembers what has come"
    # only what the far end sends gets another key
    second = replace(first, send=bytes(reversed(range(30))))
    ours.rekey(second)
    theirs.rekey(turned(second))
    assert theirs.unprotect(sent[1]) == b"", "that key is over"
    again = ours.protect(packets[1])
    assert again != sent[1]
    assert theirs.unprotect(again) == packets[1]
    assert ours.unprotect(theirs.protect(packets[2])) == packets[2]
    with pytest.raises(OSError):
        theirs.protect(packets[2])


def test_a_far_end_of_many_names_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[int] = []
    forget = pylibsrtp.Session.remove_stream

    def noting(session: pylibsrtp.Session, ssrc: int) -> None:
        removed.append(ssrc)
        forget(session, ssrc)

    monkeypatch.setattr(pylibsrtp.Session, "remove_stream", noting)
    ours, theirs = Context(keys()), Context(turned(keys()))
    steady = 7
    for number in range(1000, 1100):
        for ssrc in (number, steady):
            packet = rtp.build(0, number, 0, ssrc, bytes(160))
            assert theirs.unprotect(ours.protect(packet)) == packet
        report = rtcp.receiver_report(number + 5000, [])
        assert theirs.unprotect_control(ours.protect_control(report)) == report
    assert len(removed) == 2 * 100 + 1 - srtp.MOST_SOURCES
    assert steady not in removed


# ---------------------------------------------------------------------- a stream


class Ends:
    """A stream of ours and the far end's two sockets."""

    def __init__(self) -> None:
        self.rtp, self.rtcp, ours, control = (self._bound() for _ in range(4))
        self.ours, self.our_control = ours.getsockname(), control.getsockname()
        ours.setblocking(False)
        control.setblocking(False)
        self.told: list[tuple[int, bytes]] = []
        self.stream = Stream(1, 0, ours, control, lambda op, _, data: self.told.append((op, data)))
        self.buffer = bytearray(rtp.MAX_PACKET)
        self.sequence = 0

    @staticmethod
    def _bound() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
        return sock

    def params(self, ours: MediaKeys | None, **more: Any) -> MediaParams:
        return MediaParams(
            *("127.0.0.1", self.rtp.getsockname()[1], Codec.PCMU, 101),
            remote_rtcp_port=self.rtcp.getsockname()[1],
            keys=ours,
            **more,
        )

    def packet(self, payload: bytes = bytes(160), pt: int = 0) -> bytes:
        self.sequence += 1
        return rtp.build(pt, self.sequence, 160 * self.sequence, 77, payload)

    def receive(self, now: float = 100.0) -> None:
        """Reads one datagram, as the loop does."""
        self.stream.receive(self.buffer, memoryview(self.buffer), now, int(now * 8000))

    def close(self) -> None:
        self.stream.close(200.0)
        self.rtp.close()
        self.rtcp.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = Ends()
    yield both
    both.close()


@pytest.mark.parametrize("suite", CryptoSuite)
def test_a_stream_speaks_srtp_and_srtcp(ends: Ends, suite: CryptoSuite) -> None:
    far = Context(turned(keys(suite)))
    ends.stream.configure(ends.params(keys(suite)), 100.0)
    ends.stream.tick(100.0)
    packet = far.unprotect(ends.rtp.recv(2000))
    assert rtp.parse(packet, len(packet)) is not None and packet[12:] == b"\xff" * 160
    for _ in range(3):
        ends.rtp.sendto(far.protect(ends.packet()), ends.ours)
        ends.receive()
    ends.rtp.sendto(far.protect(ends.packet(dtmf.payload("5", 800, end=True), 101)), ends.ours)
    ends.receive()
    assert [wire.unpack_digit(data)[0] for op, data in ends.told if op == wire.DIGIT] == ["5"]
    ends.stream.tick(104.0)
    (report,) = rtcp.parse(far.unprotect_control(ends.rtcp.recv(2000)))
    block = rtcp.Block(ends.stream.ssrc, 64, 1, 4, 0, 0, 0)
    ends.rtcp.sendto(far.protect_control(rtcp.receiver_report(9, [block])), ends.our_control)
    ends.stream.reports.read(104.0)
    stats = ends.stream.stats()
    assert (stats.packets_received, stats.packets_refused) == (4, 0)
    assert (report.ssrc, stats.far_lost_fraction) == (ends.stream.ssrc, 0.25)


def test_a_stream_refuses_what_is_plain_wrong_or_repeated(ends: Ends) -> None:
    far, wrong = Context(turned(keys())), Context(turned(keys(seed=9)))
    ends.stream.configure(ends.params(keys()), 100.0)
    digit = dtmf.payload("5", 800, end=True)
    good = far.protect(ends.packet())
    bad = [ends.packet(digit, 101), wrong.protect(ends.packet(digit, 101)), good]
    for data in (good, *bad):
        ends.rtp.sendto(data, ends.ours)
        ends.receive(101.0)
    assert ends.stream.arrived_at == 101.0
    ends.rtp.sendto(bad[1], ends.ours)
    ends.receive(102.0)
    assert ends.stream.arrived_at == 101.0, "what is refused is no sign of life"
    block = rtcp.Block(ends.stream.ssrc, 64, 1, 4, 0, 0, 0)
    ends.rtcp.sendto(rtcp.receiver_report(9, [block]), ends.our_control)
    ends.stream.reports.read(102.0)
    stats = ends.stream.stats()
    assert stats.packets_received == 1
    assert (stats.packets_refused, stats.packets_unauthentic) == (4, 4)
    assert stats.far_lost_fraction == 0.0
    assert ends.told == []


def test_an_address_is_learnt_from_what_is_authentic_only(ends: Ends) -> None:
    far, wrong = Context(turned(keys())), Context(turned(keys(seed=9)))
    ends.stream.configure(ends.params(keys(), learn_address=True), 100.0)
    with Ends._bound() as attacker, Ends._bound() as behind_nat:
        for data in (ends.packet(), wrong.protect(ends.packet())):
            attacker.sendto(data, ends.ours)
        ends.receive()
        assert ends.stream.refused == 2
        behind_nat.sendto(far.protect(ends.packet()), ends.ours)
        ends.receive()
        assert ends.stream.learning is None
        ends.stream.tick(100.0)
        assert far.unprotect(behind_nat.recv(2000)) != b""
        attacker.setblocking(False)
        with pytest.raises(BlockingIOError):
            attacker.recv(2000)
    stats = ends.stream.stats()
    assert (stats.packets_received, stats.packets_unauthentic) == (1, 2)


def test_what_came_before_the_answer_counts_if_it_is_authentic(ends: Ends) -> None:
    far = Context(turned(keys()))
    ends.rtp.sendto(far.protect(ends.packet()), ends.ours)
    ends.rtp.sendto(ends.packet(), ends.ours)
    with Ends._bound() as stranger:
        stranger.sendto(far.protect(ends.packet()), ends.ours)
    ends.stream.configure(ends.params(keys()), 100.0)
    stats = ends.stream.stats()
    assert (stats.packets_received, stats.packets_refused, stats.packets_unauthentic) == (1, 2, 1)


@pytest.mark.parametrize("learning", [False, True])
def test_encryption_comes_and_goes_with_a_new_agreement(ends: Ends, learning: bool) -> None:
    far = Context(turned(keys()))

    def heard(through: Callable[[bytes], bytes]) -> bytes:
        ends.stream.tick(100.0)
        return through(ends.rtp.recv(2000))[12:]

    for ours, through, speak in (
        (None, bytes, bytes),
        (keys(), far.unprotect, far.protect),
        (None, bytes, bytes),
        (keys(), far.unprotect, far.protect),
    ):
        ends.stream.configure(ends.params(ours, learn_address=learning), 100.0)
        assert heard(through) == b"\xff" * 160
        if not learning:
            ends.rtp.sendto(speak(ends.packet()), ends.ours)
            ends.receive()
    other = keys(seed=5)
    far.rekey(turned(other))
    ends.stream.configure(ends.params(other, learn_address=learning), 100.0)
    assert heard(far.unprotect) == b"\xff" * 160
    held = ends.params(other, learn_address=learning, direction=Direction.RECVONLY)
    ends.stream.configure(held, 100.0)
    ends.rtp.sendto(far.protect(ends.packet()), ends.ours)
    ends.receive()
    stats = ends.stream.stats()
    assert stats.packets_received == (1 if learning else 5)
    assert stats.packets_unauthentic == 0


def test_a_plain_stream_loads_nothing(ends: Ends) -> None:
    ends.stream.configure(ends.params(None), 100.0)
    assert isinstance(ends.stream.rtp, socket.socket)
    assert ends.stream.send == ends.stream.rtp.send
    assert ends.stream.srtp is None


# ---------------------------------------------------------------------- the worker


class SecureFar(FarEnd):
    """A phone that speaks SRTP."""

    def __init__(self, ours: MediaKeys) -> None:
        super().__init__()
        self.keys = ours
        self.context = Context(turned(ours))

    def secured(self) -> MediaParams:
        return self.params(keys=self.keys)

    async def sound(self) -> bytes:
        """The payload of the next packet that is not silence."""
        async with asyncio.timeout(20):
            while True:
                data = await asyncio.get_running_loop().sock_recv(self.socket, 2048)
                packet = self.context.unprotect(data)
                assert packet, "everything it hears is authentic"
                if packet[12:] != b"\xff" * (len(packet) - 12):
                    return packet[12:]

    def say(self, leg: Any, payload: bytes, pt: int = 0) -> None:
        self.sequence += 1
        self.timestamp += 160
        data = rtp.build(pt, self.sequence, self.timestamp, 77, payload)
        self.socket.sendto(self.context.protect(data), (leg.address, leg.port))


@pytest.fixture
def secure_far() -> Iterator[SecureFar]:
    end = SecureFar(keys(CryptoSuite.AEAD_AES_256_GCM))
    yield end
    end.socket.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_bridge_joins_an_encrypted_and_a_plain_leg(
    pool: WorkerPool, far: FarEnd, secure_far: SecureFar, tmp_path: Any
) -> None:
    plain_listener, listener = Listener(), Listener()
    secure = pool.open("CA1", listener)
    plain = pool.open("CA2", plain_listener, near=secure)
    secure.start(secure_far.secured())
    plain.start(far.params())
    secure.record(RecordingPlan("RE1", str(tmp_path / "RE1.wav")))
    secure.bridge(plain)
    await pool.stats()
    for number in range(5):
        secure_far.say(secure, bytes([0x20 + number]) * 160)
        _, payload = await far.until(lambda _, payload: payload[0] != 0xFF)
        assert payload == bytes([0x20 + number]) * 160
        far.send(plain, bytes([0x40 + number]) * 160)
        assert await secure_far.sound() == bytes([0x40 + number]) * 160
    secure_far.say(secure, dtmf.payload("7", 800, end=True), 101)
    await far.until(lambda packet, _: packet.payload_type == 101)
    assert [event.digit for event in await listener.wait(Digit)] == ["7"]
    # twice from the plain side, once only to the encrypted one: nobody may encrypt twice alike
    far.sequence -= 1
    far.send(plain, b"\x50" * 160)
    far.send(plain, b"\x51" * 160)
    assert await secure_far.sound() == b"\x51" * 160
    for leg in (secure, plain):
        leg.close()
    (stats,) = await listener.wait(MediaStats)
    assert (stats.packets_received, stats.packets_unauthentic) == (6, 0)
    (done,) = await listener.wait(RecordingDone)
    assert done.error == "" and done.sound_ms > 0


@pytest.mark.asyncio(loop_scope="module")
async def test_an_encrypted_leg_plays_and_meets_plain_ones_in_a_room(
    pool: WorkerPool, far: FarEnd, secure_far: SecureFar, clips: Callable[[str, bytes], Clip]
) -> None:
    secure, plain = pool.open("CA1", Listener()), pool.open("CA2", Listener())
    secure.start(secure_far.secured())
    plain.start(far.params())
    secure.queue(clips("srtp", tone(440, 200)))
    assert len(await secure_far.sound()) == 160
    room = pool.room("CF1", Listener())
    secure.stop_playing()
    secure.join(room)
    plain.join(room)
    await pool.stats()
    loud = tone(1000, 20)
    payload = bytes(loud[1::2][:160])
    for _ in range(20):
        secure_far.say(secure, payload)
        far.send(plain, payload)
        await asyncio.sleep(0.02)
    await far.until(lambda _, heard: heard.strip(b"\xff") != b"")
    await secure_far.sound()
    room.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_an_encrypted_leg_of_opus_and_a_plain_one_of_g711(
    pool: WorkerPool, far: FarEnd, secure_far: SecureFar
) -> None:
    """Decrypted, then decoded; encoded, then encrypted."""
    secure = pool.open("CA1", Listener())
    plain = pool.open("CA2", Listener(), near=secure)
    secure.start(replace(secure_far.secured(), codec=Codec.OPUS))
    plain.start(far.params())
    secure.bridge(plain)
    await pool.stats()
    made, said = coders(Codec.OPUS), tone(700, 400)
    encoder, decoder = made.encoder(), made.decoder()
    there, back = b"", b""
    for at in range(0, len(said), 320):
        secure_far.timestamp += 800  # and what `say` adds
        secure_far.say(secure, encoder.encode(said[at : at + 320]), Codec.OPUS.value)
        far.send(plain, g711.encode(said[at : at + 320], 0))
        await asyncio.sleep(0.02)
    for _, payload in far.drain():
        there += g711.decode(payload, 0)
    while True:
        try:
            packet = secure_far.context.unprotect(secure_far.socket.recv(2048))
        except BlockingIOError:
            break
        assert packet and packet[1] & 0x7F == Codec.OPUS.value
        back += decoder.decode(packet[12:])
    for heard in (there, back):
        assert power_at(heard[-320 * 15 : -320 * 2], 700) == pytest.approx(8000, rel=0.15)
