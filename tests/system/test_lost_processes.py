"""A real server loses processes: their calls end with a reason, and the next are as before."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outdial.testing.server import OutdialServer
from outdial.testing.web import WebServer
from system.peers.observed import callbacks, wait_until_at_rest

pytestmark = [pytest.mark.system, pytest.mark.long]

EVENTS = "initiated,ringing,answered,completed"
WORKER, HELPER = "outdial.media.worker", "outdial.speech.helper"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def outdial() -> Iterator[OutdialServer]:
    settings = {"sim": {"enabled": True}, "media": {"workers": 2}}
    with OutdialServer({**settings, "limits": {"calls_per_second": 100}}) as server:
        yield server


def processes(outdial: OutdialServer, module: str) -> list[int]:
    """The server's processes that run the module."""
    return [pid for pid in outdial.pids if module in _command(pid)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def kill(outdial: OutdialServer, pids: list[int]) -> None:
    """All in the same instant, as far as the server can see.

    Otherwise a simulated phone whose media worker goes first hangs up a call of ours before that
    has lost its own.
    """
    os.kill(outdial.pid, signal.SIGSTOP)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: all(map(_is_gone, pids)), f"{pids} are still there")
    finally:
        os.kill(outdial.pid, signal.SIGCONT)


def _is_gone(pid: int) -> bool:
    """Whether the process has closed its sockets; its parent may not have heard of it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def place(outdial: OutdialServer, web: WebServer, document: str, to: str = "15005550011") -> str:
    return outdial.place_call(
        to=to,
        **{"from": "18005550100"},
        url=web.serve(f"/{len(document)}.xml", f"<Response>{document}</Response>"),
        statusCallback=web.collect("/events"),
        statusCallbackEvent=EVENTS,
    )


def test_lost_media_workers_end_their_calls_and_are_replaced(
    outdial: OutdialServer, web: WebServer
) -> None:
    up = [place(outdial, web, "<Pause>60000</Pause>") for _ in range(4)]
    up += [place(outdial, web, "", to="15005550003")]
    web.wait_until(
        "/events", lambda got: sum(r.params["CallStatus"] == "answered" for r in got) == 4
    )
    # Not right after the start: the server's loop must have gone through a few turns of its own.
    time.sleep(1.0)
    workers = processes(outdial, WORKER)
    assert len(workers) == 2
    kill(outdial, workers)
    for sid in up:
        call = outdial.wait_until_over(sid)
        assert (call["outcome"], call["cause"]) == ("failed", "media-failure")
        assert callbacks(web, "/events", sid)[-1]["HangupCause"] == "media-failure"
    wait_until(
        lambda: len(set(processes(outdial, WORKER)) - set(workers)) == 2,
        f"the workers were not replaced\n{outdial.tail()}",
    )
    again = place(outdial, web, "<Say>We are back.</Say>", to="15005550001")
    assert outdial.wait_until_over(again)["outcome"] == "completed"
    wait_until_at_rest(outdial)
    ends = Counter(
        r.params["callSid"]
        for r in web.received("/events")
        if r.params["CallStatus"] == "completed"
    )
    assert ends == Counter([*up, again])
    assert outdial.gauges()["outdial_media_restarts_total"] == 2


def test_a_media_worker_that_hangs_is_replaced_like_a_dead_one(web: WebServer) -> None:
    """One worker: of two that hang the one that is missed first may have only the telephones."""
    settings = {"sim": {"enabled": True}, "media": {"workers": 1}}
    with OutdialServer({**settings, "limits": {"calls_per_second": 100}}) as outdial:
        up = [place(outdial, web, "<Pause>60000</Pause>") for _ in range(2)]
        web.wait_until(
            "/events", lambda got: sum(r.params["CallStatus"] == "answered" for r in got) == 2
        )
        for pid in processes(outdial, WORKER):
            os.kill(pid, signal.SIGSTOP)
        for sid in up:
            call = outdial.wait_until_over(sid, timeout_s=60)
            assert (call["outcome"], call["cause"]) == ("failed", "media-failure")
            assert "no sign of life" in call["detail"]
        wait_until(lambda: outdial.gauges()["outdial_media_restarts_total"] == 1, outdial.tail())
        again = place(outdial, web, "<Say>We are back.</Say>", to="15005550001")
        assert outdial.wait_until_over(again)["outcome"] == "completed"


def test_speech_goes_on_without_the_helpers_there_were(
    outdial: OutdialServer, web: WebServer
) -> None:
    first = place(outdial, web, "<Say>One for the start.</Say>", to="15005550001")
    assert outdial.wait_until_over(first)["outcome"] == "completed"
    helpers = processes(outdial, HELPER)
    assert helpers
    for pid in helpers:
        os.kill(pid, signal.SIGKILL)
    text = f"Something new, number {os.getpid()}."
    again = place(outdial, web, f"<Say>{text}</Say>", to="15005550001")
    assert outdial.wait_until_over(again)["outcome"] == "completed"
    assert outdial.get("/sim/phones/15005550001/heard?format=json")["sound_s"] > 1.0


def test_a_lost_server_tells_of_its_calls_when_it_is_back(
    outdial: OutdialServer, web: WebServer
) -> None:
    everything = web.collect("/everything")
    url = web.serve(
        "/app.xml",
        f"<Response><Postcall>{everything}</Postcall><Pause length='60'/></Response>",
    )
    sid = outdial.place_call(to="15005550011", **{"from": "18005550100"}, url=url)
    wait_until(lambda: _kinds(outdial, sid).count("verb.started") == 2, "the pause")
    outdial.kill()
    outdial.start()
    (told,) = web.wait_for("/everything", timeout_s=20)
    assert (told.params["callSid"], told.params["HangupCause"]) == (sid, "server-restart")
    assert told.params["AnswerTime"]


def test_a_message_ends_with_its_media_worker_and_nobody_is_told_of_it(
    outdial: OutdialServer, web: WebServer
) -> None:
    saved = web.collect("/saved")
    url = web.serve("/mail.xml", f"<Response><Record action='{saved}' maxlength='60'/></Response>")
    sid = outdial.place_call(to="15005550014", **{"from": "18005550100"}, url=url)
    wait_until(lambda: "recording.started" in _kinds(outdial, sid), "the message")
    kill(outdial, processes(outdial, WORKER))
    call = outdial.wait_until_over(sid)
    assert (call["cause"], call["recording_sid"]) == ("media-failure", None)
    wait_until(lambda: "verb.ended" in _kinds(outdial, sid), "the end of the Record")
    assert "recording.failed" in _kinds(outdial, sid)
    assert web.received("/saved") == []


def _kinds(outdial: OutdialServer, sid: str) -> list[str]:
    events = outdial.get(f"/v1/calls/{sid}/events")["events"]
    return [event["kind"] for event in events]
