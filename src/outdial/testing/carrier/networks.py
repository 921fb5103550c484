"""What networks do to a decent carrier's messages, and theirs to ours."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Iterable

from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.carrier import ScriptedCarrier
from outdial.testing.carrier.fault import Fault, Faults
from outdial.testing.carrier.message import SipText
from outdial.testing.carrier.refusals import answers

NETWORKS = Faults()
_TCP = {"transport": "tcp"}


async def answers_and_hangs_up(call: CarrierCall) -> None:
    """An ordinary call that the callee ends."""
    await answers(call)
    await call.receive("ACK")
    await sleep(3)
    await call.hang_up()


def doubles(carrier: ScriptedCarrier) -> None:
    """Every message from the carrier arrives twice, the second one a little later."""
    carrier.distort = lambda data: ((0.0, data), (0.03, data))


def reorders(carrier: ScriptedCarrier) -> None:
    """Of every two messages from the carrier the first comes 300 ms late."""
    sent = [0]

    def distort(data: bytes) -> Iterable[tuple[float, bytes]]:
        sent[0] += 1
        return ((0.3 * (sent[0] % 2), data),)

    carrier.distort = distort


def loses_half(carrier: ScriptedCarrier) -> None:
    """Every second message is lost, each way."""
    sent, heard = [0], [0]

    def distort(data: bytes) -> Iterable[tuple[float, bytes]]:
        sent[0] += 1
        return ((0.0, data),) if sent[0] % 2 == 0 else ()

    def hears(message: SipText) -> bool:
        heard[0] += 1
        return heard[0] % 2 == 0

    carrier.distort, carrier.hears = distort, hears


def delays(carrier: ScriptedCarrier) -> None:
    """Everything from the carrier takes two seconds."""
    carrier.distort = lambda data: ((2.0, data),)


for _name, _network in (
    ("messages-doubled", doubles),
    ("messages-reordered", reorders),
    ("messages-half-lost", loses_half),
    ("messages-late", delays),
):
    NETWORKS.add(Fault(_name, answers_and_hangs_up, stays_s=60, network=_network))
    NETWORKS.add(Fault(f"{_name}-we-hang-up", answers, network=_network))
NETWORKS.add(Fault("tcp", answers, trunk=_TCP))
NETWORKS.add(Fault("tcp-nobody-there", None, trunk=_TCP))


def cut_up(carrier: ScriptedCarrier) -> None:
    """Each message comes in pieces of seven bytes."""
    carrier.distort = lambda data: (
        (0.0, data[start : start + 7]) for start in range(0, len(data), 7)
    )


NETWORKS.add(Fault("tcp-in-pieces", answers, trunk=_TCP, network=cut_up))


@NETWORKS.of("tcp-reset-in-message", trunk=_TCP)
async def reset_in_message(call: CarrierCall) -> None:
    """180, then half of the 200, then a reset."""
    whole = call.carrier.distort
    call.ring()
    await sleep(1)
    call.carrier.distort = lambda data: ((0.0, data[: len(data) // 2]),)
    call.reply(call.invite, 200, body=call.description())
    await sleep(0.1)
    assert call.carrier.link is not None  # noqa: S101 - the INVITE has come over it
    call.carrier.link.reset()
    call.carrier.distort = whole


@NETWORKS.of("tcp-reset-in-call", trunk=_TCP)
async def reset_in_call(call: CarrierCall) -> None:
    """The connection breaks in the middle of the call."""
    await answers(call)
    await call.receive("ACK")
    await sleep(1)
    assert call.carrier.link is not None  # noqa: S101 - the INVITE has come over it
    call.carrier.link.reset()
