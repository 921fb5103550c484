"""The phones: SIPp with a scenario of our own, and where their RTP goes.

A call rings at once, is answered after 100 ms and waits for BYE; a second leg of a bridge hangs up
by itself. All phones show one RTP address: the streams of a server are told apart by the ports of
the server, and SIPp binds that port and never reads it, so that the kernel drops what is sent and
hearing costs nothing. Talking phones send 50 PCMU packets a second from SIPp's own
threads (raw sockets: root).
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path

from bench.sink import SECOND_LEG

_RECEIVED = "[last_Via:]\n[last_From:]\n[last_To:]{tag}\n[last_Call-ID:]\n[last_CSeq:]\n"
_TAG = ";tag=[pid]far[call_number]"
_CONTACT = "Contact: <sip:far@[local_ip]:[local_port];transport=[transport]>\n"
_EMPTY = "Content-Length: 0"
_SDP_HEADERS = "Content-Type: application/sdp\nContent-Length: [len]"
_SDP = (
    "v=0\no=far 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\n"
    "m=audio [media_port] RTP/AVP 0 101\na=rtpmap:0 PCMU/8000\n"
    "a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\n"
)
_BYE = (
    "BYE [next_url] SIP/2.0\n"
    "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n[routes]\n"
    f"From: <sip:far@[local_ip]:[local_port]>{_TAG}\nTo[$caller]\n[last_Call-ID:]\n"
    "CSeq: 1 BYE\nMax-Forwards: 70\nContent-Length: 0"
)


class FarEnd:
    """SIPp and its RTP sockets, as a context manager."""

    def __init__(self, folder: Path, sip_port: int, *, talk: bool, second_leg_s: float) -> None:
        self._folder, self.sip_port = folder, sip_port
        self._talk, self._second_leg_s = talk, second_leg_s
        self._sockets: list[socket.socket] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.rtp_port = 0

    def __enter__(self) -> FarEnd:
        program = shutil.which("sipp")
        if program is None:
            raise SystemExit("the benchmark needs the program sipp (make test-programs)")
        self.rtp_port = self._bind_rtp()
        (self._folder / "talk.pcap").write_bytes(_talk_pcap())
        scenario = self._folder / "far_end.xml"
        scenario.write_text(_scenario(talk=self._talk), encoding="ascii")
        self._process = subprocess.Popen(
            [program, *self._arguments(scenario)],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.5)
        if self._process.poll() is not None:
            raise SystemExit(f"sipp ended at once; is UDP port {self.sip_port} taken?")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for sock in self._sockets:
            sock.close()

    def _arguments(self, scenario: Path) -> list[str]:
        return [
            *("-sf", str(scenario), "-i", "127.0.0.1", "-p", str(self.sip_port)),
            *("-mi", "127.0.0.1", "-mp", str(self.rtp_port), "-nostdin", "-timer_resol", "5"),
            *("-d", str(int(1000 * self._second_leg_s)), "-max_socket", "15000"),
        ]

    def _bind_rtp(self) -> int:
        """Finds a free RTP port for SIPp to bind, and binds the RTCP port after it.

        Without the latter each report would come back as an ICMP error, at the server's cost.
        """
        for port in range(30002, 32000, 8):
            try:
                _deaf_socket(port).close()
                self._sockets = [_deaf_socket(port + 1)]
            except OSError:
                continue
            return port
        raise SystemExit("no free pair of UDP ports between 30000 and 32000")


def _deaf_socket(port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def _scenario(*, talk: bool) -> str:
    ours = _RECEIVED.format(tag=_TAG) + _CONTACT
    ringing = _send("SIP/2.0 180 Ringing", ours + _EMPTY)
    answer = _send("SIP/2.0 200 OK", ours + _SDP_HEADERS, _SDP, 500)
    released = _send("SIP/2.0 200 OK", _RECEIVED.format(tag="") + _EMPTY)
    media = '<action><exec play_pcap_audio="talk.pcap"/></action>' if talk else ""
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="far end">
<recv request="INVITE" rrs="true"><action>
<ereg regexp="sip:.?{SECOND_LEG}" search_in="hdr" header="To:" check_it="false" assign_to="second"/>
<ereg regexp=":.*" search_in="hdr" header="From" check_it="false" assign_to="caller"/>
</action></recv>
{ringing}
<pause milliseconds="100"/>
{answer}
<recv request="ACK">{media}</recv>
<nop next="second_leg" test="second"/>
<recv request="BYE"/>
{released}
<nop next="end"/>
<label id="second_leg"/>
<pause/>
{_send("", _BYE, "", 500)}
<recv response="200"/>
<label id="end"/>
<timewait milliseconds="10"/>
</scenario>
"""


def _send(status: str, head: str, body: str = "", retransmit_ms: int = 0) -> str:
    again = f' retrans="{retransmit_ms}"' if retransmit_ms else ""
    start = status + "\n" if status else ""
    return f"<send{again}><![CDATA[\n{start}{head}\n\n{body}]]></send>"


def _talk_pcap(seconds: int = 120) -> bytes:
    """A capture file of PCMU packets every 20 ms, which SIPp plays into a call."""
    payload = bytes((0x90 + 3 * (i % 16)) & 0xFF for i in range(160))
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    loopback = socket.inet_aton("127.0.0.1")
    for i in range(seconds * 50):
        rtp = struct.pack(">BBHII", 0x80, 0, i & 0xFFFF, i * 160, 0x7A1C) + payload
        udp = struct.pack(">HHHH", 6000, 6000, 8 + len(rtp), 0) + rtp
        size = 20 + len(udp)
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size, 0, 0, 64, 17, 0, loopback, loopback)
        frame = bytes(12) + b"\x08\x00" + ip + udp
        at_s, at_us = divmod(i * 20_000, 1_000_000)
        out.append(struct.pack("<IIII", 1_000_000 + at_s, at_us, len(frame), len(frame)) + frame)
    return b"".join(out)
