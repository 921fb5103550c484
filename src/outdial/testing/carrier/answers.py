"""Carriers that answer, but not as they should."""

from __future__ import annotations

from asyncio import sleep

from outdial.testing.carrier.call import NO_CONTACT, CarrierCall
from outdial.testing.carrier.fault import Faults
from outdial.testing.carrier.message import SipText
from outdial.testing.carrier.refusals import answers

ANSWERS = Faults()


def _sdp(name: str, **more: object) -> None:
    """A fault whose 200 has that description."""

    @ANSWERS.of(name)
    async def answer_so(call: CarrierCall) -> None:
        call.ring()
        call.answer(call.description(**more))


_sdp("answer-codec-never-offered", formats="18", maps=["18 G729/8000"])
_sdp("answer-codec-under-our-number", formats="0", maps=["0 GSM/8000"])
_sdp("answer-secured-unasked", protocol="RTP/SAVP")
_sdp("answer-without-events", formats="0", maps=["0 PCMU/8000"])


@ANSWERS.of("answer-stream-rejected")
async def stream_rejected(call: CarrierCall) -> None:
    """Port 0."""
    call.answer(call.description().replace(b"m=audio %d" % call.audio[1], b"m=audio 0"))


@ANSWERS.of("answer-to-everybody")
async def to_everybody(call: CarrierCall) -> None:
    """A multicast address."""
    call.answer(call.description().replace(b"c=IN IP4 ", b"c=IN IP4 224.1.1.1/8 "))


@ANSWERS.of("answer-garbled-sdp")
async def garbled_sdp(call: CarrierCall) -> None:
    """Bytes that are no description."""
    call.answer(b"\x00\xffv=\xff\r\n\r\nm=")


@ANSWERS.of("answer-without-sdp")
async def without_sdp(call: CarrierCall) -> None:
    """200 without a body."""
    call.ring()
    call.answer(b"")


@ANSWERS.of("answer-in-progress-only")
async def in_progress_only(call: CarrierCall) -> None:
    """The description is in the 183, not in the 200."""
    call.ring(183, body=call.description())
    await sleep(1)
    call.answer(b"")


@ANSWERS.of("progress-then-ringing")
async def progress_then_ringing(call: CarrierCall) -> None:
    """183 with early media, then 180 without, then 200."""
    call.ring(183, body=call.description())
    await sleep(1)
    call.ring()
    await sleep(1)
    call.answer()


@ANSWERS.of("answer-without-to-tag")
async def without_to_tag(call: CarrierCall) -> None:
    """200 without a To tag."""
    call.answer(tag="")


@ANSWERS.of("answer-without-contact")
async def without_contact(call: CarrierCall) -> None:
    """200 without Contact."""
    call.answer(fields=[NO_CONTACT])


@ANSWERS.of("answer-empty-contact")
async def empty_contact(call: CarrierCall) -> None:
    """200 with a Contact that has no value: requests go where it came from."""
    call.answer(fields=[("Contact", "")])


@ANSWERS.of("answer-unreadable-contact")
async def unreadable_contact(call: CarrierCall) -> None:
    """A Contact that is a name nobody can look up."""
    call.answer(fields=[("Contact", "<sip:gw17@inside.carrier.invalid:5099>")])


@ANSWERS.of("answer-garbled-then-right")
async def garbled_then_right(call: CarrierCall) -> None:
    """A 200 that is not SIP, then a right one."""
    call.carrier.send(b"SIP/2.0 200 \xff\xfe\r\nVia: \r\nCSeq: x\r\n\r\n")
    await sleep(1)
    call.answer()


@ANSWERS.of("strays-then-answer")
async def strays_then_answer(call: CarrierCall) -> None:
    """Responses that belong to nothing, then 200."""
    stray = SipText(b"")
    stray.start = call.invite.start
    stray.fields = [
        (name, value.replace(call.invite.branch, "z9hG4bK-another"))
        for name, value in call.invite.fields
    ]
    for status in (180, 486):
        call.reply(stray, status)
    await sleep(1)
    call.answer()


@ANSWERS.of("answer-before-ringing")
async def before_ringing(call: CarrierCall) -> None:
    """200 overtakes 100, 183 and 180."""
    call.answer()
    for status in (100, 183, 180):
        call.reply(call.invite, status)


@ANSWERS.of("answer-after-cancel")
async def after_cancel(call: CarrierCall) -> None:
    """Rings; 200 to the INVITE in place of 487 when it is cancelled."""
    call.ring()

    def take(cancel: SipText) -> None:
        call.reply(cancel, 200)
        call.answer()

    call.handlers["CANCEL"] = take


@ANSWERS.of("answer-long-after-cancel")
async def long_after_cancel(call: CarrierCall) -> None:
    """As before, but 20 s later."""
    call.ring()
    call.handlers["CANCEL"] = lambda cancel: call.reply(cancel, 200)
    await call.receive("CANCEL")
    await sleep(20)
    call.answer()


@ANSWERS.of("answer-repeated-for-ever", stays_s=60)
async def repeated_for_ever(call: CarrierCall) -> None:
    """200 once a second, though it is acknowledged."""
    data = call.answer()
    for _ in range(90):
        await sleep(1)
        call.carrier.send(data)


@ANSWERS.of("answer-then-bye")
async def then_bye(call: CarrierCall) -> None:
    """BYE in the same moment as the 200."""
    call.answer()
    await call.hang_up()


@ANSWERS.of("bye-after-ack")
async def bye_after_ack(call: CarrierCall) -> None:
    """BYE right after the ACK."""
    call.answer()
    await call.receive("ACK")
    await call.hang_up()


@ANSWERS.of("ack-lost")
async def ack_lost(call: CarrierCall) -> None:
    """The first two ACKs are lost."""
    left = [True, True]

    def hears(message: SipText) -> bool:
        return message.method != "ACK" or not left or not left.pop()

    call.carrier.hears = hears
    await answers(call)


@ANSWERS.of("ack-always-lost", stays_s=60)
async def ack_always_lost(call: CarrierCall) -> None:
    """No ACK arrives; it gives up after 32 s and sends BYE."""
    call.carrier.hears = lambda message: message.method != "ACK"
    await answers(call)
    await sleep(32)
    await call.hang_up()


@ANSWERS.of("forks-both-answer")
async def forks_both_answer(call: CarrierCall) -> None:
    """Two phones ring, and both answer."""
    for tag in ("fork-a", "fork-b"):
        call.ring(tag=tag)
    call.answer(tag="fork-a")
    call.answer(tag="fork-b", silent=True)


@ANSWERS.of("forks-one-answers")
async def forks_one_answers(call: CarrierCall) -> None:
    """Three phones ring, one with early media; another one answers."""
    call.ring(183, tag="fork-a", body=call.description())
    for tag in ("fork-b", "fork-c"):
        call.ring(tag=tag)
    await sleep(1)
    call.answer(tag="fork-b")


@ANSWERS.of("forks-many")
async def forks_many(call: CarrierCall) -> None:
    """A thousand phones ring, and one of them answers."""
    for number in range(1000):
        call.ring(tag=f"fork-{number}")
    await sleep(1)
    call.answer(tag="fork-999")


@ANSWERS.of("session-too-small")
async def session_too_small(call: CarrierCall) -> None:
    """422 with a longer Min-SE; the second INVITE is answered if it offers that."""
    call.reply(call.invite, 422, fields=[("Min-SE", "3600")])
    invite = await call.receive("INVITE")
    if invite["Session-Expires"].startswith("3600"):
        call.answer()
    else:
        call.reply(invite, 500)


@ANSWERS.of("session-always-too-small")
async def session_always_too_small(call: CarrierCall) -> None:
    """422 again, with the same Min-SE."""
    for _ in range(50):
        call.reply(call.invite, 422, fields=[("Min-SE", "3600")])
        await call.receive("INVITE")


@ANSWERS.of("session-ever-longer")
async def session_ever_longer(call: CarrierCall) -> None:
    """422 for ever, each time with a Min-SE a second longer."""
    for number in range(1000):
        call.reply(call.invite, 422, fields=[("Min-SE", str(3600 + number))])
        await call.receive("INVITE")
