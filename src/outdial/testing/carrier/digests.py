"""Carriers that challenge, rightly and wrongly."""

from __future__ import annotations

import hashlib
import re

from outdial.testing.carrier.call import CarrierCall
from outdial.testing.carrier.fault import Faults
from outdial.testing.carrier.message import SipText

DIGESTS = Faults()
USER, PASSWORD, REALM = "acme", "secret", "carrier.example"
_WITH_PASSWORD = {"username": USER, "password": PASSWORD}
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^,\s]+))')


def challenge(
    nonce: str, *, algorithm: str = "MD5", realm: str = REALM, stale: bool = False
) -> tuple[str, str]:
    """A line of a 401."""
    more = ", stale=true" if stale else ""
    value = f'Digest realm="{realm}", nonce="{nonce}", qop="auth", algorithm={algorithm}{more}'
    return "WWW-Authenticate", value


def proves(request: SipText, nonce: str, algorithm: str = "MD5") -> bool:
    """Whether the request shows the password, by that nonce and algorithm."""
    shown = [one for one in request.all("Authorization") if f'nonce="{nonce}"' in one]
    header = shown[0] if shown else ""
    given = {name: quoted or plain for name, quoted, plain in _PARAMETER.findall(header)}
    if given.get("nonce") != nonce or given.get("algorithm", "MD5") != algorithm:
        return False
    make = _HASHES[algorithm]

    def hashed(text: str) -> str:
        return make(text.encode()).hexdigest()

    secret = hashed(f"{USER}:{given['realm']}:{PASSWORD}")
    what = hashed(f"{request.method}:{given['uri']}")
    middle = f"{nonce}:{given['nc']}:{given['cnonce']}:{given['qop']}"
    return bool(given["response"] == hashed(f"{secret}:{middle}:{what}"))


async def challenged(call: CarrierCall, *lines: tuple[str, str]) -> SipText:
    """Refuses the INVITE with those challenges; the next one."""
    call.reply(call.invite, 401, fields=lines)
    return await call.receive("INVITE")


def judged(call: CarrierCall, right: bool) -> None:
    """Answers who has shown the password."""
    if right:
        call.ring()
        call.answer()
    else:
        call.reply(call.invite, 403)


@DIGESTS.of("digest", trunk=_WITH_PASSWORD)
async def digest(call: CarrierCall) -> None:
    """401, then 200."""
    invite = await challenged(call, challenge("n1"))
    judged(call, proves(invite, "n1"))


@DIGESTS.of("digest-two-algorithms", trunk=_WITH_PASSWORD)
async def two_algorithms(call: CarrierCall) -> None:
    """MD5 and SHA-256 in one 401; only the stronger is taken."""
    invite = await challenged(call, challenge("n1"), challenge("n2", algorithm="SHA-256"))
    judged(call, proves(invite, "n2", "SHA-256"))


@DIGESTS.of("digest-unknown-algorithm", trunk=_WITH_PASSWORD)
async def unknown_algorithm(call: CarrierCall) -> None:
    """An algorithm that nobody knows, and MD5."""
    invite = await challenged(call, challenge("n1", algorithm="WHIRL-9"), challenge("n2"))
    judged(call, proves(invite, "n2"))


@DIGESTS.of("digest-only-unknown-algorithm", trunk=_WITH_PASSWORD)
async def only_unknown_algorithm(call: CarrierCall) -> None:
    """An algorithm that nobody knows, and no other."""
    await challenged(call, challenge("n1", algorithm="WHIRL-9"))


@DIGESTS.of("digest-two-realms", trunk=_WITH_PASSWORD)
async def two_realms(call: CarrierCall) -> None:
    """A 401 of one realm, then one of another; both digests must be shown together."""
    await challenged(call, challenge("n1"))
    invite = await challenged(call, challenge("n2", realm="behind.carrier.example"))
    judged(call, proves(invite, "n1") and proves(invite, "n2"))


@DIGESTS.of("digest-two-realms-at-once", trunk=_WITH_PASSWORD)
async def two_realms_at_once(call: CarrierCall) -> None:
    """The challenges of two realms in one 401."""
    invite = await challenged(
        call, challenge("n1"), challenge("n2", realm="behind.carrier.example")
    )
    judged(call, proves(invite, "n1") and proves(invite, "n2"))


@DIGESTS.of("digest-stale-nonce", trunk=_WITH_PASSWORD)
async def stale_nonce(call: CarrierCall) -> None:
    """The nonce of the first 401 is stale at once; the second is good."""
    await challenged(call, challenge("n1"))
    invite = await challenged(call, challenge("n2", stale=True))
    judged(call, proves(invite, "n2"))


@DIGESTS.of("digest-always-stale", trunk=_WITH_PASSWORD)
async def always_stale(call: CarrierCall) -> None:
    """Every nonce is stale."""
    for number in range(50):
        await challenged(call, challenge(f"n{number}", stale=number > 0))


@DIGESTS.of("digest-wrong-realm", trunk=_WITH_PASSWORD)
async def wrong_realm(call: CarrierCall) -> None:
    """Another realm in each 401, and none of the answers is taken."""
    for number in range(50):
        await challenged(call, challenge(f"n{number}", realm=f"realm{number}.example"))


@DIGESTS.of("digest-wrong-password", trunk=_WITH_PASSWORD)
async def wrong_password(call: CarrierCall) -> None:
    """The answer is refused by a second 401."""
    for number in range(50):
        await challenged(call, challenge(f"n{number}"))


@DIGESTS.of("digest-without-password")
async def without_password(call: CarrierCall) -> None:
    """401 to a trunk that has no password."""
    await challenged(call, challenge("n1"))


@DIGESTS.of("digest-garbled", trunk=_WITH_PASSWORD)
async def garbled(call: CarrierCall) -> None:
    """A challenge without nonce or realm."""
    await challenged(call, ("WWW-Authenticate", "Digest ,,=;"))


@DIGESTS.of("digest-for-bye", trunk=_WITH_PASSWORD)
async def for_bye(call: CarrierCall) -> None:
    """401 to BYE."""

    def take(bye: SipText) -> None:
        if proves(bye, "n1"):
            call.take_bye(bye)
        else:
            call.reply(bye, 401, fields=[challenge("n1")])

    call.handlers["BYE"] = take
    call.ring()
    call.answer()
