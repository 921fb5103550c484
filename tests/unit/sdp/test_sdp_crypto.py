"""Keys in descriptions: RFC 4568, and the suites of RFC 7714."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outdial import sdp
from outdial.errors import NegotiationError, RemoteProtocolError
from outdial.legs import Codec, CryptoSuite, MediaKeys
from outdial.sdp import crypto

BOTH = (Codec.PCMU, Codec.PCMA)
LONG, SHORT = CryptoSuite.AES_CM_128_HMAC_SHA1_80, CryptoSuite.AES_CM_128_HMAC_SHA1_32
GCM = CryptoSuite.AEAD_AES_256_GCM
OURS = {LONG: bytes(range(30)), GCM: bytes(range(44)), SHORT: bytes(range(100, 130))}
OPTIONAL = sdp.Security(OURS)
MANDATORY = sdp.Security(OURS, is_required=True)
THEIRS = bytes(range(200, 230))
INLINE = "inline:" + b64encode(THEIRS).decode()
PLAIN = "m=audio 4000 RTP/AVP 0\r\n"
SAVP = "m=audio 4000 RTP/SAVP 0\r\n"


def description(media: str) -> bytes:
    return (
        f"v=0\r\no=a 1 1 IN IP4 192.0.2.7\r\ns=x\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{media}".encode()
    )


def answered(media: str, security: sdp.Security = MANDATORY) -> MediaKeys | None:
    """What an answer to our offer settles."""
    return sdp.accept(description(media), BOTH, security=security).keys


def taken(media: str, security: sdp.Security | None = MANDATORY) -> tuple[str, MediaKeys | None]:
    """Our answer to an offer, and what it settles."""
    raw, params = sdp.answer(description(media), "192.0.2.1", 6000, 5, BOTH, security=security)
    return raw.decode(), params.keys


def keys_of(offers: Mapping[CryptoSuite, bytes]) -> dict[CryptoSuite, bytes]:
    return {suite: bytes(reversed(key)) for suite, key in offers.items()}


def test_a_mandatory_offer_is_savp_with_a_line_for_each_suite() -> None:
    lines = sdp.offer("192.0.2.1", 20000, 77, BOTH, security=MANDATORY).decode().splitlines()
    assert "m=audio 20000 RTP/SAVP 0 8 101" in lines
    assert [line for line in lines if line.startswith("a=crypto")] == [
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{b64encode(OURS[LONG]).decode()}",
        f"a=crypto:2 AEAD_AES_256_GCM inline:{b64encode(OURS[GCM]).decode()}",
        f"a=crypto:3 AES_CM_128_HMAC_SHA1_32 inline:{b64encode(OURS[SHORT]).decode()}",
    ]


def test_an_optional_offer_is_avp_with_the_same_lines_and_savp_when_it_insists() -> None:
    optional = sdp.offer("192.0.2.1", 20000, 77, BOTH, security=OPTIONAL).decode()
    assert "m=audio 20000 RTP/AVP 0 8 101\r\n" in optional
    assert optional.count("a=crypto:") == 3
    insisting = sdp.Security(OURS, insists=True)
    offer = sdp.offer("192.0.2.1", 20000, 77, BOTH, security=insisting).decode()
    assert offer == optional.replace("RTP/AVP", "RTP/SAVP")


@pytest.mark.parametrize("security", [OPTIONAL, MANDATORY])
def test_our_own_offer_and_answer_agree_on_keys_the_other_way_round(
    security: sdp.Security,
) -> None:
    offer = sdp.offer("127.0.0.1", 4000, 1, BOTH, security=security)
    other = sdp.Security(keys_of(OURS))
    reply, callee = sdp.answer(offer, "127.0.0.1", 5000, 2, BOTH, security=other)
    caller = sdp.accept(reply, BOTH, security=security)
    assert caller.keys == MediaKeys(LONG, OURS[LONG], other.keys[LONG])
    assert callee.keys == MediaKeys(LONG, other.keys[LONG], OURS[LONG])
    assert caller.keys is not None and callee.keys is not None
    assert caller.keys.profile == callee.keys.profile == security.profile
    assert reply.count(b"a=crypto:") == 1


@pytest.mark.parametrize("media", [SAVP, PLAIN, SAVP.replace("SAVP", "SAVPF")])
@pytest.mark.parametrize(("tag", "suite"), [(1, LONG), (3, SHORT)])
def test_an_answer_with_a_line_of_ours_is_taken(media: str, tag: int, suite: CryptoSuite) -> None:
    line = f"a=crypto:{tag} {suite.name} {INLINE}\r\n"
    for security in (MANDATORY, OPTIONAL):
        assert answered(media + line, security) == MediaKeys(suite, OURS[suite], THEIRS)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"a=crypto:2 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n", "tag 2 for AES_CM_128_HMAC_SHA1_80"),
        (f"a=crypto:4 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n", "tag 4"),
        (f"a=crypto:0 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n", "not of the form"),
        (f"a=crypto:1 F8_128_HMAC_SHA1_80 {INLINE}\r\n", "F8_128_HMAC_SHA1_80, which is not"),
        (f"a=crypto:1 <script> {INLINE}\r\n", "a name that is none"),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE[:-4]}\r\n", "no key of 30 bytes"),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:!!!!\r\n", "no key of 30 bytes"),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE}|1:4\r\n", "master key index"),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE};{INLINE}\r\n", "or several"),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE} UNENCRYPTED_SRTP\r\n", "protections"),
        (f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE} UNAUTHENTICATED_SRTP\r\n", "protections"),
        ("a=crypto:1 AES_CM_128_HMAC_SHA1_80\r\n", "not of the form"),
        ("a=crypto:\r\n", "not of the form"),
    ],
)
def test_any_other_line_in_an_answer_ends_the_call_and_says_why(line: str, words: str) -> None:
    for security in (MANDATORY, OPTIONAL):
        for media in (SAVP, PLAIN):
            with pytest.raises(NegotiationError, match=words) as refusal:
                answered(media + line, security)
            assert b64encode(THEIRS).decode()[:12] not in str(refusal.value)


def test_an_answer_that_repeats_our_key_is_refused() -> None:
    ours = b64encode(OURS[LONG]).decode()
    with pytest.raises(NegotiationError, match="repeats our key"):
        answered(f"{SAVP}a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{ours}\r\n")


def test_an_answer_without_a_line_is_plain_where_that_may_be() -> None:
    assert answered(PLAIN, OPTIONAL) is None
    for media, security, words in (
        (PLAIN, MANDATORY, "not encrypted, as it had to be"),
        (PLAIN, sdp.Security(OURS, insists=True), "not encrypted, as it had to be"),
        (SAVP, MANDATORY, "without a=crypto"),
        (SAVP, OPTIONAL, "without a=crypto"),
    ):
        with pytest.raises(NegotiationError, match=words):
            answered(media, security)
    with pytest.raises(NegotiationError, match="no audio in a codec that was offered"):
        sdp.accept(description(SAVP), BOTH)


def test_an_offer_is_answered_with_its_own_tag_and_our_key() -> None:
    reply, keys = taken(f"{SAVP}a=crypto:7 AES_CM_128_HMAC_SHA1_32 {INLINE}|2^31\r\n")
    assert keys == MediaKeys(SHORT, OURS[SHORT], THEIRS)
    assert "m=audio 6000 RTP/SAVP 0\r\n" in reply
    ours = b64encode(OURS[SHORT]).decode()
    assert reply.endswith(f"a=crypto:7 AES_CM_128_HMAC_SHA1_32 inline:{ours}\r\n")


def test_the_first_line_that_we_can_do_is_taken() -> None:
    offer = (
        f"{SAVP}a=crypto:1 AES_256_CM_HMAC_SHA1_80 {INLINE}\r\n"
        f"a=crypto:2 AES_CM_128_HMAC_SHA1_80 {INLINE}|2^20|1:4\r\n"
        f"a=crypto:3 AES_CM_128_HMAC_SHA1_80 {INLINE} UNENCRYPTED_SRTCP\r\n"
        f"a=crypto:4 aes_cm_128_hmac_sha1_80 INLINE:{INLINE[7:]}|2^20 WSH=64 -x KDR=0\r\n"
        f"a=crypto:5 AES_CM_128_HMAC_SHA1_32 {INLINE}\r\n"
    )
    reply, keys = taken(offer)
    assert keys is not None and (keys.suite, keys.receive) == (LONG, THEIRS)
    assert reply.count("a=crypto:") == 1
    assert "a=crypto:4 AES_CM_128_HMAC_SHA1_80 " in reply


def test_the_examples_of_the_rfc() -> None:
    """RFC 4568 sections 4.1 and 9: the first uses a master key index, which is not for us."""
    first = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4 FEC_ORDER=FEC_SRTP"
    second = "inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20"
    with pytest.raises(NegotiationError, match="protections"):
        taken(f"{SAVP}a=crypto:1 AES_CM_128_HMAC_SHA1_80 {first}\r\n")
    _, keys = taken(
        f"{SAVP}a=crypto:1 AES_CM_128_HMAC_SHA1_80 {first}\r\n"
        f"a=crypto:2 AES_CM_128_HMAC_SHA1_32 {second}\r\n"
    )
    assert keys is not None
    assert (keys.suite, keys.receive) == (SHORT, b"70xwPH5@/,L:S1wY\"~='EpgT%(i_Vc")


@pytest.mark.parametrize("order", [PLAIN + "X" + SAVP, SAVP + "X" + PLAIN])
def test_of_an_encrypted_and_a_plain_line_the_encrypted_one_is_taken(order: str) -> None:
    line = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n"
    offer = order.replace("X", "").replace(SAVP, SAVP.replace("4000", "4002") + line)
    for security in (OPTIONAL, MANDATORY):
        reply, keys = taken(offer, security)
        assert keys is not None
        assert "m=audio 6000 RTP/SAVP 0\r\n" in reply and "m=audio 0 RTP/AVP 0\r\n" in reply
    reply, keys = taken(offer, None)
    assert keys is None
    assert "m=audio 0 RTP/SAVP 0\r\n" in reply and "m=audio 6000 RTP/AVP 0\r\n" in reply
    assert "crypto" not in reply


def test_what_offers_get_that_cannot_be_encrypted() -> None:
    usable = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n"
    unusable = f"a=crypto:1 F8_128_HMAC_SHA1_80 {INLINE}\r\n"
    for media, security in (
        (PLAIN, OPTIONAL),
        (PLAIN + unusable, OPTIONAL),
        (PLAIN + usable, None),
    ):
        reply, keys = taken(media, security)
        assert keys is None
        assert "m=audio 6000 RTP/AVP 0\r\n" in reply and "crypto" not in reply
    for media, security, words in (
        (PLAIN, MANDATORY, "srtp is mandatory"),
        (PLAIN + unusable, MANDATORY, "F8_128"),
        (SAVP + unusable, OPTIONAL, "F8_128"),
        (SAVP, OPTIONAL, "DTLS is not supported"),
        (SAVP + usable, None, "srtp is off for the trunk"),
        ("m=audio 4000 UDP/TLS/RTP/SAVP 0\r\n", MANDATORY, "no audio line with a codec of ours"),
    ):
        with pytest.raises(NegotiationError, match=words):
            taken(media, security)


def test_keys_are_in_no_representation() -> None:
    raw = description(f"{SAVP}a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE}\r\n")
    params = sdp.accept(raw, BOTH, security=MANDATORY)
    chosen = crypto.selected([f"1 AES_CM_128_HMAC_SHA1_80 {INLINE}"], MANDATORY)
    for shown in map(repr, (params, params.keys, MANDATORY, chosen, sdp.parse(raw))):
        assert INLINE[7:] not in shown
        assert repr(THEIRS) not in shown and repr(OURS[LONG]) not in shown


def test_a_description_full_of_lines_costs_no_more_than_others() -> None:
    lines = f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {INLINE[:20]}\r\n" * 200
    assert len(sdp.parse(description(SAVP + lines)).media[0].crypto) == 32


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=200))
def test_no_line_raises_anything_else(value: str) -> None:
    for make in (SAVP, PLAIN):
        for use in (answered, taken):
            try:
                use(f"{make}a=crypto:{value}\r\n", OPTIONAL)
            except (NegotiationError, RemoteProtocolError):
                pass
