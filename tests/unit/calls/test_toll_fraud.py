"""A thousand attempts to call where it is not allowed, over every path: no INVITE leaves."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from itertools import product
from typing import cast
from xml.sax.saxutils import escape

import pytest

from doubles.legs import ANSWER
from doubles.world import Page, World, until
from outdial.calls import checks, codes
from outdial.calls.commands import Redirect
from outdial.calls.dialled_leg import DialledLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.messages import Messages
from outdial.calls.numbers import check_destination
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.config import Limits, Settings, Sms, Trunk
from outdial.didml.run.host import SmsPlan
from outdial.errors import Refused, RemoteProtocolError
from outdial.legs import Answered, Referred, Rejected, Released
from outdial.messages import MessagePlane, MessageResult, MessageTarget
from outdial.sip.core.headers import Headers
from outdial.sip.core.message import Request
from outdial.sip.core.referral import referred
from outdial.sip.core.uri import Uri
from outdial.store.records import CallRecord
from outdial.store.store import Store

LIMITS = Limits(destinations=["1202", "44"])
TRUNK = "192.0.2.1"
ALLOWED, CALLER_ID, OTHER_ALLOWED = "12025550123", "12025550100", "12025550199"
APP, OTHER = "http://app.test/start", "http://app.test/other"

DENIED = (
    "19005550111",  # premium-rate
    "12129765555",  # 976
    "12125550111",  # allowed country, other area
    "18765550111",  # a Caribbean country with the same code
    "449061234567",  # premium-rate in an allowed country
    "447012345678",  # personal numbers, charged as premium-rate
    "870773123456",
    "881631234567",
    "8823456789012",
    "883510012345678",
    "97912345678",
    "4970012345678",  # personal
    "61147123456",  # a satellite's number in Australia
    "252612345678",
    "37160123456",
)
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def disguises(number: str) -> Iterator[str]:
    """Ways in which somebody writes a number that is refused as it stands."""
    yield number
    yield "+" + number
    yield "00" + number
    yield "011" + number
    yield "+00" + number
    yield "++" + number
    yield " " + " ".join(number) + " "
    yield f"+{number[:1]} ({number[1:4]}) {number[4:]}"
    yield "-".join(number)
    yield "\u00a0".join(number)
    yield "tel:+" + number
    yield "sip:" + number
    yield number.translate(FULL_WIDTH)
    yield number.translate(ARABIC)
    yield "".join(f"%{ord(digit):02x}" for digit in number)
    yield "".join(f"%25{ord(digit):02x}" for digit in number)
    yield number + ",,123"
    yield number + ";ext=12"
    yield number + "x12"
    yield number + "\r\nTo: 12025550123"
    yield number + "@" + TRUNK


ATTEMPTS = [attempt for number in DENIED for attempt in disguises(number)]


def uris(number: str) -> Iterator[str]:
    """The same as a SIP URI."""
    for written in disguises(number):
        for host in (TRUNK, f"{TRUNK}:5060", "203.0.113.9", "evil.test"):
            yield f"sip:{written}@{host}"
    yield f"sip:{number};phone-context=x@{TRUNK}"
    yield f"sip:{number}:secret@{TRUNK}"
    yield f"sip:{number}@{TRUNK};user=phone"
    yield f"sip:+{number}@{TRUNK};maddr=203.0.113.9"
    yield f"sip:{ALLOWED}@{TRUNK};maddr=203.0.113.9"
    yield f"sip:{ALLOWED}@203.0.113.9"
    yield f"sip:bob@{TRUNK}.evil.test"
    yield f"sip:bob@evil.test?Route=%3Csip:{TRUNK}%3E"
    yield "203.0.113.9"


class GuardedWorld(World):
    """Services with the real gates."""

    def __init__(self) -> None:
        super().__init__(Trunk(name="a", address=TRUNK), settings=Settings(limits=LIMITS))
        self.services = dataclasses.replace(
            self.services,
            check_destination=lambda number, field: check_destination(number, LIMITS, field),
        )
        self.registry = Registry(self.services, cast(Store, self.store))
        self.rules = checks.Rules(LIMITS, lambda url: None)

    async def answered(self, verbs: str) -> None:
        """An allowed call, whose document does this; until it is over."""
        self.web.pages[APP] = Page(f"<Response>{verbs}</Response>".encode())
        await self.registry.start()
        await self.registry.place(CallRequest(ALLOWED, CALLER_ID, APP), "dev")
        (await self.signalling.next_leg()).answers(Answered(ANSWER))

    async def over(self) -> None:
        async with asyncio.timeout(30):
            await until(lambda: not self.registry.health()["live"])

    def refusals(self) -> list[str]:
        return [
            str(event.data["text"]) for event in self.store.timeline if event.kind == "dial.refused"
        ]


def test_there_are_enough_attempts() -> None:
    """Every one below counts once a path."""
    posts, dials = 2 * len(ATTEMPTS), 2 * len(ATTEMPTS) + sum(1 for n in DENIED for _ in uris(n))
    assert posts + dials > 2000


@pytest.mark.parametrize("spelling", ["V2", "v1"])
def test_no_post_asks_for_one(spelling: str) -> None:
    names = {name: name.title() if spelling == "V2" else name for name in checks.FIELDS}
    rules = checks.Rules(LIMITS, lambda url: None)
    refused: list[Refused] = []
    taken = []
    for attempt in ATTEMPTS:
        for to, from_, url in ((attempt, ALLOWED, APP), (ALLOWED, attempt, "")):
            values = {"to": [to], "from": [from_], "url": [url] if url else []}
            try:
                checks.check(values, names, rules)
            except Refused as refusal:
                refused.append(refusal)
            else:
                taken.append(attempt)
    assert taken == []
    assert {refusal.field for refusal in refused} == {names["to"], names["from"]}
    assert {refusal.status for refusal in refused} == {400, 403, 422}


@pytest.mark.parametrize(
    ("number", "code", "rule"),
    [
        ("19005550111", codes.PREMIUM, "limits.premium_rate"),
        ("870773123456", codes.PREMIUM, "limits.satellite"),
        ("8823456789012", codes.PREMIUM, "limits.satellite"),
        ("883510012345678", codes.PREMIUM, "limits.satellite"),
        ("12125550111", codes.DESTINATION, "limits.destinations"),
        ("252612345678", codes.DESTINATION, "limits.destinations"),
    ],
)
def test_the_refusal_says_which_rule(number: str, code: int, rule: str) -> None:
    values = {"to": [number], "from": [ALLOWED], "url": [APP]}
    with pytest.raises(Refused) as caught:
        checks.check(
            values, {name: name for name in checks.FIELDS}, checks.Rules(LIMITS, lambda url: None)
        )
    assert (caught.value.status, caught.value.code) == (403, code)
    assert rule in caught.value.message


def dials(kind: str) -> list[str]:
    if kind == "Sip":
        return [f"<Sip>{escape(uri)}</Sip>" for number in DENIED for uri in uris(number)]
    if kind == "Number":
        return [f"<Number>{escape(attempt)}</Number>" for attempt in ATTEMPTS]
    return [f"<Dial>{escape(attempt)}</Dial>" for attempt in ATTEMPTS]


@pytest.mark.parametrize(
    ("kind", "how"), list(product(("Dial", "Number", "Sip"), ("first", "redirect")))
)
async def test_no_document_dials_one(kind: str, how: str) -> None:
    """Neither that of the call, nor one that takes over in the middle of it."""
    every = dials(kind)
    # a document may run a limited number of verbs, and a call a limited number of documents
    pages = [every[at : at + 100] for at in range(0, len(every), 100)]
    for place in range(len(pages)):
        world = GuardedWorld()
        tries = "".join(pages[place])
        world.web.pages[OTHER] = Page(f"<Response>{tries}</Response>".encode())
        await world.answered(tries if how == "first" else "<Pause length='60'/>")
        if how == "redirect":
            await until(lambda: "verb.started" in world.store.kinds())  # noqa: B023
            call = world.store.calls[0]
            assert await world.registry.command(call.sid, Redirect(OTHER, "POST"), "dev")
        await world.over()
        assert [leg.target.number for leg in world.signalling.legs] == [ALLOWED]
        assert "dial.leg" not in world.store.kinds()
        assert world.store.calls[0].outcome == "completed"


@pytest.mark.parametrize(
    ("dial", "code"),
    [
        ("<Number>19005550111</Number>", codes.PREMIUM),
        ("<Number>12125550111</Number>", codes.DESTINATION),
        ("<Sip>sip:bob@203.0.113.9</Sip>", codes.SIP_HOST),
        (f"<Sip>sip:118@{TRUNK}</Sip>", codes.IMPOSSIBLE_NUMBER),
    ],
)
async def test_the_timeline_says_which_rule(dial: str, code: int) -> None:
    world = GuardedWorld()
    await world.answered(f"<Dial>{dial}</Dial>")
    await world.over()
    (refused,) = [event for event in world.store.timeline if event.kind == "dial.refused"]
    assert refused.data["code"] == code


@pytest.mark.parametrize("number", DENIED)
@pytest.mark.parametrize("by_uri", [False, True])
async def test_whatever_asks_for_a_leg_its_invite_passes_the_gate_last(
    number: str, by_uri: bool
) -> None:
    """As for a call that waited in the queue while the settings changed."""
    world = GuardedWorld()
    uri = f"sip:{number}@{TRUNK}" if by_uri else ""
    call = CallRecord("CA" + "0" * 32, "", "outbound", CALLER_ID, number, "", "queued", 0.0)
    plan = LegPlan("" if by_uri else number, CALLER_ID, uri=uri)
    leg = DialledLeg(world.services, call, plan, None)
    assert not await leg.place()
    assert world.signalling.legs == []
    assert (call.outcome, call.cause) == ("failed", "destination-refused")
    impossible = "(code 42201)" in (call.detail or "")
    assert impossible or "limits." in (call.detail or "")
    assert impossible is (by_uri and number == "97912345678")


@pytest.mark.parametrize("how", ["as it stands", "as a telephone writes it"])
async def test_nobody_is_transferred_to_one(how: str) -> None:
    """The far end of a second leg is whoever answered: it names over a thousand."""
    # an allowed number at another host is not called there: numbers go over the routes
    attempts = [uri for number in DENIED for uri in uris(number) if f":{ALLOWED}@" not in uri]
    assert len(attempts) > 1000
    world = GuardedWorld()
    await world.answered(f"<Dial>{OTHER_ALLOWED}</Dial>")
    far = await world.signalling.next_leg(2)
    far.answers(Answered(ANSWER))
    await until(lambda: "bridged" in world.store.kinds())
    for attempt in attempts:
        if how == "as it stands":
            wish: Referred | None = Referred(attempt)
        else:
            wish = as_read(attempt)
        if wish is not None:
            before = len(far.transfer)
            far.say(wish)
            assert far.transfer[before:] == [603], attempt
    assert len(far.transfer) > 500
    refused = [event for event in world.store.timeline if event.kind == "transfer.refused"]
    assert len(refused) == len(far.transfer)
    assert {codes.PREMIUM, codes.DESTINATION, codes.SIP_HOST} <= {
        event.data["code"] for event in refused
    }
    far.say(Released(by_far_end=True))
    await world.over()
    assert [leg.target.number for leg in world.signalling.legs] == [ALLOWED, OTHER_ALLOWED]


def as_read(uri: str) -> Referred | None:
    """What is read of a REFER that names it; None: it is refused at once."""
    request = Request("REFER", Uri.parse("sip:a@b"), Headers.received({"Refer-To": [f"<{uri}>"]}))
    try:
        return referred(request)
    except RemoteProtocolError:
        return None


@pytest.mark.parametrize("status", [300, 301, 302, 305, 380])
async def test_a_carrier_that_sends_us_elsewhere_is_not_followed(status: int) -> None:
    world = GuardedWorld()
    await world.registry.start()
    await world.registry.place(CallRequest(ALLOWED, CALLER_ID, APP), "dev")
    (await world.signalling.next_leg()).say(Rejected(status, "Moved"))
    await world.over()
    assert len(world.signalling.legs) == 1
    assert world.store.calls[0].cause == "moved"


class NoMessages:
    """Sends nothing, and remembers what it was asked."""

    def __init__(self) -> None:
        self.targets: list[MessageTarget] = []

    async def send(self, target: MessageTarget) -> MessageResult:
        self.targets.append(target)
        return MessageResult(200, "OK")


async def test_no_text_goes_to_one() -> None:
    world, plane = GuardedWorld(), NoMessages()
    services = world.services
    messages = Messages(
        Sms(messages_per_call=1000),
        store=world.store,
        journal=services.journal,
        routes=services.routes,
        plane=cast(MessagePlane, plane),
        gateway=None,
        clock=services.clock,
        check_destination=services.check_destination,
    )
    call = CallRecord("CA" + "0" * 32, "", "outbound", CALLER_ID, ALLOWED, "", "answered", 0.0)
    timeline = services.journal.open_timeline(call.sid)
    for attempt in ATTEMPTS:
        end = await messages.send(call, timeline, SmsPlan("hello", to=attempt), 0, 1.0)
        assert end.status == "failed", attempt
    assert plane.targets == []


async def test_a_uri_at_a_trunks_host_is_one_of_the_trunks_calls() -> None:
    world = World(Trunk(name="a", address=TRUNK, concurrent_calls=1))
    registry = Registry(world.services, cast(Store, world.store))
    world.web.pages[APP] = Page(
        f"<Response><Dial><Sip>sip:{ALLOWED}@{TRUNK}</Sip></Dial></Response>".encode()
    )
    await registry.start()
    await registry.place(CallRequest(ALLOWED, CALLER_ID, APP), "dev")
    (await world.signalling.next_leg()).answers(Answered(ANSWER))
    await until(lambda: not registry.health()["live"])
    assert len(world.signalling.legs) == 1
    assert [call.cause for call in world.store.calls] == ["normal-clearing", "trunk-full"]
