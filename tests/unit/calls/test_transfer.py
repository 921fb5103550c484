"""Transfers: a party that was rung passes the other one on (REFER), or is replaced (Replaces)."""

from __future__ import annotations

import asyncio

import pytest

from doubles.legs import ANSWER, FakeSignallingLeg
from doubles.world import Page, World, until
from outdial.calls.leg import CallLeg
from outdial.calls.request import STATUS_EVENTS, CallRequest
from outdial.calls.session import Session
from outdial.calls.transfer import MOST_TRANSFERS
from outdial.config import Trunk
from outdial.errors import Refused
from outdial.legs import (
    Answered,
    DigitInfo,
    Referred,
    Rejected,
    Released,
    Replacing,
    Ringing,
)
from outdial.store.records import CallRecord
from outdial.testing.legs import OFFER, FakeIncomingLeg

SID = "CA" + "0" * 32
APP = "http://app.test/start"
A, B, C = "12025550123", "12025550100", "13035550111"
TRUNK = "192.0.2.1"


class TransferWorld(World):
    """A is connected with B, by click-to-call or by the Dial of a document."""

    def __init__(self, document: str = "") -> None:
        super().__init__(Trunk(name="a", address=TRUNK))
        self.web.pages[APP] = Page(f"<Response>{document}</Response>".encode())
        self.request = CallRequest(
            A,
            B,
            url=APP if document else "",
            status_callback="http://app.test/events",
            status_callback_events=STATUS_EVENTS,
        )
        call = CallRecord(SID, SID, "outbound", B, A, "", "queued", 0.0)
        self.others: list[CallLeg] = []
        self.session = Session(self.services, call, self.request, self.others.append)
        self.running: asyncio.Task[None] | None = None

    async def talking(self) -> tuple[FakeSignallingLeg, FakeSignallingLeg]:
        """The far ends of A and B, who hear each other."""
        self.running = asyncio.ensure_future(self.session.run())
        a = await self.signalling.next_leg()
        a.answers(Answered(ANSWER))
        b = await self.signalling.next_leg(2)
        b.answers(Answered(ANSWER))
        await until(lambda: self.bridges() == 1)
        return a, b

    def bridges(self) -> int:
        return self.media.legs[0].done.count("bridge")

    async def over(self) -> CallRecord:
        assert self.running is not None
        await asyncio.wait_for(self.running, 5)
        for leg in (self.session.leg, *self.others):
            await leg.retired
        await until(lambda: not len(self.services.tasks))
        return self.session.leg.call

    def noted(self, kind: str) -> list[dict[str, object]]:
        return [dict(e.data) for e in self.store.timeline if e.kind == kind]


def wish(uri: str = f"sip:{C}@pbx.test", *, attended: bool = False) -> Referred:
    return Referred(uri, attended)


async def test_the_other_party_is_connected_with_whom_it_is_transferred_to() -> None:
    world = TransferWorld()
    a, b = await world.talking()
    b.say(wish())
    assert b.transfer == [202]
    c = await world.signalling.next_leg(3)
    assert (c.target.number, c.target.caller_id, c.target.uri) == (C, A, "")
    assert world.media.legs[0].done[-1] == "tone ringback:us", "while it rings"
    c.say(Ringing(180, "Ringing"))
    c.answers(Answered(ANSWER))
    await until(lambda: world.bridges() == 2)
    assert b.transfer == [202, "SIP/2.0 180", "SIP/2.0 200"]
    await until(lambda: b.hung_up)
    assert a.hung_up == 0
    c.say(Released(by_far_end=True))
    call = await world.over()
    assert a.hung_up
    assert (call.outcome, call.cause) == ("completed", "normal-clearing")
    left, taken = (other.call for other in world.others)
    assert (left.to_number, left.hangup_source, left.detail) == (
        B,
        "callee",
        "it transferred the other party",
    )
    assert (taken.to_number, taken.parent_sid, taken.key_name) == (C, SID, call.key_name)
    assert world.told(taken.sid) == ["initiated", "ringing", "answered", "completed"]
    assert world.noted("transfer.began") == [{"leg": left.sid, "to": C}]
    assert [leg["leg"] for leg in world.noted("bridged")] == [left.sid, taken.sid]


async def test_who_transfers_and_hangs_up_leaves_the_others_alone() -> None:
    world = TransferWorld()
    a, b = await world.talking()
    b.say(wish())
    b.say(Released(by_far_end=True))
    c = await world.signalling.next_leg(3)
    c.answers(Answered(ANSWER))
    await until(lambda: world.bridges() == 2)
    assert a.hung_up == 0
    a.say(Released(by_far_end=True))
    await world.over()
    assert c.hung_up


@pytest.mark.parametrize("status", [486, 404, 503])
async def test_a_transfer_that_fails_gives_the_parties_back_to_each_other(status: int) -> None:
    world = TransferWorld()
    _, b = await world.talking()
    b.say(wish())
    c = await world.signalling.next_leg(3)
    c.say(Rejected(status, "No"))
    await until(lambda: world.bridges() == 2)
    assert b.transfer == [202, f"SIP/2.0 {status}"]
    assert world.noted("transfer.failed") == [{"leg": world.others[0].sid, "status": status}]
    b.say(wish(f"sip:{C}@pbx.test"))
    assert b.transfer[-1] == 202, "it may try again"
    d = await world.signalling.next_leg(4)
    d.answers(Answered(ANSWER))
    await until(lambda: world.bridges() == 3)
    d.say(Released(by_far_end=True))
    await world.over()


async def test_when_nobody_is_left_the_conversation_is_over() -> None:
    world = TransferWorld()
    a, b = await world.talking()
    b.say(wish())
    c = await world.signalling.next_leg(3)
    b.say(Released(by_far_end=True))
    c.say(Rejected(486, "Busy"))
    call = await world.over()
    assert a.hung_up
    assert call.outcome == "completed"


async def test_the_caller_may_hang_up_while_it_rings() -> None:
    world = TransferWorld()
    a, b = await world.talking()
    b.say(wish())
    c = await world.signalling.next_leg(3)
    a.say(Released(by_far_end=True))
    await world.over()
    assert b.hung_up and c.hung_up


async def test_of_a_dial_the_action_is_told_how_it_ended() -> None:
    world = TransferWorld(f"<Dial action='{APP}2'>{B}</Dial>")
    world.web.pages[f"{APP}2"] = Page(b"<Response><Hangup/></Response>")
    _, b = await world.talking()
    b.say(wish())
    c = await world.signalling.next_leg(3)
    c.answers(Answered(ANSWER))
    await until(lambda: world.bridges() == 2)
    c.say(Released(by_far_end=True))
    await world.over()
    params = world.web.requests[-1][2]
    assert (params["DialCallStatus"], params["DialCallSid"]) == ("completed", world.others[1].sid)


async def test_digits_go_to_whom_one_talks_to() -> None:
    world = TransferWorld()
    a, b = await world.talking()
    b.say(wish())
    c = await world.signalling.next_leg(3)
    b.say(DigitInfo("9", 100))
    c.answers(Answered(ANSWER))
    await until(lambda: world.bridges() == 2)
    a.say(DigitInfo("5", 100))
    await until(lambda: "digits 5" in world.media.legs[2].done)
    assert not any("digits 9" in done for leg in world.media.legs for done in leg.done)
    a.say(Released(by_far_end=True))
    await world.over()


async def test_it_goes_round_a_few_times_only() -> None:
    world = TransferWorld()
    _, b = await world.talking()
    for count in range(MOST_TRANSFERS):
        b.say(wish())
        b = await world.signalling.next_leg(3 + count)
        b.answers(Answered(ANSWER))
        await until(lambda: world.bridges() == 2 + count)  # noqa: B023
    b.say(wish())
    assert b.transfer == [603]
    b.say(Released(by_far_end=True))
    await world.over()


async def test_who_was_called_first_transfers_nobody() -> None:
    world = TransferWorld()
    a, b = await world.talking()
    a.say(wish())
    assert a.transfer == [603]
    assert [note["text"] for note in world.noted("transfer.refused")] == [
        "it is connected with nobody that it could transfer"
    ]
    b.say(Released(by_far_end=True))
    await world.over()


async def test_two_wishes_in_one_moment_are_one_transfer() -> None:
    world = TransferWorld()
    _, b = await world.talking()
    b.say(wish())
    b.say(wish())
    assert b.transfer == [202, 603]
    c = await world.signalling.next_leg(3)
    c.answers(Answered(ANSWER))
    await until(lambda: world.bridges() == 2)
    c.say(Released(by_far_end=True))
    await world.over()
    assert len(world.signalling.legs) == 3


@pytest.mark.parametrize(
    ("uri", "number", "address"),
    [
        (f"sip:{C}@pbx.test", C, ""),
        (f"sip:+1-303-555-0111@{TRUNK}", C, ""),
        ("sip:3035550111@10.0.0.1:5060", C, ""),
        (f"tel:+{C}", C, ""),
        (f"sip:desk@{TRUNK}", "", f"sip:desk@{TRUNK}"),
        ("sip:desk@192.0.2.7", "", "sip:desk@192.0.2.7"),
        (f"sip:{C}@192.0.2.7", "", f"sip:{C}@192.0.2.7"),
    ],
)
async def test_whom_an_address_means(uri: str, number: str, address: str) -> None:
    world = TransferWorld()
    _, b = await world.talking()
    b.say(wish(uri))
    assert b.transfer == [202]
    c = await world.signalling.next_leg(3)
    assert (c.target.number, c.target.uri) == (number, address)
    c.answers(Answered(ANSWER))
    await until(lambda: world.bridges() == 2)
    c.say(Released(by_far_end=True))
    await world.over()


@pytest.mark.parametrize(
    "refused",
    [
        wish("sip:desk@elsewhere.test"),
        wish("sip:118@elsewhere.test"),
        wish(f"sip:118@{TRUNK}"),
        wish("sip:"),
        wish("tel:118"),
        wish(f"sip:desk@{TRUNK}", attended=True),
        wish(f"sip:{C}:secret@elsewhere.test"),
        wish(f"sip:{C}@192.0.2.7;maddr=203.0.113.9"),
    ],
)
async def test_whom_nobody_is_transferred_to(refused: Referred) -> None:
    world = TransferWorld()
    _, b = await world.talking()
    b.say(refused)
    assert b.transfer == [603]
    assert len(world.noted("transfer.refused")) == 1
    b.say(Released(by_far_end=True))
    await world.over()
    assert len(world.signalling.legs) == 2
    assert world.bridges() == 1, "nothing was interrupted"


async def test_the_refusal_says_which_rule() -> None:
    world = TransferWorld()

    def refuse(number: str, field: str) -> None:
        if number == C:
            raise Refused(403, 40302, f"{field} is a premium-rate number", field=field)

    object.__setattr__(world.services, "check_destination", refuse)
    _, b = await world.talking()
    b.say(wish())
    assert b.transfer == [603]
    (note,) = world.noted("transfer.refused")
    assert (note["code"], note["text"]) == (40302, "Refer-To is a premium-rate number")
    b.say(Released(by_far_end=True))
    await world.over()


# ---------------------------------------------------------------------- Replaces


async def test_a_call_goes_on_with_the_telephone_that_takes_its_place() -> None:
    world = TransferWorld()
    a, b = await world.talking()
    c = FakeIncomingLeg(A, offer=OFFER)
    b.say(Replacing(c))
    assert c.answered
    assert b.is_dismissed and b.hung_up
    assert a.hung_up == 0
    assert world.media.legs[1].started[-1].remote_port == 40000, "its audio is the call's now"
    assert [note["sip_call_id"] for note in world.noted("replaced")] == [c.sip_call_id]
    b_call = world.others[0].call
    await until(lambda: (b_call.dialog or {}).get("call_id") == c.sip_call_id)
    c.emit(Answered(None))
    c.emit(DigitInfo("5", 100))
    await until(lambda: "digits 5" in world.media.legs[0].done)
    c.emit(Released(by_far_end=True))
    await world.over()
    assert len(world.others) == 1, "it is the same call"
    assert a.hung_up


async def test_one_without_an_offer_gets_ours() -> None:
    world = TransferWorld()
    _, b = await world.talking()
    c = FakeIncomingLeg(A, offer=None)
    b.say(Replacing(c))
    assert c.answered
    c.emit(Answered(OFFER))
    assert world.media.legs[1].started[-1].remote_port == 40000
    c.emit(Released(by_far_end=True))
    await world.over()


async def test_one_with_no_codec_of_ours_replaces_nobody() -> None:
    world = TransferWorld()
    a, b = await world.talking()
    c = FakeIncomingLeg(A, offer=OFFER.replace(b"RTP/AVP 0 8", b"RTP/AVP 18"))
    b.say(Replacing(c))
    assert not c.answered
    assert c.sent[0][0] == 488
    assert b.hung_up == 0
    b.say(Released(by_far_end=True))
    await world.over()
    assert a.hung_up


async def test_a_call_that_is_over_is_replaced_by_nobody() -> None:
    world = TransferWorld()
    _, b = await world.talking()
    say = b.say
    b.say(Released(by_far_end=True))
    c = FakeIncomingLeg(A, offer=OFFER)
    say(Replacing(c))
    assert not c.answered
    await world.over()
