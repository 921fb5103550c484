"""Carriers that encrypt their audio (SRTP, RFC 4568), rightly and wrongly."""

from __future__ import annotations

import re
from asyncio import sleep
from base64 import b64encode

from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.fault import Faults

ENCRYPTION = Faults()
SUITE = "AES_CM_128_HMAC_SHA1_80"
MANDATORY = {"srtp": "mandatory", "srtp_keys_in_clear": True}
OPTIONAL = {"srtp": "optional"}
_OFFERED = re.compile(rb"a=crypto:(\d+) (\w+) inline:(\S+)")


def secured(
    call: CarrierCall,
    *,
    protocol: str = "RTP/SAVP",
    line: str | None = None,
    seed: int = 1,
    version: int = 1,
) -> bytes:
    """Its audio, encrypted: `line` in place of the right ``a=crypto``, "" for none; `seed` chooses
    the key."""
    if line is None:
        line = f"1 {SUITE} inline:{key(seed)}"
    crypto = f"a=crypto:{line}\r\n" if line else ""
    return call.description(protocol=protocol, version=version) + crypto.encode()


def key(seed: int) -> str:
    """A key of 30 bytes."""
    return b64encode(bytes([seed]) * 30).decode()


def insists(call: CarrierCall) -> bool:
    """Whether the INVITE offers encrypted audio alone."""
    return b" RTP/SAVP " in call.invite.body


def _answers_with(name: str, **more: str) -> None:
    """A fault whose 200 has that description, where we insist on encryption."""

    @ENCRYPTION.of(name, trunk=MANDATORY)
    async def answer_so(call: CarrierCall) -> None:
        call.ring()
        call.answer(secured(call, **more))  # type: ignore[arg-type]


_answers_with("srtp")
_answers_with("srtp-as-avp", protocol="RTP/AVP")
_answers_with("srtp-missing", protocol="RTP/AVP", line="")
_answers_with("srtp-without-key", line="")
_answers_with("srtp-unknown-suite", line=f"1 F8_128_HMAC_SHA1_80 inline:{key(1)}")
_answers_with("srtp-tag-not-ours", line=f"9 {SUITE} inline:{key(1)}")
_answers_with("srtp-tag-of-another-suite", line=f"2 {SUITE} inline:{key(1)}")
_answers_with("srtp-key-too-short", line=f"1 {SUITE} inline:{key(1)[:20]}")
_answers_with("srtp-unencrypted", line=f"1 {SUITE} inline:{key(1)} UNENCRYPTED_SRTP")


@ENCRYPTION.of("srtp-our-key", trunk=MANDATORY)
async def our_key(call: CarrierCall) -> None:
    """Our own line comes back."""
    found = _OFFERED.search(call.invite.body)
    line = "" if found is None else found[0].decode().removeprefix("a=crypto:")
    call.answer(secured(call, line=line))


@ENCRYPTION.of("srtp-refused", trunk=MANDATORY)
async def refused(call: CarrierCall) -> None:
    """It does not encrypt."""
    call.reply(call.invite, 488)


@ENCRYPTION.of("srtp-optional-plain", trunk=OPTIONAL)
async def optional_plain(call: CarrierCall) -> None:
    """Keys are offered, and it has never heard of them."""
    call.ring()
    call.answer()


@ENCRYPTION.of("srtp-optional-strict", trunk=OPTIONAL)
async def optional_strict(call: CarrierCall) -> None:
    """It takes encrypted audio in the strict form alone."""
    if insists(call):
        call.ring()
        call.answer(secured(call))
    else:
        call.reply(call.invite, 488)


@ENCRYPTION.of("srtp-optional-neither", trunk=OPTIONAL)
async def optional_neither(call: CarrierCall) -> None:
    """It takes neither form."""
    call.reply(call.invite, 488)


@ENCRYPTION.of("srtp-early-key", trunk=MANDATORY)
async def early_key(call: CarrierCall) -> None:
    """Early media with one key, the answer with another."""
    call.ring(183, body=secured(call, seed=1))
    await sleep(1)
    call.answer(secured(call, seed=2))


@ENCRYPTION.of("srtp-forks", trunk=MANDATORY)
async def forks(call: CarrierCall) -> None:
    """Two phones with a key each: one sends early media, the other answers."""
    call.ring(183, tag="fork-a", body=secured(call, seed=1))
    call.ring(tag="fork-b")
    await sleep(1)
    call.answer(secured(call, seed=2), tag="fork-b")


@ENCRYPTION.of("srtp-reinvite-key", trunk=MANDATORY)
async def reinvite_key(call: CarrierCall) -> None:
    """A re-INVITE with another key."""
    await _up(call)
    await call.ask("INVITE", body=secured(call, seed=2, version=2))


@ENCRYPTION.of("srtp-reinvite-plain", trunk=MANDATORY)
async def reinvite_plain(call: CarrierCall) -> None:
    """A re-INVITE that would go on in the clear."""
    await _up(call)
    await call.ask("INVITE", body=call.description(version=2))


@ENCRYPTION.of("srtp-reinvite-without-offer", trunk=MANDATORY)
async def reinvite_without_offer(call: CarrierCall) -> None:
    """A re-INVITE without offer; its key is in the ACK."""
    await _up(call)
    await call.ask("INVITE", ack_body=secured(call, seed=2, version=2))


@ENCRYPTION.of("srtp-reinvite-fax", trunk=MANDATORY)
async def reinvite_fax(call: CarrierCall) -> None:
    """A re-INVITE that wants to go on as a fax by T.38, which nobody encrypts."""
    await _up(call)
    audio = call.description(version=2)
    await call.ask("INVITE", body=audio.split(b"m=audio")[0] + b"m=image 5000 udptl t38\r\n")


async def _up(call: CarrierCall) -> None:
    """Answered and acknowledged, encrypted, for a second."""
    call.ring()
    call.answer(secured(call))
    await call.receive("ACK")
    await sleep(1)
