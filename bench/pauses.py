"""What this machine charges for a pause: the same Python, hot and after waiting.

python -m bench.pauses [--rate 60]

A call at a low rate runs each of its functions once and then waits for the next event. On some
machines, mostly virtual ones, the processor's caches have gone to somebody else by then, and the
same work costs more CPU time. That is no property of the program, and it explains a CPU per call
that falls as the rate grows; so it is measured by itself, on pure parts of Outdial and without a
server. Between two pieces of work the process sleeps, or counts in a loop that touches no memory:
when both cost the same, it is the time that passes, not the waking up.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from urllib.parse import parse_qsl, urlencode

from outdial.didml.parse import parse
from outdial.sip.core.parser import parse_message
from outdial.store.rows import encode_json

PIECES = 200
_SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)
_ANSWER = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77;rport=5060\r\n"
    b"From: <sip:18005797676@192.0.2.1>;tag=1\r\nTo: <sip:12025550123@192.0.2.7>;tag=2\r\n"
    b"Call-ID: 7@192.0.2.1\r\nCSeq: 1 INVITE\r\nContact: <sip:gw@192.0.2.7>\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%b" % (len(_SDP), _SDP)
)
_DOCUMENT = b"<Response><Say>Your pin is 8 9 70</Say><Pause>500</Pause><Hangup/></Response>"
_FORM = {"callSid": "CA" + "0" * 32, "CallStatus": "answered", "To": "12025550123"}


def piece() -> None:
    """Some of what a call does: an answer, a document and a callback's form are read or written."""
    parse_message(_ANSWER)
    parse(_DOCUMENT, "text/xml", "http://127.0.0.1/")
    encode_json(dict(parse_qsl(urlencode(_FORM))))


def sleep(until: float) -> None:
    """As a server that has nothing to do."""
    time.sleep(max(0.0, until - time.monotonic()))


def count(until: float) -> None:
    """Never off the processor, and nothing in its caches is displaced by us."""
    while time.monotonic() < until:
        pass


def cost_ms(rate: float = 0.0, wait: Callable[[float], None] = sleep) -> float:
    """CPU time of a piece, at so many a second; 0: one right after the other."""
    piece()
    spent = 0.0
    begin = time.monotonic()
    for number in range(PIECES):
        before = time.thread_time()
        piece()
        spent += time.thread_time() - before
        if rate:
            wait(begin + (number + 1) / rate)
    return 1000 * spent / PIECES


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.pauses", description=__doc__)
    parser.add_argument("--rate", type=float, default=60.0, help="pieces of work a second")
    rate = parser.parse_args().rate
    hot = cost_ms()
    print(f"{'one right after the other':<36}{hot:.3f} ms")
    for name, wait in (("asleep between them", sleep), ("counting between them", count)):
        spent = cost_ms(rate, wait)
        print(f"{f'{rate:g} a second, {name}':<36}{spent:.3f} ms ({spent / hot:.1f} times)")


if __name__ == "__main__":
    main()
