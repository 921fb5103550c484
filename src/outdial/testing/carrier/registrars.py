"""Registrars that refuse, are slow, or answer strangely. Their carriers take calls as they should.

docs/reference/carrier-faults.md has a line for each.
"""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Callable
from typing import Any

from outdial.testing.carrier.digests import PASSWORD, USER, challenge, proves
from outdial.testing.carrier.fault import Fault
from outdial.testing.carrier.message import SipText
from outdial.testing.carrier.refusals import answers
from outdial.testing.carrier.registration import RegisterDesk, RegistrarScript

REGISTRARS: dict[str, Fault] = {}

_ACCOUNT = {"register": True, "username": USER, "password": PASSWORD}


def _of(name: str, **more: Any) -> Callable[[RegistrarScript], RegistrarScript]:
    """The registrar of that name does what the decorated function does."""

    def add(script: RegistrarScript) -> RegistrarScript:
        trunk = {**_ACCOUNT, **more.pop("trunk", {})}
        REGISTRARS[name] = Fault(name, answers, trunk=trunk, registrar=script, **more)
        return script

    return add


def refusing(status: int) -> RegistrarScript:
    """That status to everything."""

    async def refuse(desk: RegisterDesk) -> None:
        while True:
            desk.reply(await desk.receive(), status)

    return refuse


for _status in (302, 403, 404, 408, 420, 480, 500, 503, 603):
    _of(f"register-refused-{_status}")(refusing(_status))


@_of("register")
async def register(desk: RegisterDesk) -> None:
    """What a registrar should do."""
    await desk.take_all()


@_of("register-digest")
async def register_digest(desk: RegisterDesk) -> None:
    """401, then 200 for whoever shows the password, by the same nonce from then on."""
    while True:
        _judge(desk, await desk.receive(), "n1")


def _judge(desk: RegisterDesk, request: SipText, nonce: str, *, stale: bool = False) -> None:
    if proves(request, nonce):
        desk.take(request)
    else:
        desk.reply(request, 401, [challenge(nonce, stale=stale)])


@_of("register-stale-nonce")
async def register_stale_nonce(desk: RegisterDesk) -> None:
    """The first nonce is stale at once."""
    desk.reply(await desk.receive(), 401, [challenge("n1")])
    desk.reply(await desk.receive(), 401, [challenge("n2", stale=True)])
    while True:
        _judge(desk, await desk.receive(), "n2")


@_of("register-nonce-once")
async def register_nonce_once(desk: RegisterDesk) -> None:
    """A nonce is good for one request; nobody is told that it is stale."""
    number = 1
    while True:
        request = await desk.receive()
        if proves(request, f"n{number}"):
            desk.take(request, 60)
            number += 1
        else:
            desk.reply(request, 401, [challenge(f"n{number}")])


@_of("register-wrong-password")
async def register_wrong_password(desk: RegisterDesk) -> None:
    """No digest is right."""
    while True:
        request = await desk.receive()
        desk.reply(request, 401, [challenge(request.branch)])


@_of("register-without-password", trunk={"username": "", "password": "", "register_user": USER})
async def register_without_password(desk: RegisterDesk) -> None:
    """401 to a trunk that has no password."""
    await register_wrong_password(desk)


@_of("register-too-brief")
async def register_too_brief(desk: RegisterDesk) -> None:
    """423 to less than two hours."""
    while True:
        request = await desk.receive()
        if 0 < int(request["Expires"]) < 7200:
            desk.reply(request, 423, [("Min-Expires", "7200")])
        else:
            desk.take(request, 7200)


@_of("register-ever-longer")
async def register_ever_longer(desk: RegisterDesk) -> None:
    """423 for ever, each time for a second more."""
    while True:
        request = await desk.receive()
        longer = str(int(request["Expires"]) + 1)
        desk.reply(request, 423, [("Min-Expires", longer)])


@_of("register-overloaded")
async def register_overloaded(desk: RegisterDesk) -> None:
    """503 with Retry-After twice, then 200."""
    for _ in range(2):
        desk.reply(await desk.receive(), 503, [("Retry-After", "120")])
    await desk.take_all()


@_of("register-silent")
async def register_silent(desk: RegisterDesk) -> None:
    """Never a word."""


@_of("register-silent-at-first")
async def register_silent_at_first(desk: RegisterDesk) -> None:
    """The first REGISTER gets no answer."""
    await desk.receive()
    await desk.take_all()


@_of("register-contacts-of-others")
async def register_contacts_of_others(desk: RegisterDesk) -> None:
    """Three contacts in the 200, ours the last; it has a minute."""
    while True:
        request = await desk.receive()
        others = "<sip:acme@192.0.2.8:5060>;expires=7000, <sip:acme@192.0.2.9>;expires=3"
        own = f"<{request.contact}>;q=0.5;expires=60"
        desk.reply(request, 200, [("Contact", others), ("Contact", own)])


@_of("register-contact-rewritten")
async def register_contact_rewritten(desk: RegisterDesk) -> None:
    """The contact in the 200 is where the REGISTER came from, as the registrar sees it."""
    while True:
        request = await desk.receive()
        seen = ("Contact", "<sip:acme@203.0.113.7:61234>;expires=60")
        desk.reply(request, 200, [seen])


@_of("register-without-contact")
async def register_without_contact(desk: RegisterDesk) -> None:
    """200 with nothing in it."""
    while True:
        desk.reply(await desk.receive(), 200)


@_of("register-for-no-time")
async def register_for_no_time(desk: RegisterDesk) -> None:
    """200, and the binding has no time left."""
    while True:
        request = await desk.receive()
        desk.reply(request, 200, [("Contact", f"<{request.contact}>;expires=0")])


@_of("register-refused-later")
async def register_refused_later(desk: RegisterDesk) -> None:
    """200 for a minute, and 403 to the refreshing."""
    desk.take(await desk.receive(), 60)
    await refusing(403)(desk)


@_of("register-lost-later")
async def register_lost_later(desk: RegisterDesk) -> None:
    """200 for a minute, and silence to the refreshing."""
    desk.take(await desk.receive(), 60)


@_of("register-tcp", trunk={"transport": "tcp"})
async def register_tcp(desk: RegisterDesk) -> None:
    """What a registrar should do, over TCP."""
    await desk.take_all()


@_of("register-tcp-reset", trunk={"transport": "tcp"})
async def register_tcp_reset(desk: RegisterDesk) -> None:
    """The connection breaks 40 s after the 200, each time."""
    while True:
        desk.take(await desk.receive())
        await sleep(40)
        if desk.carrier.link is not None:
            desk.carrier.link.reset()


@_of("register-next-trunk", second=answers)
async def register_next_trunk(desk: RegisterDesk) -> None:
    """403, where there is a second trunk that does not register."""
    await refusing(403)(desk)
