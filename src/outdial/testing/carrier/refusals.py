"""Carriers that refuse the call, and such as never say what becomes of it."""

from __future__ import annotations

from asyncio import sleep

from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.carrier import Script
from outdial.testing.carrier.fault import Fault, Faults

REFUSALS = Faults()

STATUSES = (
    *(300, 302, 305, 380),
    *(400, 402, 403, 404, 405, 406, 408, 410, 413, 414, 415, 416, 420, 421, 423, 433),
    *(480, 481, 482, 483, 484, 485, 486, 487, 488, 489, 491, 493, 499),
    *(500, 501, 502, 503, 504, 505, 513, 580, 599),
    *(600, 603, 604, 606, 607, 608, 699),
)
"""One of each kind in every class, and one of no kind at all."""


def refusing(status: int) -> Script:
    """Rings never, and refuses at once."""

    async def refuse(call: CarrierCall) -> None:
        call.reply(call.invite, 100)
        call.reply(call.invite, status)

    return refuse


async def answers(call: CarrierCall) -> None:
    """What a carrier should do."""
    call.reply(call.invite, 100)
    call.ring()
    call.answer()


for _status in STATUSES:
    REFUSALS.add(Fault(f"refused-{_status}", refusing(_status)))
REFUSALS.add(Fault("none", answers))
REFUSALS.add(Fault("nobody-there", None))


@REFUSALS.of("busy-after-ringing")
async def busy_after_ringing(call: CarrierCall) -> None:
    """180, then 486."""
    call.ring()
    await sleep(3)
    call.reply(call.invite, 486)


@REFUSALS.of("retry-after")
async def retry_after(call: CarrierCall) -> None:
    """503 with Retry-After."""
    call.reply(call.invite, 503, fields=[("Retry-After", "120")])


@REFUSALS.of("retry-after-next-trunk", second=answers)
async def retry_after_next_trunk(call: CarrierCall) -> None:
    """503 with Retry-After, where there is a second trunk."""
    await retry_after(call)


@REFUSALS.of("no-circuit-next-trunk", second=answers)
async def no_circuit(call: CarrierCall) -> None:
    """404, but its Reason says that there is no circuit."""
    call.reply(call.invite, 404, fields=[("Reason", "Q.850;cause=34")])


@REFUSALS.of("silent")
async def silent(call: CarrierCall) -> None:
    """Never a word."""


@REFUSALS.of("silent-next-trunk", second=answers)
async def silent_next_trunk(call: CarrierCall) -> None:
    """Never a word, where there is a second trunk."""


@REFUSALS.of("trying-then-silence")
async def trying_then_silence(call: CarrierCall) -> None:
    """100, and never a word again, not even to CANCEL."""
    call.reply(call.invite, 100)
    call.handlers["CANCEL"] = lambda cancel: None


@REFUSALS.of("rings-for-ever")
async def rings_for_ever(call: CarrierCall) -> None:
    """180, until it is cancelled."""
    call.ring()


@REFUSALS.of("cancel-ignored")
async def cancel_ignored(call: CarrierCall) -> None:
    """180, and the CANCEL gets no answer."""
    call.ring()
    call.handlers["CANCEL"] = lambda cancel: None


@REFUSALS.of("cancel-without-487")
async def cancel_without_487(call: CarrierCall) -> None:
    """200 to CANCEL, but the INVITE gets no final response."""
    call.ring()
    call.handlers["CANCEL"] = lambda cancel: call.reply(cancel, 200)


@REFUSALS.of("refused-for-ever")
async def refused_for_ever(call: CarrierCall) -> None:
    """486, repeated for ever though it is acknowledged."""
    data = call.reply(call.invite, 486)
    for _ in range(40):
        await sleep(1)
        call.carrier.send(data)


@REFUSALS.of("refused-then-answered")
async def refused_then_answered(call: CarrierCall) -> None:
    """486, and a second later 200."""
    call.reply(call.invite, 486)
    await sleep(1)
    call.answer()
