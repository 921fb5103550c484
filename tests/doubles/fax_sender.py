"""``python -m doubles.fax_sender HOST FILE.tif``: a fax machine that sends, on an RTP socket.

It prints the port, waits for the first packet, sends the file's pages and prints how that went as
JSON. Its RTP is its own, and its modem libspandsp's, as it is in machines that are sold.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from pathlib import Path

from outdial.fax import spandsp
from outdial.media.core.pcm import audioop

_HEAD = struct.Struct("!BBHII")
_LONGEST_S = 100.0


def main(host: str, file: str) -> None:
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.bind((host, 0))
    print(line.getsockname()[1], flush=True)
    line.settimeout(_LONGEST_S)
    _, source = line.recvfrom(2048)
    line.connect(source)
    line.setblocking(False)
    machine = spandsp.Terminal(spandsp.load(), calling=True, ident="1 555 0100", file=Path(file))
    sequence, timestamp, began = 0, 0, time.monotonic()
    while machine.ended is None and time.monotonic() - began < _LONGEST_S:
        hear(line, machine)
        said = audioop.lin2ulaw(machine.speak(160), 2)
        try:
            line.send(_HEAD.pack(0x80, 0, sequence & 0xFFFF, timestamp, 4711) + said)
        except OSError:
            pass
        sequence, timestamp = sequence + 1, timestamp + 160
        time.sleep(max(0.0, began + sequence * 0.02 - time.monotonic()))
    told = {"code": machine.ended, "reason": machine.reason, "far": machine.far_ident}
    print(json.dumps(told | {"pages": machine.pages}), flush=True)


def hear(line: socket.socket, machine: spandsp.Terminal) -> None:
    while True:
        try:
            packet = line.recv(2048)
        except OSError:
            return
        if len(packet) > 12 and packet[1] & 0x7F == 0:
            machine.hear(audioop.ulaw2lin(packet[12:], 2))


if __name__ == "__main__":
    main(*sys.argv[1:])
