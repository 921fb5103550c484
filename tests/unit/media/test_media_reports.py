"""RTCP of a stream over real sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from doubles.far_end import FarEnd, Listener
from outdial.legs import Codec, MediaParams, MediaStats
from outdial.media import wire
from outdial.media.core import rtcp, rtp
from outdial.media.plane import WorkerPool
from outdial.media.worker.housekeeping import watch
from outdial.media.worker.stream import Stream


def bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(2)
    return sock


@pytest.fixture
def ends() -> Iterator[tuple[Stream, socket.socket, socket.socket]]:
    """A stream of ours that has started, and the far end's RTP and RTCP sockets."""
    far_rtp, far_rtcp, ours, control = bound(), bound(), bound(), bound()
    ours.setblocking(False)
    control.setblocking(False)
    stream = Stream(1, 0, ours, control, lambda opcode, number, payload: None)
    stream.configure(
        MediaParams(
            "127.0.0.1",
            far_rtp.getsockname()[1],
            Codec.PCMU,
            None,
            remote_rtcp_port=far_rtcp.getsockname()[1],
        ),
        100.0,
    )
    yield stream, far_rtp, far_rtcp
    stream.close(200.0)
    far_rtp.close()
    far_rtcp.close()


def test_reports_go_out_and_what_comes_back_is_kept(
    ends: tuple[Stream, socket.socket, socket.socket],
) -> None:
    stream, _, far_rtcp = ends
    assert 101.25 <= stream.reports.next_at <= 103.75
    stream.tick(100.0)
    stream.tick(104.0)  # the report is due
    data, ours = far_rtcp.recvfrom(2000)
    (report,) = rtcp.parse(data)
    assert report.ssrc == stream.ssrc
    assert report.ntp is not None
    assert abs(report.ntp - rtcp.ntp_time(time.time())) < 5 << 32
    assert report.blocks == ()
    assert 106.5 <= stream.reports.next_at <= 111.5
    # The far end has lost a quarter, and kept our report for no time.
    block = rtcp.Block(stream.ssrc, 64, 1, 4, 0, rtcp.middle(report.ntp), 0)
    far_rtcp.sendto(rtcp.receiver_report(9, [block]), ours)
    stream.reports.read(104.5)
    stats = stream.stats()
    assert stats.far_lost_fraction == 0.25
    assert 0 <= stats.round_trip_ms < 2000


def test_blocks_speak_of_what_was_received(
    ends: tuple[Stream, socket.socket, socket.socket],
) -> None:
    stream, far_rtp, far_rtcp = ends
    buffer = bytearray(2048)
    for sequence in (1, 2, 4):
        data = rtp.build(0, sequence, sequence * 160, 77, bytes(160))
        far_rtp.sendto(data, stream.rtp.getsockname())
        stream.receive(buffer, memoryview(buffer), 100.0, sequence * 160)
    sr = rtcp.sender_report(77, 0x1234_5678_9ABC_DEF0, 0, 3, 480)
    far_rtcp.sendto(sr, ("127.0.0.1", stream.reports._socket.getsockname()[1]))
    stream.reports.read(100.0)
    stream.reports.send(stream, 101.0)
    (report,) = rtcp.parse(far_rtcp.recv(2000))
    assert report.ntp is None, "nothing was sent: a receiver report"
    (block,) = report.blocks
    assert (block.ssrc, block.lost, block.fraction_lost, block.highest) == (77, 1, 64, 4)
    assert block.last_sr == 0x5678_9ABC
    assert 65536 <= block.delay < 65536 * 1.5


def test_no_port_no_reports_and_rubbish_is_harmless(
    ends: tuple[Stream, socket.socket, socket.socket],
) -> None:
    stream, _, far_rtcp = ends
    address = ("127.0.0.1", stream.reports._socket.getsockname()[1])
    for rubbish in (b"", b"\x80", b"\x80\xc8\x00\x01" + bytes(4), b"\x9f\xc9\xff\xff" + bytes(4)):
        far_rtcp.sendto(rubbish, address)
        stream.reports.read(100.0)
    # A stranger's report is none, however well it is made.
    block = rtcp.Block(stream.ssrc, 64, 1, 4, 0, 0, 0)
    with bound() as stranger:
        stranger.sendto(rtcp.receiver_report(9, [block]), address)
    stream.reports.read(100.0)
    assert stream.stats() == MediaStats()
    stream.reports.aim("127.0.0.1", 0, 100.0)
    stream.reports.send(stream, 100.0)
    assert stream.reports.next_at == float("inf")


def test_who_is_mute_but_reports_is_no_dead_line(
    ends: tuple[Stream, socket.socket, socket.socket],
) -> None:
    stream, _, far_rtcp = ends
    told: list[int] = []
    stream.emit = lambda opcode, number, payload: told.append(opcode)
    address = ("127.0.0.1", stream.reports._socket.getsockname()[1])
    watch(stream, 2.0, 100.0)
    far_rtcp.sendto(rtcp.receiver_report(9, []), address)
    stream.tick(102.1)
    assert told == []
    assert stream.due <= 104.1
    far_rtcp.sendto(b"\x80", address)
    stream.tick(104.2)
    assert told == [wire.NO_RTP], "rubbish is no report"


@pytest.mark.asyncio(loop_scope="module")
async def test_bye_at_the_end(pool: WorkerPool, far: FarEnd) -> None:
    control = bound()
    try:
        leg = pool.open("CA1", Listener())
        leg.start(far.params(remote_rtcp_port=control.getsockname()[1]))
        await far.receive()
        leg.close()
        await pool.stats()
        data = control.recv(2000)
        assert rtcp.parse(data)[0].ntp is not None
        assert data.endswith(data[4:8])
        assert data[-7] == rtcp.BYE
    finally:
        control.close()
