"""Fax: receives a fax."""

from __future__ import annotations

import asyncio

from outdial.didml.run.host import FaxEnd, FaxTake, Host
from outdial.didml.run.outcome import CONTINUE, DocumentRequest, Goto, Next
from outdial.didml.verbs import Fax


async def run(verb: Fax, host: Host) -> Next:
    """Receives it, and tells `action`."""
    take = host.receive_fax()
    try:
        end = await take.end()
    except asyncio.CancelledError:
        # Sending machines hang up as soon as they have said their last word.
        take.stop()
        host.later(_tell_afterwards(verb, host, take))
        raise
    finally:
        host.keys.clear()  # what was taken for keys in the tones of a modem
    _note(host, end)
    if not verb.action:
        return CONTINUE
    return Goto(DocumentRequest(verb.action, verb.method, _params(host, take, end)))


async def _tell_afterwards(verb: Fax, host: Host, take: FaxTake) -> None:
    """The call is over: `action` is notified, its answer thrown away."""
    end = await take.end()
    _note(host, end)
    if verb.action:
        host.notify(verb.action, verb.method, _params(host, take, end))


def _note(host: Host, end: FaxEnd) -> None:
    host.note("verb.ended", verb="Fax", result=end.status, problem=end.error)


def _params(host: Host, take: FaxTake, end: FaxEnd) -> tuple[tuple[str, str], ...]:
    """As the vendor spells them; the last two are additions."""
    call = host.call
    params = (
        ("faxurl", take.url if end.pages else ""),
        ("callid", call.sid),
        ("dialednumber", call.to),
        ("callerid", call.from_),
        ("faxstatus", end.status),
        ("numofpages", str(end.pages)),
        ("received", str(end.received)),
        ("faxsender", end.sender),
    )
    return (*params, ("faxerror", end.error)) if end.error else params
