"""Carriers that are strange in the middle of a call, and at its end."""

from __future__ import annotations

from asyncio import sleep
from itertools import count

from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.fault import Faults
from outdial.testing.carrier.message import SipText
from outdial.testing.carrier.refusals import answers

DIALOGS = Faults()
_SHORT = ("Session-Expires", "90;refresher=uas")
_OURS = ("Session-Expires", "90;refresher=uac")


async def up(call: CarrierCall) -> None:
    """Answered and acknowledged, for a second."""
    await answers(call)
    await call.receive("ACK")
    await sleep(1)


@DIALOGS.of("bye-unanswered")
async def bye_unanswered(call: CarrierCall) -> None:
    """Our BYE gets no answer."""
    call.handlers["BYE"] = lambda bye: None
    await up(call)


@DIALOGS.of("bye-answered-481")
async def bye_answered_481(call: CarrierCall) -> None:
    """The call is unknown when our BYE comes."""
    call.handlers["BYE"] = lambda bye: call.reply(bye, 481)
    await up(call)


@DIALOGS.of("bye-repeated")
async def bye_repeated(call: CarrierCall) -> None:
    """Its BYE is sent twice more, as new requests, though it was answered."""
    await up(call)
    for _ in range(3):
        await call.hang_up()


@DIALOGS.of("bye-lost", stays_s=300)
async def bye_lost(call: CarrierCall) -> None:
    """It hangs up, and the BYE never arrives."""
    await up(call)
    call.carrier.audio.end(call.audio)


@DIALOGS.of("byes-cross", stays_s=2)
async def byes_cross(call: CarrierCall) -> None:
    """Both hang up at once."""

    def take(bye: SipText) -> None:
        call.carrier.spawn(crossing(bye))

    async def crossing(bye: SipText) -> None:
        await call.hang_up()
        call.reply(bye, 200)

    call.handlers["BYE"] = take
    await up(call)


@DIALOGS.of("bye-of-another")
async def bye_of_another(call: CarrierCall) -> None:
    """A BYE with a tag that is not the call's."""
    await up(call)
    await call.ask("BYE", tag="somebody-else")


@DIALOGS.of("requests-out-of-order")
async def out_of_order(call: CarrierCall) -> None:
    """CSeq numbers that go back."""
    await up(call)
    await call.ask("INFO", cseq=100)
    await call.ask("INFO", cseq=50)


@DIALOGS.of("requests-never-taken")
async def never_taken(call: CarrierCall) -> None:
    """REFER, SUBSCRIBE, PUBLISH and a method of its own inside the call."""
    await up(call)
    for method in ("REFER", "SUBSCRIBE", "PUBLISH", "FROBNICATE"):
        await call.ask(method, fields=[("Refer-To", "<sip:1900@elsewhere.invalid>")])


@DIALOGS.of("refer-with-nobody-there", trunk={"refer": "allow"})
async def refer_with_nobody_there(call: CarrierCall) -> None:
    """A REFER, where `refer` is allowed, of a call that only an application is on: 603."""
    await up(call)
    refused = await call.ask("REFER", fields=[("Refer-To", "<sip:12025550123@elsewhere.invalid>")])
    if refused is None or refused.status != 603:
        call.carrier.audio.end(call.audio)  # and so the call ends in another way than is promised


@DIALOGS.of("refer-out-of-dialog", trunk={"refer": "allow"})
async def refer_out_of_dialog(call: CarrierCall) -> None:
    """A REFER with a tag that is no call's, where `refer` is allowed."""
    await up(call)
    refer_to = ("Refer-To", "<sip:12025550123@elsewhere.invalid>")
    await call.ask("REFER", fields=[refer_to], tag="somebody-else")


@DIALOGS.of("refer-nonsense", trunk={"refer": "allow"})
async def refer_nonsense(call: CarrierCall) -> None:
    """REFERs without Refer-To, with two, to other schemes and for other methods, where `refer` is
    allowed."""
    await up(call)
    for values in (
        (),
        ("<sip:a@b>", "<sip:c@d>"),
        ("<http://elsewhere.invalid/>",),
        ("<sip:12025550123@elsewhere.invalid;method=BYE>",),
        ("<sip:",),
    ):
        await call.ask("REFER", fields=[("Refer-To", value) for value in values])


@DIALOGS.of("replaces-in-dialog", trunk={"replaces": "allow"})
async def replaces_in_dialog(call: CarrierCall) -> None:
    """Re-INVITEs with a Replaces, of their own call and of none: it means nothing there."""
    await up(call)
    ours = call.invite["From"].rpartition("tag=")[2]
    own = f"{call.invite['Call-ID']};to-tag={ours};from-tag={call.tag}"
    for version, value in enumerate((own, "none;to-tag=1;from-tag=2"), 2):
        body = call.description(version=version)
        await call.ask("INVITE", body=body, fields=[("Replaces", value)])


@DIALOGS.of("reinvite-hold", stays_s=20)
async def hold(call: CarrierCall) -> None:
    """Holds the call for ten seconds, and takes it back."""
    await up(call)
    await call.ask("INVITE", body=call.description(direction="sendonly", version=2))
    await sleep(10)
    await call.ask("INVITE", body=call.description(version=3))


@DIALOGS.of("reinvite-hold-by-zeros", stays_s=20)
async def hold_by_zeros(call: CarrierCall) -> None:
    """The old way to hold: an address of zeros."""
    await up(call)
    host = call.carrier.host.encode()
    held = call.description(version=2).replace(b"c=IN IP4 " + host, b"c=IN IP4 0.0.0.0")
    await call.ask("INVITE", body=held)
    await sleep(10)
    await call.ask("INVITE", body=call.description(version=3))


@DIALOGS.of("reinvite-offerless")
async def offerless(call: CarrierCall) -> None:
    """A re-INVITE without an offer; the answer is in the ACK."""
    await up(call)
    await call.ask("INVITE", ack_body=call.description(version=2))


@DIALOGS.of("reinvite-offerless-no-answer")
async def offerless_no_answer(call: CarrierCall) -> None:
    """A re-INVITE without an offer, and an ACK without an answer."""
    await up(call)
    await call.ask("INVITE")


@DIALOGS.of("reinvite-moves-audio", stays_s=10)
async def moves_audio(call: CarrierCall) -> None:
    """Audio comes from and goes to another address from now on."""
    await up(call)
    old, call.audio = call.audio, (call.carrier.host, call.carrier.next_port())
    response = await call.ask("INVITE", body=call.description(version=2))
    call.carrier.audio.end(old)
    if response is not None and response.audio is not None:
        call.carrier.audio.begin(call.audio, response.audio)


@DIALOGS.of("reinvite-moves-signalling")
async def moves_signalling(call: CarrierCall) -> None:
    """Contact has another user from now on: BYE must go to that."""
    await up(call)
    here = f"{call.carrier.host}:{call.carrier.port}"
    moved = [("Contact", f"<sip:moved@{here}>")]
    await call.ask("INVITE", body=call.description(version=2), fields=moved)


@DIALOGS.of("reinvite-unusable")
async def unusable(call: CarrierCall) -> None:
    """An offer with no codec of ours."""
    await up(call)
    await call.ask("INVITE", body=call.description(formats="18", maps=["18 G729/8000"]))


@DIALOGS.of("reinvite-other-codec")
async def other_codec(call: CarrierCall) -> None:
    """It goes over to another codec."""
    await up(call)
    maps = ["8 PCMA/8000", "101 telephone-event/8000"]
    await call.ask("INVITE", body=call.description(version=2, formats="8 101", maps=maps))


@DIALOGS.of("reinvite-glare", stays_s=60)
async def glare(call: CarrierCall) -> None:
    """Its re-INVITE crosses ours: both get 491, and ours comes again."""
    call.ring()
    call.answer(fields=[_OURS])
    met: list[SipText] = []

    def take(offer: SipText) -> None:
        if met:
            call.reply(offer, 200, body=call.description(), fields=[_OURS])
        else:
            met.append(offer)
            call.carrier.spawn(crossing(offer))

    async def crossing(offer: SipText) -> None:
        await call.ask("INVITE", body=call.description(version=2))
        call.reply(offer, 491)

    call.handlers["INVITE"] = take


@DIALOGS.of("reinvite-storm")
async def storm(call: CarrierCall) -> None:
    """A hundred re-INVITEs one after the other."""
    await up(call)
    for number in range(100):
        await call.ask("INVITE", body=call.description(version=2 + number))


@DIALOGS.of("session-refreshed", stays_s=200)
async def session_refreshed(call: CarrierCall) -> None:
    """Wants the session refreshed by us every 90 s."""
    call.handlers["INVITE"] = lambda offer: call.reply(
        offer, 200, body=call.description(), fields=[_OURS]
    )
    call.answer(fields=[_OURS])


@DIALOGS.of("session-expires", stays_s=200)
async def session_expires(call: CarrierCall) -> None:
    """Promises to refresh the session every 90 s, and does not."""
    call.answer(fields=[_SHORT])


@DIALOGS.of("session-refresh-refused", stays_s=200)
async def refresh_refused(call: CarrierCall) -> None:
    """481 to our refresh: the call is unknown there."""
    call.handlers["INVITE"] = lambda offer: call.reply(offer, 481)
    call.answer(fields=[_OURS])


@DIALOGS.of("session-refresh-ever-longer", stays_s=200)
async def refresh_ever_longer(call: CarrierCall) -> None:
    """422 to every refresh, each time with a Min-SE a second longer: it is given up after two."""
    seconds = count(91)
    call.handlers["INVITE"] = lambda offer: call.reply(
        offer, 422, fields=[("Min-SE", str(next(seconds)))]
    )
    call.answer(fields=[_OURS])


@DIALOGS.of("session-refresh-unanswered", stays_s=200)
async def refresh_unanswered(call: CarrierCall) -> None:
    """No answer to our refresh."""
    call.handlers["INVITE"] = lambda offer: None
    call.answer(fields=[_OURS])


@DIALOGS.of("audio-never", stays_s=300)
async def audio_never(call: CarrierCall) -> None:
    """Answers, and never sends a packet."""
    call.ring()
    call.answer(silent=True)


@DIALOGS.of("audio-one-way", stays_s=300)
async def audio_one_way(call: CarrierCall) -> None:
    """Stops sending after ten seconds, and goes on to receive."""
    await up(call)
    await sleep(10)
    call.carrier.audio.end(call.audio)
