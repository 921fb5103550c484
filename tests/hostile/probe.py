"""A trunk that asks every 100 ms whether the server is there: ``python -m hostile.probe PORT``.

A process of its own, so that nothing of the attack delays it. It runs until its standard input
ends, then writes what it saw as JSON. How late it woke up itself is told as well: on a machine
that does other things that is in every figure.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time

EVERY_S = 0.1
AGAIN_S = 0.5
"""T1: an OPTIONS without an answer is sent again."""
LOST_S = 5.0


def main(port: int, host: str = "127.0.0.1") -> None:
    """Until the standard input ends."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    own_host, own_port = sock.getsockname()
    waiting: dict[int, tuple[float, float, bytes]] = {}
    """When it was due and when it was last sent, by number."""
    answered_s: list[float] = []
    late_s: list[float] = []
    again = lost = number = 0
    due = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= due:
            number += 1
            data = (
                f"OPTIONS sip:127.0.0.1 SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {own_host}:{own_port};branch=z9hG4bKprobe{number}\r\n"
                f"From: <sip:probe@{own_host}>;tag=p\r\nTo: <sip:127.0.0.1>\r\n"
                f"Call-ID: probe{number}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n"
                "Content-Length: 0\r\n\r\n"
            ).encode()
            sock.sendto(data, ("127.0.0.1", port))
            waiting[number] = (now, now, data)
            late_s.append(now - due)
            due += EVERY_S
        for key, (first, last, data) in list(waiting.items()):
            if now - first > LOST_S:
                del waiting[key]
                lost += 1
            elif now - last > AGAIN_S:
                again += 1
                sock.sendto(data, ("127.0.0.1", port))
                waiting[key] = (first, now, data)
        timeout_s = max(0.0, min(due - time.monotonic(), EVERY_S))
        ready, _, _ = select.select([sock, sys.stdin], [], [], timeout_s)
        if sock in ready:
            data = sock.recv(65_536)
            now = time.monotonic()
            key = int(data.partition(b"Call-ID: probe")[2].partition(b"\r\n")[0] or 0)
            if key in waiting and data.startswith(b"SIP/2.0 200 "):
                answered_s.append(now - waiting.pop(key)[0])
        elif sys.stdin in ready:
            break
    report = {
        "asked": number - len(waiting),
        "answered_s": answered_s,
        "again": again,
        "lost": lost,
        "late_s": late_s,
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
