"""Carriers with several servers, and what name servers do to them."""

from __future__ import annotations

from asyncio import sleep

from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.fault import Fault, Faults
from outdial.testing.carrier.refusals import answers, refusing, retry_after, silent

DOMAINS = Faults()

for _name, _servers in (
    ("first-server-dead", (None, answers)),
    ("first-server-silent", (silent, answers)),
    ("first-server-full", (refusing(503), answers)),
    ("first-server-asks-for-time", (retry_after, answers)),
    ("three-servers-dead", (None, None, None)),
    ("servers-dead-and-silent", (None, silent, answers)),
):
    DOMAINS.add(Fault(_name, None, servers=_servers))


async def rings_and_fails(call: CarrierCall) -> None:
    """180, then 503: it has rung, and nobody else is to be called."""
    call.ring()
    call.reply(call.invite, 503)


async def tries_and_fails(call: CarrierCall) -> None:
    """100, then 503: nobody has been called yet."""
    call.reply(call.invite, 100)
    call.reply(call.invite, 503)


async def comes_to_life(call: CarrierCall) -> None:
    """It has been silent for five seconds, and rings then."""
    await sleep(5)
    call.ring()


async def answers_too_late(call: CarrierCall) -> None:
    """It has been silent for six seconds, and answers then."""
    await sleep(6)
    call.answer()


for _name, _first in (
    ("first-server-rings-then-full", rings_and_fails),
    ("first-server-tries-then-full", tries_and_fails),
    ("first-server-rings-too-late", comes_to_life),
    ("first-server-answers-too-late", answers_too_late),
):
    DOMAINS.add(Fault(_name, None, servers=(_first, answers)))

DOMAINS.add(Fault("dns-away", None, dns="unknown"))
DOMAINS.add(Fault("dns-silent", None, dns="silent"))
DOMAINS.add(Fault("dns-alias-loop", None, dns="broken"))
DOMAINS.add(Fault("dns-no-service", None, dns="no service"))
DOMAINS.add(Fault("dns-srv-to-nowhere", None, dns="dangling"))
DOMAINS.add(Fault("dns-slow", None, servers=(answers,), dns="slow"))
DOMAINS.add(Fault("dns-cut-off", None, servers=(answers,), dns="cut off"))
DOMAINS.add(Fault("dns-lost", None, servers=(answers,), dns="lost"))
DOMAINS.add(Fault("dns-away-next-trunk", None, second=answers, dns="silent"))
