"""Calls that are over are freed at once: nothing of them waits for the collector of cycles.

What it finds late is memory that grows with the number of calls, and time of the event loop.
"""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from outdial.testing.rehearsal.rehearsal import Rehearsal


@contextmanager
def left_to_the_collector() -> Iterator[Counter[str]]:
    """What of Outdial only the collector of cycles has freed, by the name of its class."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found.update(
            type(one).__name__ for one in gc.garbage if type(one).__module__.startswith("outdial.")
        )
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


DOCUMENTS = [
    "<Say>Hello.</Say><Hangup/>",
    '<Gather timeout="1" numDigits="2" action="{base}/next"><Say>Press.</Say></Gather>',
    '<Record maxlength="1" action="{base}/next"/>',
    '<Recording/><Pause length="1"/><Redirect>{base}/next</Redirect>',
    '<Pause length="1"/><Nonsense',
    "<Dial>12025550102</Dial>",
    "<Dial><Number>12025550103</Number><Number>12025550102</Number></Dial>",
    '<Dial timeout="1"><Number>12025550104</Number></Dial>',
    '<Pause length="60"/>',
]


def test_nothing_of_a_call_waits_for_the_collector() -> None:
    with Rehearsal({"sip": {"t1_ms": 20}}, real_time=True) as outdial:
        web = outdial.web()
        web.serve("/next", "<Response><Hangup/></Response>")
        outdial.phone("12025550102").answers(0.1).waits(0.5).hangs_up()
        outdial.phone("12025550103").is_busy()
        outdial.phone("12025550104").never_answers()
        urls = [
            web.serve(f"/{at}", f"<Response>{verbs.format(base=web.url(''))}</Response>")
            for at, verbs in enumerate(DOCUMENTS)
        ]
        outdial.call(outdial.phone().answers(0.1), urls[0])
        with left_to_the_collector() as found:
            for url in urls:
                outdial.call(outdial.phone().answers(0.1).waits(3).hangs_up(), url, wait=False)
            outdial.call("12025550103", urls[0], wait=False)
            outdial.call("12025550104", urls[0], wait=False, timeout=1)
            outdial.wait_until_over()
            _until_at_rest(outdial)
        assert not found


def _until_at_rest(outdial: Rehearsal) -> None:
    """Until signalling has forgotten the calls, which takes it 64 T1."""
    deadline = time.monotonic() + 60
    while (held := outdial.sip.agent.counters()).client_transactions or held.server_transactions:
        assert time.monotonic() < deadline, held
        time.sleep(0.05)
