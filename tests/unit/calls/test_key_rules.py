"""What an API key may not is refused on every path that a call can be dialled on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from doubles.legs import ANSWER
from doubles.world import Page, World, until
from outdial.calls import codes
from outdial.calls.commands import Redirect
from outdial.calls.dialled_leg import DialledLeg
from outdial.calls.leg_plan import LegPlan
from outdial.calls.messages import Messages
from outdial.calls.registry import Registry
from outdial.calls.request import CallRequest
from outdial.config import Calls, Key, Settings, Sms, Trunk
from outdial.didml.run.host import SmsPlan
from outdial.errors import Refused
from outdial.key_rules import KeyRules
from outdial.legs import Answered
from outdial.messages import MessagePlane, MessageResult, MessageTarget
from outdial.store.records import CallRecord
from outdial.store.store import Store

TRUNK = "192.0.2.1"
APP, OTHER = "http://app.test/start", "http://app.test/other"
CALLER = "18005550100"
ALLOWED, ALSO, DENIED = "19495550100", "19495550111", "12125550100"
NARROW = {
    "name": "narrow",
    "key": "secret",
    "from": [CALLER, "1949*"],
    "destinations": ["1949"],
}


class NarrowWorld(World):
    """A registry with a key that may little, and one that may all."""

    def __init__(self, *, shows: str = "from", **rules: object) -> None:
        keys = [Key.model_validate(NARROW | rules), Key.model_validate({"name": "all", "key": "x"})]
        calls = Calls.model_validate({"bridge_caller_id": shows})
        super().__init__(Trunk(name="a", address=TRUNK), settings=Settings(keys=keys, calls=calls))
        self.registry = Registry(self.services, cast(Store, self.store))

    async def place(self, request: CallRequest, key: str = "narrow") -> CallRecord:
        await self.registry.start()
        return await self.registry.place(request, key)

    async def answered(self, verbs: str, key: str = "narrow") -> CallRecord:
        """An allowed call, whose document does this."""
        self.web.pages[APP] = Page(f"<Response>{verbs}</Response>".encode())
        call = await self.place(CallRequest(ALLOWED, CALLER, APP), key)
        (await self.signalling.next_leg()).answers(Answered(ANSWER))
        return call

    async def over(self) -> None:
        async with asyncio.timeout(30):
            await until(lambda: not self.registry.health()["live"])

    def refusals(self) -> list[object]:
        found = [event for event in self.store.timeline if event.kind == "dial.refused"]
        return [event.data["code"] for event in found]


@pytest.mark.parametrize(
    ("request_", "shows", "field", "code"),
    [
        (CallRequest(DENIED, CALLER, APP), "from", "to", codes.KEY_DESTINATION),
        (CallRequest(ALLOWED, DENIED, APP), "from", "from", codes.KEY_CALLER),
        (CallRequest(ALLOWED, DENIED), "from", "from", codes.KEY_CALLER),
        # an allowed caller ID is no allowed destination
        (CallRequest(ALLOWED, CALLER), "from", "from", codes.KEY_DESTINATION),
        (CallRequest(DENIED, ALLOWED), "from", "to", codes.KEY_DESTINATION),
    ],
)
async def test_a_post_is_refused_and_the_rule_named(
    request_: CallRequest, shows: str, field: str, code: int
) -> None:
    world = NarrowWorld(shows=shows)
    with pytest.raises(Refused) as caught:
        await world.place(request_)
    refused = caught.value
    assert (refused.status, refused.code, refused.field) == (403, code, field)
    rule = "keys.from" if code == codes.KEY_CALLER else "keys.destinations"
    assert rule in refused.message and "narrow" in refused.message
    assert world.signalling.legs == []
    assert world.store.calls == []


async def test_the_second_leg_of_a_click_to_call_shows_what_the_key_may() -> None:
    world = NarrowWorld(shows="to", **{"from": [ALSO]})
    with pytest.raises(Refused, match=r"calls\.bridge_caller_id") as caught:
        await world.place(CallRequest(ALLOWED, ALSO))
    assert caught.value.code == codes.KEY_CALLER
    world = NarrowWorld(shows="from", **{"from": [ALSO]})
    await world.place(CallRequest(ALLOWED, ALSO))
    (await world.signalling.next_leg()).answers(Answered(ANSWER))
    second = (await world.signalling.next_leg(2)).target
    assert (second.number, second.caller_id) == (ALSO, ALSO)
    await world.registry.hang_up(world.store.calls[0].sid)
    await world.over()


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        (f"<Dial>{DENIED}</Dial>", codes.KEY_DESTINATION),
        (f"<Dial><Number>{DENIED}</Number></Dial>", codes.KEY_DESTINATION),
        (f"<Dial><Sip>sip:{DENIED}@{TRUNK}</Sip></Dial>", codes.KEY_DESTINATION),
        (f"<Dial><Sip>sip:{DENIED}@192.0.2.7</Sip></Dial>", codes.KEY_DESTINATION),
        ("<Dial><Sip>sip:bob@192.0.2.7</Sip></Dial>", codes.KEY_DESTINATION),
        (f'<Dial callerid="{DENIED}">{ALLOWED}</Dial>', codes.KEY_CALLER),
        (f'<Dial callerid="{DENIED}"><Number>{ALLOWED}</Number></Dial>', codes.KEY_CALLER),
        (
            f'<Dial callerid="{DENIED}"><Sip>sip:{ALLOWED}@{TRUNK}</Sip></Dial>',
            codes.KEY_CALLER,
        ),
    ],
)
@pytest.mark.parametrize("how", ["first", "redirected by itself", "redirected by another key"])
async def test_no_document_dials_past_it(verb: str, code: int, how: str) -> None:
    """Nor one that somebody with a wider key lets take over: the call is still the narrow key's."""
    world = NarrowWorld()
    world.web.pages[OTHER] = Page(f"<Response>{verb}</Response>".encode())
    call = await world.answered(verb if how == "first" else "<Pause length='60'/>")
    if how != "first":
        await until(lambda: "verb.started" in world.store.kinds())
        by = "narrow" if "itself" in how else "all"
        assert await world.registry.command(call.sid, Redirect(OTHER, "POST"), by)
    await world.over()
    assert world.refusals() == [code]
    assert [leg.target.number for leg in world.signalling.legs] == [ALLOWED]


async def test_what_it_may_is_dialled() -> None:
    world = NarrowWorld()
    await world.answered(f'<Dial callerid="{ALSO}">{ALSO}</Dial>')
    second = await world.signalling.next_leg(2)
    assert (second.target.number, second.target.caller_id) == (ALSO, ALSO)
    await world.registry.hang_up(world.store.calls[0].sid)
    await world.over()
    assert world.refusals() == []


async def test_another_key_and_calls_towards_us_have_no_such_rules() -> None:
    world = NarrowWorld()
    await world.answered(f'<Dial callerid="{DENIED}">{DENIED}</Dial>', "all")
    assert (await world.signalling.next_leg(2)).target.number == DENIED
    await world.registry.hang_up(world.store.calls[0].sid)
    await world.over()
    assert world.services.keys.of("") == KeyRules("")


@pytest.mark.parametrize(
    ("plan", "cause"),
    [
        (LegPlan(DENIED, CALLER), "destination-refused"),
        (LegPlan("", CALLER, uri=f"sip:{DENIED}@{TRUNK}"), "destination-refused"),
        (LegPlan("", CALLER, uri="sip:bob@192.0.2.7"), "destination-refused"),
        (LegPlan(ALLOWED, DENIED), "caller-id-refused"),
        (LegPlan("", DENIED, uri=f"sip:{ALLOWED}@{TRUNK}"), "caller-id-refused"),
    ],
)
async def test_the_invite_passes_it_last(plan: LegPlan, cause: str) -> None:
    """As for a call that waited while its key was narrowed."""
    world = NarrowWorld()
    sid = "CA" + "0" * 32
    call = CallRecord(sid, "", "outbound", CALLER, DENIED, "", "queued", 0.0, key_name="narrow")
    leg = DialledLeg(world.services, call, plan, None)
    assert not await leg.place()
    assert world.signalling.legs == []
    assert (call.outcome, call.cause) == ("failed", cause)


async def test_a_key_that_is_narrowed_while_its_calls_wait() -> None:
    world = NarrowWorld(concurrent_calls=1)
    world.web.pages[APP] = Page(b"<Response><Pause length='60'/></Response>")
    first = await world.place(CallRequest(ALLOWED, CALLER, APP))
    second = await world.registry.place(CallRequest(ALSO, CALLER, APP), "narrow")
    (await world.signalling.next_leg()).answers(Answered(ANSWER))
    rules = world.services.keys.of("narrow")
    world.services.keys.learn({"narrow": replace(rules, destinations=("44",))})
    await world.registry.hang_up(first.sid)
    await until(lambda: world.store.calls[1].cause)
    await world.over()
    assert len(world.signalling.legs) == 1
    assert world.store.calls[1].sid == second.sid
    assert world.store.calls[1].cause == "destination-refused"


async def test_limits_of_a_key_that_is_learnt_later() -> None:
    world = NarrowWorld()
    world.web.pages[APP] = Page(b"<Response><Pause length='60'/></Response>")
    await world.registry.start()
    world.services.keys.learn({"late": KeyRules("late", concurrent_calls=1)})
    for _ in range(3):
        await world.registry.place(CallRequest(ALLOWED, CALLER, APP), "late")
    (await world.signalling.next_leg()).answers(Answered(ANSWER))
    assert world.registry.health()["queued"] == 2
    (late,) = [one for one in world.registry.standings().keys if one.name == "late"]
    assert (late.live, late.queued, late.concurrent_calls) == (1, 2, 1)
    world.services.keys.learn({"late": KeyRules("late", concurrent_calls=2)})
    await world.signalling.next_leg(2)
    assert world.registry.health()["queued"] == 1
    world.services.keys.learn({"late": KeyRules("late")})
    await world.signalling.next_leg(3)
    for call in world.store.calls:
        await world.registry.hang_up(call.sid)
    await world.over()


async def test_a_text_goes_where_and_from_whom_the_key_may() -> None:
    world, targets = NarrowWorld(), list[MessageTarget]()

    class Plane:
        async def send(self, target: MessageTarget) -> MessageResult:
            targets.append(target)
            return MessageResult(200, "OK")

    services = world.services
    messages = Messages(
        Sms(),
        store=world.store,
        journal=services.journal,
        routes=services.routes,
        plane=cast(MessagePlane, Plane()),
        gateway=None,
        clock=services.clock,
        check_destination=services.check_destination,
        keys=services.keys,
    )
    sid = "CA" + "0" * 32
    call = CallRecord(sid, "", "outbound", CALLER, ALLOWED, "", "answered", 0.0, key_name="narrow")
    timeline = services.journal.open_timeline(call.sid)
    for plan in (SmsPlan("hi", to=DENIED), SmsPlan("hi", to=ALSO, from_=DENIED)):
        end = await messages.send(call, timeline, plan, 0, 1.0)
        assert end.status == "failed" and "the API key narrow" in end.error
    assert targets == []
    assert (await messages.send(call, timeline, SmsPlan("hi", to=ALSO), 0, 1.0)).status == "sent"


async def test_refusals_of_stored_keys_name_the_option() -> None:
    world = NarrowWorld()
    rules = KeyRules("stored", callers=(), destinations=("1949",))
    world.services.keys.learn({"stored": rules})
    with pytest.raises(Refused, match=r"\(none\); they were given by outdial keys add --from"):
        await world.place(CallRequest(ALLOWED, CALLER, APP), "stored")
    with pytest.raises(Refused, match="outdial keys add --destination"):
        await world.registry.place(CallRequest(DENIED, CALLER, APP), "stored")
