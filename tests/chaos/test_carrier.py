"""The carrier does what its script says and sees through what does not fit."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from chaos.carrier import SCRIPTS, Carrier, Script, script_of

T1_S = 0.02
PHONES = {
    "1": Script("answers", 0.001, 0.005),
    "2": Script("busy", None, 0.0, "486 Busy Here"),
    "3": Script("rings", 0.001, 30.0),
    "4": Script("leaves", None, 0.0, hangs_up_after_s=0.01),
}


class Caller:
    """A socket that speaks SIP line by line."""

    def __init__(self, carrier: Carrier) -> None:
        self._port = carrier.port
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.to_tag = ""

    def send(self, method: str, number: str = "1", *, cseq: int = 1, branch: str = "b1") -> None:
        tag = f";tag={self.to_tag}" if self.to_tag else ""
        body = "v=0\r\nm=audio 4000 RTP/AVP 0\r\n" if method == "INVITE" else ""
        lines = (
            f"{method} sip:{number}@127.0.0.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1;branch={branch}",
            "From: <sip:9@127.0.0.1>;tag=ours",
            f"To: <sip:{number}@127.0.0.1>{tag}",
            f"Call-ID: call{number}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:9@127.0.0.1:{self.socket.getsockname()[1]}>",
            f"Content-Length: {len(body)}",
        )
        message = "\r\n".join(lines) + "\r\n\r\n" + body
        self.socket.sendto(message.encode(), ("127.0.0.1", self._port))

    async def receive(self, *, but: str = "") -> str:
        """The first line of the next message that does not begin so."""
        loop = asyncio.get_running_loop()
        while True:
            async with asyncio.timeout(2):
                message = (await loop.sock_recv(self.socket, 65536)).decode()
            start = message.partition("\r\n")[0]
            if "tag=carrier" in message and not start.startswith("BYE"):
                to = message.partition("\r\nTo: ")[2].partition("\r\n")[0]
                self.to_tag = to.rpartition("tag=")[2] if "tag=" in to else ""
            if not but or not start.startswith(but):
                return start

    async def answered(self, number: str = "1") -> None:
        self.send("INVITE", number)
        while await self.receive() != "SIP/2.0 200 OK":
            continue


@pytest.fixture
async def carrier() -> AsyncIterator[Carrier]:
    one = await Carrier.start(T1_S, lambda number: PHONES[number])
    yield one
    one.close()


@pytest.fixture
async def caller(carrier: Carrier) -> AsyncIterator[Caller]:
    one = Caller(carrier)
    yield one
    one.socket.close()


async def until(what: Callable[[], bool]) -> None:
    for _ in range(200):
        if what():
            return
        await asyncio.sleep(T1_S)
    raise TimeoutError


def test_every_number_has_a_script() -> None:
    assert len(SCRIPTS) == 100
    assert script_of("12022000099").status.startswith("503")


async def test_a_call_that_is_answered_and_released(carrier: Carrier, caller: Caller) -> None:
    caller.send("INVITE")
    shown = [await caller.receive() for _ in range(3)]
    assert shown == ["SIP/2.0 100 Trying", "SIP/2.0 180 Ringing", "SIP/2.0 200 OK"]
    assert await caller.receive() == "SIP/2.0 200 OK", "again, until the ACK"
    caller.send("ACK", branch="b2")
    assert len(carrier.up()) == 1
    caller.send("BYE", cseq=2, branch="b3")
    await asyncio.sleep(0.05)
    (one,) = carrier.taken
    assert (one.ended_by, one.audio_port, bool(one.acked_at)) == ("outdial", 4000, True)
    assert not (carrier.up() or carrier.ringing() or carrier.misfits)


async def test_a_retransmitted_invite_is_the_same_and_any_other_a_second(
    carrier: Carrier, caller: Caller
) -> None:
    caller.send("INVITE", "3")
    caller.send("INVITE", "3")
    await caller.receive()
    assert carrier.second_invites() == {}
    caller.to_tag = ""
    caller.send("INVITE", "3", branch="b2")
    await asyncio.sleep(0.05)
    assert carrier.second_invites() == {"3": 2}


async def test_an_answer_that_nobody_acknowledges_is_given_up(
    carrier: Carrier, caller: Caller
) -> None:
    await caller.answered()
    (one,) = carrier.taken
    await until(lambda: one.gave_up_at > 0)
    assert carrier.up() == []
    assert one.gave_up_at - one.final_at > 64 * T1_S


async def test_busy_is_repeated_until_the_ack(carrier: Carrier, caller: Caller) -> None:
    caller.send("INVITE", "2")
    assert await caller.receive(but="SIP/2.0 100") == "SIP/2.0 486 Busy Here"
    assert await caller.receive() == "SIP/2.0 486 Busy Here"
    caller.send("ACK", "2")
    await asyncio.sleep(0.05)
    assert carrier.taken[0].acked_at


async def test_cancel_needs_the_branch_of_the_invite(carrier: Carrier, caller: Caller) -> None:
    caller.send("INVITE", "3")
    await caller.receive(but="SIP/2.0 100")
    tag, caller.to_tag = caller.to_tag, ""
    caller.send("CANCEL", "3", branch="other")
    assert (await caller.receive()).startswith("SIP/2.0 481")
    assert len(carrier.misfits) == len(carrier.ringing()) == 1
    caller.send("CANCEL", "3")
    assert await caller.receive() == "SIP/2.0 200 OK"
    assert await caller.receive() == "SIP/2.0 487 Request Terminated"
    assert carrier.ringing() == []
    assert tag


async def test_bye_needs_both_tags_and_a_higher_cseq(carrier: Carrier, caller: Caller) -> None:
    await caller.answered()
    caller.send("ACK", branch="b2")
    await asyncio.sleep(0.05)
    caller.send("BYE", cseq=1, branch="b3")
    assert (await caller.receive(but="SIP/2.0 200")).startswith("SIP/2.0 500")
    caller.to_tag = "guessed"
    caller.send("BYE", cseq=2, branch="b4")
    assert (await caller.receive()).startswith("SIP/2.0 481")
    assert len(carrier.misfits) == 2
    assert len(carrier.up()) == 1


async def test_a_phone_that_hangs_up_repeats_its_bye(carrier: Carrier, caller: Caller) -> None:
    await caller.answered("4")
    caller.send("ACK", "4", branch="b2")
    byes = [await caller.receive(but="SIP/2.0") for _ in range(2)]
    assert [bye.split()[0] for bye in byes] == ["BYE", "BYE"]
    assert carrier.up()
    await until(lambda: not carrier.up())
    assert carrier.taken[0].ended_by == "carrier, unconfirmed"
