"""The worker process: ``python -m outdial.media.worker DESCRIPTOR ADDRESS FIRST LAST COUNTRY``.

Started by `outdial.media.process`; DESCRIPTOR is its end of the socket pair. With further arguments
``srtp`` and ``sealed`` it loads now what encrypts audio and recordings, and with names of codecs
what codes those, rather than let all streams wait 20 ms, or 100, when the first needs it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import sys

from outdial.errors import CodecUnavailable
from outdial.legs import Codec
from outdial.media.coders import coders
from outdial.media.worker.loop import Worker
from outdial.media.worker.ports import Ports
from outdial.stored_file import warm_up

PRIORITY = -10
"""Nice value, setpriority(2)."""


def main(arguments: list[str]) -> None:
    """Runs until the control process says so or is gone."""
    descriptor, address, first, last, country, *more = arguments
    # Control-C goes to the whole group, and systemd's SIGTERM to every process of the service: the
    # control process decides when we end, after the calls that are up have had their time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _hurry()
    # Two descriptors a stream.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # A low number, which select() needs.
    control = socket.socket(fileno=os.dup(int(descriptor)))
    os.close(int(descriptor))
    control.setblocking(False)
    if "sealed" in more:
        warm_up()
    if "srtp" in more:
        import outdial.media.worker.srtp  # noqa: F401
    for codec in Codec:
        if codec.encoding in more and not codec.is_g711:
            with contextlib.suppress(CodecUnavailable):
                coders(codec).encoder()
    worker = Worker(control, Ports(address, int(first), int(last)), country)
    # The few cycles are broken by hand (`Stream.close`); a collection would delay a tick.
    gc.collect()
    gc.freeze()
    gc.disable()
    worker.run()


def _hurry() -> None:
    """Goes before other processes where that is allowed (root, CAP_SYS_NICE, RLIMIT_NICE).

    A worker uses little, but at its time: 1,200 prompts beside a busy machine had 634 late ticks at
    the common priority and none at this one.
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except OSError:
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
